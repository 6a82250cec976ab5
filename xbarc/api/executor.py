"""The executor that passes are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from xbarc.api.machines import build_machine
from xbarc.ir.executor import Batch, Visitor
from xbarc.ir.graph import Graph, Value, ancestors
from xbarc.ir.naming import unique_names
from xbarc.ir.operators import TileRead
from xbarc.onnx_io.emit import region_model
from xbarc.runtime.host import HostModel


class MachineExecutor:
    """Executes graphs by onnxruntime and the runtime; see :class:`xbarc.ir.executor.Executor`."""

    def __init__(self, *, threads: int) -> None:
        self._threads = threads

    def evaluate(self, graph: Graph, values: list[Value]) -> list[np.ndarray]:
        """Values that depend on constants alone."""
        names = unique_names(graph)
        needed = ancestors(values)
        order = [operator for operator in graph.operators() if operator in needed]
        model = region_model(order, [], values, names, graph.opsets)
        host = HostModel(model.SerializeToString(), threads=self._threads, optimization="disabled")
        return host.run({}, [output.name for output in model.graph.output])

    def observe(self, graph: Graph, batches: Iterable[Batch], visitors: Mapping[Value, Visitor]) -> None:
        """Run the graph over batches and show values to their visitors; currents of tiles in pieces."""
        currents = {
            value.producer.name: visit for value, visit in visitors.items() if isinstance(value.producer, TileRead)
        }
        arrays = [value for value in visitors if not isinstance(value.producer, TileRead)]
        machine, names = build_machine(graph, arrays or None, threads=self._threads, optimization="all")
        for batch in batches:
            results = machine.run(batch, currents)
            for value, name in zip(arrays, names, strict=False):
                visitors[value](results[name])
