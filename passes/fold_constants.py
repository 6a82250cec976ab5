"""Fold constants: host operators that depend on constants alone are computed once, by the executor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import networkx as nx
from onnx import TensorProto

from xbarc.ir.executor import Executor
from xbarc.ir.graph import Graph, Operator, Value, ancestors
from xbarc.ir.operators import Control, HostOp
from xbarc.ir.scopes import bodies, scopes
from xbarc.ir.stages import Stage
from xbarc.ir.types import TensorType, of_array
from xbarc.passes.products.catalogue import RULES

_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Dropout"}
)
#: Element types that are not looked into.
_OPAQUE: Final = frozenset({TensorProto.UNDEFINED, TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128})
_LARGE: Final = 2**20  # elements; results above this size are folded only where they are no larger than their operands
_PORTION: Final = 2**24  # elements; about so many are made at a time


@dataclass(frozen=True)
class FoldConstants:
    """Replace what is known before the program runs by its value, and drop what no output needs.

    Not folded: random operators, results that are no tensors of numbers, and large tensors that a small recipe makes,
    where no product has them as its matrix.
    """

    name: ClassVar[str] = "fold-constants"
    requires: ClassVar[Stage] = Stage.HOST
    ensures: ClassVar[Stage] = Stage.HOST

    executor: Executor

    def run(self, graph: Graph) -> None:
        waiting = [graph]
        while waiting:
            scope = waiting.pop()
            self._fold(scope)
            for operator in scope.operators():
                if isinstance(operator, Control):
                    _sink_constants(scope, operator)
                    _sink_fixed_states(scope, operator)
                waiting.extend(bodies(operator))

    def _fold(self, graph: Graph) -> None:
        graph.prune()
        _join_equal(graph)
        waiting = _portions(_known(graph))
        while waiting:  # what a portion was made of goes before the next one is made
            portion = set(waiting.pop())
            values = [
                value
                for operator in portion
                for value in operator.results
                if graph.is_output(value) or any(user not in portion for user in value.users)
            ]
            for value, array in zip(values, self.executor.evaluate(graph, values), strict=True):
                graph.replace_uses(value, Value(value.hint, of_array(array), array))
            graph.prune()


def _join_equal(graph: Graph) -> None:
    """Copies of constants are the constants, and what is made twice of the same constants in the same way is made once.

    So that one matrix that several operators share stays one.
    """
    made: dict[tuple[object, ...], Operator] = {}
    makers: set[Operator] = set()
    for operator in graph.operators():
        operands = operator.operands
        known = (value is None or value.constant is not None or value.producer in makers for value in operands)
        if not isinstance(operator, HostOp) or operator.captures or operator.kind in _RANDOM:
            continue
        if not operands or not all(known):
            continue
        if operator.kind == "Identity" and operator.operand.constant is not None:
            graph.replace_uses(operator.result, operator.operand)
            continue
        attributes = sorted(entry.SerializeToString(deterministic=True) for entry in operator.node.attribute)
        names = (
            None if value is None else id(value if value.constant is None else value.constant) for value in operands
        )
        twin = made.setdefault((operator.kind, len(operator.results), *attributes, *names), operator)
        makers.add(twin)
        if twin is not operator:
            for old, new in zip(operator.results, twin.results, strict=True):
                graph.replace_uses(old, new)
    graph.prune()


def _known(graph: Graph) -> list[Operator]:
    """The operators to fold, in order: results that are large and quickly made only where they are static matrices."""
    computable: set[Operator] = set()
    for operator in graph.operators():
        if _computable(operator, computable):
            computable.add(operator)
    products = [operator for operator in graph.operators() if isinstance(operator, HostOp) and operator.kind in RULES]
    weights = [value for product in products if product not in computable for value in product.operands]
    needed = ancestors(value for value in weights if value is not None and value.producer in computable)
    known: dict[Operator, None] = {}
    for operator in graph.operators():
        made = (value.producer for value in operator.operands if value is not None)
        wanted = operator in computable and (operator in needed or _frugal(operator))
        if wanted and all(maker is None or maker in known for maker in made):
            known[operator] = None
    return list(known)


def _portions(operators: list[Operator]) -> list[list[Operator]]:
    """Operators in groups that share no values but constants, several small ones together."""
    joined: nx.Graph[Operator] = nx.Graph()
    joined.add_nodes_from(operators)
    inside = set(operators)
    for operator in operators:
        for result in operator.results:
            joined.add_edges_from((operator, user) for user in result.users if user in inside)
    portions: list[list[Operator]] = []
    room = 0
    for component in nx.connected_components(joined):
        if room <= 0:
            portions.append([])
            room = _PORTION
        portions[-1] += component
        room -= sum(_size(value) or 0 for operator in component for value in (*operator.operands, *operator.results))
    return portions


def _sink_constants(graph: Graph, operator: Control) -> None:
    """What bodies capture and is known becomes a constant of theirs."""
    explicit = len(operator.operands) - operator.captured
    for index in reversed(range(operator.captured)):
        outer = operator.operands[explicit + index]
        if outer is None or outer.constant is None:
            continue
        for body in operator.bodies.values():
            place = len(body.inputs) - operator.captured + index
            body.replace_uses(body.inputs[place], Value(outer.hint, outer.type, outer.constant))
            del body.inputs[place]
        graph.set_operand(operator, explicit + index, None)
        del operator.operands[explicit + index]
        operator.captured -= 1


def _sink_fixed_states(graph: Graph, operator: Control) -> None:
    """A state that is known at first, and that no step changes, is a constant, within the loop and after it."""
    if operator.kind == "If":
        return
    before = 2 if operator.kind == "Loop" else 0  # the number of the step and the condition
    stepped = int(operator.attribute("num_scan_inputs", 0))
    body = operator.bodies["body"]
    for index, initial in enumerate(operator.explicit[before : len(operator.explicit) - stepped]):
        inner, outer = body.inputs[before + index], operator.results[index]
        if initial is None or initial.constant is None or _original(body.outputs[min(before, 1) + index]) is not inner:
            continue
        body.replace_uses(inner, Value(initial.hint, initial.type, initial.constant))
        graph.replace_uses(outer, Value(outer.hint, initial.type, initial.constant))


def _original(value: Value) -> Value:
    """The value of which this is a copy."""
    while isinstance(value.producer, HostOp) and value.producer.kind == "Identity":
        value = value.producer.operand
    return value


def _computable(operator: Operator, known: set[Operator]) -> bool:
    """Whether an operator makes tensors of numbers from constants and from what is known."""
    inside = (inner for body in bodies(operator) for scope in scopes(body) for inner in scope.operators())
    if any(not isinstance(each, HostOp | Control) or each.kind in _RANDOM for each in (operator, *inside)):
        return False
    operands = [value for value in operator.operands if value is not None]
    if not all(value.constant is not None or value.producer in known for value in operands):
        return False
    return all(isinstance(value.type, TensorType) and value.type.elem not in _OPAQUE for value in operator.results)


def _frugal(operator: Operator) -> bool:
    """Whether the results take little, or no more than the operands."""
    total = sum(_size(value) or 0 for value in operator.results)
    allowed = max(_LARGE, sum(_size(value) or 0 for value in operator.operands))
    return total <= allowed or (isinstance(operator, HostOp) and operator.kind == "Constant")


def _size(value: Value | None) -> int | None:
    if value is None:
        return None
    sizes = [size for size in value.shape or () if isinstance(size, int)]
    return math.prod(sizes) if value.shape is not None and len(sizes) == len(value.shape) else None
