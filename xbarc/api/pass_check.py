"""Check what each pass does to the numbers: run the model before and after it, and compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.ir.executor import Batch, Executor
from xbarc.ir.graph import Graph
from xbarc.ir.pipeline import Pass


@dataclass(frozen=True, slots=True)
class Difference:
    """What a pass changed.

    Attributes:
        name: of the pass.
        relative: largest difference of any output before and after it, over the range of that output before it.
    """

    name: str
    relative: float


OnDifference = Callable[[Difference], None]


class PassCheck:
    """An observer of the pipeline.

    Args:
        graph: before the first pass.
        executor: runs it.
        batch: of inputs.
        tell: told after each pass.
    """

    def __init__(self, graph: Graph, executor: Executor, batch: Batch, tell: OnDifference) -> None:
        self._executor = executor
        self._batch = batch
        self._tell = tell
        self._before = self._outputs(graph)

    def __call__(self, entry: Pass, _number: int, graph: Graph) -> None:
        after = self._outputs(graph)
        changes = [_relative(old, new) for old, new in zip(self._before, after, strict=True)]
        self._tell(Difference(entry.name, max(changes, default=0.0)))
        self._before = after

    def _outputs(self, graph: Graph) -> list[np.ndarray]:
        seen: dict[int, np.ndarray] = {}

        def keep(index: int) -> Callable[[np.ndarray], None]:
            return lambda array: seen.update({index: array})

        visitors = {value: keep(index) for index, value in enumerate(graph.outputs)}
        self._executor.observe(graph, [self._batch], visitors)
        return [seen[index] for index in sorted(seen)]


def _relative(before: Any, after: Any) -> float:
    if not isinstance(before, np.ndarray) or before.dtype.kind not in "biuf" or before.size == 0:
        return 0.0
    old, new = before.astype(np.float64), after.astype(np.float64)
    span = float(np.ptp(old)) or 1.0
    return float(np.abs(old - new).max()) / span
