"""A tile of a chip as a netlist, for a circuit simulator to check."""

from __future__ import annotations

import os

import numpy as np

from xbarc.api.chip import Chip
from xbarc.api.files import array_names, read_array
from xbarc.api.reading import actual_cells
from xbarc.api.writing import conductances, tile_shape, wiring
from xbarc.devices.catalogue import device_text
from xbarc.errors import DataError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import layers
from xbarc.runtime.cells import cell_targets
from xbarc.runtime.circuit.netlist import spice_netlist
from xbarc.runtime.tiles import Occupant, occupants, tile_conductances
from xbarc.units import format_duration, parse_quantity


def tile_netlist(chip: Chip, tile: int, *, segment: int = 0, voltages: np.ndarray) -> str:
    """One tile of a chip at its time, with its wires and one input vector, as ngspice reads it.

    Cells are as they are found at that time, with the part of their read noise that outlasts an inference; on the ideal
    device they hold their targets. Cells that no block takes are at ``g_min``. The currents that are expected stand in
    comments (:func:`xbarc.runtime.circuit.netlist.spice_netlist`). A tile of 256 x 256 cells takes seconds.

    Args:
        chip: read at some time.
        tile: its number, as in the program's tile map.
        segment: reload segment in which it is looked at.
        voltages: of the drivers, ``(rows of a tile,)`` volts.

    Raises:
        UsageError: a tile in which nothing lies, or voltages of a wrong shape.
        HardwareError: wires out of all proportion to the cells.
    """
    graph, hardware = chip.setting.graph, chip.setting.hardware
    found = layers(graph)
    by_tile = occupants(found, {} if chip.written is None else chip.written.orders)
    if (segment, tile) not in by_tile:
        used = [number for part, number in sorted(by_tile) if part == segment]
        raise UsageError(
            f"nothing lies in tile {tile} in segment {segment}",
            fix=f"of its tiles, {len(used)} are in use, from {used[0]} to {used[-1]}"
            if used
            else "give a segment that there is",
        )
    if chip.written is None:
        span = conductances(hardware)
        cells = {layer.read.matrix: cell_targets(layer, span) for layer in found}
    else:
        cells = actual_cells(graph, hardware, chip.written, chip.reading, chip.reading.time_s)
    inside = by_tile[segment, tile]
    when = f" at {format_duration(chip.reading.time_s)}, seed {chip.written.seed}" if chip.written else ""
    return spice_netlist(
        tile_conductances(inside, cells, tile_shape(hardware)),
        voltages,
        wiring(hardware),
        title=_line(f"Tile {tile} of segment {segment} on {device_text(chip.device)}{when}"),
        notes=[_line(_what(each)) for each in inside],
    )


def read_voltages(given: str | None, hardware: Hardware) -> np.ndarray:
    """Every row of a tile at one voltage: that of a text with a unit, or by default that of the hardware.

    Raises:
        UsageError: no voltage, or none that is given or known.
    """
    volts = hardware.tile.read_voltage
    if given is not None:
        try:
            volts = parse_quantity(given, "V")
        except ValueError as error:
            raise UsageError(f"the read voltage {error}", fix='write it as in "0.2 V"') from None
    if volts is None:
        raise UsageError(
            "the hardware does not give tile.read_voltage",
            fix='give --read-voltage, as in "0.2 V", or --voltages with one for each row',
        )
    return np.full(hardware.tile.rows, volts)


def load_voltages(path: str | os.PathLike[str]) -> np.ndarray:
    """The array ``voltages`` of an ``.npz`` or a folder, in volts.

    Raises:
        DataError: there is none, or it holds no real numbers.
    """
    if "voltages" not in array_names(path):
        raise DataError(
            "there is no array 'voltages'", where=os.fspath(path), fix="give one, with the volts of each row of a tile"
        )
    array = read_array(path, "voltages")
    if array.dtype.kind not in "fiu" or array.ndim != 1:
        raise DataError(
            f"'voltages' is {array.dtype} {array.shape}, and no list of numbers",
            where=os.fspath(path),
            fix="give the volts of each row of a tile",
        )
    return np.asarray(array, dtype=np.float64)


def _what(inside: Occupant) -> str:
    part = inside.part
    return (
        f"plane {part.sites.plane}, rows {_lines(part.sites.rows)}, columns {_lines(part.sites.columns)}: "
        f"{inside.matrix}, copy {part.copy}, slice {part.slice}, polarity {part.polarity}, block {part.block}, "
        f"columns {f'from {part.columns[0]} on' if np.all(np.diff(part.columns) == 1) else _lines(part.columns)}"
    )


def _lines(numbers: np.ndarray) -> str:
    """Numbers in their order, those that follow each other at one distance in short."""
    first, last = int(numbers[0]), int(numbers[-1])
    steps = np.diff(numbers)
    if len(numbers) > 2 and np.all(steps == steps[0]) and steps[0] > 0:
        return f"{first} to {last}" + (f" every {steps[0]}" if steps[0] > 1 else "")
    return " ".join(str(number) for number in numbers.tolist())


def _line(text: str) -> str:
    """Names may hold anything; a comment ends with its line."""
    return " ".join(text.split())
