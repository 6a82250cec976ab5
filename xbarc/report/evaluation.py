"""The result of an evaluation: accuracy in floating point, quantised, and on tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, or the reason why there is none.

    Attributes:
        value: the metric.
        reason: why there is no value; ``None`` where there is one.
        interval: 95 % interval by the number of samples, for shares of samples.
        agreement: share of samples with the same arg-max as the float network; ``None`` where that cannot be said.
    """

    value: float | None
    reason: str | None = None
    interval: tuple[float, float] | None = None
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a program does on a data set.

    Attributes:
        metric: its name; ``unit`` and ``is_share`` say how to print it.
        output: the model's output that is judged.
        samples: number of samples.
        float: the source network in floating point.
        quantized: the program's input codes and weight levels, no tiles: products and sums exact.
        ideal: the program on the ideal device: tiles, ADCs.
        calibrated: whether ranges came from real data.
    """

    metric: str
    unit: str
    is_share: bool
    output: str
    samples: int
    float: Figure
    quantized: Figure
    ideal: Figure
    calibrated: bool

    def rows(self) -> list[tuple[str, Figure]]:
        """The figures with their names, as people read them."""
        return [("float", self.float), ("quantized", self.quantized), ("ideal device", self.ideal)]

    def to_json(self) -> dict[str, Any]:
        """Plain data: each figure a number or null; a null has its reason under ``reasons``."""
        figures = {"float": self.float, "quantized": self.quantized, "ideal": self.ideal}
        return {
            "schema": 1,
            "metric": self.metric,
            "unit": self.unit,
            "output": self.output,
            "samples": self.samples,
            "calibrated": self.calibrated,
            **{name: _finite(figure.value) for name, figure in figures.items()},
            "agreement": {name: _finite(figure.agreement) for name, figure in figures.items() if name != "float"},
            "interval_95": {name: list(figure.interval) for name, figure in figures.items() if figure.interval},
            "reasons": {name: _reason(figure) for name, figure in figures.items() if _finite(figure.value) is None},
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _reason(figure: Figure) -> str:
    return figure.reason or f"the value is {figure.value}, which JSON has no number for"
