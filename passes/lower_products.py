"""Lower products: the operators chosen for tiles become ``MatVec``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xbarc.errors import InternalError
from xbarc.ir.captures import settle_captures
from xbarc.ir.graph import Graph
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.samples import sample_axes
from xbarc.ir.scopes import scopes
from xbarc.ir.stages import Stage
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.catalogue import recognise
from xbarc.passes.products.rule import Refusal


@dataclass(frozen=True)
class LowerProducts:
    """Replace each chosen operator by ``MatVec``, with the transpositions and additions around it left to the host.

    Products of other float types are cast to float32 before and back after: the converters decide the precision.

    Raises:
        ModelError: weights or biases that are not finite.
    """

    name: ClassVar[str] = "lower-products"
    requires: ClassVar[Stage] = Stage.CHOSEN
    ensures: ClassVar[Stage] = Stage.LOWERED

    def run(self, graph: Graph) -> None:
        for scope in list(scopes(graph)):
            for operator in scope.operators():
                if isinstance(operator, HostOp) and operator.decision is not None and operator.decision.analog:
                    _lower(scope, operator, operator.decision.reason)
            scope.prune()  # an addend that counts zero times has lost its reader
        settle_captures(graph)
        axes = sample_axes(graph)
        for scope in scopes(graph):
            for operator in scope.operators():
                if isinstance(operator, MatVec):
                    axis = axes.get(operator.operand)
                    operator.sample_axis = axis if isinstance(axis, int) else None


def _lower(graph: Graph, operator: HostOp, reason: str) -> None:
    lowering = recognise(operator)
    if isinstance(lowering, Refusal):
        raise InternalError(f"{operator.name!r} was chosen, but cannot be lowered: {lowering.reason}")
    made = lowering.build(Builder(graph, operator, reason))
    for old, new in zip(operator.results, made, strict=True):
        if new is not None:
            new.hint, new.type = old.hint, old.type or new.type
            graph.replace_uses(old, new)
    graph.remove(operator)
