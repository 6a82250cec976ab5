"""Which axis of each value runs over samples.

A network that treats samples independently gives the same result for any batch; the sample axis tells how to cut a
large data set into batches and, for each window, to which sample it belongs. The analysis is conservative: an operator
that it does not know, fed with samples, *mixes* them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from onnx import numpy_helper

from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import HostOp

#: Axis of samples; ``None``: does not depend on samples; ``mixed``: depends on several samples at once.
SampleAxis = int | None | Literal["mixed"]
MIXED: Final = "mixed"

_ELEMENTWISE = frozenset(
    """Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Div
    Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu
    Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu
    Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor""".split()
)
_IMAGEWISE = frozenset(
    """AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool
    GroupNormalization InstanceNormalization LRN LpPool MaxPool SpaceToDepth""".split()
)
_ALONG_AXIS = frozenset({"Hardmax", "LogSoftmax", "Softmax", "CumSum", "ArgMax", "ArgMin", "TopK"})


def sample_axes(graph: Graph) -> dict[Value, SampleAxis]:
    """The sample axis of every value; inputs have their samples along axis 0."""
    axes: dict[Value, SampleAxis] = {value: 0 if value.shape else None for value in graph.inputs}
    for operator in graph.operators():
        present = [value for value in operator.operands if value is not None]
        incoming = [axes.setdefault(value, None) for value in present]
        if MIXED in incoming:
            result: SampleAxis = MIXED
        elif all(axis is None for axis in incoming):
            result = None
        elif isinstance(operator, HostOp):
            result = MIXED if operator.captures else _host_axis(operator, present, incoming)
        else:
            # Matrix products and the steps of a layer keep the axis, unless it is the one that is summed over.
            rank = len(present[0].shape or ())
            result = incoming[0] if rank == 0 or incoming[0] != rank - 1 else MIXED
        for value in operator.results:
            axes[value] = result
    return axes


@dataclass(frozen=True, slots=True)
class Batching:
    """How a model's batch may be cut.

    Attributes:
        free: whether any number of samples may run together, each with the result that it has alone.
        size: samples that must run together where the model fixes them; ``None`` where it does not.
    """

    free: bool
    size: int | None


def batching(graph: Graph) -> Batching:
    """How the inputs of a whole model may be cut into batches."""
    sizes = {value.shape[0] for value in graph.inputs if value.shape}
    fixed = {size for size in sizes if isinstance(size, int)}
    if fixed:
        return Batching(free=False, size=fixed.pop() if len(fixed) == 1 else None)
    axes = sample_axes(graph)
    inputs_free = bool(graph.inputs) and all(value.shape for value in graph.inputs)
    return Batching(free=inputs_free and all(axes.get(value) == 0 for value in graph.outputs), size=None)


def _host_axis(operator: HostOp, values: Sequence[Value], axes: Sequence[SampleAxis]) -> SampleAxis:
    kind = operator.kind
    if kind in _ELEMENTWISE:
        return _broadcast_axis(operator.results[0], values, axes)
    if kind in _IMAGEWISE:
        return 0 if axes[0] == 0 and all(axis is None for axis in axes[1:]) else MIXED
    if kind == "MatMul":
        return _matmul_axis(values, axes)
    rule = _RULES.get(kind)
    axis = axes[0]
    if kind == "Shape":
        return None  # the size of a batch is no mixture of its samples
    if kind == "Concat":
        rank = len(values[0].shape or ())
        joined = _normal(operator.attribute("axis", 0), rank)
        return axis if rank and len(set(axes)) == 1 and joined != axis else MIXED
    if rule is None or not isinstance(axis, int) or any(other is not None for other in axes[1:]):
        return MIXED
    return rule(operator, values[0], axis)


def _broadcast_axis(result: Value, values: Sequence[Value], axes: Sequence[SampleAxis]) -> SampleAxis:
    """Broadcasting aligns shapes at their ends, so the axis is compared from the end."""
    ranks = [None if value.shape is None else len(value.shape) for value in values]
    if any(rank is None for rank in ranks):
        return MIXED
    known = [rank or 0 for rank in ranks]
    from_end = {rank - axis for rank, axis in zip(known, axes, strict=True) if isinstance(axis, int)}
    if len(from_end) != 1:
        return MIXED
    distance = from_end.pop()
    for value, rank, axis in zip(values, known, axes, strict=True):
        if axis is None and rank >= distance and (value.shape or ())[rank - distance] != 1:
            return MIXED  # one number per sample position: cutting the batch would shift it
    return max(known) - distance


def _matmul_axis(values: Sequence[Value], axes: Sequence[SampleAxis]) -> SampleAxis:
    if values[0].shape is None or values[1].shape is None:
        return MIXED
    left, right = len(values[0].shape), len(values[1].shape)
    rank = max(left, right)
    aligned = []
    for own, axis, summed in ((left, axes[0], left - 1), (right, axes[1], max(right - 2, 0))):
        if isinstance(axis, int):
            if axis == summed or own == 1:
                return MIXED
            aligned.append(axis + rank - own)
    if len(set(aligned)) != 1 or (len(aligned) == 2 and aligned[0] >= rank - 2):
        return MIXED
    return aligned[0] if left > 1 and right > 1 else MIXED


def _transpose(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    perm = operator.attribute("perm") or list(range(rank))[::-1]
    return list(perm).index(axis) if isinstance(perm, list) and axis in perm else MIXED


def _reshape(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    """The first axis survives where it is the same symbol before and after, or copied by a 0 in the shape."""
    if axis != 0 or value.shape is None:
        return MIXED
    after = operator.results[0].shape
    if after and isinstance(after[0], str) and after[0] == value.shape[0]:
        return 0
    target = _constant(operator, 1)
    if target is None or target.size == 0:
        return MIXED
    if target[0] == 0:
        return 0
    rest = value.shape[1:]
    whole = all(isinstance(size, int) for size in rest) and np.all(target[1:] > 0)
    same = (
        target[0] == -1 and whole and int(np.prod(target[1:])) == int(np.prod([s for s in rest if isinstance(s, int)]))
    )
    return 0 if same else MIXED


def _flatten(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    return 0 if axis == 0 and _normal(operator.attribute("axis", 1), len(value.shape or ())) == 1 else MIXED


def _along_axis(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    if operator.kind == "CumSum":
        given = _constant(operator, 1)
        along: int | None = None if given is None else int(given.reshape(-1)[0])
    else:
        along = operator.attribute("axis", 0 if operator.kind.startswith("Arg") else -1)
    if rank == 0 or along is None or _normal(along, rank) == axis:
        return MIXED
    drops = operator.kind in ("ArgMax", "ArgMin") and operator.attribute("keepdims", 1) == 0
    return axis - int(drops and _normal(along, rank) < axis)


def _layer_norm(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    return axis if rank and axis < _normal(operator.attribute("axis", -1), rank) else MIXED


def _reduce(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    given = operator.attribute("axes")
    if given is None:
        constant = _constant(operator, 1)
        given = None if constant is None else constant.tolist()
    if rank == 0 or not isinstance(given, list) or not given:
        return MIXED
    reduced = {_normal(entry, rank) for entry in given}
    if axis in reduced:
        return MIXED
    return axis if operator.attribute("keepdims", 1) else axis - sum(entry < axis for entry in reduced)


def _squeeze(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    given = _constant(operator, 1)
    rank = len(value.shape or ())
    if given is None or rank == 0:
        return MIXED
    if operator.kind == "Squeeze":
        gone = {_normal(entry, rank) for entry in given.tolist()}
        return MIXED if axis in gone else axis - sum(entry < axis for entry in gone)
    new = {_normal(entry, rank + given.size) for entry in given.tolist()}
    return [position for position in range(rank + given.size) if position not in new][axis]


def _cut(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    if operator.kind == "Slice":
        given = _constant(operator, 3)
        touched = None if given is None else {_normal(entry, rank) for entry in given.tolist()}
    else:
        touched = {_normal(operator.attribute("axis", 0), rank)}
    return MIXED if rank == 0 or touched is None or axis in touched else axis


def _gather(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    indices = operator.operands[1]
    along = _normal(operator.attribute("axis", 0), rank)
    if rank == 0 or indices is None or indices.shape is None or along == axis:
        return MIXED
    return axis if axis < along else axis + len(indices.shape) - 1


def _pad(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    pads, rank = _constant(operator, 1), len(value.shape or ())
    return axis if pads is not None and pads.size == 2 * rank and not pads[[axis, axis + rank]].any() else MIXED


_RULES = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _layer_norm,
    "Squeeze": _squeeze,
    "Unsqueeze": _squeeze,
    "Slice": _cut,
    "Split": _cut,
    "Gather": _gather,
    "Pad": _pad,
    **dict.fromkeys(_ALONG_AXIS, _along_axis),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd"), _reduce
    ),
}


def _constant(operator: Operator, index: int) -> np.ndarray | None:
    value = operator.operands[index] if index < len(operator.operands) else None
    return None if value is None or value.constant is None else numpy_helper.to_array(value.constant)


def _normal(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis
