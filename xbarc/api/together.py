"""Several chips side by side: one thread each takes less time than all threads on one layer after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import threadpoolctl

from xbarc.api.evaluation import Network, Progress, Tell

_Chip = TypeVar("_Chip")
_Made = TypeVar("_Made", covariant=True)
_Found = TypeVar("_Found")
#: Makes chips that share what was written, one after the other.
Turn = Callable[[], Iterator[_Chip]]


@runtime_checkable
class _HasTurns(Protocol[_Made]):
    """Chips that are made when their turn comes, as :class:`xbarc.api.series.ChipSeries` makes them."""

    def turns(self) -> Sequence[Callable[[], Iterator[_Made]]]: ...


def turns_of(chips: Iterable[_Chip]) -> Sequence[Turn[_Chip]]:
    """What can be gone through side by side: of chips that know no better, all are one turn."""
    if isinstance(chips, list | tuple):
        return [partial(iter, (chip,)) for chip in chips]
    return chips.turns() if isinstance(chips, _HasTurns) else [partial(iter, chips)]


def side_by_side(turns: Iterable[Turn[_Chip]], work: Callable[[_Chip], _Found], *, workers: int) -> list[_Found]:
    """What the work makes of every chip, in their order.

    A worker holds one chip at a time, and forgets it before it takes the next. BLAS has one thread meanwhile.

    Raises:
        Exception: what the work or the making of a chip raised; of several, that of the first chip. Chips whose turn
            has not come are left alone then.
    """
    found: dict[int, list[_Found]] = {}
    failures: dict[int, BaseException] = {}
    numbered, lock = enumerate(turns), Lock()

    def take_turns() -> None:
        while not failures:
            with lock:
                entry = next(numbered, None)
            if entry is None:
                return
            number, turn = entry
            try:
                found[number] = list(map(work, turn()))  # no loop, whose variable would keep a chip in memory
            except Exception as error:  # noqa: BLE001 - raised again, in the thread that asked
                failures[number] = error

    if workers == 1:
        take_turns()
    else:
        # Each run limits BLAS too, and sets it back to what it found: that must be the limit.
        with threadpoolctl.threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            try:
                for done in [pool.submit(take_turns) for _ in range(workers)]:
                    done.result()
            except KeyboardInterrupt as error:  # no other turn begins
                failures[-1] = error
    if failures:
        raise failures[min(failures)]
    return [one for number in sorted(found) for one in found[number]]


class Tally:
    """How far equal parts of one job are, told as that of the whole.

    Args:
        tell: is told.
        parts: in all.
        done: of them, before.
    """

    def __init__(self, tell: Tell, *, parts: int, done: int) -> None:
        self._tell, self._parts, self._before = tell, parts, done
        self._total = 0
        self._lock = Lock()

    def part(self, doing: str) -> Progress:
        """The progress of one part."""
        last = 0

        def told(done: int, of: int | None) -> None:
            nonlocal last
            with self._lock:
                self._total, last = self._total + done - last, done
                whole = self._before * (of or 0) + self._total
                self._tell(doing, whole, None if of is None else self._parts * of)

        return told


class Remembered:
    """A network whose outputs are kept, so that every chip is compared with what was computed once.

    Args:
        network: gives the same outputs for the same samples.
        room_bytes: for outputs; what does not fit is computed anew.
    """

    def __init__(self, network: Network, *, room_bytes: float) -> None:
        self._network, self._room = network, room_bytes
        self._kept: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def __call__(self, batch: Mapping[str, np.ndarray], first: int) -> np.ndarray:
        """Outputs of a batch; one that begins with this sample is the same at each call."""
        if first in self._kept:
            return self._kept[first]
        outputs = self._network(batch, first)
        with self._lock:
            if isinstance(outputs, np.ndarray) and outputs.nbytes <= self._room and first not in self._kept:
                self._room -= outputs.nbytes
                self._kept[first] = outputs
        return outputs
