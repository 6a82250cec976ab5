"""What a rule says of an operator: how its static matrices are reached, or why it stays digital."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto

from xbarc.errors import ModelError
from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import TensorType
from xbarc.passes.products.builder import Builder

#: Element types whose products go on tiles; all are cast to float32 on the way.
FLOATS: Final = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operator stays digital.

    Attributes:
        reason: for people.
        is_product: whether it multiplies matrices at all.
    """

    reason: str
    is_product: bool = True


@dataclass(frozen=True, slots=True)
class Lowering:
    """How an operator becomes products with static matrices.

    Attributes:
        reason: why it can go on tiles, for people.
        build: writes the products and what the host does around them; returns the values that take the place of the
            operator's results, one by one (``None`` for a result that has no name).
    """

    reason: str
    build: Callable[[Builder], Sequence[Value | None]]


#: A rule looks at one kind of operator.
Rule = Callable[[HostOp], Lowering | Refusal]


def matrix_words(weight: np.ndarray) -> str:
    """``static matrix 576 x 64``: the reason of a product ``(groups, rows, columns)``."""
    groups, rows, columns = weight.shape
    return f"static matrix {rows} x {columns}" + (f" in {groups} groups" if groups > 1 else "")


def element_type(operator: HostOp) -> int:
    """The element type of the first result; where it is not known, that of the first constant."""
    result = operator.results[0].type
    if isinstance(result, TensorType):
        return result.elem
    for value in operator.operands:
        if value is not None and value.constant is not None and isinstance(value.type, TensorType):
            return value.type.elem
    return int(TensorProto.UNDEFINED)


def refused_type(operator: HostOp) -> Refusal | None:
    """The refusal of an operator whose result is not of a floating-point type."""
    elem = element_type(operator)
    return None if elem in FLOATS else Refusal(f"its element type is {TensorProto.DataType.Name(elem).lower()}")


def present(operator: HostOp, index: int) -> bool:
    """Whether an optional operand is given."""
    return index < len(operator.operands) and operator.operands[index] is not None


def constant(operator: HostOp, index: int) -> np.ndarray | None:
    """An operand that is known at compile time, floating-point types below float32 as float32."""
    value = operator.operands[index] if index < len(operator.operands) else None
    if value is None or value.constant is None:
        return None
    array = value.constant
    narrow = isinstance(value.type, TensorType) and value.type.elem in FLOATS and array.dtype.itemsize < 4
    return array.astype(np.float32) if narrow else array


def ints(operator: HostOp, name: str, default: Sequence[int]) -> tuple[int, ...]:
    """An attribute that lists integers."""
    given = operator.attribute(name) or default
    return tuple(int(entry) for entry in given)


def bad(operator: HostOp, what: str) -> ModelError:
    """The error of an operator whose attributes contradict one another or have no meaning."""
    return ModelError(what, where=f"node {operator.name!r} ({operator.kind})", fix="export the model again")
