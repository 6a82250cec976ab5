"""Runs under a clock: where the time of each step goes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from xbarc.api.chip import Chip
from xbarc.api.data import Samples
from xbarc.api.evaluation import Progress
from xbarc.report.profile import PhaseSeconds, RunProfile, StepProfile
from xbarc.runtime.stopwatch import Clock, Profile


class Profiler:
    """Runs samples on a chip and keeps the time. For one run.

    Args:
        chip: to run on.
        clock: gives seconds.
    """

    def __init__(self, chip: Chip, *, clock: Clock = time.perf_counter) -> None:
        self._chip = chip
        self._clock = clock
        self._profile = Profile(clock)
        self._samples = 0
        self._first_s = self._run_s = 0.0

    def run_batches(self, samples: Samples | None, *, progress: Progress | None = None) -> Iterator[dict[str, Any]]:
        """As :meth:`xbarc.api.chip.Chip.run_batches`, after one batch that does not count.

        That batch loads what is loaded once: the machine, models of the host, compiled kernels. A stream that can be
        read once is no use here.

        Raises:
            DataError: as there.
        """
        begun = self._clock()
        self._chip.prepare()
        next(self._chip.run_batches(samples))
        self._first_s = self._clock() - begun

        def told(done: int, of: int | None) -> None:
            self._samples = done
            if progress is not None:
                progress(done, of)

        batches = self._chip.run_batches(samples, progress=told, watches=self._profile.watch)
        while True:
            begun = self._clock()
            outputs = next(batches, None)
            self._run_s += self._clock() - begun
            if outputs is None:
                return
            yield outputs

    def result(self, *, load_s: float = 0.0, write_s: float = 0.0) -> RunProfile:
        """Of the batches that were run so far.

        Args:
            load_s, write_s: what reading the program, and writing the chip, took before.
        """
        steps = tuple(
            StepProfile(name, kind, step.calls, PhaseSeconds(**step.seconds))
            for (kind, name), step in self._profile.steps.items()
        )
        names = [field.name for field in dataclasses.fields(PhaseSeconds) if field.name != "other"]
        sums = {name: sum(getattr(step.seconds, name) for step in steps) for name in names}
        return RunProfile(
            samples=self._samples,
            threads=self._chip.setting.threads,
            load_s=load_s,
            write_s=write_s,
            first_s=self._first_s,
            run_s=self._run_s,
            seconds=PhaseSeconds(**sums, other=self._run_s - sum(sums.values())),
            steps=steps,
        )
