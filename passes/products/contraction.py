"""Products of one array with a constant, an index for each axis: what ``Einsum`` and batched ``MatMul`` share.

With letters for sets of indices, every such product is ``y[f, g, n] = sum over k of x[f, g, k] w[g, k, n]``: the input
is transposed to ``(*f, g k)``, the groups ``g`` have a matrix each, and the result is parted and transposed back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from xbarc.ir.equations import Indices
from xbarc.ir.graph import Value
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.rule import Lowering, Refusal, matrix_words


@dataclass(frozen=True, slots=True)
class Term:
    """A constant and the indices of its axes, each of which it has once."""

    indices: Indices
    array: np.ndarray

    def size(self, index: str) -> int:
        """The size along an index."""
        return int(self.array.shape[self.indices.index(index)])

    def without(self, gone: Sequence[str]) -> Self:
        """Summed over some indices."""
        if not gone:
            return self
        axes = tuple(self.indices.index(index) for index in gone)
        if all(self.array.shape[axis] == 1 for axis in axes):
            array = self.array.squeeze(axes)
        else:
            array = self.array.sum(axis=axes, dtype=np.float64).astype(self.array.dtype)
        return type(self)(tuple(index for index in self.indices if index not in gone), array)

    def transposed(self, *order: str) -> np.ndarray:
        """The array with its axes in the order of the given indices."""
        return self.array.transpose([self.indices.index(index) for index in order])


def contraction(
    value: Value, indices: Indices, fixed: Term, result: Indices, *, operand: int, broadcast: Sequence[str] = ()
) -> Lowering | Refusal:
    """The product of a value with a constant, summed over the indices that the result lacks.

    An axis of size one meets any size, as broadcasting has it.

    Args:
        value, indices: one factor, which has each index once.
        fixed: the other.
        result: indices of the result, each once, all of them known to a factor.
        operand: place of the value among the operands.
        broadcast: indices along which the sizes of an array that is well-formed may differ: where the value's size is
            not known, it may be one. For other indices it is that of the constant.
    """
    if fixed.array.size == 0:
        return Refusal(f"its constant has shape {list(fixed.array.shape)}")
    sizes = dict(zip(indices, value.shape or [None] * len(indices), strict=True))
    squeezed, spread = [], []
    for index, size in zip(fixed.indices, fixed.array.shape, strict=True):
        if index not in sizes:
            continue
        own = sizes[index]
        if size == 1 and (index in result or (isinstance(own, int) and own != 1)):
            spread.append(index)  # the constant does not vary along it
        elif size != 1 and own == 1:
            squeezed.append(index)  # the value does not
        elif isinstance(own, int) and own != size:
            return Refusal(f"its input has size {own} where its constant has size {size}")
        elif not isinstance(own, int) and index in broadcast:
            axis = indices.index(index)
            return Refusal(f"the size of its input along axis {axis} is not known: it may be 1 or {size}")
    fixed = fixed.without(spread)
    left = [index for index in indices if index not in squeezed]
    fixed = fixed.without([index for index in fixed.indices if index not in left and index not in result])
    alone = [index for index in left if index not in fixed.indices and index not in result]
    rows = [index for index in left if index not in fixed.indices and index in result]
    groups = [index for index in left if index in fixed.indices and index in result]
    summed = [index for index in left if index in fixed.indices and index not in result]
    columns = [index for index in result if index not in left]
    if not summed:
        return Refusal("it sums over no axis that both operands have")
    weight = fixed.transposed(*groups, *summed, *columns).reshape(
        math.prod(map(fixed.size, groups)), math.prod(map(fixed.size, summed)), -1
    )

    def build(builder: Builder) -> list[Value | None]:
        taken = builder.operand(operand)
        if squeezed:
            taken = builder.host("Squeeze", [taken, _axes(builder, "spread", indices, squeezed)], "squeezed")
        if alone:
            axes = _axes(builder, "alone", [index for index in indices if index not in squeezed], alone)
            taken = builder.host("ReduceSum", [taken, axes], "summed", keepdims=0)
        held = [index for index in left if index not in alone]
        taken = _transposed(builder, taken, held, [*rows, *groups, *summed], "rows")
        if len(groups) + len(summed) > 1:
            joined = builder.ints("rows.shape", [0] * len(rows) + [weight.shape[0] * weight.shape[1]])
            taken = builder.host("Reshape", [taken, joined], "joined")
        made = builder.product(taken, weight)
        if len(groups) + len(columns) != 1:
            parted = [0] * len(rows) + [fixed.size(index) for index in (*groups, *columns)]
            made = builder.host("Reshape", [made, builder.ints("columns.shape", parted)], "parted")
        return [_transposed(builder, made, [*rows, *groups, *columns], result, "columns")]

    return Lowering(matrix_words(weight), build)


def _axes(builder: Builder, suffix: str, indices: Sequence[str], chosen: Sequence[str]) -> Value:
    return builder.ints(f"{suffix}.axes", [indices.index(index) for index in chosen])


def _transposed(builder: Builder, value: Value, held: Sequence[str], wanted: Sequence[str], suffix: str) -> Value:
    """The value with its axes in the wanted order."""
    if list(held) == list(wanted):
        return value
    return builder.host("Transpose", [value], suffix, perm=[held.index(index) for index in wanted])
