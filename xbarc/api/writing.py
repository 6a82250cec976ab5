"""Write a program on a chip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.devices.device import Device, check_range
from xbarc.devices.faults import FaultMap
from xbarc.errors import UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.printer import print_graph
from xbarc.runtime.cells import Cells, Conductances, write_cells
from xbarc.runtime.circuit.wiring import Wiring
from xbarc.runtime.tiles import TileShape


@dataclass(frozen=True, slots=True)
class Written:
    """A chip as it was programmed; it does not change any more.

    Attributes:
        device: what the cells are made of.
        seed: that it was drawn from.
        cells: by matrix: the name of the layer that has them, or of the first that shares them.
        faults: that it was known to have; ``None``: none but those that were drawn.
    """

    device: Device
    seed: int
    cells: Mapping[str, Cells]
    faults: FaultMap | None = None


def write_chip(
    graph: Graph, hardware: Hardware, device: Device, *, seed: int, faults: FaultMap | None = None
) -> Written:
    """Program every layer of a placed graph once.

    Raises:
        UsageError: the seed is no integer from 0 to 2^64 - 1, or the conductances are lower than the device's.
        DeviceError: faults at places that the chip does not have.
    """
    check_seed(seed)
    check_range(device, g_min=hardware.cell.g_min, g_max=hardware.cell.g_max)
    if faults is not None:
        check_faults(faults, hardware)
    span = conductances(hardware)
    cells: dict[str, Cells] = {}
    for layer in layers(graph):
        if layer.read.matrix not in cells:
            cells[layer.read.matrix] = write_cells(layer, device, seed=seed, span=span, faults=faults)
    return Written(device, seed, cells, faults)


def tile_shape(hardware: Hardware) -> TileShape:
    """Of the tiles of a hardware; cells that no block takes are at level 0."""
    tile = hardware.tile
    planes = hardware.weights.polarities if tile.polarity == "unit-cell" else 1
    return TileShape(planes=planes, rows=tile.rows, columns=tile.columns, empty=hardware.cell.g_min)


def wiring(hardware: Hardware) -> Wiring:
    """The wires of a tile of a hardware."""
    tile = hardware.tile
    return Wiring(
        row_wire_ohm=tile.row_wire,
        column_wire_ohm=tile.column_wire,
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
    return {
        "faults": None if faults is None else faults.text,
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
