"""Host regions: the fewest groups of host operators that can each run as one model.

What onnxruntime does not run as part of a region are layers on tiles, and control operators with products in their
bodies: *steps*. The height of a host operator is the largest number of host operators, each separated from the next by
a step, on any path that ends in it. Operators of equal height run together. A value flows from a lower height to a
higher one or stays within, so the contracted graph is acyclic; and since no two of the operators that make up a height
may share a region, no partition into fewer regions is acyclic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer, layer_of
from xbarc.ir.operators import Control, Dac, HostOp, MatVec
from xbarc.ir.scopes import holds_products


@dataclass(frozen=True, slots=True)
class HostRegion:
    """Host operators that run together.

    Attributes:
        operators: in order.
        inputs: values from outside, constants excepted.
        outputs: values that others need.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def schedule(graph: Graph, keep: Iterable[Value] = ()) -> list[HostRegion | Layer | Control]:
    """Regions, layers and control operators with products of a graph, in an order in which they can run.

    A ``MatVec`` counts as a host operator: before it is lowered to tiles, it is executed in floating point. Values to
    ``keep`` are outputs of their regions even where nothing outside reads them.
    """
    kept = set(keep)
    height: dict[Operator, int] = {}
    on_host: dict[Operator, bool] = {}
    steps: dict[int, list[Layer | Control]] = {}
    regions: dict[int, list[Operator]] = {}
    for operator in graph.operators():
        host = isinstance(operator, HostOp | MatVec) or (isinstance(operator, Control) and not holds_products(operator))
        on_host[operator] = host
        before = (value.producer for value in operator.operands if value is not None)
        crossings = (height[made] + int(host and not on_host[made]) for made in before if made is not None)
        height[operator] = max(int(host), *crossings, 0)
        if host:
            regions.setdefault(height[operator], []).append(operator)
        elif isinstance(operator, Dac):
            steps.setdefault(height[operator], []).append(layer_of(operator))
        elif isinstance(operator, Control):
            steps.setdefault(height[operator], []).append(operator)
    order: list[HostRegion | Layer | Control] = []
    for level in range(max(height.values(), default=-1) + 1):
        if level in regions:
            order.append(_region(graph, regions[level], kept))
        order.extend(steps.get(level, ()))
    return order


def _region(graph: Graph, operators: list[Operator], kept: set[Value]) -> HostRegion:
    inside = set(operators)
    inputs: dict[Value, None] = {}
    outputs: dict[Value, None] = {}
    for operator in operators:
        for value in operator.operands:
            if value is not None and value.constant is None and value.producer not in inside:
                inputs[value] = None
        for value in operator.results:
            if value in kept or graph.is_output(value) or any(user not in inside for user in value.users):
                outputs[value] = None
    return HostRegion(tuple(operators), tuple(inputs), tuple(outputs))
