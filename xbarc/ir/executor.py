"""What a pass may ask of whoever can execute a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from xbarc.ir.graph import Graph, Value

#: One batch of inputs, by name.
Batch = Mapping[str, np.ndarray]
#: Called with arrays of a value as they come, in pieces of any size.
Visitor = Callable[[np.ndarray], None]


class Executor(Protocol):
    """Executes graphs at either level, so that passes need to know neither onnxruntime nor the runtime."""

    def evaluate(self, graph: Graph, values: list[Value]) -> list[np.ndarray]:
        """Values that depend on constants alone."""
        ...

    def observe(self, graph: Graph, batches: Iterable[Batch], visitors: Mapping[Value, Visitor]) -> None:
        """Run the graph over batches and show the named values to their visitors.

        The result of a ``TileRead`` is shown as pieces ``(windows, columns)`` of its currents after analog
        subtraction, without padding. An ``Adc`` without a range passes currents unquantised.
        """
        ...
