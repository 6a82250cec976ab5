"""Which axis of each value runs over samples.

A network that treats samples independently gives the same result for any batch; the sample axis tells how to cut a
large data set into batches and, for each window, to which sample it belongs. The analysis is conservative: an operator
that it does not know, fed with samples, *mixes* them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.ir import foreign
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import Control, HostOp, MatVec, TileRead
from xbarc.ir.sample_inputs import hold_samples
from xbarc.ir.sample_loops import COUNT, MIXED, SampleAxis, control_axes
from xbarc.ir.scopes import scopes
from xbarc.ir.types import Dim

#: Operators whose results each depend on the entries at one place of their inputs.
ELEMENTWISE = frozenset(
    """Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast Ceil Celu Clip Cos Cosh DequantizeLinear Div
    Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu
    Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu
    Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor""".split()
)
_IMAGEWISE = frozenset(
    """AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool
    GroupNormalization InstanceNormalization LRN LpPool MaxPool SpaceToDepth""".split()
)
_FILLING = frozenset({"ConstantOfShape", "Expand"})
_ALONG_AXIS = frozenset({"Hardmax", "LogSoftmax", "Softmax", "CumSum", "ArgMax", "ArgMin", "TopK"})


def sample_axes(graph: Graph) -> dict[Value, SampleAxis]:
    """The sample axis of every value, those in bodies included; samples of inputs lie along axis 0, if at all."""
    held = hold_samples([value.shape for value in graph.inputs])
    axes: dict[Value, SampleAxis] = {
        value: 0 if holds else None for value, holds in zip(graph.inputs, held, strict=True)
    }
    symbols = frozenset(value.shape[0] for value in graph.inputs if value.shape and isinstance(value.shape[0], str))
    follow(graph, axes, symbols)
    return axes


def follow(graph: Graph, axes: dict[Value, SampleAxis], symbols: frozenset[str]) -> None:
    """Add the axes of what the operators of a graph make to those of its inputs; ``symbols``: of numbers of samples."""
    for operator in graph.operators():
        present = [value for value in operator.operands if value is not None]
        incoming = [axes.setdefault(value, None) for value in present]
        if isinstance(operator, Control):
            control_axes(operator, axes, lambda body: follow(body, axes, symbols))
            continue
        result = _result_axis(operator, present, incoming, axes, symbols)
        for value in operator.results:
            axes[value] = result


def _result_axis(
    operator: Operator,
    present: Sequence[Value],
    incoming: Sequence[SampleAxis],
    axes: Mapping[Value, SampleAxis],
    symbols: frozenset[str],
) -> SampleAxis:
    shape = _shape_of(operator)
    dependent = any(isinstance(axis, int) for axis in incoming)
    if MIXED in incoming:
        return MIXED
    if shape is not None and (operator is shape or not dependent):
        return _sizes_axis(operator, shape, axes[shape.operand])
    if isinstance(operator, HostOp) and operator.kind in _FILLING and incoming[-1] == COUNT:
        return _filled_axis(operator, incoming[0], symbols)
    if not dependent:
        return COUNT if COUNT in incoming else None
    if isinstance(operator, HostOp):
        return MIXED if operator.captures else _host_axis(operator, present, incoming)
    return _layer_axis(operator, present[0], incoming[0])


def _filled_axis(operator: HostOp, axis: SampleAxis, symbols: frozenset[str]) -> SampleAxis:
    """Equal entries, as many as a shape says that grows with the samples: they may lie along the axis that grows."""
    after, data = operator.results[0].shape, operator.operand
    if after is None:
        return MIXED
    grows = [place for place, size in enumerate(after) if size in symbols]
    if not grows and _counts_samples(operator.operands[-1]):
        grows = [place for place, size in enumerate(after) if not isinstance(size, int)]
    if len(grows) != 1:
        return MIXED
    if operator.kind == "ConstantOfShape":
        return grows[0]
    before = grows[0] - len(after) + len(data.shape or ())
    if isinstance(axis, int):
        return grows[0] if axis == before else MIXED
    alike = data.shape is not None and (before < 0 or data.shape[before] == 1)
    return grows[0] if axis is None and alike else MIXED


def _counts_samples(value: Value | None) -> bool:
    """Whether a shape is put together of constants and of sizes as they are, without arithmetic."""
    maker = None if value is None else value.producer
    if value is None or value.constant is not None or (isinstance(maker, HostOp) and maker.kind == "Shape"):
        return value is not None
    if not isinstance(maker, HostOp) or maker.kind not in ("Cast", "Concat", "Gather", "Slice", "Squeeze", "Unsqueeze"):
        return False
    parts = maker.operands if maker.kind == "Concat" else maker.operands[:1]
    return all(_counts_samples(part) for part in parts)


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
    held = hold_samples([value.shape for value in graph.inputs])
    firsts = {value.shape[0] for value, holds in zip(graph.inputs, held, strict=True) if holds and value.shape}
    fixed = [size for size in firsts if isinstance(size, int)]
    if not firsts or fixed:
        return Batching(free=False, size=fixed[0] if fixed else None)
    axes = sample_axes(graph)
    # A layer that sees no sample would draw its noise anew for every batch.
    every = (operator for scope in scopes(graph) for operator in scope.operators())
    seeing = all(axes[operator.operand] is not None for operator in every if isinstance(operator, MatVec | TileRead))
    return Batching(free=seeing and outputs_join(graph), size=None)


def outputs_join(graph: Graph) -> bool:
    """Whether outputs of several batches can be joined along axis 0."""
    axes = sample_axes(graph)
    return all(axes.get(value) == 0 for value in graph.outputs)


def _layer_axis(operator: Operator, value: Value, axis: SampleAxis) -> SampleAxis:
    """Matrix products and the steps of a layer keep the axis, unless they sum over it."""
    if not isinstance(operator, MatVec | TileRead):
        return axis
    if operator.windows.rank:
        return 0 if axis == 0 else MIXED  # windows reach over channels and places
    return MIXED if value.shape is None or axis == len(value.shape) - 1 else axis


def _host_axis(operator: HostOp, values: Sequence[Value], axes: Sequence[SampleAxis]) -> SampleAxis:
    kind = operator.kind
    axis, others = axes[0], set(axes[1:])
    shapes = [value.shape for value in values]
    if kind == "Reshape" and others == {COUNT}:
        others = {None}  # a shape moves no number from one sample to another
    if COUNT in (axis, *others):
        return MIXED
    if kind == "CastLike":
        return axis
    if kind in ELEMENTWISE or kind in foreign.ELEMENTWISE:
        return _broadcast_axis(shapes, axes)
    if kind in _IMAGEWISE:
        # The largest of a pool is told by its place in the whole batch.
        batchwise = operator.attribute("training_mode", 0) or (kind == "MaxPool" and len(operator.results) > 1)
        return 0 if axis == 0 and others <= {None} and not batchwise else MIXED
    if kind == "MatMul":
        return _matmul_axis(shapes, axes)
    if kind == "com.microsoft.FusedMatMul":
        return _fused_matmul_axis(operator, shapes, axes)
    if kind == "Gemm":
        return _gemm_axis(operator, shapes, axes)
    if kind == "Concat":
        rank = len(values[0].shape or ())
        joined = _normal(operator.attribute("axis", 0), rank)
        return axis if rank and others <= {axis} and joined != axis else MIXED
    if kind == "Gather" and axis is None and isinstance(axes[1], int) and shapes[0] is not None:
        return _normal(operator.attribute("axis", 0), len(shapes[0])) + axes[1]  # a table, looked into for each sample
    if kind in foreign.ALONG_FIRST_AXIS:
        return _first_axis(operator, dict(zip(values, axes, strict=True)), foreign.ALONG_FIRST_AXIS[kind])
    rule = _RULES.get(kind)
    if rule is None or not isinstance(axis, int) or not others <= {None}:
        return MIXED
    return rule(operator, values[0], axis)


def _first_axis(operator: HostOp, axes: Mapping[Value, SampleAxis], places: Sequence[int]) -> SampleAxis:
    """Of some operands samples lie along axis 0, or one entry counts for all; the others are parameters."""
    holding = {value for place, value in enumerate(operator.operands) if place in places}
    for value, axis in axes.items():
        alike = axis is None and (value not in holding or bool(value.shape and value.shape[0] == 1))
        if not alike and (axis != 0 or value not in holding):
            return MIXED
    return 0


def _shape_of(operator: Operator) -> HostOp | None:
    """The ``Shape`` that an operator is, or whose numbers it selects."""
    if not isinstance(operator, HostOp) or operator.kind not in ("Gather", "Shape", "Slice"):
        return None
    maker = operator if operator.kind == "Shape" else operator.operand.producer
    return maker if isinstance(maker, HostOp) and maker.kind == "Shape" else None


def _sizes_axis(operator: Operator, shape: HostOp, sample_axis: SampleAxis) -> SampleAxis:
    """Sizes of all or some axes of a value: they are the same for any batch, but for that of the sample axis."""
    if not isinstance(sample_axis, int) or shape.operand.shape is None:
        return sample_axis if sample_axis is None else COUNT
    first, last = shape.attribute("start", 0), shape.attribute("end")
    sizes = np.arange(len(shape.operand.shape))[first:last]
    if operator is not shape:
        chosen = [_vector(operator, index) for index in range(1, len(operator.operands))]
        match chosen:
            case [np.ndarray() as index] if sizes.size:
                sizes = np.take(sizes, index, mode="wrap")
            case [np.ndarray() as begin, np.ndarray() as end, *rest] if begin.size == end.size == 1 and len(rest) < 2:
                sizes = sizes[begin.item() : end.item()]
    return COUNT if np.any(sizes == sample_axis) else None


def _broadcast_axis(shapes: Sequence[tuple[Dim, ...] | None], axes: Sequence[SampleAxis]) -> SampleAxis:
    """Broadcasting aligns shapes at their ends, so the axis is compared from the end."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return MIXED
    from_end = {len(shape) - axis for shape, axis in zip(known, axes, strict=True) if isinstance(axis, int)}
    if len(from_end) != 1:
        return MIXED
    distance = from_end.pop()
    for shape, axis in zip(known, axes, strict=True):
        if axis is None and len(shape) >= distance and shape[-distance] != 1:
            return MIXED  # one number per sample position: cutting the batch would shift it
    return max(len(shape) for shape in known) - distance


def _matmul_axis(shapes: Sequence[tuple[Dim, ...] | None], axes: Sequence[SampleAxis]) -> SampleAxis:
    left, right = shapes
    if left is None or right is None or min(len(left), len(right)) < 2:
        return MIXED
    if axes[0] not in (len(left) - 2, len(left) - 1) and axes[1] not in (len(right) - 2, len(right) - 1):
        return _broadcast_axis([left[:-2], right[:-2]], axes)
    rank = max(len(left), len(right))
    if axes[1] is None and axes[0] == len(left) - 2:
        return rank - 2
    return rank - 1 if axes[0] is None and axes[1] == len(right) - 1 else MIXED


def _fused_matmul_axis(
    operator: HostOp, shapes: Sequence[tuple[Dim, ...] | None], axes: Sequence[SampleAxis]
) -> SampleAxis:
    """As for ``MatMul``, as long as the axis is none of those that are transposed."""
    axis = _matmul_axis(shapes, axes)
    rank = max(len(shape or ()) for shape in shapes)
    if any(operator.attribute(name, 0) for name in ("transBatchA", "transBatchB")):
        return MIXED
    turned = any(operator.attribute(name, 0) for name in ("transA", "transB"))
    return MIXED if turned and isinstance(axis, int) and axis >= rank - 2 else axis


def _gemm_axis(operator: HostOp, shapes: Sequence[tuple[Dim, ...] | None], axes: Sequence[SampleAxis]) -> SampleAxis:
    rows = 1 if operator.attribute("transA", 0) else 0
    columns = 0 if operator.attribute("transB", 0) else 1
    if axes[0] == rows and axes[1] is None:
        axis = 0
    elif axes[0] is None and axes[1] == columns:
        axis = 1
    else:
        return MIXED
    return _broadcast_axis([(None, None), *shapes[2:]], [axis, *axes[2:]])


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
    target = _vector(operator, 1)
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
        given = _vector(operator, 1)
        along: int | None = None if given is None or given.size != 1 else int(given[0])
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
        constant = _vector(operator, 1)
        given = None if constant is None else constant.tolist()
    if rank == 0 or not isinstance(given, list) or not given:
        return MIXED
    reduced = {_normal(entry, rank) for entry in given}
    if axis in reduced:
        return MIXED
    return axis if operator.attribute("keepdims", 1) else axis - sum(entry < axis for entry in reduced)


def _squeeze(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    given = _vector(operator, 1)
    rank = len(value.shape or ())
    if given is None or rank == 0:
        return MIXED
    if operator.kind == "Squeeze":
        gone = {_normal(entry, rank) for entry in given.tolist()}
        return MIXED if axis in gone else axis - sum(entry < axis for entry in gone)
    new = {_normal(entry, rank + given.size) for entry in given.tolist()}
    kept = [position for position in range(rank + given.size) if position not in new]
    return kept[axis] if len(kept) == rank else MIXED


def _cut(operator: HostOp, value: Value, axis: int) -> SampleAxis:
    rank = len(value.shape or ())
    if operator.kind == "Slice":
        given = _vector(operator, 3)
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
    pads, rank = _vector(operator, 1), len(value.shape or ())
    if len(operator.operands) > 3 and operator.operands[3] is not None:
        return MIXED  # pads for some axes, in an order of their own
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


def _vector(operator: Operator, index: int) -> np.ndarray | None:
    """The numbers of an operand that is known: of a vector, or of what should have been one."""
    value = operator.operands[index] if index < len(operator.operands) else None
    return None if value is None or value.constant is None else value.constant.reshape(-1)


def _normal(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis
