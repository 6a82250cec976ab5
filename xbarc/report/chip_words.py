"""Chips and what was measured of them, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from xbarc.report.evaluation import Compensation, Condition
from xbarc.report.words import number
from xbarc.units import format_duration

#: By the kind of drift compensation.
COMPENSATION: Final[dict[Compensation, str]] = {
    "off": "without drift compensation",
    "layer": "with drift compensation",
    "column": "with drift compensation by column",
}
_READ_NOISE: Final = {
    "split": "slower than an inference of {inference} drawn once for each time, faster at every read",
    "per-read": "drawn anew at every read, all of it",
    "frozen": "drawn once for each time, all of it",
}


def condition_notes(condition: Condition) -> Iterator[str]:
    """What there is to know about chips beside their device and time."""
    yield f"time 0 is {format_duration(condition.t0_s)} after programming"
    yield f"read noise: {_READ_NOISE[condition.read_noise].format(inference=format_duration(condition.inference_s))}"
    if condition.ir_drop:
        yield "wires: what is lost on the rows and columns of tiles is in the cells (IR drop)"
    if condition.effects is not None:
        yield f"effects that count: {condition.effects}"
    if condition.programming is not None:
        yield f"written in closed loop, {condition.programming}, in place of the device's programming errors"
    if condition.faults is not None:
        yield f"{condition.faults}, beside those that are drawn"
    if condition.placement == "fault-aware":
        yield "rows, columns and polarities of blocks lie where the faults of each chip do little harm"
    if condition.adc_errors:
        yield "ADCs: each has errors of its own, as adc.gain_sigma, offset_sigma, inl_sigma and inl say"
    if condition.dac_errors:
        yield "DACs: applied levels are no integers, as dac.inl says; products are taken in float64"


def how_many(seeds: Iterable[int]) -> str:
    """Chips and their seeds."""
    known = sorted(seeds)
    if len(known) == 1:
        return f"1 chip (seed {known[0]})"
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{len(known)} chips (seeds {known[0]} to {known[-1]})"
    return f"{len(known)} chips (seeds {', '.join(map(str, known))})"


def instant(condition: Condition) -> str:
    """The time of the reading."""
    return format_duration(condition.time_s) if condition.time_s else "0"


def measured(value: float | None, *, is_share: bool, unit: str) -> str:
    """A metric's value."""
    if value is None:
        return "none"
    return share(value) if is_share else f"{number(value)} {unit}".rstrip()


def share(value: float) -> str:
    """In percent."""
    return f"{100 * value:.2f} %"


def snr_samples(count: int) -> str:
    """Those that layers were compared over."""
    return "the first sample" if count == 1 else f"the first {count} samples"
