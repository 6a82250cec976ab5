"""From a graph to a machine that runs it: where the IR, ONNX and the runtime meet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from xbarc.api.routines import RoutineOptions, build_routine
from xbarc.ir.graph import Graph, Value
from xbarc.ir.naming import unique_names
from xbarc.ir.stages import Stage
from xbarc.runtime.host import Optimization
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.machine import Machine


def build_machine(
    graph: Graph,
    fetch: Sequence[Value] | None = None,
    *,
    watch: Iterable[Value] = (),
    convert_outputs: bool = True,
    noise: Mapping[str, LayerNoise] | None = None,
    threads: int = 1,
    optimization: Optimization = "basic",
) -> tuple[Machine, list[str]]:
    """A machine for a graph at either level, and the names of the fetched values in its results.

    Args:
        graph: to run.
        fetch: what to return, of the graph itself; its outputs by default.
        watch: what else must be made known while it runs, also in bodies.
        convert_outputs: without it, ADCs pass currents as they are.
        noise: drawn at every read, by layer.
        threads: for layers and for host operators.
        optimization: how far onnxruntime may rewrite host operators.
    """
    names = unique_names(graph)
    wanted = list(graph.outputs if fetch is None else fetch)
    options = RoutineOptions(
        tiles=graph.stage >= Stage.TILES,
        convert_outputs=convert_outputs,
        noise=noise or {},
        threads=threads,
        optimization=optimization,
    )
    routine = build_routine(graph, wanted, names=names, watch=frozenset(watch), options=options)
    return Machine(routine, threads=threads), [names[value] for value in wanted]


def default_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
