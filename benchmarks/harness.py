"""Time the sides of a case in turn and hold them against each other; write down what was found, and on which machine.

A ratio survives a noisy machine better than a time, if what is compared ran in the same minute: every round runs each
side once, a ratio is taken within each round, and medians and quartiles are taken over rounds. On one thread the time
is that of the processor, which others on the machine take nothing from; on several it is the wall clock's.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from rich.table import Table

SCHEMA = 1
#: A side that takes less is run several times a round.
_SHORTEST_S = 1e-3
#: A side that takes more at first, whatever it loads, is not run a second time to see how short it is.
_LOADING_S = 3.0
_PACKAGES = ("xbarc", "numpy", "numba", "onnx", "onnxruntime", "scipy")

Side = Callable[[], object]
Fact = float | int | str | bool
Unit = Literal["s", "B"]


def processor_seconds() -> float:
    """Of this process and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        threads: of every side.
        budget_s: seconds for a case, after which no further round begins.
        least, most: rounds of a case, whatever the budget; the first, which warms up, does not count.
        wall, processor: clocks.
    """

    threads: int = 1
    budget_s: float = 2.0
    least: int = 3
    most: int = 11
    wall: Callable[[], float] = time.perf_counter
    processor: Callable[[], float] = processor_seconds


@dataclass(frozen=True)
class Spread:
    """A median between its quartiles."""

    median: float
    lower: float
    upper: float

    @staticmethod
    def of(numbers: Sequence[float]) -> Spread:
        """Of one number at least."""
        lower, median, upper = np.percentile(numbers, (25, 50, 75))
        return Spread(float(median), float(lower), float(upper))


@dataclass(frozen=True)
class Figure:
    """One side of one case.

    Attributes:
        suite, case, side: what was measured.
        unit: of the value: seconds, or bytes.
        clock: whose seconds: ``wall``, or ``processor`` where one thread ran; ``peak`` of bytes.
        threads: that the side could use.
        rounds: over which the spreads are.
        value: of one run.
        reference: the side that it is held against.
        ratio: to the reference, round by round.
        facts: what else is known of the case.
    """

    suite: str
    case: str
    side: str
    unit: Unit
    clock: Literal["wall", "processor", "peak"]
    threads: int
    rounds: int
    value: Spread
    reference: str
    ratio: Spread
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is measured together.

    Attributes:
        suite, name: for people, and to be chosen by.
        measure: gives the figures.
    """

    suite: str
    name: str
    measure: Callable[[Options], list[Figure]]


class SkippedError(Exception):
    """A case that cannot be measured here, with the reason."""


def rounds_of(sides: Mapping[str, Side], options: Options) -> dict[str, list[float]]:
    """Seconds of one run of each side in each round, by the clock that :func:`clock_of` names."""
    clock = options.wall if clock_of(options) == "wall" else options.processor
    repeats: dict[str, int] = {}
    for name, side in sides.items():
        seconds = _seconds(side, options.wall)  # loads and compiles
        if seconds < _LOADING_S:
            seconds = _seconds(side, options.wall)
        repeats[name] = max(1, round(_SHORTEST_S / max(seconds, 1e-9)))
    found: dict[str, list[float]] = {name: [] for name in sides}
    begun = options.wall()
    for number in range(options.most):
        if number >= options.least and options.wall() - begun > options.budget_s:
            break
        for name, side in sides.items():
            started = clock()
            for _ in range(repeats[name]):
                side()
            found[name].append((clock() - started) / repeats[name])
    return found


def _seconds(side: Side, clock: Callable[[], float]) -> float:
    begun = clock()
    side()
    return clock() - begun


def clock_of(options: Options) -> Literal["wall", "processor"]:
    """Whose seconds count."""
    return "processor" if options.threads == 1 else "wall"


def compare(
    suite: str,
    case: str,
    sides: Mapping[str, Side],
    options: Options,
    *,
    facts: Mapping[str, Fact] | None = None,
) -> list[Figure]:
    """Figures of all sides, each held against the first.

    Args:
        suite, case: what this is.
        sides: by name; they take turns.
        options: how to measure.
        facts: of the case.
    """
    found = rounds_of(sides, options)
    reference = next(iter(found))
    return [
        Figure(
            suite=suite,
            case=case,
            side=name,
            unit="s",
            clock=clock_of(options),
            threads=options.threads,
            rounds=len(seconds),
            value=Spread.of(seconds),
            reference=reference,
            ratio=Spread.of([own / other for own, other in zip(seconds, found[reference], strict=True)]),
            facts=facts or {},
        )
        for name, seconds in found.items()
    ]


def peaks(suite: str, case: str, found: Mapping[str, int], options: Options) -> list[Figure]:
    """Figures of peak memory in bytes, each held against the first."""
    reference = next(iter(found))
    return [
        Figure(
            suite=suite,
            case=case,
            side=name,
            unit="B",
            clock="peak",
            threads=options.threads,
            rounds=1,
            value=Spread.of([size]),
            reference=reference,
            ratio=Spread.of([size / found[reference]]),
        )
        for name, size in found.items()
    ]


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Of a straight line through the logarithms: 1 where a value grows with the size, 0 where it stays."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def host_facts() -> dict[str, Any]:
    """What the figures depend on besides the program."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def document(figures: Iterable[Figure], skipped: Mapping[str, str]) -> dict[str, Any]:
    """All as JSON data; ``skipped`` has the reason for each case that was not measured."""
    return {
        "schema": SCHEMA,
        "host": host_facts(),
        "figures": [asdict(figure) for figure in figures],
        "skipped": dict(skipped),
    }


def tables(figures: Sequence[Figure]) -> list[Table]:
    """A table for each suite and reference: a row a case, a column a side, ratios with their quartiles."""
    groups: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.suite, figure.reference), []).append(figure)
    return [_table(group) for group in groups.values()]


def _table(figures: Sequence[Figure]) -> Table:
    clocks = " and ".join(_unique("clock", figures))
    made = Table(title=f"{figures[0].suite}: {threads_of(figures)}, {clocks}; medians, quartiles of ratios")
    made.add_column("")
    sides = _unique("side", figures)
    for side in sides:
        made.add_column(side, justify="right")
    for case in _unique("case", figures):
        found = {figure.side: figure for figure in figures if figure.case == case}
        made.add_row(case, *(_cell(found[side]) if side in found else "" for side in sides))
    return made


def _cell(figure: Figure) -> str:
    value = amount(figure.value.median, figure.unit)
    if figure.side == figure.reference:
        return value
    ratio = figure.ratio
    spread = f" ({ratio.lower:.3g} to {ratio.upper:.3g})" if figure.rounds > 1 else ""
    return f"{value}\n{ratio.median:.3g}x{spread}"


def amount(value: float, unit: Unit) -> str:
    """A measured number in the unit that leaves three digits."""
    if unit == "B":
        return f"{value / 2**20:,.0f} MiB"
    if value >= 1:
        return f"{value:.3g} s"
    return f"{1e3 * value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.3g} us"


def threads_of(figures: Sequence[Figure]) -> str:
    """``1 thread``; they are the same for all."""
    return f"{figures[0].threads} thread{'' if figures[0].threads == 1 else 's'}"


def _unique(key: str, figures: Sequence[Figure]) -> list[str]:
    return list(dict.fromkeys(getattr(figure, key) for figure in figures))
