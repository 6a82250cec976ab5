"""Read a written chip at a time: from cells to a graph that can be run or saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from xbarc.api.writing import Written, conductances, tile_shape, wiring
from xbarc.devices.device import Device, ReadNoise, check_inference, check_read_noise, check_time
from xbarc.errors import InternalError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.converter_errors import AdcErrors
from xbarc.ir.effects import EVERYTHING, Effect, Effects
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import CodeRange
from xbarc.report.evaluation import Compensation
from xbarc.runtime.cells import CellState, Conductances, FoundCells, cell_state, cell_targets, find_cells
from xbarc.runtime.converters import adc_errors, applied_levels
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.nonlinear import nonlinear_currents
from xbarc.runtime.tiles import TilesSolved, through_wires


@dataclass(frozen=True, slots=True)
class Reading:
    """How a written chip is looked at.

    Attributes:
        time_s: seconds from the device's reference moment on.
        read_noise: which part of the cells' noise is frozen and which is drawn at every read.
        inference_s: duration of an inference, which parts slow from fast noise.
        compensation: whether outputs are rescaled for the drift of conductances, every layer's or every column's as a
            whole.
        effects: what counts of all that parts the chip from its program, and in which layers.
    """

    time_s: float = 0.0
    read_noise: ReadNoise = "split"
    inference_s: float = 1e-3
    compensation: Compensation = "off"
    effects: Effects = EVERYTHING


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

    Errors of converters are those of the chip: the same at every reading. What an effect draws does not depend on which
    others count.

    Global drift compensation measures the mean magnitude of the weights of each layer, or each of its columns, cell by
    cell, at the reference moment and at the time of the reading, and multiplies outputs by their ratio (Joshi et al.
    2020 measure the sum of column currents of a layer for this). Not modelled: errors of that measurement beyond the
    slow read noise. With IR drop, the weights that it measures are those that the wires leave.

    Args:
        threads: over tiles, where wires are solved; they do not change the result.
        progress: told of every tile whose wires are solved.

    Raises:
        UsageError: a time before 0 or beyond what the device's model speaks of.
        HardwareError: wires out of all proportion to the cells.
    """
    check_time(written.device, reading.time_s)

    def left_by_wires(time_s: float) -> Mapping[str, np.ndarray]:
        return effective_cells(graph, hardware, written, reading, time_s, threads=threads, progress=progress)

    now = left_by_wires(reading.time_s)
    before = left_by_wires(0.0) if reading.compensation != "off" and reading.time_s else now
    chip = graph.copy()
    noise = {}
    states: dict[tuple[str, CodeRange | None, frozenset[Effect]], CellState] = {}
    for layer in layers(chip):
        counted = reading.effects.within(layer.name)
        _let_through(layer, counted)
        layer.dac.applied = applied_levels(layer, hardware.dac) if "dac-errors" in counted else None
        layer.adc.errors = _adc_errors(layer, hardware, written) if "adc-errors" in counted else None
        # Layers that share cells find the same, if they apply the same codes.
        shared = layer.read.matrix, layer.applied, counted
        if shared not in states:
            states[shared] = _state(layer, written, hardware, reading, reading.time_s, now)
        state = states[shared]
        if reading.compensation != "off":
            earlier = _state(layer, written, hardware, reading, 0.0, before)
            _compensate(layer, earlier, state, by_column=reading.compensation == "column")
        _put(layer, state)
        adc_noise_lsb = hardware.adc.conversion_noise_lsb if "adc-noise" in counted else 0.0
        noise[layer.name] = LayerNoise(written.seed, state.fast_variance, adc_noise_lsb)
    return chip, {
        name: entry for name, entry in noise.items() if entry.fast_variance is not None or entry.adc_noise_lsb
    }


def read_program(graph: Graph, effects: Effects) -> Graph:
    """The program on the ideal device: with converters that let numbers through where their codes do not count."""
    chip = graph.copy()
    for layer in layers(chip):
        _let_through(layer, effects.within(layer.name))
    return chip


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

    Empty where the hardware has no wires, or the reading leaves them out; cells of layers that it leaves out may be as
    they are.

    Raises:
        HardwareError: wires out of all proportion to the cells.
    """
    wanted = {layer.read.matrix for layer in layers(graph) if "ir-drop" in reading.effects.within(layer.name)}
    if not (wanted and hardware.tile.has_wires):
        return {}
    return through_wires(
        layers(graph),
        actual_cells(graph, hardware, written, reading, time_s),
        tile_shape(hardware),
        wiring(hardware),
        orders=written.orders,
        wanted=wanted,
        threads=threads,
        progress=progress,
    )


def actual_cells(
    graph: Graph, hardware: Hardware, written: Written, reading: Reading, time_s: float
) -> dict[str, np.ndarray]:
    """The conductances of each matrix's cells at a time, ``(S, P, D, R, C)`` float32 siemens.

    Where layers share a matrix and effects count in some of them alone, they do here.
    """
    span = conductances(hardware)
    first: dict[str, Layer] = {}
    for layer in sorted(layers(graph), key=lambda layer: not reading.effects.within(layer.name)):
        first.setdefault(layer.read.matrix, layer)
    return {matrix: _found(layer, written, span, reading, time_s).conductances for matrix, layer in first.items()}


def compensation_of(given: bool | Compensation) -> Compensation:
    """What is compensated: of a switch, every layer as a whole.

    Raises:
        UsageError: nothing that could be.
    """
    if isinstance(given, bool):
        return "layer" if given else "off"
    known = get_args(Compensation)
    if given not in known:
        raise UsageError(f"compensation cannot be {given!r}", fix=f"give one of {', '.join(known)}")
    return given


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
    hardware: Hardware,
    reading: Reading,
    time_s: float,
    effective: Mapping[str, np.ndarray],
) -> CellState:
    span, counted = conductances(hardware), reading.effects.within(layer.name)
    found = _found(layer, written, span, reading, time_s)
    left = effective.get(layer.read.matrix) if "ir-drop" in counted else None
    nonlinear = None
    if "cell-currents" in counted:
        nonlinear = nonlinear_currents(
            layer,
            written.device,
            found.conductances,
            v_read=hardware.tile.read_voltage,
            span=span,
            passed=None if left is None else found.passed(left),
        )
    return cell_state(layer, found if left is None else found.through_wires(left), span, nonlinear)


def _found(layer: Layer, written: Written, span: Conductances, reading: Reading, time_s: float) -> FoundCells:
    counted, cells = reading.effects.within(layer.name), written.cells[layer.read.matrix]
    if "programming" not in counted:
        cells = dataclasses.replace(cells, programmed=cell_targets(layer, span))
    if "faults" not in counted:
        cells = dataclasses.replace(cells, held=None)
    loop = written.programming
    if "drift" in counted and loop is not None and loop.relaxes:
        left = loop.relaxed(cells.programmed, time_s, g_min=span.g_min, g_max=span.g_max)
        cells = dataclasses.replace(cells, programmed=left)
    return find_cells(
        layer,
        cells,
        written.device,
        seed=written.seed,
        span=span,
        time_s=time_s,
        read_noise=reading.read_noise if "read-noise" in counted else None,
        inference_s=reading.inference_s,
        drifts="drift" in counted,
    )


def _let_through(layer: Layer, counted: frozenset[Effect]) -> None:
    """What rounding and clipping take off, where that does not count."""
    layer.dac.quantises = "input-codes" in counted
    layer.adc.quantises = "output-codes" in counted


def _adc_errors(layer: Layer, hardware: Hardware, written: Written) -> AdcErrors | None:
    return adc_errors(layer, hardware.adc, seed=written.seed, orders=written.orders.get(layer.read.matrix))


def _put(layer: Layer, state: CellState) -> None:
    layer.read.levels = state.levels
    layer.read.double = state.double
    layer.read.nonlinear = state.nonlinear
    layer.read.grid = state.grid if layer.dac.codes is not None else None


def _compensate(layer: Layer, before: CellState, now: CellState, *, by_column: bool) -> None:
    if layer.adc.range is None:
        raise InternalError(f"layer {layer.name!r} has no range to be rescaled")
    size_before, size = (_mean_weights(layer, state) for state in (before, now))
    if not by_column:
        size_before, size = size_before.mean(keepdims=True), size.mean(keepdims=True)
    factor = np.divide(size_before, size, out=np.ones_like(size), where=size > 0)
    layer.rescale.unit_scale = layer.rescale.unit_scale * factor
    layer.rescale.scale = (layer.rescale.unit_scale * layer.adc.range.lsb).astype(np.float32)


def _mean_weights(layer: Layer, state: CellState) -> np.ndarray:
    """Mean magnitude of the weights that the cells of each column hold, in levels of the least significant slice."""
    signed = np.tensordot(layer.accumulate.slice_weights, layer.signed_levels(state.levels), axes=1)
    means: np.ndarray = np.abs(signed).mean(axis=1).reshape(-1)
    return means
