"""The graph: operators joined by values that know who makes them and who uses them."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from xbarc.errors import InternalError
from xbarc.ir.stages import Stage
from xbarc.ir.types import TensorType, ValueType


class Value:
    """One array that flows through the graph. Identity is the object; the name is a hint.

    Attributes:
        hint: what the value would like to be called. Names that must be unique are given when the graph is written.
        type: element type and shape, as far as known.
        constant: the array, where the value is known before the program runs: of the numpy type (or that of ml_dtypes)
            of the element type, of objects where it is text. Not to be written to.
        producer: the operator that makes it; ``None`` for inputs and constants.
        users: how often each operator reads it.
    """

    __slots__ = ("constant", "hint", "producer", "type", "users")

    def __init__(self, hint: str, type: ValueType | None = None, constant: np.ndarray | None = None) -> None:
        self.hint = hint
        self.type = type
        self.constant = constant
        self.producer: Operator | None = None
        self.users: dict[Operator, int] = {}

    def __repr__(self) -> str:
        return f"Value({self.hint!r}, {self.type})"

    @property
    def shape(self) -> tuple[int | str | None, ...] | None:
        """The shape as far as it is known; ``None`` where not even the rank is."""
        return self.type.shape if isinstance(self.type, TensorType) else None


@dataclass(eq=False, kw_only=True)
class Operator:
    """What every operator has: a name for messages, operands and results."""

    mnemonic: ClassVar[str] = "operator"

    name: str
    operands: list[Value | None] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)

    @property
    def operand(self) -> Value:
        """The first operand, of operators that have just one to speak of."""
        value = self.operands[0]
        if value is None:
            raise InternalError(f"operator {self.name!r} lacks its operand")
        return value

    @property
    def result(self) -> Value:
        """The first result."""
        return self.results[0]

    def copy(self) -> Self:
        """The same operator, not yet in a graph: with the same operands and results, arrays shared."""
        return copy.copy(self)


@dataclass(eq=False, kw_only=True)
class Graph:
    """A network: at graph level host operators and matrix products, at tile level the steps of the hardware.

    Attributes:
        inputs: what the caller feeds; their hints are their names.
        outputs: what the caller gets, called ``output_names``.
        opsets: version of each operator set that host operators are written for, by domain.
        stage: how far the compiler has come; see :class:`xbarc.ir.stages.Stage`.
    """

    name: str
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    opsets: dict[str, int] = field(default_factory=dict)
    stage: Stage = Stage.HOST
    _operators: dict[Operator, None] = field(default_factory=dict)
    _order: list[Operator] | None = None

    def __len__(self) -> int:
        return len(self._operators)

    def __contains__(self, operator: Operator) -> bool:
        return operator in self._operators

    def add(self, operator: Operator) -> Operator:
        """Put an operator into the graph and link it to its operands."""
        if operator in self._operators:
            raise InternalError(f"operator {operator.name!r} is in the graph already")
        self._operators[operator] = None
        self._order = None
        for operand in operator.operands:
            _link(operand, operator)
        for value in operator.results:
            if value.producer is not None:
                raise InternalError(f"value {value.hint!r} has two producers")
            value.producer = operator
        return operator

    def remove(self, operator: Operator) -> None:
        """Take out an operator whose results nobody uses."""
        for value in operator.results:
            if value.users or any(value is output for output in self.outputs):
                names = ", ".join(user.name for user in value.users) or "the graph's outputs"
                raise InternalError(f"operator {operator.name!r} cannot go: {value.hint!r} is used by {names}")
        for operand in operator.operands:
            _unlink(operand, operator)
        for value in operator.results:
            value.producer = None
        del self._operators[operator]
        self._order = None

    def set_operand(self, operator: Operator, index: int, value: Value | None) -> None:
        """Let one operand be another value."""
        self._order = None
        _unlink(operator.operands[index], operator)
        operator.operands[index] = value
        _link(value, operator)

    def set_operands(self, operator: Operator, values: list[Value | None]) -> None:
        """Let an operator have other operands, more or fewer."""
        for value in operator.operands:
            _unlink(value, operator)
        operator.operands = list(values)
        for value in operator.operands:
            _link(value, operator)
        self._order = None

    def replace_uses(self, old: Value, new: Value) -> None:
        """Let everyone who reads ``old``, the graph's outputs included, read ``new``."""
        for user in list(old.users):
            for _ in range(old.users[user]):
                self.set_operand(user, user.operands.index(old), new)
        self.outputs = [new if output is old else output for output in self.outputs]

    def replace(self, old: Operator, new: Operator) -> None:
        """Put ``new`` where ``old`` was: its results take the place of the old ones, one by one."""
        self.add(new)
        for before, after in zip(old.results, new.results, strict=True):
            after.hint = before.hint
            self.replace_uses(before, after)
        self.remove(old)

    def operators(self) -> list[Operator]:
        """All operators, producers before users; among the free ones, the order in which they were added.

        Raises:
            InternalError: where the graph has a cycle; the message names it.
        """
        if self._order is None:
            self._order = _in_order(self._operators)
        return list(self._order)

    def is_output(self, value: Value) -> bool:
        """Whether the caller gets this value."""
        return any(value is output for output in self.outputs)

    def copy(self) -> Graph:
        """A graph of the same operators that can be changed by itself; arrays and constants are shared."""
        values: dict[Value, Value] = {}

        def twin(value: Value) -> Value:
            if value not in values:
                values[value] = Value(value.hint, value.type, value.constant)
            return values[value]

        graph = Graph(name=self.name, output_names=list(self.output_names), opsets=dict(self.opsets), stage=self.stage)
        graph.inputs = [twin(value) for value in self.inputs]
        for operator in self._operators:
            other = operator.copy()
            other.operands = [None if value is None else twin(value) for value in operator.operands]
            other.results = [twin(value) for value in operator.results]
            graph.add(other)
        graph.outputs = [twin(value) for value in self.outputs]
        return graph

    def prune(self) -> int:
        """Remove the operators that no output needs; return how many."""
        removed, kept = 0, set(self.outputs)
        for operator in reversed(self.operators()):
            if not any(value.users or value in kept for value in operator.results):
                self.remove(operator)
                removed += 1
        return removed


def _in_order(operators: Collection[Operator]) -> list[Operator]:
    """Producers before users, otherwise in the order given: of all that can come next, the first.

    Written out, because graphs of many thousand operators are ordered after every pass.
    """
    given = list(operators)
    position = {operator: index for index, operator in enumerate(given)}
    readers = [[position[user] for result in operator.results for user in result.users] for operator in given]
    missing = [0] * len(given)
    for users in readers:
        for user in users:
            missing[user] += 1
    ready = [index for index, count in enumerate(missing) if count == 0]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(given[index])
        for user in readers[index]:
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(given):
        import networkx as nx  # here: most commands never need it, and it takes a tenth of their start

        edges = nx.DiGraph((given[index], given[user]) for index, users in enumerate(readers) for user in users)
        cycle = " -> ".join(edge[0].name for edge in nx.find_cycle(edges))
        raise InternalError(f"the graph has a cycle: {cycle}")
    return order


def _link(value: Value | None, operator: Operator) -> None:
    if value is not None:
        value.users[operator] = value.users.get(operator, 0) + 1


def _unlink(value: Value | None, operator: Operator) -> None:
    if value is None:
        return
    value.users[operator] -= 1
    if value.users[operator] == 0:
        del value.users[operator]


def ancestors(values: Iterable[Value], stop: Iterable[Value] = ()) -> set[Operator]:
    """The operators that ``values`` depend on, going no further back than ``stop``."""
    barrier = {id(value) for value in stop}
    found: set[Operator] = set()
    waiting = [value for value in values if id(value) not in barrier]
    while waiting:
        producer = waiting.pop().producer
        if producer is None or producer in found:
            continue
        found.add(producer)
        waiting.extend(v for v in producer.operands if v is not None and id(v) not in barrier)
    return found
