"""Calibrate inputs: the range that each layer's DAC covers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from xbarc.hardware.tables import Dac
from xbarc.ir.bounds import UNBOUNDED, Bounds, bounds
from xbarc.ir.executor import Batch, Executor
from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import NEVER_REACHED, InputRange
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage
from xbarc.passes.magnitudes import Magnitudes


@dataclass(frozen=True)
class CalibrateInputs:
    """Find each layer's input range from a sample, run in floating point.

    Where there is no sample (``measured`` is false), bounds that the graph proves come first, and random inputs decide
    the rest.

    Attributes:
        dac: bits and range policy.
        batches: the sample: batches of the model's inputs.
        measured: whether the batches are real data.
    """

    name: ClassVar[str] = "calibrate-inputs"
    requires: ClassVar[Stage] = Stage.LOWERED
    ensures: ClassVar[Stage] = Stage.CALIBRATED

    dac: Dac
    executor: Executor = field(repr=False)
    batches: Iterable[Batch] = field(repr=False)
    measured: bool = True

    def run(self, graph: Graph) -> None:
        found = [product for _, product in products(graph)]
        if self.dac.bits == "unlimited":
            for product in found:
                product.input_range = InputRange(1.0, True, "unlimited resolution")
            return
        known = bounds(graph)
        seen: dict[Value, Magnitudes] = {product.operand: Magnitudes(product.name) for product in found}
        if seen:
            self.executor.observe(graph, self.batches, {value: magnitudes.add for value, magnitudes in seen.items()})
        for product in found:
            product.input_range = self._range(seen[product.operand], known.get(product.operand, UNBOUNDED))

    def _range(self, seen: Magnitudes, known: Bounds) -> InputRange:
        low, high = known
        proven = low >= 0.0
        signed = not proven and (seen.negative or not self.measured or not seen.reached)
        if not self.measured and math.isfinite(low) and math.isfinite(high):
            limit = max(abs(low), abs(high))
            basis = "known bounds"
        else:
            limit = self._limit(seen, signed=signed)
            basis = "calibration sample" if self.measured else "random inputs"
        if not seen.count and not (math.isfinite(low) and math.isfinite(high)):
            basis = f"1, since {NEVER_REACHED} ({basis})"
        elif not seen.count:
            limit, basis = max(abs(low), abs(high)), "known bounds"
        sign = "signed" if signed else ("non-negative by the graph" if proven else "non-negative over the sample")
        limit = limit or 1.0  # an input that is always zero needs some range
        return InputRange(limit, signed, f"{basis}; {sign}", seen.share_beyond(limit))

    def _limit(self, seen: Magnitudes, *, signed: bool) -> float:
        match self.dac.range:
            case "max":
                return seen.largest
            case "percentile":
                return seen.percentile(self.dac.percentile)
            case _:
                bits = int(self.dac.bits)
                return seen.least_squares_limit(2 ** (bits - 1) - 1 if signed else 2**bits - 1)
