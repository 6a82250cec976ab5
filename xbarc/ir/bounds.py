"""Bounds that the graph itself puts on values: a ReLU gives nothing negative, a softmax at most one."""

from __future__ import annotations

import math
from typing import Final

from onnx import TensorProto

from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import Control, HostOp
from xbarc.ir.scopes import bodies, scopes
from xbarc.ir.types import TensorType

#: Smallest and largest possible value.
Bounds = tuple[float, float]

UNBOUNDED: Final[Bounds] = (-math.inf, math.inf)

_FIXED: Final[dict[str, Bounds]] = {
    "Abs": (0.0, math.inf),
    "Cos": (-1.0, 1.0),
    "Exp": (0.0, math.inf),
    "HardSigmoid": (0.0, 1.0),
    "Sigmoid": (0.0, 1.0),
    "Sin": (-1.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Softplus": (0.0, math.inf),
    "Softsign": (-1.0, 1.0),
    "Sqrt": (0.0, math.inf),
    "Tanh": (-1.0, 1.0),
}
#: Results whose every element is an element of the first operand, or a mean of some.
_SELECTING: Final = frozenset(
    """Cast DepthToSpace Expand Flatten Gather GlobalAveragePool GlobalMaxPool Identity MaxPool ReduceMax ReduceMean
    ReduceMin Reshape Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze""".split()
)
_BYTES: Final[dict[int, Bounds]] = {
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.BOOL: (0.0, 1.0),
}


def bounds(graph: Graph) -> dict[Value, Bounds]:
    """Bounds of every value, in bodies too, by interval arithmetic over operators that have a simple rule."""
    known: dict[Value, Bounds] = {}
    for scope in scopes(graph):
        for value in scope.inputs:
            known.setdefault(value, _of_type(value))
        for operator in scope.operators():
            found = _host_bounds(operator, known) if isinstance(operator, HostOp) else UNBOUNDED
            for value in operator.results:
                known[value] = _of_type(value) if found == UNBOUNDED else found
            if isinstance(operator, Control):
                for body in bodies(operator):
                    inner = body.inputs[len(body.inputs) - operator.captured :]
                    for value, outer in zip(inner, operator.captures, strict=True):
                        known[value] = UNBOUNDED if outer is None else known.get(outer, UNBOUNDED)
    return known


def _of_type(value: Value) -> Bounds:
    """What the element type holds."""
    return _BYTES.get(value.type.elem, UNBOUNDED) if isinstance(value.type, TensorType) else UNBOUNDED


def _host_bounds(operator: HostOp, known: dict[Value, Bounds]) -> Bounds:
    incoming = [UNBOUNDED if value is None else known.get(value, UNBOUNDED) for value in operator.operands]
    kind = operator.kind
    low, high = incoming[0] if incoming else UNBOUNDED
    match kind:
        case "Relu":
            return (max(low, 0.0), max(high, 0.0))
        case "Clip":
            lowest, highest = _limit(operator, 1, "min", -math.inf), _limit(operator, 2, "max", math.inf)
            return (min(max(low, lowest), highest), min(max(high, lowest), highest))
        case "Sub":
            other = operator.operands[1]
            if other is None or other.constant is None or other.constant.size == 0 or other.constant.dtype.kind == "O":
                return UNBOUNDED
            ends = (low - float(other.constant.max()), high - float(other.constant.min()))
            return UNBOUNDED if any(map(math.isnan, ends)) else ends
        case "AveragePool":
            return (min(low, 0.0), max(high, 0.0))  # padding counts as zero
        case "Concat" | "Max" | "Min":
            constant = any(value is not None and value.constant is not None for value in operator.operands)
            if constant:
                return UNBOUNDED
            lows, highs = [entry[0] for entry in incoming], [entry[1] for entry in incoming]
            if kind == "Concat":
                return (min(lows), max(highs))
            pick = max if kind == "Max" else min
            return (pick(lows), pick(highs))
        case "Add":
            constant = any(value is not None and value.constant is not None for value in operator.operands)
            return UNBOUNDED if constant else (sum(entry[0] for entry in incoming), sum(entry[1] for entry in incoming))
    if kind in _SELECTING:
        return low, high
    return _FIXED.get(kind, UNBOUNDED)


def _limit(operator: HostOp, index: int, attribute: str, default: float) -> float:
    """A limit of ``Clip``: an operand since opset 11, an attribute before."""
    if index < len(operator.operands) and (value := operator.operands[index]) is not None:
        return default if value.constant is None or value.constant.size != 1 else float(value.constant.item())
    return float(operator.attribute(attribute, default))
