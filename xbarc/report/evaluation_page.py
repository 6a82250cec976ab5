"""An evaluation as a page: the three figures, written chips by time, and their layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xbarc.report.evaluation import ChipStatistics, Condition, Evaluation
from xbarc.report.page import Column, Page, Table, numbers
from xbarc.report.words import exact, number
from xbarc.units import format_duration

_MEANINGS = {
    "float": "the source model in floating point",
    "quantized": "input codes and weight levels of the program, no tiles",
    "ideal device": "tiles and ADCs of the program, no noise",
}
_READ_NOISE = {
    "split": "slower than an inference of {inference} drawn once for each time, faster at every read",
    "per-read": "drawn anew at every read, all of it",
    "frozen": "drawn once for each time, all of it",
}
_COMPENSATION = {False: "without drift compensation", True: "with drift compensation"}


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
            *(("-" if figure.agreement is None else _percent(figure.agreement),) if has_agreement else ()),
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
    """One row a time, with and without compensation; of one chip its value, of several their spread."""
    first = entries[0]
    both = len({entry.compensated for entry in entries}) > 1
    several = any(entry.count > 1 for entry in entries)
    columns = (
        Column("time"),
        *((Column("drift\ncompensation"),) if both else ()),
        *numbers(f"mean\n{evaluation.metric}" if several else evaluation.metric),
        *(numbers("standard\ndeviation", "95 % interval\nof the mean") if several else ()),
    )
    rows = tuple(
        (
            _time(entry),
            *(("on" if entry.compensated else "off",) if both else ()),
            _value(evaluation, entry.mean),
            *((_value(evaluation, entry.deviation), _interval(evaluation, entry.interval)) if several else ()),
        )
        for entry in entries
    )
    title = f"{_how_many(evaluation, first)} of {first.device}"
    if not both:
        title += f", {_COMPENSATION[first.compensated]}"
    return Table(title, columns, rows, notes=tuple(_chip_notes(entries)))


def _chip_notes(entries: Sequence[ChipStatistics]) -> Iterator[str]:
    first = entries[0]
    for entry in entries:
        if entry.reason is not None:
            yield f"{_time(entry)}: none, {entry.reason}"
            break
    yield f"time 0 is {format_duration(first.t0_s)} after programming"
    yield f"read noise: {_READ_NOISE[first.read_noise].format(inference=format_duration(first.inference_s))}"
    if first.ir_drop:
        yield "wires: what is lost on the rows and columns of tiles is in the cells (IR drop)"
    if first.faults is not None:
        yield f"{first.faults}, beside those that are drawn"
    if first.adc_errors:
        yield "ADCs: each has errors of its own, as adc.gain_sigma, offset_sigma, inl_sigma and inl say"
    if first.dac_errors:
        yield "DACs: applied levels are no integers, as dac.inl says; products are taken in float64"
    if any(entry.count > 1 for entry in entries):
        yield "standard deviation between chips; interval by Student's distribution"
    if any(entry.compensated for entry in entries):
        yield "drift compensation: each layer's output is rescaled by one factor, measured on the chip"


def _layers(evaluation: Evaluation, entries: Sequence[ChipStatistics]) -> Table:
    """One row a layer, one column a time; with compensation, where there is both."""
    compensated = any(entry.compensated for entry in entries)
    shown = [entry for entry in entries if entry.compensated == compensated]
    rows = tuple((name, *(f"{entry.layer_snr_db[name]:.1f}" for entry in shown)) for name in shown[0].layer_snr_db)
    samples = "the first sample" if evaluation.snr_samples == 1 else f"the first {evaluation.snr_samples} samples"
    notes = (f"each layer's output against the ideal device's, over {samples}, errors of earlier layers included",)
    title = f"Signal to noise of layers in dB, {_COMPENSATION[compensated]}"
    return Table(title, (Column("layer"), *numbers(*map(_time, shown))), rows, notes=notes)


def _circumstances(entry: Condition) -> tuple[object, ...]:
    """What is the same in all of one table."""
    return entry.device, entry.read_noise, entry.inference_s, entry.ir_drop, entry.faults


def _how_many(evaluation: Evaluation, entry: ChipStatistics) -> str:
    seeds = sorted({chip.seed for chip in evaluation.chips if _circumstances(chip) == _circumstances(entry)})
    if len(seeds) == 1:
        return f"1 chip (seed {seeds[0]})"
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{len(seeds)} chips (seeds {seeds[0]} to {seeds[-1]})"
    return f"{len(seeds)} chips (seeds {', '.join(map(str, seeds))})"


def _time(entry: ChipStatistics) -> str:
    return format_duration(entry.time_s) if entry.time_s else "0"


def _value(evaluation: Evaluation, value: float | None) -> str:
    if value is None:
        return "none"
    if evaluation.is_share:
        return _percent(value)
    return f"{number(value)} {evaluation.unit}".rstrip()


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(evaluation: Evaluation, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "-"
    low, high = interval
    if evaluation.is_share:
        return f"{100 * low:.2f} .. {100 * high:.2f} %"
    return f"{number(low)} .. {number(high)} {evaluation.unit}".rstrip()
