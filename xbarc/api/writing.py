"""Write a program on a chip, and read the chip at a time: from cells to a graph that can be run or saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xbarc.devices.device import Device, ReadNoise, check_inference, check_range, check_read_noise, check_time
from xbarc.errors import InternalError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import CodeRange
from xbarc.ir.printer import print_graph
from xbarc.runtime.cells import Cells, CellState, Conductances, read_cells, write_cells
from xbarc.runtime.layer_plan import LayerNoise


@dataclass(frozen=True, slots=True)
class Written:
    """A chip as it was programmed; it does not change any more.

    Attributes:
        device: what the cells are made of.
        seed: that it was drawn from.
        cells: by matrix: the name of the layer that has them, or of the first that shares them.
    """

    device: Device
    seed: int
    cells: Mapping[str, Cells]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a written chip is looked at.

    Attributes:
        time_s: seconds from the device's reference moment on.
        read_noise: which part of the cells' noise is frozen and which is drawn at every read.
        inference_s: duration of an inference, which parts slow from fast noise.
        compensated: whether every layer's output is rescaled for the drift of its conductances as a whole.
    """

    time_s: float = 0.0
    read_noise: ReadNoise = "split"
    inference_s: float = 1e-3
    compensated: bool = False


def write_chip(graph: Graph, hardware: Hardware, device: Device, *, seed: int) -> Written:
    """Program every layer of a placed graph once.

    Raises:
        UsageError: the seed is no integer from 0 to 2^64 - 1, or the conductances are lower than the device's.
    """
    check_seed(seed)
    check_range(device, g_min=hardware.cell.g_min, g_max=hardware.cell.g_max)
    span, adjacent = conductances(hardware), hardware.tile.polarity == "adjacent-columns"
    cells: dict[str, Cells] = {}
    for layer in layers(graph):
        if layer.read.matrix not in cells:
            cells[layer.read.matrix] = write_cells(layer, device, seed=seed, span=span, adjacent=adjacent)
    return Written(device, seed, cells)


def read_chip(
    graph: Graph, hardware: Hardware, written: Written, reading: Reading
) -> tuple[Graph, dict[str, LayerNoise]]:
    """The program with the cells that a reading finds in place of their targets, and the noise of each read.

    Global drift compensation measures the mean magnitude of each layer's weights, cell by cell, at the reference moment
    and at the time of the reading, and multiplies the layer's output by their ratio (Joshi et al. 2020 measure the sum
    of column currents for this). Not modelled: errors of that measurement beyond the slow read noise.

    Raises:
        UsageError: a time before 0 or beyond what the device's model speaks of.
    """
    check_time(written.device, reading.time_s)
    span = conductances(hardware)
    chip = graph.copy()
    noise = {}
    states: dict[tuple[str, CodeRange | None], CellState] = {}
    for layer in layers(chip):
        shared = layer.read.matrix, layer.applied  # layers that share cells find the same, if they apply the same codes
        if shared not in states:
            states[shared] = _state(layer, written, span, reading, reading.time_s)
        state = states[shared]
        if reading.compensated:
            _compensate(layer, _state(layer, written, span, reading, 0.0), state)
        _put(layer, state)
        noise[layer.name] = LayerNoise(written.seed, state.fast_variance, hardware.adc.noise_lsb)
    return chip, {
        name: entry for name, entry in noise.items() if entry.fast_variance is not None or entry.adc_noise_lsb
    }


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


def _state(layer: Layer, written: Written, span: Conductances, reading: Reading, time_s: float) -> CellState:
    return read_cells(
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
