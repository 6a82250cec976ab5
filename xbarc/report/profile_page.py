"""A profile as a page: a row a step, what it did in columns, and all of them below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xbarc.report.page import Column, Page, Row, Table, numbers
from xbarc.report.profile import PhaseSeconds, RunProfile
from xbarc.report.words import exact, number, percent, several

_PHASES: Final = {
    "DAC": "dac",
    "windows": "windows",
    "product": "product",
    "noise": "noise",
    "ADC": "adc",
    "host": "host",
    "other": "other",
}


def profile_page(profile: RunProfile, *, title: str) -> Page:
    """One table, in milliseconds."""
    columns = (Column("step"), *numbers("calls", "ms", "share", *_PHASES))
    rows = tuple(
        (step.name, exact(step.calls), *_numbers(step.seconds, profile.run_s, total=step.seconds.total))
        for step in profile.steps
    )
    total = ("all", "", *_numbers(profile.seconds, profile.run_s, total=profile.run_s))
    shares = ("share", "", "", "", *(percent(_share(seconds, profile.run_s)) for seconds in _each(profile.seconds)))
    samples, threads = several(profile.samples, "sample"), several(profile.threads, "thread")
    title = f"{title}: where the time of {samples} on {threads} went"
    return [Table(title, columns, (*rows, shares), total, notes=tuple(_notes(profile)))]


def _numbers(seconds: PhaseSeconds, run_s: float, *, total: float) -> Row:
    return (_ms(total), percent(_share(total, run_s)), *map(_ms, _each(seconds)))


def _each(seconds: PhaseSeconds) -> Iterator[float]:
    return (getattr(seconds, name) for name in _PHASES.values())


def _share(seconds: float, whole: float) -> float:
    return seconds / whole if whole else 0.0


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f}" if seconds else "-"


def _notes(profile: RunProfile) -> Iterator[str]:
    yield (
        "Milliseconds of the wall clock; of what ran side by side on several threads, the mean. Noise has the products "
        "that give variances; ADC the sums and scales behind it; other, waiting for the slowest thread."
    )
    before = {
        "loading the program": profile.load_s,
        "writing and reading the chip": profile.write_s,
        "a first batch, not counted above": profile.first_s,
    }
    yield "Before: " + ", ".join(f"{what} {number(seconds)} s" for what, seconds in before.items()) + "."
