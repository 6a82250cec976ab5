"""Steps of a program and routines of steps: host regions by onnxruntime, layers on simulated tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from xbarc.ir.executor import CurrentVisitor
from xbarc.runtime.host import HostModel
from xbarc.runtime.layer_plan import LayerPlan
from xbarc.runtime.layer_run import Place, run_layer
from xbarc.runtime.stopwatch import Watches, unwatched

#: Whatever flows between steps: arrays, and what else onnxruntime takes and gives (sequences, optionals).
Array = Any
#: Called with values as they are made.
ValueVisitor = Callable[[np.ndarray], None]


@dataclass(frozen=True, slots=True)
class Context:
    """What every step of a run needs besides values.

    Attributes:
        pool, threads: for layers.
        place: of the batch in the stream of random numbers.
        currents: who sees the currents of which layer.
        values: who sees which value, by its name.
        watches: who is told where the time goes.
    """

    pool: ThreadPoolExecutor
    threads: int
    place: Place = Place()  # noqa: RUF009 - immutable
    currents: Mapping[str, CurrentVisitor] = field(default_factory=dict)
    values: Mapping[str, ValueVisitor] = field(default_factory=dict)
    watches: Watches = unwatched


class Step(Protocol):
    """Part of a routine."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that it needs."""
        ...

    def run(self, values: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """What it makes, by name."""
        ...


@dataclass(frozen=True, slots=True)
class HostStep:
    """A host region, named by its first operator and its last, with the names of what it reads and makes."""

    name: str
    model: HostModel
    reads: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, values: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """Run the region's operators."""
        watch = context.watches("host", self.name)
        results = self.model.run({name: values[name] for name in self.reads}, self.outputs)
        watch.lap("host")
        return dict(zip(self.outputs, results, strict=True))


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A layer with the names of its input and output."""

    plan: LayerPlan
    input: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The input's name."""
        return (self.input,)

    def run(self, values: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """Run the layer."""
        visit, watch = context.currents.get(self.plan.name), context.watches("layer", self.plan.name)
        result = run_layer(
            self.plan, values[self.input], context.pool, context.threads, visit=visit, place=context.place, watch=watch
        )
        watch.lap("other")
        return {self.output: result}


class Routine:
    """Steps in order, from inputs to outputs.

    Args:
        steps: each reads inputs or results of earlier ones.
        inputs: names of the values that a caller gives.
        outputs: names of the results to return.
        constants: values that steps or the caller read and no step makes.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        inputs: Sequence[str],
        outputs: Sequence[str],
        constants: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._steps = list(steps)
        self._constants = dict(constants or {})
        last: dict[str, int] = {}
        for index, step in enumerate(self._steps):
            for name in step.reads:
                last[name] = index
        self._drop: list[list[str]] = [[] for _ in self._steps]
        for name, index in last.items():
            if name not in self.outputs:
                self._drop[index].append(name)

    def run(self, feeds: Mapping[str, Array], context: Context) -> dict[str, Array]:
        """The outputs by name. ``feeds`` may hold more than the inputs: what steps read of a graph around this one."""
        values: dict[str, Array] = {**self._constants, **feeds}
        for name in self.inputs:
            if name in context.values:
                context.values[name](values[name])
        for step, done in zip(self._steps, self._drop, strict=True):
            made = step.run(values, context)
            for name in made.keys() & context.values.keys():
                context.values[name](made[name])
            values.update(made)
            for name in done:
                del values[name]
        return {name: values[name] for name in self.outputs}
