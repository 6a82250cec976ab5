"""Read a written chip at a time: from cells to a graph that can be run or saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xbarc.api.writing import Written, conductances, tile_shape, wiring
from xbarc.devices.device import Device, ReadNoise, check_inference, check_read_noise, check_time
from xbarc.errors import InternalError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import CodeRange
from xbarc.runtime.cells import CellState, Conductances, FoundCells, cell_state, find_cells
from xbarc.runtime.converters import adc_errors, applied_levels
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.tiles import TilesSolved, through_wires


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


def check_reading(device: Device, reading: Reading) -> None:
    """Refuse a reading that a device cannot speak of.

    Raises:
        UsageError: a time before 0 or beyond what the device's model speaks of, an inference without duration, or an
            unknown convention of read noise.
    """
    check_time(device, reading.time_s)
    check_read_noise(reading.read_noise)
    check_inference(reading.inference_s)


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
