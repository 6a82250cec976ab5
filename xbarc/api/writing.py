"""Write a program on a chip, and read the chip at a time: from cells to a graph that can be run or saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.devices.device import Device, ReadNoise, check_inference, check_range, check_read_noise, check_time
from xbarc.devices.faults import FaultMap
from xbarc.errors import InternalError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import CodeRange
from xbarc.ir.printer import print_graph
from xbarc.runtime.cells import Cells, CellState, Conductances, FoundCells, cell_state, find_cells, write_cells
from xbarc.runtime.circuit.wiring import Wiring
from xbarc.runtime.converters import adc_errors, applied_levels
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.tiles import TileShape, TilesSolved, through_wires


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


@dataclass(frozen=True, slots=True)
class Reading:
    """How a written chip is looked at.

    Attributes:
        time_s: seconds from the device's reference moment on.
        read_noise: which part of the cells' noise is frozen and which is drawn at every read.
        inference_s: duration of an inference, which parts slow from fast noise.
        compensated: whether every layer's output is rescaled for the drift of its conductances as a whole.
        ir_drop: whether what is lost on the wires of tiles counts, where the hardware has any.
    """

    time_s: float = 0.0
    read_noise: ReadNoise = "split"
    inference_s: float = 1e-3
    compensated: bool = False
    ir_drop: bool = True


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


def read_chip(
    graph: Graph,
    hardware: Hardware,
    written: Written,
    reading: Reading,
    *,
    threads: int = 1,
    progress: TilesSolved | None = None,
) -> tuple[Graph, dict[str, LayerNoise]]:
    """The program with the cells that a reading finds in place of their targets, and the noise of each read.

    Errors of converters are those of the chip: the same at every reading.

    Global drift compensation measures the mean magnitude of each layer's weights, cell by cell, at the reference moment
    and at the time of the reading, and multiplies the layer's output by their ratio (Joshi et al. 2020 measure the sum
    of column currents for this). Not modelled: errors of that measurement beyond the slow read noise. With IR drop, the
    weights that it measures are those that the wires leave.

    Args:
        threads: over tiles, where wires are solved; they do not change the result.
        progress: told of every tile whose wires are solved.

    Raises:
        UsageError: a time before 0 or beyond what the device's model speaks of.
        HardwareError: wires out of all proportion to the cells.
    """
    check_time(written.device, reading.time_s)
    span = conductances(hardware)

    def left_by_wires(time_s: float) -> Mapping[str, np.ndarray]:
        return effective_cells(graph, hardware, written, reading, time_s, threads=threads, progress=progress)

    now = left_by_wires(reading.time_s)
    before = left_by_wires(0.0) if reading.compensated and reading.time_s else now
    chip = graph.copy()
    noise = {}
    states: dict[tuple[str, CodeRange | None], CellState] = {}
    for layer in layers(chip):
        layer.dac.applied = applied_levels(layer, hardware.dac)
        layer.adc.errors = adc_errors(layer, hardware.adc, seed=written.seed)
        shared = layer.read.matrix, layer.applied  # layers that share cells find the same, if they apply the same codes
        if shared not in states:
            states[shared] = _state(layer, written, span, reading, reading.time_s, now)
        state = states[shared]
        if reading.compensated:
            _compensate(layer, _state(layer, written, span, reading, 0.0, before), state)
        _put(layer, state)
        noise[layer.name] = LayerNoise(written.seed, state.fast_variance, hardware.adc.conversion_noise_lsb)
    return chip, {
        name: entry for name, entry in noise.items() if entry.fast_variance is not None or entry.adc_noise_lsb
    }


def effective_cells(
    graph: Graph,
    hardware: Hardware,
    written: Written,
    reading: Reading,
    time_s: float,
    *,
    threads: int = 1,
    progress: TilesSolved | None = None,
) -> Mapping[str, np.ndarray]:
    """What the wires of tiles leave of each matrix's cells at a time (:func:`xbarc.runtime.tiles.through_wires`).

    Empty where the hardware has no wires, or the reading leaves them out.

    Raises:
        HardwareError: wires out of all proportion to the cells.
    """
    if not (reading.ir_drop and hardware.tile.has_wires):
        return {}
    return through_wires(
        layers(graph),
        actual_cells(graph, hardware, written, reading, time_s),
        tile_shape(hardware),
        wiring(hardware),
        threads=threads,
        progress=progress,
    )


def actual_cells(
    graph: Graph, hardware: Hardware, written: Written, reading: Reading, time_s: float
) -> dict[str, np.ndarray]:
    """The conductances of each matrix's cells at a time, ``(S, P, D, R, C)`` float32 siemens."""
    span = conductances(hardware)
    first = {layer.read.matrix: layer for layer in reversed(layers(graph))}
    return {matrix: _found(layer, written, span, reading, time_s).conductances for matrix, layer in first.items()}


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


def check_reading(device: Device, reading: Reading) -> None:
    """Refuse a reading that a device cannot speak of.

    Raises:
        UsageError: a time before 0 or beyond what the device's model speaks of, an inference without duration, or an
            unknown convention of read noise.
    """
    check_time(device, reading.time_s)
    check_read_noise(reading.read_noise)
    check_inference(reading.inference_s)


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


def _state(
    layer: Layer,
    written: Written,
    span: Conductances,
    reading: Reading,
    time_s: float,
    effective: Mapping[str, np.ndarray],
) -> CellState:
    found, left = _found(layer, written, span, reading, time_s), effective.get(layer.read.matrix)
    return cell_state(layer, found if left is None else found.through_wires(left), span)


def _found(layer: Layer, written: Written, span: Conductances, reading: Reading, time_s: float) -> FoundCells:
    return find_cells(
        layer,
        written.cells[layer.read.matrix],
        written.device,
        seed=written.seed,
        span=span,
        time_s=time_s,
        read_noise=reading.read_noise,
        inference_s=reading.inference_s,
    )


def _put(layer: Layer, state: CellState) -> None:
    layer.read.levels = state.levels
    layer.read.double = state.double
    layer.read.grid = state.grid if layer.dac.codes is not None else None


def _compensate(layer: Layer, before: CellState, now: CellState) -> None:
    if layer.adc.range is None:
        raise InternalError(f"layer {layer.name!r} has no range to be rescaled")
    mean = _mean_weight(layer, now)
    layer.rescale.unit_scale = layer.rescale.unit_scale * (_mean_weight(layer, before) / mean if mean else 1.0)
    layer.rescale.scale = (layer.rescale.unit_scale * layer.adc.range.lsb).astype(np.float32)


def _mean_weight(layer: Layer, state: CellState) -> float:
    """Mean magnitude of the weights that cells hold, in levels of the least significant slice."""
    signed = np.tensordot(layer.accumulate.slice_weights, layer.signed_levels(state.levels), axes=1)
    return float(np.abs(signed).mean())
