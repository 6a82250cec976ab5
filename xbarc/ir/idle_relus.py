"""Rectifiers that do nothing: behind them, DACs clip below zero as well."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import Dac, HostOp
from xbarc.ir.regions import HostRegion


def idle_relus(graph: Graph, kept: Collection[Value]) -> dict[Value, Value]:
    """What each ``Relu`` makes, and of what, where it need not run: only DACs of unsigned codes read the result.

    A code of 0 stands for all that is not above zero, and what is no number stays none either way. Values to be
    ``kept`` are read by others.
    """
    found = {}
    for operator in graph.operators():
        if not isinstance(operator, HostOp) or operator.kind != "Relu":
            continue
        (source,), (result,) = operator.operands, operator.results
        read_by_others = result in kept or graph.is_output(result) or not all(map(_clips_below_zero, result.users))
        if source is not None and source.constant is None and not read_by_others:
            found[result] = source
    return found


def without(region: HostRegion, idle: Mapping[Value, Value]) -> HostRegion:
    """The region without rectifiers that need not run: what they read is its output instead."""
    operators = tuple(operator for operator in region.operators if not any(made in idle for made in operator.results))
    made = {value for operator in operators for value in operator.results}
    read = {value for operator in operators for value in operator.operands}
    outputs = dict.fromkeys(idle.get(value, value) for value in region.outputs)
    return HostRegion(
        operators,
        tuple(value for value in region.inputs if value in read),
        tuple(value for value in outputs if value in made),
    )


def _clips_below_zero(reader: object) -> bool:
    return isinstance(reader, Dac) and reader.quantises and reader.codes is not None and reader.codes.low == 0
