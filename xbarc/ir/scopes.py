"""A graph and the bodies within it."""

from __future__ import annotations

from collections.abc import Iterator

from xbarc.ir.graph import Graph, Operator
from xbarc.ir.operators import Control, Dac, MatVec


def scopes(graph: Graph) -> Iterator[Graph]:
    """The graph, then the bodies of its control operators, each before what it holds itself."""
    waiting = [graph]
    while waiting:
        scope = waiting.pop()
        yield scope
        inner = [body for operator in scope.operators() for body in bodies(operator)]
        waiting.extend(reversed(inner))


def bodies(operator: Operator) -> list[Graph]:
    """The bodies of a control operator; nothing for others."""
    return list(operator.bodies.values()) if isinstance(operator, Control) else []


def holds_products(operator: Operator) -> bool:
    """Whether a control operator has matrix products or layers in its bodies, at any depth."""
    return any(
        isinstance(inner, MatVec | Dac)
        for body in bodies(operator)
        for scope in scopes(body)
        for inner in scope.operators()
    )


def products(graph: Graph) -> list[tuple[Graph, MatVec]]:
    """Every matrix product, with the graph or body that it stands in."""
    return [
        (scope, operator) for scope in scopes(graph) for operator in scope.operators() if isinstance(operator, MatVec)
    ]
