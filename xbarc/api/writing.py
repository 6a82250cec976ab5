"""Write a program on a chip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np

from xbarc.api.verified import write_verified
from xbarc.devices.device import Device, check_range, check_read_voltage
from xbarc.devices.faults import FaultMap
from xbarc.errors import UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.printer import print_graph
from xbarc.report.chip_writing import ChipWriting
from xbarc.report.evaluation import Placement
from xbarc.runtime.cells import Cells, Conductances, write_cells
from xbarc.runtime.circuit.wiring import Wiring
from xbarc.runtime.nonlinear import sees_voltages
from xbarc.runtime.programming import WriteVerify, write_verify_text
from xbarc.runtime.tile_parts import LineOrder
from xbarc.runtime.tiles import TileShape


@dataclass(frozen=True, slots=True)
class Written:
    """A chip as it was programmed; it does not change any more.

    Attributes:
        device: what the cells are made of.
        seed: that it was drawn from.
        cells: by matrix: the name of the layer that has them, or of the first that shares them.
        faults: that it was known to have; ``None``: none but those that were drawn.
        programming: the closed loop that it was written in; ``None``: in one shot, with the device's errors.
        writing: what that came to; ``None`` in one shot.
        placement: how its faults were heeded when lines of blocks were laid on those of tiles.
        orders: of a matrix, in which its lines lie; of those that are not named, as they follow each other.
    """

    device: Device
    seed: int
    cells: Mapping[str, Cells]
    faults: FaultMap | None = None
    programming: WriteVerify | None = None
    writing: ChipWriting | None = None
    placement: Placement = "as-compiled"
    orders: Mapping[str, Sequence[LineOrder]] = field(default_factory=dict)


def write_chip(
    graph: Graph,
    hardware: Hardware,
    device: Device,
    *,
    seed: int,
    faults: FaultMap | None = None,
    programming: WriteVerify | None = None,
    placement: Placement = "as-compiled",
    threads: int = 1,
) -> Written:
    """Program every layer of a placed graph once, in one shot, or in closed loop on so many threads.

    Raises:
        UsageError: the seed is no integer from 0 to 2^64 - 1, there is no such placement, the conductances are lower
            than the device's, or the read voltage is not known or beyond its data where its cells are no resistors.
        DeviceError: faults at places that the chip does not have.
    """
    check_seed(seed)
    check_placement(placement)
    check_range(device, g_min=hardware.cell.g_min, g_max=hardware.cell.g_max)
    check_voltages(device, graph, hardware)
    if faults is not None:
        check_faults(faults, hardware)
    span = conductances(hardware)
    first = {layer.read.matrix: layer for layer in reversed(layers(graph))}
    first = dict(reversed(first.items()))
    tile, orders = (hardware.tile.rows, hardware.tile.columns), {}
    if placement == "fault-aware":
        # with libraries of graphs and of assignments, which nothing else that runs chips needs
        from xbarc.runtime.fault_placement import fault_aware_orders

        orders = fault_aware_orders(list(first.values()), device, faults, seed=seed, span=span, tile=tile)
    cells = {
        matrix: write_cells(layer, device, seed=seed, span=span, faults=faults, orders=orders.get(matrix))
        for matrix, layer in first.items()
    }
    written = Written(device, seed, cells, faults, placement=placement, orders=orders)
    if programming is None:
        return written
    verified, writing = write_verified(cells, first, device, programming, seed=seed, span=span, threads=threads)
    return replace(written, cells=verified, programming=programming, writing=writing)


def tile_shape(hardware: Hardware) -> TileShape:
    """Of the tiles of a hardware; cells that no block takes are at level 0."""
    tile = hardware.tile
    planes = hardware.weights.polarities if tile.polarity == "unit-cell" else 1
    return TileShape(planes=planes, rows=tile.rows, columns=tile.columns, empty=hardware.cell.g_min)


def wiring(hardware: Hardware) -> Wiring:
    """The wires of a tile of a hardware, at its temperature."""
    tile = hardware.tile
    return Wiring(
        row_wire_ohm=tile.row_wire * tile.wire_factor,
        column_wire_ohm=tile.column_wire * tile.wire_factor,
        source_ohm=tile.source_resistance,
        sense_ohm=tile.sense_resistance,
    )


def conductances(hardware: Hardware) -> Conductances:
    """The conductances that the levels of a hardware span."""
    cell = hardware.cell
    return Conductances(cell.g_min, cell.g_max, cell.g_step or cell.g_max - cell.g_min)


def beside_cells(hardware: Hardware, written: Written | None) -> dict[str, Any]:
    """What is known to be wrong with a chip beside its cells, as reports have it."""
    faults = None if written is None else written.faults
    programming = None if written is None else written.programming
    return {
        "programming": None if programming is None else write_verify_text(programming),
        "faults": None if faults is None else faults.text,
        "placement": "as-compiled" if written is None else written.placement,
        "adc_errors": hardware.adc.has_errors,
        "dac_errors": hardware.dac.has_errors,
    }


def check_seed(seed: int) -> None:
    """Refuse what is no seed.

    Raises:
        UsageError: it is no integer from 0 to 2^64 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise UsageError(f"the seed is {seed!r}", fix="give an integer from 0 to 2**64 - 1")


def check_voltages(device: Device, graph: Graph, hardware: Hardware) -> None:
    """Refuse cells of which the voltages of a program leave the currents unknown.

    Raises:
        UsageError: they are no resistors, and the read voltage is not known or beyond their data.
    """
    if any(map(sees_voltages, layers(graph))):
        check_read_voltage(device, hardware.tile.read_voltage, largest=hardware.dac.bits != "unlimited")


def check_placement(placement: Placement) -> None:
    """Refuse what is no placement.

    Raises:
        UsageError: an unknown one.
    """
    if placement not in get_args(Placement):
        raise UsageError(
            f"there is no placement {placement!r}", fix=f"the placements are {' and '.join(get_args(Placement))}"
        )


def digest(graph: Graph, hardware: Hardware) -> str:
    """What tells one program from another: the hash of its text, with hashes of its arrays, and of its hardware."""
    described = json.dumps(hardware.to_dict(), sort_keys=True)
    return hashlib.sha256(f"{print_graph(graph)}\n{described}".encode()).hexdigest()


def check_faults(faults: FaultMap, hardware: Hardware) -> None:
    """Refuse faults that a chip of a hardware cannot have.

    Raises:
        DeviceError: places outside it, a polarity where every cell has a site of its own, or two faults of one place.
    """
    tiles = None if hardware.chip_tiles == "unlimited" else hardware.chip_tiles
    paired = hardware.tile.polarity == "unit-cell" and hardware.weights.polarities == 2
    faults.check(tiles=tiles, rows=hardware.tile.rows, columns=hardware.tile.columns, paired=paired)
