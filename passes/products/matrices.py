"""``Gemm`` and ``MatMul`` with a constant on either side."""

from __future__ import annotations

import numpy as np
import onnx

from xbarc.ir.equations import Indices, ellipsis_indices
from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.contraction import Term, contraction
from xbarc.passes.products.rule import (
    Lowering,
    Refusal,
    Rule,
    constant,
    element_type,
    matrix_words,
    present,
    refused_type,
)


def gemm(operator: HostOp) -> Lowering | Refusal:
    """``alpha A' B' + beta C``. With the constant on the left, ``(A B)^T = B^T A^T``: columns of ``B`` are windows."""
    refused = refused_type(operator)
    if refused is not None:
        return refused
    alpha = float(operator.attribute("alpha", 1.0))
    beta = float(operator.attribute("beta", 1.0))
    left, right = constant(operator, 0), constant(operator, 1)
    trans_a, trans_b = bool(operator.attribute("transA", 0)), bool(operator.attribute("transB", 0))
    if right is not None:
        matrix = right.T if trans_b else right
        operand, transposed = 0, trans_a
    elif left is not None:
        matrix = left if trans_a else left.T
        operand, transposed = 1, not trans_b
    else:
        return Refusal("neither matrix is constant")
    if matrix.size == 0:
        return Refusal(f"its matrix has shape {list(matrix.shape)}")
    bias, added = None, False
    if present(operator, 2) and beta != 0.0:
        addend = constant(operator, 2)
        bias = None if addend is None else _column_bias(addend, matrix.shape[1], along=1 - operand)
        added = bias is None
    if bias is not None and beta != 1.0:
        bias = bias * beta
    weight = matrix[None] if alpha == 1.0 else matrix[None] * alpha

    def build(builder: Builder) -> list[Value | None]:
        value = builder.operand(operand)
        if transposed:
            value = builder.host("Transpose", [value], "rows", perm=[1, 0])
        result = builder.product(value, weight, bias=bias)
        if operand == 1:
            result = builder.host("Transpose", [result], "columns", perm=[1, 0])
        if not added:
            return [result]
        addend = builder.operand(2)
        if beta != 1.0:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(element_type(operator))
            addend = builder.host("Mul", [addend, builder.constant("beta", np.array(beta, dtype=dtype))], "scaled")
        return [builder.host("Add", [result, addend], "sum")]

    return Lowering(matrix_words(weight), build)


def matmul(operator: HostOp) -> Lowering | Refusal:
    """A product of numpy's ``matmul``, one operand a constant: a vector, a matrix, or a batch of matrices.

    Where both operands have a batch axis, its matrices are groups; where only the constant has it, they lie side by
    side as columns.
    """
    refused = refused_type(operator)
    if refused is not None:
        return refused
    right = constant(operator, 1)
    fixed = constant(operator, 0) if right is None else right
    if fixed is None:
        return Refusal("neither matrix is constant")
    operand = 1 if right is None else 0
    value = operator.operands[operand]
    if fixed.size == 0 or fixed.ndim == 0 or value is None or value.shape == ():
        return Refusal(f"its constant has shape {list(fixed.shape)}")
    if value.shape is None:
        if operand == 0 and fixed.ndim <= 2:
            return _last_axis(fixed)
        return Refusal("the rank of its input is not known")
    inputs = _indices(len(value.shape), left=operand == 0)
    constants = _indices(fixed.ndim, left=operand == 1)
    batch = ellipsis_indices(max(len(value.shape), fixed.ndim, 2) - 2)
    result = (*batch, *(index for index in ("m", "n") if index in (*inputs, *constants)))
    return contraction(value, inputs, Term(constants, fixed), result, operand=operand, broadcast=batch)


def _last_axis(fixed: np.ndarray) -> Lowering:
    """The product of an array of any rank with a matrix or a vector on its right."""
    weight = fixed.reshape(1, fixed.shape[0], -1)

    def build(builder: Builder) -> list[Value | None]:
        result = builder.product(builder.operand(0), weight)
        if fixed.ndim == 1:
            result = builder.host("Squeeze", [result, builder.ints("last", [-1])], "vector")
        return [result]

    return Lowering(matrix_words(weight), build)


def _indices(rank: int, *, left: bool) -> Indices:
    """The indices of one operand of a ``MatMul`` ``...mk,...kn``, a vector having ``k`` alone."""
    if rank == 1:
        return ("k",)
    return (*ellipsis_indices(rank - 2), *("mk" if left else "kn"))


def _column_bias(addend: np.ndarray, columns: int, *, along: int) -> np.ndarray | None:
    """The addend as one number a column, where it is that; ``along``: axis of the result on which the columns lie."""
    shape = (1,) * (2 - addend.ndim) + addend.shape
    if len(shape) != 2 or shape[1 - along] != 1 or shape[along] not in (1, columns):
        return None
    return np.broadcast_to(addend.reshape(-1), (columns,)).copy()


RULES: dict[str, Rule] = {"Gemm": gemm, "MatMul": matmul}
