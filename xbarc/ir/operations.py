"""How many operations on single numbers a digital operator does in one inference.

A multiply-accumulate is two operations; a function of a number, such as an exponential, is one, however it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from xbarc.ir import foreign
from xbarc.ir.graph import Value
from xbarc.ir.layer import Layer
from xbarc.ir.operators import HostOp
from xbarc.ir.sample_loops import SampleAxis
from xbarc.ir.samples import ELEMENTWISE
from xbarc.ir.work import host_macs

#: Operators that move numbers and change none.
_MOVING: Final = frozenset(
    """Concat Constant ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten Gather GatherElements GatherND
    Identity Pad Range Reshape ReverseSequence ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze
    Tile Transpose Trilu Unsqueeze""".split()
)
#: Operations for each number of the result.
_EACH: Final[Mapping[str, int]] = {
    "BatchNormalization": 2,  # a factor and a summand
    "Softmax": 5,  # compare, subtract, exponential, add, divide
    "LogSoftmax": 5,  # compare, subtract, exponential, add, subtract
    # add, subtract the mean, square, add, divide, a factor, a summand
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization", "LayerNormalization"), 7),
    "com.microsoft.SkipLayerNormalization": 8,  # and the sum before
    **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization"), 4),  # square, add, divide, a factor
    "com.microsoft.SkipSimplifiedLayerNormalization": 5,
}
_POOLS: Final = frozenset({"AveragePool", "LpPool", "MaxPool"})
#: Each number of the operand is taken once.
_FOLDING: Final = frozenset(
    """ArgMax ArgMin CumSum GlobalAveragePool GlobalLpPool GlobalMaxPool ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare""".split()
)
#: As many operands as there are, two at a time.
_VARIADIC: Final = frozenset({"Max", "Mean", "Min", "Sum"})
_PRODUCTS: Final = frozenset(
    """Conv ConvTranspose Einsum Gemm MatMul com.microsoft.FusedMatMul com.microsoft.MultiHeadAttention""".split()
)
_COUNTED: Final = frozenset(
    {*_MOVING, *_EACH, *_POOLS, *_FOLDING, *_PRODUCTS, *ELEMENTWISE, *foreign.ELEMENTWISE, "LRN"}
)


def is_counted(operator: HostOp) -> bool:
    """Whether it is known what an operator of this kind does."""
    return operator.kind in _COUNTED


def host_operations(operator: HostOp, axes: Mapping[Value, SampleAxis]) -> int | None:
    """Of one sample; ``None`` for kinds that are not counted, and where shapes are not known.

    Elementwise operators count once for each number of the result, pools once for each place of their window,
    reductions once for each number that they take, products twice for each multiply-accumulate; those that only move
    numbers not at all.

    Args:
        operator: that stays digital.
        axes: of samples, which do not count.
    """
    if not is_counted(operator):
        return None
    kind = operator.kind
    if kind in _MOVING or not operator.results:
        return 0
    made, taken = (_numbers(value, axes) for value in (operator.results[0], operator.operands[0]))
    if kind in _FOLDING:
        return taken
    if kind in _POOLS:
        return _times(made, math.prod(operator.attribute("kernel_shape")))
    if kind in _VARIADIC:
        return _times(made, max(len(operator.operands) - 1, 0))
    if kind == "LRN":  # a square and a sum for each neighbour; a factor, a summand, a power, a quotient
        return _times(made, 2 * operator.attribute("size") + 4)
    if kind in _EACH:
        return _times(made, _EACH[kind])
    if kind in ELEMENTWISE or kind in foreign.ELEMENTWISE:
        return made
    return _times(host_macs(operator, axes), 2)


def layer_operations(layer: Layer, windows: int) -> int:
    """Of the digital end of a layer on tiles: the scale, the bias, and what is taken off for offsets.

    Shifting and adding output codes is not among them.
    """
    partition = layer.read.partition
    outputs = partition.groups * partition.columns
    each = outputs * (1 if layer.rescale.bias is None else 2)
    if layer.accumulate.unit_correction is not None:  # sums of input codes, and of each row block a factor and a sum
        each += partition.groups * partition.rows + 2 * outputs * partition.row_blocks
    return windows * each


def _numbers(value: Value | None, axes: Mapping[Value, SampleAxis]) -> int | None:
    """Numbers of one sample; a leading symbol is the batch and counts as one."""
    if value is None or value.shape is None:
        return None
    along = axes.get(value)
    sizes = [
        1 if axis == along or (axis == 0 and not isinstance(size, int)) else size
        for axis, size in enumerate(value.shape)
    ]
    known = [size for size in sizes if isinstance(size, int)]
    return math.prod(known) if len(known) == len(sizes) else None


def _times(count: int | None, each: int) -> int | None:
    return None if count is None else count * each
