"""From an ONNX model to the IR: every node a host operator, ``If``, ``Loop`` and ``Scan`` opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx

from xbarc.errors import ModelError
from xbarc.ir import types
from xbarc.ir.graph import Graph, Value
from xbarc.ir.naming import subgraphs
from xbarc.ir.operators import Control, HostOp
from xbarc.ir.stages import Stage
from xbarc.ir.types import ValueType
from xbarc.onnx_io.prepare import OLDEST_OPSET
from xbarc.onnx_io.tensors import read_array

_CONTROL: Final = frozenset({"If", "Loop", "Scan"})


def import_graph(
    model: onnx.ModelProto,
    known_types: Mapping[str, onnx.TypeProto] | None = None,
    *,
    arrays: Mapping[str, np.ndarray],
) -> Graph:
    """The graph of a prepared model; without ``known_types``, what the model itself declares is known.

    ``arrays`` are its large constants, which are inputs in the model. What is kept does not refer to the model.

    Initializers become constants, also those that are listed as inputs. Every node must have a name of its own, as
    :func:`xbarc.onnx_io.node_names.name_nodes` gives them.

    Raises:
        ModelError: a node that reads what nothing makes.
    """
    source = model.graph
    declared = {entry.name: entry.type for entry in (*source.value_info, *source.output, *source.input)}
    known = {name: types.from_proto(proto) for name, proto in {**declared, **(known_types or {})}.items()}
    values: dict[str, Value] = {}
    small = {tensor.name: read_array(tensor, where=f"tensor {tensor.name!r}") for tensor in source.initializer}
    sparse = {entry.values.name: _dense(entry) for entry in source.sparse_initializer}
    for name, array in {**arrays, **small, **sparse}.items():
        values[name] = Value(name, types.of_array(array), array)
    opsets = {"": OLDEST_OPSET} | {
        "" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import
    }
    graph = Graph(name=source.name, opsets=opsets, stage=Stage.HOST)
    for entry in source.input:
        if entry.name not in values:
            value = values[entry.name] = Value(entry.name, known.get(entry.name))
            graph.inputs.append(value)
    _Importer(known).fill(graph, source, _Scope(values))
    return graph


class _Scope:
    """The values that nodes of a graph can read by name; those of the graphs around it too."""

    def __init__(self, values: dict[str, Value], outer: _Scope | None = None) -> None:
        self.values = values
        self.captured: dict[str, Value] = {}
        self._outer = outer

    def find(self, name: str) -> Value | None:
        """The value of a name, ``None`` where there is none. From around, constants are copied, others captured."""
        if name in self.values or self._outer is None:
            return self.values.get(name)
        around = self._outer.find(name)
        if around is None:
            return None
        inner = self.values[name] = Value(around.hint, around.type, around.constant)
        if around.constant is None:
            self.captured[name] = inner
        return inner


class _Importer:
    """Makes operators of nodes.

    Args:
        known: types by name.
    """

    def __init__(self, known: Mapping[str, ValueType | None]) -> None:
        self._known = known

    def fill(self, graph: Graph, source: onnx.GraphProto, scope: _Scope, *, within: str | None = None) -> None:
        """Add the nodes of a graph and its outputs; ``within``: the node that holds the graph, for messages.

        Raises:
            ModelError: a node that reads what nothing makes.
        """
        for node in source.node:
            opened = node.op_type in _CONTROL and node.domain in ("", "ai.onnx")
            operands = [self._read(scope, operand, node) if operand else None for operand in node.input]
            results = [Value(result, self._known.get(result)) for result in node.output]
            bare = onnx.NodeProto()
            bare.CopyFrom(node)
            del bare.input[:], bare.output[:]
            bare.ClearField("doc_string")
            if opened:
                graph.add(self._control(graph, bare, operands, results, scope))
            else:
                names = [captured for captured in _outer_names(node) if scope.find(captured) is not None]
                operands += [scope.find(captured) for captured in names]
                graph.add(HostOp(name=node.name, operands=operands, results=results, node=bare, captures=tuple(names)))
            scope.values.update((result.hint, result) for result in results if result.hint)
        for entry in source.output:
            output = scope.find(entry.name)
            if output is None:
                raise ModelError(f"the output {entry.name!r} is made by nothing", where=within)
            graph.outputs.append(output)
            graph.output_names.append(entry.name)

    def _read(self, scope: _Scope, name: str, node: onnx.NodeProto) -> Value:
        value = scope.find(name)
        if value is None:
            raise ModelError(f"node {node.name!r} ({node.op_type}) reads {name!r}, which nothing makes")
        return value

    def _control(
        self,
        graph: Graph,
        node: onnx.NodeProto,
        operands: list[Value | None],
        results: list[Value],
        scope: _Scope,
    ) -> Control:
        """An operator with its bodies as graphs, closed: what they read of outer graphs comes in by inputs."""
        bodies, inner = {}, {}
        for attribute in [entry for entry in node.attribute if entry.type == onnx.AttributeProto.GRAPH]:
            bodies[attribute.name], inner[attribute.name] = self._body(graph, node.name, attribute.g, scope)
            node.attribute.remove(attribute)
        captured = list(dict.fromkeys(name for each in inner.values() for name in each.captured))
        outer = [scope.find(name) for name in captured]
        for key, body in bodies.items():
            for name, around in zip(captured, outer, strict=True):
                own = inner[key].captured.get(name)
                body.inputs.append(own or Value(name, None if around is None else around.type))
        return Control(
            name=node.name,
            operands=[*operands, *outer],
            results=results,
            node=node,
            bodies=bodies,
            captured=len(captured),
        )

    def _body(self, graph: Graph, name: str, source: onnx.GraphProto, around: _Scope) -> tuple[Graph, _Scope]:
        known = {
            entry.name: types.from_proto(entry.type) for entry in (*source.value_info, *source.input, *source.output)
        }
        values: dict[str, Value] = {}
        for tensor in source.initializer:
            array = read_array(tensor, where=f"tensor {tensor.name!r} in {name!r}")
            values[tensor.name] = Value(tensor.name, types.of_array(array), array)
        body = Graph(name=source.name, opsets=dict(graph.opsets), stage=Stage.HOST)
        for entry in source.input:
            values[entry.name] = Value(entry.name, known.get(entry.name))
            body.inputs.append(values[entry.name])
        scope = _Scope(values, around)
        _Importer(known).fill(body, source, scope, within=f"node {name!r}")
        return body, scope


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


def _dense(sparse: onnx.SparseTensorProto) -> np.ndarray:
    where = f"sparse tensor {sparse.values.name!r}"
    values, indices = read_array(sparse.values, where=where), read_array(sparse.indices, where=where)
    dense = np.zeros(tuple(sparse.dims), dtype=values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense
