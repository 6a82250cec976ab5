"""What a pass may ask of whoever can execute a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from xbarc.ir.graph import Graph, Value

#: One batch of inputs, by name.
Batch = Mapping[str, np.ndarray]
#: Called with arrays of a value as they come, in pieces of any size.
Visitor = Callable[[np.ndarray], None]


class ReadIndex(NamedTuple):
    """One of the reads of a window.

    Attributes:
        matrix: over slices, and within each over its sides that are converted apart.
        place: over ``D``, diagonals and within each their row blocks.
        digit: of the input code; 0 where it is applied whole.
    """

    matrix: int
    place: int
    digit: int


#: Called with currents ``(windows, columns)`` of one read of a layer as they come, in pieces of any size.
CurrentVisitor = Callable[[ReadIndex, np.ndarray], None]


class Executor(Protocol):
    """Executes graphs at either level, so that passes need to know neither onnxruntime nor the runtime."""

    def evaluate(self, graph: Graph, values: list[Value]) -> list[np.ndarray]:
        """Values that depend on constants alone."""
        ...

    def observe(
        self,
        graph: Graph,
        batches: Iterable[Batch],
        visitors: Mapping[Value, Visitor],
        *,
        currents: Mapping[Value, CurrentVisitor] | None = None,
    ) -> None:
        """Run the graph over batches and show values to their visitors.

        ``currents`` are for results of a ``TileRead``, which are shown read by read, after analog subtraction and
        without padding. An ``Adc`` without a range passes currents unquantised.
        """
        ...
