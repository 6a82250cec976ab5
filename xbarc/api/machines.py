"""From a graph to a machine that runs it: where the IR, ONNX and the runtime meet."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence

from xbarc.api.routines import RoutineOptions, build_routine
from xbarc.ir.graph import Graph, Value
from xbarc.ir.naming import unique_names
from xbarc.ir.samples import batching
from xbarc.ir.stages import Stage
from xbarc.ir.types import TensorType
from xbarc.runtime.host import Optimization
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.machine import Machine

#: What the values of one batch may take together, in bytes, as a rule of thumb; batches are cut to fit.
_BATCH_BYTES = 256 * 2**20
_LARGEST_BATCH = 1024


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


def batch_size(graph: Graph) -> int | None:
    """Samples to run at a time so that memory stays bounded; ``None``: all at once, since the model mixes samples."""
    kind = batching(graph)
    if kind.size is not None:
        return kind.size
    if not kind.free:
        return None
    values = [*graph.inputs, *(value for operator in graph.operators() for value in operator.results)]
    bytes_a_sample = sum(_bytes_a_sample(value) for value in values)
    return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // max(bytes_a_sample, 1)))


def _bytes_a_sample(value: Value) -> int:
    """Bytes of one sample of a value; unknown axes count as one."""
    if not isinstance(value.type, TensorType) or not value.type.shape:
        return 0
    return 4 * math.prod(size for size in value.type.shape[1:] if isinstance(size, int))
