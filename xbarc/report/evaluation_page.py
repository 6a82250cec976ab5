"""An evaluation as a page: the three figures, written chips by time, and their layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xbarc.report.chip_words import COMPENSATION, condition_notes, how_many, instant, measured, share, snr_samples
from xbarc.report.evaluation import ChipStatistics, Condition, Evaluation
from xbarc.report.page import Column, Page, Table, numbers
from xbarc.report.words import exact, number
from xbarc.units import format_duration

_MEANINGS = {
    "float": "the source model in floating point",
    "quantized": "input codes and weight levels of the program, no tiles",
    "ideal device": "tiles and ADCs of the program, no noise",
}


def evaluation_page(evaluation: Evaluation, *, title: str) -> Page:
    """The figures beside each other; then, of every device, its chips by time and their layers."""
    page = [_figures(evaluation, title)]
    groups: dict[tuple[object, ...], list[ChipStatistics]] = {}
    for entry in evaluation.statistics():
        groups.setdefault(_circumstances(entry), []).append(entry)
    for entries in groups.values():
        page.append(_chips(evaluation, entries))
        if entries[0].layer_snr_db:
            page.append(_layers(evaluation, entries))
    return page


def _figures(evaluation: Evaluation, title: str) -> Table:
    """A missing figure gives its reason."""
    has_interval = any(figure.interval for _, figure in evaluation.rows())
    has_agreement = any(figure.agreement is not None for _, figure in evaluation.rows())
    columns = (
        Column(""),
        *numbers(evaluation.metric),
        *(numbers("95 % interval") if has_interval else ()),
        *(numbers("agrees with float") if has_agreement else ()),
    )
    rows = tuple(
        (
            name,
            _value(evaluation, figure.value),
            *((_interval(evaluation, figure.interval),) if has_interval else ()),
            *(("-" if figure.agreement is None else share(figure.agreement),) if has_agreement else ()),
        )
        for name, figure in evaluation.rows()
    )
    of = f"{title}: output {evaluation.output}, {exact(evaluation.samples)} samples"
    return Table(of, columns, rows, notes=tuple(_figure_notes(evaluation)))


def _figure_notes(evaluation: Evaluation) -> Iterator[str]:
    for name, figure in evaluation.rows():
        yield f"{name}: {_MEANINGS[name]}" if figure.value is not None else f"{name}: none, {figure.reason}"
    if not evaluation.calibrated:
        yield "UNCALIBRATED: the program's converter ranges do not come from data"


def _chips(evaluation: Evaluation, entries: Sequence[ChipStatistics]) -> Table:
    """One row a time, compensation and set of repairs; of one chip its value, of several their spread."""
    first = entries[0]
    both = len({entry.compensation for entry in entries}) > 1
    repaired = any(map(_repairs, entries))
    several = any(entry.count > 1 for entry in entries)
    columns = (
        Column("time"),
        *((Column("drift\ncompensation"),) if both else ()),
        *((Column("repairs"),) if repaired else ()),
        *numbers(f"mean\n{evaluation.metric}" if several else evaluation.metric),
        *(numbers("standard\ndeviation", "95 % interval\nof the mean") if several else ()),
    )
    rows = tuple(
        (
            instant(entry),
            *((entry.compensation,) if both else ()),
            *((_repairs(entry) or "-",) if repaired else ()),
            _value(evaluation, entry.mean),
            *((_value(evaluation, entry.deviation), _interval(evaluation, entry.interval)) if several else ()),
        )
        for entry in entries
    )
    title = f"{_how_many(evaluation, first)} of {first.device}"
    if not both:
        title += f", {COMPENSATION[first.compensation]}"
    return Table(title, columns, rows, notes=tuple(_chip_notes(entries)))


def _chip_notes(entries: Sequence[ChipStatistics]) -> Iterator[str]:
    first = entries[0]
    for entry in entries:
        if entry.reason is not None:
            yield f"{instant(entry)}: none, {entry.reason}"
            break
    yield from condition_notes(first)
    if any(entry.count > 1 for entry in entries):
        yield "standard deviation between chips; interval by Student's distribution"
    compensated = {entry.compensation for entry in entries}
    if "layer" in compensated:
        yield "drift compensation: each layer's output is rescaled by one factor, measured on the chip"
    if "column" in compensated:
        yield "drift compensation by column: each column's output is rescaled by one factor, measured on the chip"
    if any(entry.retuned_s is not None for entry in entries):
        yield "retuned: ranges of ADCs are chosen anew, from currents of the chip over a sample"
    if any(entry.recalibrated_s is not None for entry in entries):
        yield "recalibrated: each column has a scale and an offset, fitted to the ideal device's outputs over a sample"


def _layers(evaluation: Evaluation, entries: Sequence[ChipStatistics]) -> Table:
    """One row a layer, one column a time; of several compensations and repairs, the last."""
    last = entries[-1]
    shown = [entry for entry in entries if _treatment(entry) == _treatment(last)]
    rows = tuple((name, *(f"{entry.layer_snr_db[name]:.1f}" for entry in shown)) for name in shown[0].layer_snr_db)
    samples = snr_samples(evaluation.snr_samples)
    notes = (f"each layer's output against the ideal device's, over {samples}, errors of earlier layers included",)
    repaired = "".join(f", {repair}" for repair, when in _repair_times(last) if when is not None)
    title = f"Signal to noise of layers in dB, {COMPENSATION[last.compensation]}{repaired}"
    return Table(title, (Column("layer"), *numbers(*map(instant, shown))), rows, notes=notes)


def _circumstances(entry: Condition) -> tuple[object, ...]:
    """What is the same in all of one table."""
    read = entry.read_noise, entry.inference_s, entry.ir_drop, entry.effects
    return entry.device, *read, entry.faults, entry.placement, entry.programming


def _repair_times(entry: Condition) -> tuple[tuple[str, float | None], ...]:
    return ("retuned", entry.retuned_s), ("recalibrated", entry.recalibrated_s)


def _repairs(entry: Condition) -> str:
    """Those that were made, and when, where that is not the time of the reading."""
    made = [(repair, when) for repair, when in _repair_times(entry) if when is not None]
    return ", ".join(
        repair if when == entry.time_s else f"{repair} at {format_duration(when) if when else 0}"
        for repair, when in made
    )


def _treatment(entry: Condition) -> tuple[object, ...]:
    """What was done to chips, but for the time."""
    return entry.compensation, *(when is not None for _, when in _repair_times(entry))


def _how_many(evaluation: Evaluation, entry: ChipStatistics) -> str:
    seeds = {chip.seed for chip in evaluation.chips if _circumstances(chip) == _circumstances(entry)}
    return how_many(seeds)


def _value(evaluation: Evaluation, value: float | None) -> str:
    return measured(value, is_share=evaluation.is_share, unit=evaluation.unit)


def _interval(evaluation: Evaluation, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "-"
    low, high = interval
    if evaluation.is_share:
        return f"{100 * low:.2f} .. {100 * high:.2f} %"
    return f"{number(low)} .. {number(high)} {evaluation.unit}".rstrip()
