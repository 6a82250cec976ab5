"""From an ONNX model to the IR: every node a host operator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from xbarc.errors import ModelError
from xbarc.ir import types
from xbarc.ir.graph import Graph, Value
from xbarc.ir.naming import subgraphs
from xbarc.ir.operators import HostOp
from xbarc.ir.stages import Stage
from xbarc.ir.types import TensorType
from xbarc.onnx_io.prepare import OLDEST_OPSET


def import_graph(model: onnx.ModelProto, known_types: Mapping[str, onnx.TypeProto] | None = None) -> Graph:
    """The graph of a prepared model; without ``known_types``, what the model itself declares is known.

    Initializers become constants, also those that are listed as inputs. Nodes without a name get one from their type
    and number; of equal names, all but the first get a mark at the end.

    Raises:
        ModelError: a node that reads what nothing makes.
    """
    source = model.graph
    declared = {entry.name: entry.type for entry in (*source.value_info, *source.input, *source.output)}
    known = {name: types.from_proto(proto) for name, proto in {**declared, **(known_types or {})}.items()}
    values: dict[str, Value] = {}
    for tensor in source.initializer:
        values[tensor.name] = Value(tensor.name, TensorType(tensor.data_type, tuple(tensor.dims)), tensor)
    for sparse in source.sparse_initializer:
        tensor = _dense(sparse)
        values[tensor.name] = Value(tensor.name, TensorType(tensor.data_type, tuple(tensor.dims)), tensor)
    graph = Graph(
        name=source.name,
        opsets={"": OLDEST_OPSET}
        | {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import},
        stage=Stage.HOST,
    )
    for entry in source.input:
        if entry.name not in values:
            value = values[entry.name] = Value(entry.name, known.get(entry.name))
            graph.inputs.append(value)
    taken: set[str] = set()
    given = {node.name for node in source.node}
    for number, node in enumerate(source.node):
        name = _free_name(node.name or f"{node.op_type}_{number}", taken if node.name else taken | given)
        taken.add(name)
        captures = tuple(captured for captured in _outer_names(node) if captured in values)
        try:
            operands = [values[operand] if operand else None for operand in node.input]
        except KeyError as missing:
            raise ModelError(f"node {name!r} ({node.op_type}) reads {missing}, which nothing makes") from None
        operands += [values[captured] for captured in captures]
        results = [Value(result, known.get(result)) for result in node.output]
        bare = onnx.NodeProto()
        bare.CopyFrom(node)
        del bare.input[:], bare.output[:]
        bare.name = name
        bare.ClearField("doc_string")
        graph.add(HostOp(name=name, operands=list(operands), results=results, node=bare, captures=captures))
        values.update((result.hint, result) for result in results if result.hint)
    for entry in source.output:
        if entry.name not in values:
            raise ModelError(f"the output {entry.name!r} is made by nothing")
        graph.outputs.append(values[entry.name])
        graph.output_names.append(entry.name)
    return graph


def _outer_names(node: onnx.NodeProto) -> list[str]:
    """Names that the subgraphs of a node read and do not define, in the order in which they occur."""
    found: dict[str, None] = {}
    for subgraph in subgraphs(node):
        inner = {value.name for value in subgraph.input} | {tensor.name for tensor in subgraph.initializer}
        for step in subgraph.node:
            for name in (*step.input, *_outer_names(step)):
                if name and name not in inner:
                    found[name] = None
            inner.update(step.output)
        for output in subgraph.output:
            if output.name not in inner:
                found[output.name] = None
    return list(found)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), dtype=values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return numpy_helper.from_array(dense, sparse.values.name)
