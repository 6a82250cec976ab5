"""Where the time of a run goes: threads tell a watch what they have just done.

Without a profile the watch is :data:`UNWATCHED`, which does not even look at the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

#: What a run does: inputs to codes and digits; codes to windows; products of codes and levels; deviates, with the
#: products that give their variances; conversions of currents, with all sums behind them; host operators; all else.
Phase = Literal["dac", "windows", "product", "noise", "adc", "host", "other"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
StepKind = Literal["layer", "host"]
#: Seconds since any moment.
Clock = Callable[[], float]


class Watch(Protocol):
    """What a thread tells."""

    def lap(self, phase: Phase) -> None:
        """The time since the last lap, or since the beginning, went to this."""
        ...

    def split(self, count: int) -> Sequence[Watch]:
        """One watch for each part of what is now done side by side."""
        ...

    def join(self, parts: Sequence[Watch]) -> None:
        """The parts are done, and the time since the last lap was theirs."""
        ...


class Unwatched:
    """A watch that takes no notice."""

    def lap(self, phase: Phase) -> None:
        """Nothing."""

    def split(self, count: int) -> Sequence[Watch]:
        """Itself."""
        return [self] * count

    def join(self, parts: Sequence[Watch]) -> None:
        """Nothing."""


UNWATCHED: Final = Unwatched()


class Stopwatch:
    """A watch that adds up.

    Args:
        clock: gives seconds.
        seconds: by phase, to be added to.
    """

    def __init__(self, clock: Clock, seconds: dict[Phase, float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._last = clock()

    def lap(self, phase: Phase) -> None:
        """The time since the last lap, or since the beginning, went to this."""
        now = self._clock()
        self._seconds[phase] += now - self._last
        self._last = now

    def split(self, count: int) -> Sequence[Stopwatch]:
        """One watch for each part of what is now done side by side."""
        return [Stopwatch(self._clock, dict.fromkeys(PHASES, 0.0)) for _ in range(count)]

    def join(self, parts: Sequence[Watch]) -> None:
        """The parts are done, and the time since the last lap was theirs.

        Each phase gets the mean over the parts; what is left, waiting for the slowest of them, is ``other``.
        """
        now = self._clock()
        left = now - self._last
        for part in parts:
            if isinstance(part, Stopwatch):
                for phase, seconds in part._seconds.items():
                    self._seconds[phase] += seconds / len(parts)
                    left -= seconds / len(parts)
        self._seconds["other"] += left
        self._last = now


@dataclass
class StepSeconds:
    """One step of a program, over a whole run.

    Attributes:
        calls: how often it ran: once a batch, in loops once a repetition.
        seconds: of the wall clock, by phase.
    """

    calls: int
    seconds: dict[Phase, float]


class Profile:
    """Collects the seconds of every step.

    Args:
        clock: gives seconds.

    Attributes:
        steps: by kind and name, in the order in which they first ran.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self.steps: dict[tuple[StepKind, str], StepSeconds] = {}

    def watch(self, kind: StepKind, name: str) -> Watch:
        """A watch for one call of a step, which begins now."""
        step = self.steps.setdefault((kind, name), StepSeconds(0, dict.fromkeys(PHASES, 0.0)))
        step.calls += 1
        return Stopwatch(self._clock, step.seconds)


#: Gives a watch for one call of a step, by its kind and name.
Watches = Callable[[StepKind, str], Watch]


def unwatched(kind: StepKind, name: str) -> Watch:
    """No profile is wanted."""
    return UNWATCHED
