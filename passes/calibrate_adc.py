"""Calibrate ADCs: the current that one code stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from xbarc.errors import InternalError
from xbarc.hardware.tables import Adc as AdcDescription
from xbarc.ir.conversions import ReadConversions
from xbarc.ir.executor import Batch, Executor, ReadIndex
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import NEVER_REACHED, CodeRange, CurrentRange
from xbarc.ir.stages import Stage
from xbarc.passes.currents import Currents, common_lossless_bits, currents_of, lossless_bits, lossless_reads
from xbarc.passes.input_meter import InputMeters
from xbarc.passes.magnitudes import Magnitudes


@dataclass(frozen=True)
class CalibrateAdc:
    """Find one least significant bit a layer, by the hardware's range policy, from the currents of a sample.

    A policy that looks at the sample never asks for steps below one unit of current where there is nothing between
    whole units. ``unit`` takes the smallest power of two that covers every current that the cells can give,
    ``full-scale`` just that current, ``fixed`` what the hardware says.

    The same run of the sample measures what the DACs apply: energy depends on it.

    Attributes:
        adc: bits and range policy.
        batches: the sample; run with converted inputs and exact currents.
        measured: whether the batches are real data.
    """

    name: ClassVar[str] = "calibrate-adc"
    requires: ClassVar[Stage] = Stage.TILES
    ensures: ClassVar[Stage] = Stage.RANGED

    adc: AdcDescription
    executor: Executor = field(repr=False)
    batches: Iterable[Batch] = field(repr=False)
    measured: bool = True

    def run(self, graph: Graph) -> None:
        found = layers(graph)
        seen = {layer.name: SeenCurrents(layer, self.adc) for layer in found if layer.adc.codes is not None}
        meters = InputMeters(found)
        if seen or meters.visitors:
            visitors = {layer.read.result: seen[layer.name].add for layer in found if layer.name in seen}
            self.executor.observe(graph, self.batches, meters.visitors, currents=visitors)
            meters.settle()
        for layer in found:
            if layer.name in seen:
                set_range(layer, seen[layer.name].range(measured=self.measured))
            else:
                set_range(layer, CurrentRange(1.0, "unlimited resolution", None, None, True))


def set_range(layer: Layer, found: CurrentRange) -> None:
    """Give the ADCs of a layer a range, and the digital unit the numbers that depend on it."""
    layer.adc.range = found
    layer.rescale.scale = (layer.rescale.unit_scale * found.lsb).astype(np.float32)
    if layer.accumulate.unit_correction is not None:
        layer.accumulate.correction = _correction(layer, layer.accumulate.unit_correction / found.lsb)


class SeenCurrents:
    """What a calibration sample shows of the currents of one layer, and the range that follows.

    Args:
        layer: with ADCs.
        adc: bits and range policy.
    """

    def __init__(self, layer: Layer, adc: AdcDescription) -> None:
        self._layer = layer
        self._adc = adc
        slices, polarities, places = layer.read.levels.shape[:3]
        self._shape = (slices, polarities if layer.single_ended else 1, places, len(layer.digit_weights))
        self._conversions = np.zeros(places, dtype=np.int64)
        # A range that covers every current clips none.
        covers = adc.range in ("unit", "full-scale")
        self._magnitudes = Magnitudes(layer.name, parts=0 if covers else math.prod(self._shape))
        self._covers = covers

    def add(self, read: ReadIndex, currents: np.ndarray) -> None:
        """Count the currents of one read."""
        _, _, places, digits = self._shape
        part = None if self._covers else (read.matrix * places + read.place) * digits + read.digit
        self._magnitudes.add(currents, part)
        if read.matrix == read.digit == 0:  # the others convert as many
            self._conversions[read.place] += currents.size

    def range(self, *, measured: bool) -> CurrentRange:
        """By the policy; ``measured``: the sample is real data."""
        layer, seen = self._layer, self._magnitudes
        codes = layer.adc.codes
        if codes is None:
            raise InternalError(f"layer {layer.name!r} has no converters to give a range")
        currents = currents_of(layer)
        reach = currents.reach
        least = 1.0 if layer.in_whole_units else 0.0
        origin = "calibration sample" if measured else "random inputs"
        match self._adc.range:
            case "fixed":
                lsb, basis = float(self._adc.fixed_lsb or 1.0), "fixed by the hardware"
            case "unit":
                lsb = 2.0 ** math.ceil(math.log2(max(reach / codes.high, 1.0)))
                basis = "whole range, power of two"
            case "full-scale":
                lsb, basis = reach / codes.high, "whole range"
            case _ if not seen.count:
                lsb = max(min(_evenly_spread(layer), reach) / codes.high, least)
                basis = f"evenly spread input codes, since {NEVER_REACHED} ({origin})"
            case "percentile":
                lsb = max(seen.percentile(self._adc.percentile) / codes.high, least)
                basis = f"{self._adc.percentile:g} % of the {origin}"
            case _:
                lsb = max(seen.least_squares_limit(codes.high) / codes.high, least)
                basis = f"least squares over the {origin}"
        lsb = float(np.clip(np.float32(lsb or 1.0), np.finfo(np.float32).tiny, np.finfo(np.float32).max))
        reads = self._reads(currents, codes, lsb)
        return CurrentRange(
            lsb=lsb,
            basis=basis,
            clipped=reads.clipped_share() if seen.count else None,
            used=seen.largest / (codes.high * lsb) if seen.count else None,
            lossless=all(reads.lossless),
            lossless_bits=common_lossless_bits(currents, signed=codes.low < 0),
            reads=reads,
        )

    def _reads(self, currents: Currents, codes: CodeRange, lsb: float) -> ReadConversions:
        """What each read would need, and what it clips."""
        bits = lossless_bits(currents, signed=codes.low < 0)
        clipped = np.zeros(math.prod(self._shape), dtype=np.int64)
        if not self._covers:
            clipped = self._magnitudes.beyond((codes.high + 0.5) * lsb)
        return ReadConversions(
            shape=self._shape,
            bits=None if bits is None else tuple(bits.reshape(-1).tolist()),
            lossless=tuple(lossless_reads(currents, codes=codes, lsb=lsb).reshape(-1).tolist()),
            conversions=tuple(self._conversions.tolist()),
            clipped=tuple(clipped.tolist()),
        )


def _evenly_spread(layer: Layer) -> float:
    """Four standard deviations beyond the mean current of the widest column, where all input codes are as likely."""
    codes = layer.applied or CodeRange(-1, 1)
    mean, variance = (codes.high + codes.low) / 2.0, (codes.high - codes.low) ** 2 / 12.0
    partition, widest = layer.read.partition, 0.0
    for slice_levels in layer.read.levels:
        for place in range(partition.stacked):
            rows = partition.rows_in(*divmod(place, partition.row_blocks))
            cells = slice_levels[:, place, :rows].astype(np.float64)
            if layer.single_ended:
                cells += layer.read.pedestal
            elif partition.reference_column:
                cells = cells[..., partition.data_columns] - cells[..., partition.reference_columns]
            else:
                cells = cells[:1] - cells[1:]
            reach = np.abs(mean * cells.sum(axis=1)) + 4.0 * np.sqrt(variance * np.square(cells).sum(axis=1))
            widest = max(widest, float(reach.max(initial=0.0)))
    return widest


def _correction(layer: Layer, exact: np.ndarray) -> np.ndarray:
    """What the digital unit takes off a column, in ADC codes, so that float64 holds every sum exactly."""
    if layer.dac.codes is None or not np.any(exact):
        return exact
    codes, partition = layer.dac.codes, layer.read.partition
    total = partition.diagonal_rows * max(codes.high, -codes.low)
    largest = float(np.abs(exact).max()) * total + layer.largest_code_sum
    grid = min(2.0 ** math.ceil(math.log2(largest / 2.0**52)), 1.0)
    snapped: np.ndarray = np.rint(exact / grid) * grid
    return snapped
