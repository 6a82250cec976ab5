"""The executor that passes are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from xbarc.api.host_models import host_model
from xbarc.api.machines import build_machine
from xbarc.ir.executor import Batch, CurrentVisitor, Visitor
from xbarc.ir.graph import Graph, Value, ancestors
from xbarc.ir.naming import unique_names


class MachineExecutor:
    """Executes graphs by onnxruntime and the runtime; see :class:`xbarc.ir.executor.Executor`."""

    def __init__(self, *, threads: int) -> None:
        self._threads = threads

    def evaluate(self, graph: Graph, values: list[Value]) -> list[np.ndarray]:
        """Values that depend on constants alone."""
        names = unique_names(graph)
        needed = ancestors(values)
        order = [operator for operator in graph.operators() if operator in needed]
        host, outputs = host_model(
            order,
            [],
            values,
            names=names,
            opsets=graph.opsets,
            feed=True,
            threads=self._threads,
            optimization="disabled",
        )
        return host.run({}, outputs)

    def observe(
        self,
        graph: Graph,
        batches: Iterable[Batch],
        visitors: Mapping[Value, Visitor],
        *,
        currents: Mapping[Value, CurrentVisitor] | None = None,
    ) -> None:
        """Run the graph over batches and show values to their visitors, and currents of tile reads to theirs."""
        by_layer = {
            value.producer.name: visit for value, visit in (currents or {}).items() if value.producer is not None
        }
        machine, _ = build_machine(graph, watch=list(visitors), threads=self._threads, optimization="all")
        names = unique_names(graph)
        by_name: dict[str, list[Visitor]] = {}
        for value in visitors:  # a captured value is known by one name inside and outside a body
            if value.constant is None:
                by_name.setdefault(names[value], []).append(visitors[value])
        seen = {name: _all_of(visits) for name, visits in by_name.items()}
        for batch in batches:
            machine.run(batch, currents=by_layer, values=seen)
            for value in visitors:
                if value.constant is not None:
                    visitors[value](value.constant)

    def trial(self, graph: Graph) -> Callable[[Batch], None]:
        """What runs a graph on inputs and shows nothing, to see whether it takes them."""
        machine, _ = build_machine(graph, threads=self._threads, optimization="all")

        def run(batch: Batch) -> None:
            machine.run(batch)

        return run


def _all_of(visitors: list[Visitor]) -> Visitor:
    def visit(array: np.ndarray) -> None:
        for each in visitors:
            each(array)

    return visit
