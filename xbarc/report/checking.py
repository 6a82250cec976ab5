"""What of a model would go on tiles: one entry an operator, before any hardware is chosen."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import Control, HostOp, MatVec
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.sample_loops import SampleAxis
from xbarc.ir.samples import sample_axes
from xbarc.ir.work import host_macs, matvec_macs
from xbarc.report.work import analog_share, total_macs


@dataclass(frozen=True, slots=True)
class Matrix:
    """A static matrix: ``groups`` diagonal parts of ``rows x columns``."""

    groups: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class OperatorChoice:
    """One operator.

    Attributes:
        name, kind: the ONNX node and its type.
        analog: whether it goes on tiles.
        matrix: what the tiles would hold; ``None`` for host operators.
        macs: multiply-accumulates of one sample; ``None`` where they are not known.
        reason: why it goes there.
    """

    name: str
    kind: str
    analog: bool
    matrix: Matrix | None
    macs: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A model's operators, in the order of execution.

    Attributes:
        operators: those that are left to run.
        folded: number of operators, by type, that are computed at compile time or folded into weights.
    """

    operators: tuple[OperatorChoice, ...]
    folded: dict[str, int]

    @property
    def analog_macs(self) -> int | None:
        """Multiply-accumulates of one sample on tiles; ``None`` where one operator's are not known."""
        return total_macs(operator.macs for operator in self.operators if operator.analog)

    @property
    def host_macs(self) -> int | None:
        """Multiply-accumulates of one sample in digital products; ``None`` where one operator's are not known."""
        return total_macs(operator.macs for operator in self.operators if not operator.analog)

    @property
    def analog_share(self) -> float | None:
        """The share of the network's multiply-accumulates that would be on tiles."""
        return analog_share(self.analog_macs, self.host_macs)

    def to_json(self) -> dict[str, Any]:
        """Plain data; every key as the attribute of that name says."""
        return {
            "schema": 1,
            "analog_macs": self.analog_macs,
            "host_macs": self.host_macs,
            "analog_share": self.analog_share,
            "operators": [dataclasses.asdict(operator) for operator in self.operators],
            "folded": dict(self.folded),
        }


def check_report(graph: Graph, source: Iterable[Operator]) -> CheckReport:
    """The report of a lowered graph.

    Args:
        graph: at stage ``LOWERED``.
        source: the operators that it had before, those in bodies included.
    """
    times = repetitions(graph)
    products = {operator.origin for operator in times if isinstance(operator, MatVec)}
    gone = [
        operator.kind
        for operator in source
        if isinstance(operator, HostOp) and operator not in times and operator.name not in products
    ]
    axes = sample_axes(graph)
    choices = (_choice(operator, axes, count) for operator, count in times.items())
    return CheckReport(tuple(choices), dict(Counter(gone)))


def _choice(operator: Operator, axes: Mapping[Value, SampleAxis], times: int | None) -> OperatorChoice:
    if isinstance(operator, MatVec):
        macs = repeated(matvec_macs(operator), times)
        return OperatorChoice(
            operator.name, operator.source, True, Matrix(*operator.weight.shape), macs, operator.reason
        )
    if isinstance(operator, HostOp):
        reason = operator.decision.reason if operator.decision else "made by the compiler"
        macs = repeated(host_macs(operator, axes), times)
        return OperatorChoice(operator.name, operator.kind, False, None, macs, reason)
    if isinstance(operator, Control):
        return OperatorChoice(operator.name, operator.kind, False, None, 0, _CONTROL)
    raise ValueError(f"{operator.mnemonic} {operator.name!r} is not at graph level")


_CONTROL = "control flow; what is in its body follows"
