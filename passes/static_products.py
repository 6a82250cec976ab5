"""Recognise products with a static matrix, and the matrix in them.

``Conv``, ``Gemm`` and ``MatMul`` come in many forms; each is brought to ``y = x W + b`` with ``W: (groups, K, N)``,
plus what has to be done to operand and result on the host: a transposition, a squeeze, an addition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from xbarc.errors import ModelError
from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import TensorType
from xbarc.ir.windows import Windows
from xbarc.ir.work import has_hidden_products

_FLOATS = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.FLOAT16: "float16"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operator stays digital.

    Attributes:
        reason: for people.
        is_product: whether it multiplies matrices at all.
    """

    reason: str
    is_product: bool


@dataclass(frozen=True, slots=True)
class StaticProduct:
    """One product brought to a common form.

    Attributes:
        operand: index of the operand that is windowed.
        weight: ``(G, K, N)`` float32 or float64, a view of the model's constant where that is possible.
        bias: ``(G * N,)`` of the same type, or ``None``.
        windows: geometry.
        transpose_operand, transpose_result: whether the last two axes are exchanged before and after.
        squeeze: whether the result's last axis, of size 1, is dropped.
        addend: index of an operand to be added to the result on the host, and its factor.
        elem: the element type of operand and result.
    """

    operand: int
    weight: np.ndarray
    bias: np.ndarray | None
    windows: Windows
    elem: int
    transpose_operand: bool = False
    transpose_result: bool = False
    squeeze: bool = False
    addend: tuple[int, float] | None = None

    @property
    def reason(self) -> str:
        """Why it can go on tiles."""
        groups, rows, columns = self.weight.shape
        return f"static matrix {rows} x {columns}" + (f" in {groups} groups" if groups > 1 else "")


def recognise(operator: HostOp) -> StaticProduct | Refusal:
    """The static product in an operator, or why there is none.

    Raises:
        ModelError: attributes that contradict one another or have no meaning.
    """
    rule = _RULES.get(operator.kind)
    if rule is None and has_hidden_products(operator.node):
        return Refusal(f"products inside {operator.kind} are not recognised", is_product=True)
    if rule is None:
        return Refusal("no matrix product", is_product=False)
    result = operator.results[0].type
    elem = result.elem if isinstance(result, TensorType) else _elem_of_constants(operator)
    if elem not in _FLOATS:
        return Refusal(f"its element type is {TensorProto.DataType.Name(elem).lower()}", is_product=True)
    return rule(operator, elem)


def _conv(operator: HostOp, elem: int) -> StaticProduct | Refusal:
    kernel = _constant(operator, 1)
    if kernel is None:
        return Refusal("its kernel is not constant", is_product=True)
    if _present(operator, 2) and _constant(operator, 2) is None:
        return Refusal("its bias is not constant", is_product=True)
    if kernel.ndim < 3 or kernel.size == 0:
        return Refusal(f"its kernel has shape {list(kernel.shape)}", is_product=True)
    groups = int(operator.attribute("group", 1))
    if groups < 1 or kernel.shape[0] % groups:
        raise _bad(operator, f"{kernel.shape[0]} output channels cannot be parted into {groups} groups")
    weight = kernel.reshape(groups, kernel.shape[0] // groups, -1).transpose(0, 2, 1)
    return StaticProduct(0, weight, _constant(operator, 2), _windows(operator, kernel.shape[2:]), elem)


def _windows(operator: HostOp, kernel: tuple[int, ...]) -> Windows:
    """The geometry of a convolution, refused where ONNX gives it no meaning."""
    rank = len(kernel)
    auto_pad = operator.attribute("auto_pad", b"NOTSET").decode()
    pads = _ints(operator, "pads", [0] * 2 * rank)
    declared = _ints(operator, "kernel_shape", list(kernel))
    windows = Windows(
        kernel=kernel,
        strides=_ints(operator, "strides", [1] * rank),
        dilations=_ints(operator, "dilations", [1] * rank),
        pads=pads if auto_pad == "NOTSET" else (0,) * 2 * rank,
        auto_pad=auto_pad,
    )
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise _bad(operator, f"auto_pad is {auto_pad!r}")
    if declared != kernel:
        raise _bad(operator, f"kernel_shape is {list(declared)}, but its kernel is {list(kernel)}")
    if len(windows.strides) != rank or min(windows.strides) < 1:
        raise _bad(operator, f"strides are {list(windows.strides)}, expected {rank} numbers of at least 1")
    if len(windows.dilations) != rank or min(windows.dilations) < 1:
        raise _bad(operator, f"dilations are {list(windows.dilations)}, expected {rank} numbers of at least 1")
    if len(pads) != 2 * rank or min(pads) < 0:
        raise _bad(operator, f"pads are {list(pads)}, expected {2 * rank} numbers of at least 0")
    return windows


def _bad(operator: HostOp, what: str) -> ModelError:
    return ModelError(what, where=f"node {operator.name!r} ({operator.kind})", fix="export the model again")


def _gemm(operator: HostOp, elem: int) -> StaticProduct | Refusal:
    alpha = float(operator.attribute("alpha", 1.0))
    beta = float(operator.attribute("beta", 1.0))
    left, right = _constant(operator, 0), _constant(operator, 1)
    trans_a, trans_b = bool(operator.attribute("transA", 0)), bool(operator.attribute("transB", 0))
    if right is not None:
        matrix = right.T if trans_b else right
        operand, transpose_operand = 0, trans_a
    elif left is not None:
        # (A B)^T = B^T A^T: the rows of the result become windows.
        matrix = left if trans_a else left.T
        operand, transpose_operand = 1, not trans_b
    else:
        return Refusal("neither matrix is constant", is_product=True)
    if matrix.size == 0:
        return Refusal(f"its matrix has shape {list(matrix.shape)}", is_product=True)
    bias, addend = None, None
    if _present(operator, 2) and beta != 0.0:
        constant = _constant(operator, 2)
        if constant is not None:
            bias = _column_bias(constant, matrix.shape[1], along=1 - operand)
        if bias is None:
            addend = (2, beta)
        else:
            bias = bias * beta
    weight = matrix[None] if alpha == 1.0 else matrix[None] * alpha
    return StaticProduct(
        operand,
        weight,
        bias,
        Windows(),
        elem,
        transpose_operand=transpose_operand,
        transpose_result=operand == 1,
        addend=addend,
    )


def _matmul(operator: HostOp, elem: int) -> StaticProduct | Refusal:
    left, right = _constant(operator, 0), _constant(operator, 1)
    constant = left if right is None else right
    if constant is None:
        return Refusal("neither matrix is constant", is_product=True)
    other = operator.operands[1 if right is None else 0]
    rank = None if other is None or other.shape is None else len(other.shape)
    if constant.ndim > 2 and any(size != 1 for size in constant.shape[:-2]):
        return Refusal(f"its constant is a batch of matrices, {list(constant.shape)}", is_product=True)
    if constant.ndim > 2 and (rank is None or rank < constant.ndim):
        return Refusal("its constant has more axes than its input", is_product=True)
    if constant.size == 0 or constant.ndim == 0:
        return Refusal(f"its constant has shape {list(constant.shape)}", is_product=True)
    vector = constant.ndim == 1
    matrix = constant.reshape(constant.shape[-2:]) if not vector else None
    if right is not None:
        weight = constant[:, None] if matrix is None else matrix
        return StaticProduct(0, weight[None], None, Windows(), elem, squeeze=vector)
    if rank is None:
        return Refusal("the rank of its input is not known", is_product=True)
    weight = constant[:, None] if matrix is None else matrix.T
    return StaticProduct(
        1,
        weight[None],
        None,
        Windows(),
        elem,
        transpose_operand=rank > 1,
        transpose_result=rank > 1 and not vector,
        squeeze=vector,
    )


_RULES: dict[str, Callable[[HostOp, int], StaticProduct | Refusal]] = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}


def _column_bias(addend: np.ndarray, columns: int, *, along: int) -> np.ndarray | None:
    """The addend as one number a column, where it is that; ``along``: axis of the result on which the columns lie."""
    shape = (1,) * (2 - addend.ndim) + addend.shape
    if len(shape) != 2 or shape[1 - along] != 1 or shape[along] not in (1, columns):
        return None
    return np.broadcast_to(addend.reshape(-1), (columns,)).copy()


def _present(operator: HostOp, index: int) -> bool:
    return index < len(operator.operands) and operator.operands[index] is not None


def _constant(operator: HostOp, index: int) -> np.ndarray | None:
    value: Value | None = operator.operands[index] if index < len(operator.operands) else None
    if value is None or value.constant is None:
        return None
    array = numpy_helper.to_array(value.constant)
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def _elem_of_constants(operator: HostOp) -> int:
    for value in operator.operands:
        if value is not None and value.constant is not None:
            return int(value.constant.data_type)
    return int(onnx.TensorProto.UNDEFINED)


def _ints(operator: HostOp, name: str, default: list[int]) -> tuple[int, ...]:
    given = operator.attribute(name) or default
    return tuple(int(entry) for entry in given)
