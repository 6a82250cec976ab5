"""Calibrate ADCs: the current that one code stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from xbarc.hardware.tables import Adc as AdcDescription
from xbarc.ir.executor import Batch, Executor
from xbarc.ir.graph import Graph, Value
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import NEVER_REACHED, CodeRange, CurrentRange
from xbarc.ir.stages import Stage
from xbarc.passes.currents import current_bounds, current_step, is_lossless, lossless_bits
from xbarc.passes.magnitudes import Magnitudes


@dataclass(frozen=True)
class CalibrateAdc:
    """Find one least significant bit a layer, by the hardware's range policy, from the currents of a sample.

    A policy that looks at the sample never asks for steps below one unit of current where there is nothing between
    whole units. ``unit`` takes the smallest power of two that covers every current that the cells can give,
    ``full-scale`` just that current, ``fixed`` what the hardware says.

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
        seen: dict[Value, Magnitudes] = {
            layer.read.result: Magnitudes(layer.name) for layer in found if layer.adc.codes is not None
        }
        if seen:
            self.executor.observe(graph, self.batches, {value: magnitudes.add for value, magnitudes in seen.items()})
        for layer in found:
            codes = layer.adc.codes
            if codes is None:
                layer.adc.range = CurrentRange(1.0, "unlimited resolution", None, None, True)
            else:
                layer.adc.range = self._range(layer, codes, seen[layer.read.result])
            layer.rescale.scale = (layer.rescale.unit_scale * layer.adc.range.lsb).astype(np.float32)
            if layer.accumulate.unit_correction is not None:
                layer.accumulate.correction = _correction(layer, layer.accumulate.unit_correction / layer.adc.range.lsb)

    def _range(self, layer: Layer, codes: CodeRange, seen: Magnitudes) -> CurrentRange:
        bounds, step = current_bounds(layer), current_step(layer)
        reach = max(bounds[1], -bounds[0])
        least = 0.0 if layer.unquantised else 1.0
        sample = "calibration sample" if self.measured else "random inputs"
        match self.adc.range:
            case "fixed":
                lsb, basis = float(self.adc.fixed_lsb or 1.0), "fixed by the hardware"
            case "unit":
                lsb = 2.0 ** math.ceil(math.log2(max(reach / codes.high, 1.0)))
                basis = "whole range, power of two"
            case "full-scale":
                lsb, basis = reach / codes.high, "whole range"
            case _ if not seen.count:
                lsb = max(min(_evenly_spread(layer), reach) / codes.high, least)
                basis = f"evenly spread input codes, since {NEVER_REACHED} ({sample})"
            case "percentile":
                lsb = max(seen.percentile(self.adc.percentile) / codes.high, least)
                basis = f"{self.adc.percentile:g} % of the {sample}"
            case _:
                lsb = max(seen.least_squares_limit(codes.high) / codes.high, least)
                basis = f"least squares over the {sample}"
        lsb = float(np.clip(np.float32(lsb or 1.0), np.finfo(np.float32).tiny, np.finfo(np.float32).max))
        lossless = is_lossless(step, bounds, codes=codes, lsb=lsb)
        bits = lossless_bits(step, bounds, signed=codes.low < 0)
        limit = (codes.high + 0.5) * lsb
        clipped = seen.share_beyond(limit) if seen.count else None
        used = seen.largest / (codes.high * lsb) if seen.count else None
        return CurrentRange(lsb, basis, clipped, used, lossless, bits)


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
