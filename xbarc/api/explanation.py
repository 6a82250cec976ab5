"""Explain chips: what each effect costs alone, and on top of all others, and what all of them cost in each layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, Self

from xbarc.api.evaluation import DataLike, Tell, compare, part_of
from xbarc.api.judging import Judged, Trial, refuse_stranger, wires_told
from xbarc.api.metrics import Metric
from xbarc.api.source import ModelLike
from xbarc.errors import UsageError
from xbarc.ir.effects import EFFECTS, Effect
from xbarc.ir.layer import layers
from xbarc.report.evaluation import Condition, finite, reason_of
from xbarc.report.explanation import Cost, Explanation, Measured, outcome, ranked

#: What counts of a chip, and the effect or layer that this is about.
_Look = tuple[Literal["everything", "effect", "all but effect", "layer", "all but layer"], str]
_EVERYTHING: _Look = ("everything", "")


class Explained(Judged, Protocol):
    """What an explanation asks of a chip (:class:`xbarc.api.chip.Chip`)."""

    @property
    def condition(self) -> Condition: ...

    @property
    def effects(self) -> tuple[Effect, ...]: ...

    def with_effects(self, kinds: Iterable[str] = EFFECTS, *, layers: Iterable[str] | None = None) -> Self: ...


class ExplainedChips(Protocol):
    """Chips of a known number: a list, or a series that makes one after the other."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Explained]: ...


def explain_chips(
    ideal: Explained,
    inputs: DataLike,
    labels: Any = None,
    *,
    chips: ExplainedChips,
    metric: str | Metric = "top-1",
    output: str | None = None,
    reference: ModelLike | None = None,
    progress: Tell | None = None,
) -> Explanation:
    """As :meth:`xbarc.api.chip.Chip.explain`, of which ``ideal`` is the chip on the ideal device.

    Raises:
        DataError, ModelError, UsageError: as there.
    """
    if "chip" in ideal.setting.facts:
        raise UsageError(
            "this is a chip that was written already, and its effects cannot be told from what it was to hold",
            fix="explain a chip of the program that it was made from",
        )
    trial = Trial.of(ideal.setting, inputs, labels, metric=metric, output=output, reference=reference)
    trial.refuse_once(inputs)
    base = ideal.with_effects(())
    figures, floating, count = compare(
        {"levels": base.network(trial.output)},
        trial.floating,
        trial.samples,
        trial.metric,
        batch_size=trial.batch,
        progress=None if progress is None else lambda done, _: progress("weight levels", done, None),
    )
    bench = _Bench(trial, base, len(chips), progress)
    # Not a loop: its variable would keep one chip in memory while the next is written.
    found = list(map(bench.measured, chips))
    less_is_better, everything = trial.metric.less_is_better, [chip[_EVERYTHING] for chip in found]
    quiet = dict.fromkeys(everything[0].layer_snr_db, math.inf)
    levels = [Measured(figures["levels"], quiet)] * len(found)

    def costs(how: Literal["effect", "layer"], rest: Literal["all but effect", "all but layer"]) -> tuple[Cost, ...]:
        entries = []
        for name in (name for kind, name in found[0] if kind == how):
            one, others = [chip[how, name] for chip in found], [chip[rest, name] for chip in found]
            alone = outcome(one, better=levels, worse=one, less_is_better=less_is_better)
            without = outcome(others, better=others, worse=everything, less_is_better=less_is_better)
            entries.append(Cost(name, alone, without))
        return ranked(entries)

    of_float = trial.figure_of_float(floating)
    return Explanation(
        metric=trial.metric.name,
        unit=trial.metric.unit,
        is_share=trial.metric.is_share,
        less_is_better=less_is_better,
        output=trial.output,
        samples=count,
        snr_samples=bench.snr_samples,
        calibrated=ideal.setting.calibrated,
        condition=bench.conditions[0],
        seeds=tuple(bench.seeds),
        source=finite(of_float.value),
        source_reason=reason_of(of_float) if finite(of_float.value) is None else None,
        levels=outcome(levels[:1], less_is_better=less_is_better),
        everything=outcome(everything, better=levels, worse=everything, less_is_better=less_is_better),
        effects=costs("effect", "all but effect"),
        layers=costs("layer", "all but layer"),
    )


class _Bench:
    """Measures chips, look by look.

    Args:
        trial: what they are judged by.
        base: nothing but the program's weight levels.
        count: number of chips.
        progress: told of every look.
    """

    def __init__(self, trial: Trial, base: Explained, count: int, progress: Tell | None) -> None:
        self._trial, self._count, self._progress = trial, count, progress
        self._setting, self._first = base.setting, trial.first
        self._wanted = base.layer_outputs(self._first)
        self._effects: tuple[Effect, ...] = ()
        self.conditions: list[Condition] = []
        self.seeds: list[int] = []

    @property
    def snr_samples(self) -> int:
        """How many samples outputs of layers are compared over."""
        return self._trial.samples.size_of(self._first)

    def measured(self, chip: Explained) -> Mapping[_Look, Measured]:
        """All looks at the next chip; the effects are those of the first.

        Raises:
            UsageError: a chip of another program, one that was repaired or given twice, or under other conditions.
        """
        self._check(chip)
        if not self.conditions:
            self._effects = chip.effects
        looks = dict(_looks(chip, self._effects))
        done, parts = len(self.conditions) * len(looks), self._count * len(looks)
        self.conditions.append(chip.condition)
        self.seeds += [] if chip.written is None else [chip.seed]
        # Each look is made when its turn comes, and forgotten.
        return {
            look: self._measured(make(), f"{chip.words}, {_words(look)}", number, parts)
            for number, (look, make) in enumerate(looks.items(), start=done)
        }

    def _measured(self, chip: Explained, doing: str, number: int, parts: int) -> Measured:
        trial, progress = self._trial, self._progress
        chip.prepare(None if progress is None else wires_told(progress, doing, number, parts))
        figures, _, _ = compare(
            {"chip": chip.network(trial.output)},
            trial.floating if trial.metric.needs_reference else None,
            trial.samples,
            trial.metric,
            batch_size=trial.batch,
            progress=part_of(progress, doing, number, parts),
        )
        return Measured(figures["chip"], chip.snr_against(self._first, self._wanted))

    def _check(self, chip: Explained) -> None:
        refuse_stranger(self._setting, chip)
        condition = chip.condition
        if condition.retuned_s is not None or condition.recalibrated_s is not None:
            raise UsageError(
                "a repaired chip cannot be explained: repairs fit the chip as it is, not what is left of its effects",
                fix="explain the chip as it was before",
            )
        if self.conditions and condition != self.conditions[0]:
            raise UsageError(
                "chips of one explanation differ in more than their seeds",
                where=f"{chip.words}, after others",
                fix="explain one device, time and compensation at a time",
            )
        if self.conditions and (chip.written is None or chip.seed in self.seeds):
            raise UsageError("a chip is given twice", fix="give every chip once")


def _looks(chip: Explained, effects: tuple[Effect, ...]) -> Iterator[tuple[_Look, Callable[[], Explained]]]:
    """All that is measured of a chip, within what the look at it that was given lets count."""
    names = [layer.name for layer in layers(chip.setting.graph) if chip.reading.effects.within(layer.name)]

    def part(kinds: Iterable[Effect], within: Iterable[str]) -> Callable[[], Explained]:
        return lambda: chip.with_effects(kinds, layers=within)

    yield _EVERYTHING, lambda: chip
    for effect in effects:
        yield ("effect", effect), part([effect], names)
        yield ("all but effect", effect), part(set(effects) - {effect}, names)
    for name in names:
        yield ("layer", name), part(effects, [name])
        yield ("all but layer", name), part(effects, set(names) - {name})


def _words(look: _Look) -> str:
    how, name = look
    return how if not name else f"{name} alone" if how in ("effect", "layer") else f"all but {name}"
