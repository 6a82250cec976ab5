"""Control operators whose bodies hold layers: ``If``, ``Loop`` and ``Scan``, as ONNX defines them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.runtime.steps import Array, Context, Routine


@dataclass(frozen=True, slots=True)
class Empty:
    """What a loop that never runs makes of a sequence of results.

    Attributes:
        dtype: of the results.
        shape: sizes, symbols for them, or ``None``: an axis whose size nobody knows has none.
        axis: along which results would be stacked.
    """

    dtype: np.dtype
    shape: tuple[int | str | None, ...]
    axis: int

    def array(self, sizes: Mapping[str, int]) -> np.ndarray:
        """The stack, with numbers for symbols."""
        known = [sizes.get(size, 0) if isinstance(size, str) else size or 0 for size in self.shape]
        if known:
            known[self.axis] = 0
        return np.empty(tuple(known) or (0,), dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class IfStep:
    """One of two routines.

    Attributes:
        condition: name of the value that decides.
        captured: names of what the routines read besides.
        branches: for true and for false.
        outputs: names of the results.
    """

    condition: str
    captured: tuple[str, ...]
    branches: tuple[Routine, Routine]
    outputs: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that it needs."""
        return (self.condition, *self.captured)

    def run(self, values: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """Run the branch that the condition chooses."""
        branch = self.branches[0 if np.asarray(values[self.condition]).item() else 1]
        results = branch.run({name: values[name] for name in self.captured}, context)
        return dict(zip(self.outputs, (results[name] for name in branch.outputs), strict=True))


@dataclass(frozen=True, slots=True)
class LoopStep:
    """A routine that is repeated while a condition holds.

    Attributes:
        count, condition: names of the largest number of repetitions and of the first condition; ``None``: no limit.
        states: names of the initial states.
        captured: names of what the routine reads besides.
        body: from number, condition and states to condition, states and results to be stacked.
        outputs: names of the final states, then of the stacks.
        empty: the stacks of a loop that never runs.
    """

    count: str | None
    condition: str | None
    states: tuple[str, ...]
    captured: tuple[str, ...]
    body: Routine
    outputs: tuple[str, ...]
    empty: tuple[Empty, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that it needs."""
        given = (name for name in (self.count, self.condition) if name is not None)
        return (*given, *self.states, *self.captured)

    def run(self, values: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """Run the body as often as it asks for."""
        limit = None if self.count is None else int(np.asarray(values[self.count]).item())
        going = True if self.condition is None else bool(np.asarray(values[self.condition]).item())
        around = {name: values[name] for name in self.captured}
        states = [values[name] for name in self.states]
        stacks: list[list[Array]] = [[] for _ in self.empty]
        for number in itertools.count():
            if not going or (limit is not None and number >= limit):
                break
            own = self.body.inputs[: 2 + len(states)]
            given = [np.array(number, dtype=np.int64), np.array(going), *states]
            results = self.body.run({**around, **dict(zip(own, given, strict=True))}, _step(context, number))
            proceeds, *made = (results[name] for name in self.body.outputs)
            going = bool(np.asarray(proceeds).item())
            states = made[: len(states)]
            for stack, entry in zip(stacks, made[len(states) :], strict=True):
                stack.append(entry)
        # onnxruntime takes open sizes of a loop that never runs for 0 too.
        stacked = [_stacked(stack, 0, empty, {}) for stack, empty in zip(stacks, self.empty, strict=True)]
        return dict(zip(self.outputs, [*states, *stacked], strict=True))


@dataclass(frozen=True, slots=True)
class ScanStep:
    """A routine that steps through sequences.

    Attributes:
        states: names of the initial states.
        sequences: names of what is stepped through, each along its ``axes`` entry, from the end where ``reverse``.
        captured: names of what the routine reads besides.
        body: from states and entries to states and results to be stacked.
        outputs: names of the final states, then of the stacks: along ``out_axes``, from the end where ``out_reverse``.
        empty: the stacks of a loop that never runs.
        shapes: of what it reads, by name, with symbols where sizes are open.
    """

    states: tuple[str, ...]
    sequences: tuple[str, ...]
    axes: tuple[int, ...]
    reverse: tuple[bool, ...]
    captured: tuple[str, ...]
    body: Routine
    outputs: tuple[str, ...]
    out_axes: tuple[int, ...]
    out_reverse: tuple[bool, ...]
    empty: tuple[Empty, ...]
    shapes: Mapping[str, tuple[int | str | None, ...]]

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that it needs."""
        return (*self.states, *self.sequences, *self.captured)

    def run(self, values: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """Run the body once for each entry."""
        around = {name: values[name] for name in self.captured}
        states = [values[name] for name in self.states]
        stacks: list[list[Array]] = [[] for _ in self.empty]
        own = self.body.inputs[: len(states) + len(self.sequences)]
        for number, entries in enumerate(self._entries(values)):
            feeds = {**around, **dict(zip(own, [*states, *entries], strict=True))}
            results = self.body.run(feeds, _step(context, number))
            made = [results[name] for name in self.body.outputs]
            states = made[: len(states)]
            for stack, entry in zip(stacks, made[len(states) :], strict=True):
                stack.append(entry)
        sizes = _sizes(self.shapes, values)
        stacked = [
            _stacked(stack[::-1] if backwards else stack, axis, empty, sizes)
            for stack, axis, backwards, empty in zip(stacks, self.out_axes, self.out_reverse, self.empty, strict=True)
        ]
        return dict(zip(self.outputs, [*states, *stacked], strict=True))

    def _entries(self, values: Mapping[str, Array]) -> Iterator[Sequence[np.ndarray]]:
        scanned = []
        for name, axis, backwards in zip(self.sequences, self.axes, self.reverse, strict=True):
            entries = np.moveaxis(values[name], axis, 0)
            scanned.append(entries[::-1] if backwards else entries)
        for entries in zip(*scanned, strict=True):
            yield [np.ascontiguousarray(entry) for entry in entries]


def _step(context: Context, number: int) -> Context:
    """The context of one repetition, whose reads have noise of their own."""
    place = dataclasses.replace(context.place, steps=(*context.place.steps, number))
    return dataclasses.replace(context, place=place)


def _sizes(shapes: Mapping[str, tuple[int | str | None, ...]], values: Mapping[str, Array]) -> dict[str, int]:
    """Numbers for the symbols in the shapes of what was read."""
    return {
        symbol: size
        for name, shape in shapes.items()
        if isinstance(values[name], np.ndarray) and values[name].ndim == len(shape)
        for symbol, size in zip(shape, values[name].shape, strict=True)
        if isinstance(symbol, str)
    }


def _stacked(entries: Sequence[np.ndarray], axis: int, empty: Empty, sizes: Mapping[str, int]) -> np.ndarray:
    return np.stack(entries, axis=axis) if entries else empty.array(sizes)
