"""The result of an explanation: what each effect, and each layer, costs a written chip."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xbarc.report.evaluation import Condition, Figure, finite, joint_snr, reason_of
from xbarc.report.json_form import plain

_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What comes out where some effects count, over all chips.

    Attributes:
        mean: of the metric; null where a chip has no value that can be averaged.
        deviation: standard deviation between chips; null for one chip.
        cost: by how much the metric is worse than without what it is the cost of, in the metric's unit; null where
            nothing is compared, or a value is missing.
        cost_deviation: standard deviation of that between chips; null for one chip.
        reason: why there is no mean; null where there is one.
        layer_snr_db: of each layer's output against the program's weight levels alone, over some samples, errors of
            earlier layers included, from the errors of all chips together; null where there is no error, or no signal.
    """

    mean: float | None
    deviation: float | None
    cost: float | None
    cost_deviation: float | None
    reason: str | None
    layer_snr_db: dict[str, float | None]

    @property
    def last_snr_db(self) -> float | None:
        """The ratio of the last layer in the order of execution; null too where no layer is on tiles."""
        return next(reversed(self.layer_snr_db.values()), None)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one effect costs, or all effects of one layer.

    Attributes:
        name: of the effect or layer.
        alone: with nothing else; its cost is that on top of the weight levels.
        without: with all else; its cost is that of adding what is missing.
    """

    name: str
    alone: Outcome
    without: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What costs a written chip its accuracy.

    Attributes:
        metric: its name.
        unit: of its values; empty where they have none.
        is_share: whether they are shares of 1.
        less_is_better: whether the metric counts errors.
        output: the model's output that is judged.
        samples: number of samples.
        snr_samples: number of samples, from the first on, that layers were compared over.
        calibrated: whether ranges of converters came from real data.
        condition: what all chips share.
        seeds: of the chips; none on the ideal device.
        source: the metric of the source network in floating point; null where there is none.
        source_reason: why; null where there is one.
        levels: the program's weight levels alone: inputs and sums are not rounded, cells are what they should be.
        everything: the chips as they are; its cost is that on top of the weight levels.
        effects: that the chips have, by what they cost alone, then on top of all others, then by the last noise.
        layers: in the same order; all effects in one, and in all others.
    """

    metric: str
    unit: str
    is_share: bool
    less_is_better: bool
    output: str
    samples: int
    snr_samples: int
    calibrated: bool
    condition: Condition
    seeds: tuple[int, ...]
    source: float | None
    source_reason: str | None
    levels: Outcome
    everything: Outcome
    effects: tuple[Cost, ...]
    layers: tuple[Cost, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, as docs/json.md has it."""
        return {"schema": _SCHEMA, **plain(self)}


@dataclass(frozen=True, slots=True)
class Measured:
    """One chip where some effects count.

    Attributes:
        figure: the metric.
        layer_snr_db: of each layer's output.
    """

    figure: Figure
    layer_snr_db: Mapping[str, float]


def outcome(
    found: Sequence[Measured],
    *,
    better: Sequence[Measured] = (),
    worse: Sequence[Measured] = (),
    less_is_better: bool,
) -> Outcome:
    """Of several chips.

    Args:
        found: one a chip.
        better, worse: between which the cost lies, one a chip each; empty where nothing is compared.
        less_is_better: whether the metric counts errors.
    """
    values = [finite(each.figure.value) for each in found]
    mean, deviation = _moments(values)
    sign = -1.0 if less_is_better else 1.0
    pairs = [(finite(one.figure.value), finite(other.figure.value)) for one, other in zip(better, worse, strict=True)]
    lost = [None if one is None or other is None else sign * (one - other) for one, other in pairs]
    cost, cost_deviation = _moments(lost)
    lacking = next((each.figure for each in found if finite(each.figure.value) is None), None)
    return Outcome(
        mean=mean,
        deviation=deviation,
        cost=cost,
        cost_deviation=cost_deviation,
        reason=None if lacking is None else reason_of(lacking),
        layer_snr_db={
            name: finite(joint_snr([each.layer_snr_db[name] for each in found])) for name in found[0].layer_snr_db
        },
    )


def ranked(costs: Iterable[Cost]) -> tuple[Cost, ...]:
    """The costliest first."""
    return tuple(sorted(costs, key=_rank))


def _rank(cost: Cost) -> tuple[float, float, float]:
    alone, added, ratio = cost.alone.cost, cost.without.cost, cost.alone.last_snr_db
    return (
        math.inf if alone is None else -alone,
        math.inf if added is None else -added,
        math.inf if ratio is None else ratio,
    )


def _moments(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean, and standard deviation of more than one."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None
