"""The result of an evaluation: accuracy in floating point, quantised, and on tiles."""

from __future__ import annotations

import dataclasses
import math
import statistics
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
class ChipFigure:
    """One chip at one time.

    Attributes:
        device: what its cells are made of; ``t0_s``: seconds after programming that are time 0.
        seed: of the chip.
        time_s: from the device's reference moment on.
        compensated: with global drift compensation.
        figure: the metric.
        layer_snr_db: of each layer's output against the ideal device, over some samples.
    """

    device: str
    t0_s: float
    seed: int
    time_s: float
    compensated: bool
    figure: Figure
    layer_snr_db: dict[str, float]


@dataclass(frozen=True, slots=True)
class ChipStatistics:
    """All chips at one time.

    Attributes:
        time_s, compensated: as for one chip.
        count: number of chips.
        mean: of the metric.
        deviation: standard deviation between chips; ``None`` for one chip.
        interval: 95 % interval of the mean, by Student's distribution; ``None`` for one chip.
        layer_snr_db: mean over the chips.
    """

    time_s: float
    compensated: bool
    count: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    layer_snr_db: dict[str, float]


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
        chips: written chips at their times.
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
    chips: tuple[ChipFigure, ...] = ()

    def statistics(self) -> list[ChipStatistics]:
        """The chips by time, in the order in which times were given, without compensation before with."""
        groups: dict[tuple[bool, float], list[ChipFigure]] = {}
        for chip in self.chips:
            if chip.figure.value is not None:
                groups.setdefault((chip.compensated, chip.time_s), []).append(chip)
        return [_statistics(chips) for chips in groups.values()]

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
            "chips": [_chip_json(chip) for chip in self.chips],
            "by_time": [_statistics_json(entry) for entry in self.statistics()],
            "reasons": {name: _reason(figure) for name, figure in figures.items() if _finite(figure.value) is None},
        }


def _chip_json(chip: ChipFigure) -> dict[str, Any]:
    return {
        "device": chip.device,
        "t0_s": chip.t0_s,
        "seed": chip.seed,
        "time_s": chip.time_s,
        "compensated": chip.compensated,
        "accuracy": _finite(chip.figure.value),
        "agreement": _finite(chip.figure.agreement),
        "layer_snr_db": {name: _finite(value) for name, value in chip.layer_snr_db.items()},
    }


def _statistics_json(entry: ChipStatistics) -> dict[str, Any]:
    ratios = {name: _finite(value) for name, value in entry.layer_snr_db.items()}
    return dataclasses.asdict(entry) | {"layer_snr_db": ratios}


def _statistics(chips: list[ChipFigure]) -> ChipStatistics:
    values = [chip.figure.value for chip in chips if chip.figure.value is not None]
    mean = statistics.fmean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    interval = None
    if deviation is not None:
        reach = student_95(len(values) - 1) * deviation / math.sqrt(len(values))
        interval = (mean - reach, mean + reach)
    ratios = {name: statistics.fmean(chip.layer_snr_db[name] for chip in chips) for name in chips[0].layer_snr_db}
    return ChipStatistics(chips[0].time_s, chips[0].compensated, len(values), mean, deviation, interval, ratios)


def student_95(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t distribution.

    Exact for 1 and 2 degrees of freedom, and beyond by the expansion of Abramowitz and Stegun 26.7.5 about the normal
    quantile, to better than 1 % at 3 and 0.1 % from 6 on.
    """
    if freedom == 1:
        return 12.706204736
    if freedom == 2:
        return 4.302652730
    z, n = 1.959963984540054, freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / n ** (power + 1) for power, term in enumerate(terms))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _reason(figure: Figure) -> str:
    return figure.reason or f"the value is {figure.value}, which JSON has no number for"
