"""How often operators run in one inference."""

from __future__ import annotations

from collections.abc import Iterator

from xbarc.ir.graph import Graph, Operator
from xbarc.ir.operators import Control
from xbarc.ir.scopes import bodies


def repetitions(graph: Graph) -> dict[Operator, int | None]:
    """How often each operator runs, in bodies too, in the order of execution; ``None`` where that is not known.

    A loop counts as often as it may run at most, each branch of an ``If`` once.
    """
    return dict(_walk(graph, 1))


def repeated(count: int | None, times: int | None) -> int | None:
    """A count of something that is done so many times; ``None`` where one of the two is not known."""
    return 0 if count == 0 else None if count is None or times is None else count * times


def _walk(graph: Graph, times: int | None) -> Iterator[tuple[Operator, int | None]]:
    for operator in graph.operators():
        yield operator, times
        if isinstance(operator, Control):
            each = trips(operator)
            within = None if times is None or each is None else times * each
            for body in bodies(operator):
                yield from _walk(body, within)


def trips(operator: Control) -> int | None:
    if operator.kind == "If":
        return 1
    first = operator.operands[0]
    if operator.kind == "Loop":
        if first is None or first.constant is None or first.constant.size != 1:
            return None
        return max(int(first.constant.item()), 0)
    explicit = operator.explicit
    sequences = int(operator.attribute("num_scan_inputs"))
    axes = operator.attribute("scan_input_axes") or [0] * sequences
    for value, axis in zip(explicit[len(explicit) - sequences :], axes, strict=True):
        if value is not None and value.shape is not None and isinstance(size := value.shape[axis], int):
            return size
    return None
