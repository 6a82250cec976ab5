"""What cores send each other in one inference, and how far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarc.hardware.network import mesh_of
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.mesh import bit_hops, busiest_link
from xbarc.ir.traffic import Traffic, cores_in_order


@dataclass(frozen=True, slots=True)
class TrafficUsage:
    """The traffic of one inference on the mesh: activations, partial sums, inputs and outputs of the network.

    Attributes:
        bits: that one core sends to another, or that enter or leave the chip at core 0 for or from another core.
        bit_hops: each bit times the links that it goes over.
        in_order: the same if cores were numbered row by row, in the order in which layers come to them.
        busiest_link: bits over the link that most go over, in one direction; rows first, then columns.
        unknown: names of layers and digital operators whose sizes are not known: something of theirs is left out.
    """

    bits: int
    bit_hops: int
    in_order: int
    busiest_link: int
    unknown: tuple[str, ...]

    @property
    def mean_hops(self) -> float | None:
        """Links that a bit goes over, on average; ``None`` where none goes over any."""
        return self.bit_hops / self.bits if self.bits else None


def traffic_usage(graph: Graph, hardware: Hardware, found: Traffic) -> TrafficUsage | None:
    """The traffic of a placed graph; ``None`` where the hardware has no mesh."""
    mesh = mesh_of(hardware)
    if mesh is None:
        return None
    order = cores_in_order(graph, core_tiles=hardware.core.tiles)
    cores = np.sort(order)
    in_order = np.argsort(order)  # cores in use by their numbers: where each comes in the order
    return TrafficUsage(
        bits=round(sum(flow.bits for flow in found.flows)),
        bit_hops=round(sum(bit_hops(flow, mesh) for flow in found.flows)),
        in_order=round(sum(bit_hops(flow.moved(cores, in_order), mesh) for flow in found.flows)),
        busiest_link=round(busiest_link(found.flows, mesh)),
        unknown=tuple(sorted(found.unknown)),
    )
