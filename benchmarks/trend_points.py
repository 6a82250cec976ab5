"""What a trend is made of: accuracies of many chips, curves of them, and where a curve falls."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from trend_networks import Network

from xbarc.api.chip import Chip
from xbarc.api.metrics import wilson_interval
from xbarc.report.evaluation import student_95


@dataclass(frozen=True)
class Point:
    """Top-1 accuracy under one condition.

    Attributes:
        mean: over chips.
        deviation: standard deviation from chip to chip; ``None`` for one.
        interval: 95 %: of the mean, by chips and Student's distribution; of one chip, by images (Wilson).
        chips, images: how many.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float]
    chips: int
    images: int


@dataclass(frozen=True)
class Curve:
    """Accuracies of one network along one axis.

    Attributes:
        network: its name.
        series: what else is the same along the curve.
        x: places on the axis.
        points: one a place.
    """

    network: str
    series: str
    x: tuple[float, ...]
    points: tuple[Point, ...]

    @property
    def means(self) -> list[float]:
        """Of its points."""
        return [point.mean for point in self.points]


@dataclass(frozen=True)
class Trend:
    """A published trend and what is found of it.

    Attributes:
        key: of its file.
        title, axis: for people.
        ticks: what the places on the axis are called.
        curves: found.
        float: accuracy of each network in floating point.
        reproduced: whether what was published shows.
        verdict: in words, with figures.
        drawn: series of the figure; all where there are none here.
        facts: other figures, by name.
    """

    key: str
    title: str
    axis: str
    ticks: tuple[str, ...]
    curves: tuple[Curve, ...]
    float: dict[str, float]
    reproduced: bool
    verdict: str
    drawn: tuple[str, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)

    def curve(self, network: str, series: str) -> Curve:
        """The one of these names."""
        return next(curve for curve in self.curves if (curve.network, curve.series) == (network, series))


def point(network: Network, chips: Iterable[Chip]) -> Point:
    """The accuracy of chips, each run once over all images; one that comes twice is run twice."""
    values = [network.right(next(iter(chip.run({network.input: network.images}).values()))) for chip in chips]
    mean, images = statistics.fmean(values), len(network.images)
    if len(values) == 1:
        return Point(mean, None, wilson_interval(round(mean * images), images), 1, images)
    deviation = statistics.stdev(values)
    reach = student_95(len(values) - 1) * deviation / math.sqrt(len(values))
    return Point(mean, deviation, (max(mean - reach, 0.0), min(mean + reach, 1.0)), len(values), images)


def apart(better: Point, worse: Point) -> bool:
    """Whether one is better, beyond both intervals."""
    return better.interval[0] > worse.interval[1]


def enough_from(curve: Curve, wanted: float) -> float:
    """The first place from which on accuracy is as wanted; infinite where it never is."""
    found = math.inf
    for x, mean in zip(reversed(curve.x), reversed(curve.means), strict=True):
        if mean < wanted:
            break
        found = x
    return found


def falls_at(curve: Curve, wanted: float) -> float:
    """Where accuracy first falls below what is wanted, by straight lines over the logarithm of the axis.

    The first place where it is below there already, infinite where it never is.
    """
    x, means = np.log(curve.x), curve.means
    for number, mean in enumerate(means):
        if mean < wanted:
            if number == 0:
                return curve.x[0]
            share = (means[number - 1] - wanted) / (means[number - 1] - mean)
            return float(np.exp(x[number - 1] + share * (x[number] - x[number - 1])))
    return math.inf


def told(number: float, x: Sequence[float]) -> str:
    """A place on an axis, or that it is beyond its ends."""
    if math.isinf(number):
        return f"more than {max(x):g}"
    return f"at most {x[0]:g}" if number <= x[0] else f"{number:.2g}"
