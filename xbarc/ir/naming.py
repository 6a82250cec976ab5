"""Unique names for values, given when a graph leaves the compiler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import Control, HostOp
from xbarc.ir.scopes import bodies, scopes


def unique_names(graph: Graph) -> dict[Value, str]:
    """A name for every value, those in bodies included: inputs and outputs keep theirs, the others get their hint, with
    a number where it is taken.

    A captured value has the same name inside a body. Names inside subgraphs that host operators hold unopened are left
    alone, and no outer value takes one.
    """
    names: dict[Value, str] = {value: value.hint for value in graph.inputs}
    taken = set(names.values()) | set(graph.output_names)
    for value, name in zip(graph.outputs, graph.output_names, strict=True):
        if value not in names and value.constant is None:
            names[value] = name
    every = list(scopes(graph))
    for scope in every:
        for operator in scope.operators():
            if isinstance(operator, HostOp) and operator.captures:
                taken.update(inner_names(operator.node))
                for name, captured in captured_values(operator):
                    if captured not in names and name not in taken and scope is graph:
                        names[captured] = name
                    taken.add(name)
    fresh = FreshNames(taken)
    for scope in every:
        _name_scope(scope, names, fresh)
    return names


def _name_scope(graph: Graph, names: dict[Value, str], fresh: FreshNames) -> None:
    """Name what is not named yet: constants, results, and inputs of bodies, which follow their graph."""
    for operator in graph.operators():
        for value in (*_constants(operator), *operator.results):
            if value not in names:
                names[value] = fresh(value.hint or operator.name or operator.mnemonic)
        for body in bodies(operator):
            captured = operator.captures if isinstance(operator, Control) else []
            own = len(body.inputs) - len(captured)
            for value in body.inputs[:own]:
                names[value] = fresh(value.hint or "input")
            for value, outer in zip(body.inputs[own:], captured, strict=True):
                if outer is not None:
                    names[value] = names[outer]
    for value in graph.outputs:
        if value not in names:
            names[value] = fresh(value.hint or "constant")


def captured_values(operator: HostOp) -> list[tuple[str, Value]]:
    """The outer values that subgraphs of an operator read, with the names by which they know them."""
    values = operator.operands[len(operator.operands) - len(operator.captures) :]
    return [(name, value) for name, value in zip(operator.captures, values, strict=True) if value is not None]


def inner_names(node: onnx.NodeProto) -> set[str]:
    """Every value name that the subgraphs of a node define."""
    found: set[str] = set()
    for subgraph in subgraphs(node):
        found.update(value.name for value in subgraph.input)
        found.update(tensor.name for tensor in subgraph.initializer)
        for inner in subgraph.node:
            found.update(inner.output)
            found |= inner_names(inner)
    return found


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The subgraphs that a node holds as attributes."""
    found = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    for attribute in node.attribute:
        found.extend(attribute.graphs)
    return found


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, and all that are held by nodes in it."""
    waiting = [graph]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(inner for node in found.node for inner in subgraphs(node))


class FreshNames:
    """Gives each name once; remembers the last number of each, so that many equal hints do not take quadratic time."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def __call__(self, hint: str) -> str:
        name = hint
        while name in self._taken:
            self._last[hint] = self._last.get(hint, 0) + 1
            name = f"{hint}_{self._last[hint]}"
        self._taken.add(name)
        return name


def _constants(operator: Operator) -> list[Value]:
    return [value for value in operator.operands if value is not None and value.constant is not None]
