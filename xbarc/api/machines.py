"""From a graph to a machine that runs it: where the IR, ONNX and the runtime meet."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import numpy_helper

from xbarc.ir.graph import Graph, Value
from xbarc.ir.naming import unique_names
from xbarc.ir.operators import HostOp
from xbarc.ir.regions import HostRegion, schedule
from xbarc.ir.samples import batching
from xbarc.ir.stages import Stage
from xbarc.ir.types import TensorType
from xbarc.ir.work import host_macs
from xbarc.onnx_io.emit import region_model
from xbarc.runtime.host import HostModel, Optimization
from xbarc.runtime.layer_plan import LayerNoise, layer_plan
from xbarc.runtime.machine import HostStep, LayerStep, Machine, Step

#: What the values of one batch may take together, in bytes, as a rule of thumb; batches are cut to fit.
_BATCH_BYTES = 256 * 2**20
_LARGEST_BATCH = 1024


def build_machine(
    graph: Graph,
    fetch: Sequence[Value] | None = None,
    *,
    convert_outputs: bool = True,
    noise: Mapping[str, LayerNoise] | None = None,
    threads: int = 1,
    optimization: Optimization = "basic",
) -> tuple[Machine, list[str]]:
    """A machine for a graph at either level, and the names of the fetched values in its results.

    Args:
        graph: to run.
        fetch: what to return; the graph's outputs by default.
        convert_outputs: without it, ADCs pass currents as they are.
        noise: drawn at every read, by layer.
        threads: for layers and for host operators.
        optimization: how far onnxruntime may rewrite host operators.
    """
    names = unique_names(graph)
    wanted = list(graph.outputs if fetch is None else fetch)
    steps: list[Step] = []
    constants: dict[str, np.ndarray] = {}
    for part in schedule(graph, keep=wanted):
        if isinstance(part, HostRegion):
            model = region_model(part.operators, part.inputs, part.outputs, names, graph.opsets)
            # onnxruntime parts a product among its threads by the size of the batch, and so would its rounding.
            products = any(not isinstance(op, HostOp) or host_macs(op) != 0 for op in part.operators)
            alone = products and graph.stage >= Stage.TILES
            host = HostModel(model.SerializeToString(), threads=1 if alone else threads, optimization=optimization)
            steps.append(HostStep(host, _names(part.inputs, names), _names(part.outputs, names)))
        else:
            _keep_constant(part.input, names, constants)
            drawn = None if noise is None else noise.get(part.name)
            plan = layer_plan(part, convert_outputs=convert_outputs, noise=drawn)
            steps.append(LayerStep(plan, names[part.input], names[part.output]))
    for value in wanted:
        _keep_constant(value, names, constants)
    fetched = [names[value] for value in wanted]
    return Machine(steps, fetched, constants=constants, threads=threads), fetched


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


def _keep_constant(value: Value, names: dict[Value, str], constants: dict[str, np.ndarray]) -> None:
    if value.constant is not None:
        constants[names[value]] = numpy_helper.to_array(value.constant)


def _names(values: Sequence[Value], names: dict[Value, str]) -> tuple[str, ...]:
    return tuple(names[value] for value in values)


def _bytes_a_sample(value: Value) -> int:
    """Bytes of one sample of a value; unknown axes count as one."""
    if not isinstance(value.type, TensorType) or not value.type.shape:
        return 0
    return 4 * math.prod(size for size in value.type.shape[1:] if isinstance(size, int))
