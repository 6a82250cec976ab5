"""How long reads, digital units and network take on a chip, as far as its description tells.

A digital unit takes the output codes that its core shifts and adds, and the digital operations of layers and of
operators on the host, wherever these are made; its parts work side by side, and the slowest kind sets the time.
Operators whose operations are not counted take none.

A link carries ``network.link_bits`` in a cycle of ``network.clock``; each hop takes one cycle. What a core takes comes
over one link into it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from xbarc.hardware.components import Component, Use
from xbarc.hardware.derived import cores_on_chip, read_time
from xbarc.hardware.network import link_bandwidth, mesh_of
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph, Operator
from xbarc.ir.layer import Layer, layers
from xbarc.ir.mesh import Flow, Mesh, busiest_link, farthest
from xbarc.ir.operations import host_operations, layer_operations
from xbarc.ir.operators import HostOp
from xbarc.ir.reads import windows_of_copies
from xbarc.ir.repetitions import repetitions
from xbarc.ir.samples import sample_axes
from xbarc.ir.simulation import Leg, Timing
from xbarc.ir.traffic import Home, Traffic
from xbarc.ir.work import layer_windows
from xbarc.report.counts import codes_an_output, piece_columns


@dataclass(frozen=True, slots=True)
class Unit:
    """What digital units do.

    Attributes:
        layers: by layer, seconds for one window of each copy, in the core that has most to do.
        operators: seconds for all results of a digital operator, in the core that has most to do.
        busiest: seconds that the busiest core's unit takes for one inference.
    """

    layers: Mapping[str, float]
    operators: Mapping[Operator, float]
    busiest: float


@dataclass(frozen=True, slots=True)
class Ways:
    """What the network does.

    Attributes:
        inputs, sums, outputs: as in :class:`xbarc.ir.simulation.Timing`.
        busiest: seconds that the busiest link takes for one inference; ``None`` where its bandwidth is not given.
    """

    inputs: Mapping[str, Leg]
    sums: Mapping[str, Leg]
    outputs: Mapping[str, Leg]
    busiest: float | None


@dataclass(frozen=True, slots=True)
class ChipTimes:
    """Of a placed program.

    Attributes:
        read: seconds of a read; ``None`` where the description does not say.
        unit: ``None`` where the description has no time for anything that digital units do.
        ways: ``None`` where it has no mesh, or no clock of the network, or sizes are not known.
        missing: keys and uses that would have to be given for what is not known.
    """

    read: float | None
    unit: Unit | None
    ways: Ways | None
    missing: tuple[str, ...]

    def timing(self, *, digital: bool, network: bool) -> Timing:
        """Seconds for :func:`xbarc.ir.simulation.simulate`, with or without what digital units and network take."""
        unit, ways = self.unit if digital else None, self.ways if network else None
        return Timing(
            read=self.read or 0.0,
            digital=unit.layers if unit else {},
            operators=unit.operators if unit else {},
            inputs=ways.inputs if ways else {},
            sums=ways.sums if ways else {},
            outputs=ways.outputs if ways else {},
        )


def chip_times(graph: Graph, hardware: Hardware, found: Traffic) -> ChipTimes:
    """How long things take that a placed graph does on its chip, with the traffic between its cores."""
    shift_add, operation = (use_time(hardware, use) for use in ("shift-add", "digital-operation"))
    unit = None
    if shift_add is not None or operation is not None:
        unit = _unit(graph, hardware, found, shift_add=shift_add or 0.0, operation=operation or 0.0)
    mesh, clock, bandwidth = mesh_of(hardware), hardware.network.clock, link_bandwidth(hardware)
    ways = None
    if mesh is not None and clock is not None and not found.unknown:
        ways = _ways(graph, found, mesh, cycle=1 / clock, bandwidth=bandwidth)
    given = {
        "tile.read_time": read_time(hardware),
        "latency of shift-add": shift_add,
        "latency of digital-operation": operation,
        "chip.mesh_rows": mesh,
        "network.clock": clock,
        "network.link_bits": hardware.network.link_bits,
    }
    missing = tuple(name for name, value in given.items() if value is None)
    return ChipTimes(read_time(hardware), unit, ways, missing)


def use_time(hardware: Hardware, use: Use) -> float | None:
    """Seconds between two uses in one core: of the slowest kind of part with that use, all of a core's at work.

    0 where the figures of other parts hold it; ``None`` where nothing tells.
    """
    times = [_time_in_core(part, hardware) for part in hardware.components.by_name.values() if part.use == use]
    known = [time for time in times if time is not None]
    if known:
        return max(known)
    held = any(use in part.includes and part.use_time is not None for part in hardware.components.by_name.values())
    return 0.0 if held else None


def _time_in_core(part: Component, hardware: Hardware) -> float | None:
    """Seconds between two uses of the parts of one kind that a core has."""
    cores = cores_on_chip(hardware)
    if part.use_time is None or (part.level == "chip" and cores == "unlimited"):
        return None
    match part.level:
        case "tile":
            count = part.count * hardware.core.tiles
        case "core":
            count = part.count
        case _:
            count = part.count / cores if cores != "unlimited" else math.inf
    return part.use_time / count


def _unit(graph: Graph, hardware: Hardware, found: Traffic, *, shift_add: float, operation: float) -> Unit:
    """Seconds of digital units, by the seconds between two shift-adds and between two operations of a core."""
    times, axes = repetitions(graph), sample_axes(graph)
    by_core: dict[int, float] = defaultdict(float)
    by_layer: dict[str, float] = {}
    by_operator: dict[Operator, float] = {}
    for layer in layers(graph):
        windows, repeats, copies = layer_windows(layer), times[layer.dac], layer.read.copies

        def in_cores(windows: np.ndarray, layer: Layer = layer) -> Mapping[int, float]:
            return _in_cores(
                layer,
                hardware.core.tiles,
                windows,
                shift_add=shift_add,
                operations=layer_operations(layer, 1) * operation,
                home=found.homes[layer.dac],
            )

        by_layer[layer.name] = max(in_cores(np.ones(copies)).values())
        if windows is not None and repeats is not None:
            for core, seconds in in_cores(windows_of_copies(windows * repeats, copies)).items():
                by_core[core] += seconds
    for operator, repeats in times.items():
        if isinstance(operator, HostOp) and operator in found.homes:
            home = found.homes[operator]
            seconds = (host_operations(operator, axes) or 0) * operation
            by_operator[operator] = seconds * float(home.shares.max())
            for core, share in zip(home.cores.tolist(), home.shares.tolist(), strict=True):
                by_core[core] += share * seconds * (repeats or 0)
    return Unit(by_layer, by_operator, max(by_core.values(), default=0.0))


def _in_cores(
    layer: Layer, core_tiles: int, windows: np.ndarray, *, shift_add: float, operations: float, home: Home
) -> Mapping[int, float]:
    """By core, the seconds that a layer takes for so many windows of each copy.

    Args:
        layer: placed.
        core_tiles: tiles of a core.
        windows: of each copy.
        shift_add: seconds for an output code.
        operations: seconds for the digital operations of a window.
        home: where these are done.
    """
    pieces = layer.read.pieces
    if pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    seconds: dict[int, float] = defaultdict(float)
    if codes_an_output(layer) > 1:
        codes = piece_columns(layer, pieces)[0] * windows[pieces["copy"]] * len(layer.digit_weights)
        cores, which = np.unique(pieces["tile"] // core_tiles, return_inverse=True)
        seconds.update(zip(cores.tolist(), (np.bincount(which, codes) * shift_add).tolist(), strict=True))
    for core, share in zip(home.cores.tolist(), home.shares.tolist(), strict=True):
        seconds[core] += share * operations * float(windows.sum())
    return seconds


def _ways(graph: Graph, found: Traffic, mesh: Mesh, *, cycle: float, bandwidth: float | None) -> Ways:
    """Seconds of the network."""
    repeats = {operator.name: times or 1 for operator, times in repetitions(graph).items()}
    rounds = {
        layer.name: math.ceil((layer_windows(layer) or 1) / layer.read.copies) * repeats[layer.name]
        for layer in layers(graph)
    }
    runs = repeats | rounds

    def legs(flows: Iterable[Flow]) -> Mapping[str, Leg]:
        made: dict[str, Leg] = {}
        for flow in flows:
            before = made.get(flow.operator, Leg())
            each = flow.most_received / max(runs.get(flow.operator, 1), 1)
            busy = 0.0 if bandwidth is None else each / bandwidth
            made[flow.operator] = Leg(before.busy + busy, max(before.delay, farthest(flow, mesh) * cycle))
        return made

    busiest = None if bandwidth is None else busiest_link(found.flows, mesh) / bandwidth
    return Ways(legs(found.inputs), legs(found.sums), legs(found.outputs), busiest)
