"""The result of an evaluation: accuracy in floating point, quantised, and on tiles."""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass
from typing import Any, Literal, get_args

from xbarc.devices.device import ReadNoise

#: For drift: nothing, one factor a layer, or one a column.
Compensation = Literal["off", "layer", "column"]
#: Lines of blocks lie on those of tiles as the program says, or so that the faults of the chip do little harm.
Placement = Literal["as-compiled", "fault-aware"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What chips share whose figures are averaged: everything but the seed.

    Attributes:
        device: what the cells are made of, with the parameters that are not the default.
        t0_s: seconds after programming that are time 0.
        time_s: from then on.
        compensation: for drift: none, one factor a layer, or one a column.
        read_noise: which part of the cells' noise is frozen and which is drawn at every read.
        inference_s: duration of an inference, which parts slow from fast noise.
        ir_drop: with what is lost on the wires of tiles.
        effects: what counts of all that parts chips from programs, and in which layers; ``None``: all of it.
        programming: the closed loop that it was written in, with its parameters; ``None``: in one shot.
        faults: which the chip is known to have, beside those that are drawn; ``None``: no map of them.
        placement: how faults were heeded when lines of blocks were laid on those of tiles.
        adc_errors: with gain, offset or nonlinearity of ADCs.
        dac_errors: with nonlinear levels of DACs, so that products are taken in float64.
        retuned_s: the time for which ranges of ADCs were tuned anew; ``None``: they are the program's.
        recalibrated_s: the time for which outputs were recalibrated; ``None``: they were not.
    """

    device: str
    t0_s: float
    time_s: float
    compensation: Compensation
    read_noise: ReadNoise
    inference_s: float
    ir_drop: bool = False
    effects: str | None = None
    programming: str | None = None
    faults: str | None = None
    placement: Placement = "as-compiled"
    adc_errors: bool = False
    dac_errors: bool = False
    retuned_s: float | None = None
    recalibrated_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipFigure(Condition):
    """One chip at one time.

    Attributes:
        seed: of the chip.
        figure: the metric.
        layer_snr_db: of each layer's output against the ideal device, over some samples.
    """

    seed: int
    figure: Figure
    layer_snr_db: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipStatistics(Condition):
    """All chips at one time.

    Attributes:
        count: number of chips.
        mean: of the metric; ``None`` where a chip has no value that can be averaged.
        reason: why there is no mean; ``None`` where there is one.
        deviation: standard deviation between chips; ``None`` for one chip.
        interval: 95 % interval of the mean, by Student's distribution, for shares within 0..1; ``None`` for one chip.
        layer_snr_db: from the errors of all chips together.
    """

    count: int
    mean: float | None
    reason: str | None
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
        snr_samples: number of samples, from the first on, that the layers of chips were compared over.
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
    snr_samples: int = 0

    def statistics(self) -> list[ChipStatistics]:
        """The chips by time, in the order in which times were given; by compensation first."""
        groups: dict[Condition, list[ChipFigure]] = {}
        for chip in self.chips:
            groups.setdefault(Condition(**_conditions(chip)), []).append(chip)
        found = [_statistics(chips, is_share=self.is_share) for chips in groups.values()]
        return sorted(found, key=lambda entry: get_args(Compensation).index(entry.compensation))

    def rows(self) -> list[tuple[str, Figure]]:
        """The figures with their names, as people read them."""
        return [("float", self.float), ("quantized", self.quantized), ("ideal device", self.ideal)]

    def to_json(self) -> dict[str, Any]:
        """Plain data: each figure a number or null; a null has its reason under ``reasons``."""
        figures = {"float": self.float, "quantized": self.quantized, "ideal": self.ideal}
        return {
            "schema": 2,
            "metric": self.metric,
            "unit": self.unit,
            "output": self.output,
            "samples": self.samples,
            "calibrated": self.calibrated,
            **{name: finite(figure.value) for name, figure in figures.items()},
            "agreement": {name: finite(figure.agreement) for name, figure in figures.items() if name != "float"},
            "interval_95": {name: list(figure.interval) for name, figure in figures.items() if figure.interval},
            "chips": [_chip_json(chip) for chip in self.chips],
            "by_time": [_statistics_json(entry) for entry in self.statistics()],
            "snr_samples": self.snr_samples,
            "reasons": {name: reason_of(figure) for name, figure in figures.items() if finite(figure.value) is None},
        }


def _conditions(entry: Condition) -> dict[str, Any]:
    return {field.name: getattr(entry, field.name) for field in dataclasses.fields(Condition)}


def _chip_json(chip: ChipFigure) -> dict[str, Any]:
    value = finite(chip.figure.value)
    return {
        "seed": chip.seed,
        **_conditions(chip),
        "accuracy": value,
        "reason": reason_of(chip.figure) if value is None else None,
        "agreement": finite(chip.figure.agreement),
        "layer_snr_db": _ratios_json(chip.layer_snr_db),
    }


def _statistics_json(entry: ChipStatistics) -> dict[str, Any]:
    return {
        **_conditions(entry),
        "count": entry.count,
        "mean": entry.mean,
        "reason": entry.reason,
        "deviation": entry.deviation,
        "interval_95": None if entry.interval is None else list(entry.interval),
        "layer_snr_db": _ratios_json(entry.layer_snr_db),
    }


def _ratios_json(ratios: dict[str, float]) -> dict[str, float | None]:
    return {name: finite(value) for name, value in ratios.items()}


def _statistics(chips: list[ChipFigure], *, is_share: bool) -> ChipStatistics:
    mean, reason, deviation, interval = None, None, None, None
    lacking = next((chip for chip in chips if finite(chip.figure.value) is None), None)
    if lacking is not None:
        reason = f"the chip of seed {lacking.seed} has none: {reason_of(lacking.figure)}"
    else:
        values = [chip.figure.value for chip in chips if chip.figure.value is not None]
        mean = statistics.fmean(values)
        if len(values) > 1:
            deviation = statistics.stdev(values)
            reach = student_95(len(values) - 1) * deviation / math.sqrt(len(values))
            interval = (mean - reach, mean + reach)
            if is_share:
                interval = (max(interval[0], 0.0), min(interval[1], 1.0))
    return ChipStatistics(
        **_conditions(chips[0]),
        count=len(chips),
        mean=mean,
        reason=reason,
        deviation=deviation,
        interval=interval,
        layer_snr_db={name: joint_snr([chip.layer_snr_db[name] for chip in chips]) for name in chips[0].layer_snr_db},
    )


def joint_snr(ratios: list[float]) -> float:
    """The ratio of the signal to the mean power of errors, in decibels; each chip may be without any error."""
    errors = statistics.fmean(math.pow(10, -ratio / 10) for ratio in ratios)
    return -10 * math.log10(errors) if errors else math.inf


def student_95(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t distribution.

    Exact for 1 and 2 degrees of freedom, and beyond by the expansion of Abramowitz and Stegun 26.7.5 about the normal
    quantile, to better than 1 % at 3 and 0.1 % from 6 on.
    """
    if freedom == 1:
        return 12.706204736
    if freedom == 2:
        return 4.302652730
    z, n = 1.959963984540054, float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / n ** (power + 1) for power, term in enumerate(terms))


def finite(value: float | None) -> float | None:
    """A value that can be averaged and printed, or ``None``."""
    return value if value is not None and math.isfinite(value) else None


def reason_of(figure: Figure) -> str:
    """Why a figure has no finite value."""
    return figure.reason or f"the value is {figure.value}, which is no finite number"
