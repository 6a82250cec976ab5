"""What bodies read of the graphs around them, kept to what is read, in one order."""

from __future__ import annotations

from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import Control


def settle_captures(graph: Graph) -> None:
    """Drop operators that nothing needs and captured values that no body reads; order the others by their first use.

    So a graph does not tell whether it was compiled or read back from a file, and makes nothing for nobody.
    """
    controls = [operator for operator in graph.operators() if isinstance(operator, Control)]
    for control in controls:
        for body in control.bodies.values():
            settle_captures(body)
            body.prune()
        _settle(graph, control)
    if controls:
        graph.prune()


def _settle(graph: Graph, control: Control) -> None:
    first: dict[int, None] = {}
    for body in control.bodies.values():
        own = len(body.inputs) - control.captured
        place = {value: index for index, value in enumerate(body.inputs[own:])}
        read = (value for operator in body.operators() for value in operator.operands)
        for value in (*read, *body.outputs):
            if value in place:
                first[place[value]] = None
    order = list(first)
    if order == list(range(control.captured)):
        return
    for body in control.bodies.values():
        own = len(body.inputs) - control.captured
        inner: list[Value] = body.inputs[own:]
        body.inputs[own:] = [inner[index] for index in order]
    captured = control.captures
    graph.set_operands(control, [*control.explicit, *(captured[index] for index in order)])
    control.captured = len(order)
