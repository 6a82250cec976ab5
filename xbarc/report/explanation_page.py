"""An explanation as a page: effects and layers by what they cost, and what each effect does to each layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from xbarc.ir.effects import EFFECTS, MEANINGS
from xbarc.report.chip_words import COMPENSATION, condition_notes, how_many, instant, measured, snr_samples
from xbarc.report.explanation import Cost, Explanation, Outcome
from xbarc.report.page import Column, Page, Row, Table, numbers
from xbarc.report.words import exact, number

_LEVELS: Final = "weight levels alone"
_ALL: Final = "with all effects"


def explanation_page(explanation: Explanation, *, title: str) -> Page:
    """What there is to lose; what each effect costs; layer by layer; what each layer costs."""
    page = [_figures(explanation, title)]
    if explanation.effects:
        page.append(_costs(explanation, "effect", explanation.effects, _effect_notes(explanation)))
    if explanation.effects and explanation.layers:
        page += [_by_layer(explanation), _costs(explanation, "layer", explanation.layers, _layer_notes(explanation))]
    return page


def _figures(explanation: Explanation, title: str) -> Table:
    several = len(explanation.seeds) > 1
    columns = (Column(""), *numbers(explanation.metric), *(numbers("standard\ndeviation") if several else ()))
    everything = explanation.everything
    rows = (
        ("float", _value(explanation, explanation.source), "-"),
        (_LEVELS, _value(explanation, explanation.levels.mean), "-"),
        (_ALL, _value(explanation, everything.mean), _value(explanation, everything.deviation)),
    )
    of = f"{title}: output {explanation.output}, {exact(explanation.samples)} samples"
    shown = tuple(row[: len(columns)] for row in rows)
    return Table(of, columns, shown, notes=tuple(_figure_notes(explanation)))


def _figure_notes(explanation: Explanation) -> Iterator[str]:
    if explanation.source is None:
        yield f"float: none, {explanation.source_reason}"
    for name, outcome in ((_LEVELS, explanation.levels), (_ALL, explanation.everything)):
        if outcome.reason is not None:
            yield f"{name}: none, {outcome.reason}"
    yield (
        f"{_LEVELS}: the program's levels in all cells, and no other effect: inputs and sums are not rounded. "
        "What they cost is the difference to float; no figure is without them"
    )
    yield f"{_ALL}: {_chips(explanation)}"
    if explanation.seeds:
        yield from condition_notes(explanation.condition)
    if not explanation.calibrated:
        yield "UNCALIBRATED: the program's converter ranges do not come from data"


def _chips(explanation: Explanation) -> str:
    condition = explanation.condition
    if not explanation.seeds:
        return "ideal device"
    read = f"{how_many(explanation.seeds)} of {condition.device} at time {instant(condition)}"
    return f"{read}, {COMPENSATION[condition.compensation]}"


def _costs(explanation: Explanation, what: str, costs: Sequence[Cost], notes: Iterable[str]) -> Table:
    """One row each, the costliest first."""
    several = len(explanation.seeds) > 1
    lost = "costs,\npoints" if explanation.is_share else f"costs,\n{explanation.unit}" if explanation.unit else "costs"
    spread = ("+-",) if several else ()
    columns = (
        Column(what),
        *numbers(f"alone:\n{explanation.metric}", lost, *spread, "SNR,\ndB"),
        *numbers(f"all but it:\n{explanation.metric}", lost, *spread, "SNR,\ndB"),
    )
    rows = tuple(
        (cost.name, *_row(explanation, cost.alone, several=several), *_row(explanation, cost.without, several=several))
        for cost in costs
    )
    return Table(f"What each {what} costs, the costliest first", columns, rows, notes=tuple(notes))


def _row(explanation: Explanation, outcome: Outcome, *, several: bool) -> Row:
    spread = (_points(explanation, outcome.cost_deviation),) if several else ()
    lost = _points(explanation, outcome.cost)
    return _value(explanation, outcome.mean), lost, *spread, _decibels(outcome.last_snr_db)


def _effect_notes(explanation: Explanation) -> Iterator[str]:
    known = {cost.name for cost in explanation.effects}
    yield "alone: on top of the weight levels; all but it: what the chips lose by it on top of all other effects"
    yield f"SNR: {_snr_meaning(explanation)}; of the last layer here"
    if len(explanation.seeds) > 1:
        yield "+-: standard deviation of the cost between chips"
    for effect in EFFECTS:
        if effect in known:
            yield f"{effect}: {MEANINGS[effect]}"


def _layer_notes(explanation: Explanation) -> Iterator[str]:
    yield "alone: all effects in this layer, none in others; all but it: all effects in all others. SNR as above"


def _by_layer(explanation: Explanation) -> Table:
    """What reaches each layer's output, effect by effect."""
    costs = sorted(explanation.effects, key=lambda cost: EFFECTS.index(cost.name))
    names = [cost.name.replace("-", "\n", 1) for cost in costs]
    rows = tuple(
        (
            layer,
            *(_decibels(cost.alone.layer_snr_db[layer]) for cost in costs),
            _decibels(explanation.everything.layer_snr_db[layer]),
        )
        for layer in explanation.everything.layer_snr_db
    )
    notes = (_snr_meaning(explanation), "-: no error at all, or no signal")
    title = "Signal to noise of layers in dB, with each effect alone"
    return Table(title, (Column("layer"), *numbers(*names, "all")), rows, notes=notes)


def _snr_meaning(explanation: Explanation) -> str:
    samples = snr_samples(explanation.snr_samples)
    return f"a layer's output against that of weight levels alone, over {samples}, errors of earlier layers included"


def _decibels(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}"


def _points(explanation: Explanation, cost: float | None) -> str:
    if cost is None:
        return "-"
    return f"{round(100 * cost, 2) + 0.0:.2f}" if explanation.is_share else number(cost)


def _value(explanation: Explanation, value: float | None) -> str:
    return measured(value, is_share=explanation.is_share, unit=explanation.unit)
