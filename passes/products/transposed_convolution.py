"""``ConvTranspose``: one window an input pixel, all phases of the output side by side.

With stride ``s``, the outputs at positions ``s m + p`` of one phase ``p`` are an ordinary convolution of the input, by
every ``s``-th tap of the kernel. All phases read the same window, so each is a set of columns of one matrix; the host
interleaves the columns to pixels and crops the borders. As an identity of networks this is the sub-pixel convolution of
Shi et al. ("Is the deconvolution layer the same as a convolutional layer?", 2016).

In the terms of RED (Fan et al., DATE 2019) it is neither a zero-padding design, in which the array reads an input
stretched by zeros, nor a padding-free one, in which it multiplies each pixel by the whole kernel and a digital unit
adds what overlaps. Like RED's pixel-wise mapping it reads no inserted zero; RED gives each tap of the kernel an array
of its own, here the taps of a phase share columns. The price is a cell at zero wherever a phase has fewer taps than
others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import Dim, TensorType
from xbarc.ir.windows import Windows
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.convolution import kernel_and_bias, kernel_windows
from xbarc.passes.products.rule import Lowering, Refusal, Rule, bad, ints, matrix_words

_TO_THE_END = np.iinfo(np.int64).max
_EMPTIEST = 64  # cells for each weight


@dataclass(frozen=True, slots=True)
class _Axis:
    """One spatial axis of a transposed convolution as windows of stride one.

    Attributes:
        kernel: taps of the operator's kernel.
        spacing: their distance in the kernel that is parted into phases.
        stride: of the operator, which is the number of phases.
        shift: zeros before the kernel, so that the first output that is kept is of the first phase.
        taps, step: kernel and dilation of the windows.
        pads: of the windows, before and after.
        crop: outputs too many, before and after.
    """

    kernel: int
    spacing: int
    stride: int
    shift: int
    taps: int
    step: int
    pads: tuple[int, int]
    crop: tuple[int, int]


def conv_transpose(operator: HostOp) -> Lowering | Refusal:
    """A transposed convolution of any rank, with groups."""
    found = kernel_and_bias(operator)
    if isinstance(found, Refusal):
        return found
    kernel, bias = found
    groups = int(operator.attribute("group", 1))
    if groups < 1 or kernel.shape[0] % groups:
        raise bad(operator, f"{kernel.shape[0]} input channels cannot be parted into {groups} groups")
    axes = _axes(operator, kernel.shape[2:])
    if isinstance(axes, Refusal):
        return axes
    if math.prod(axis.taps * axis.stride for axis in axes) > _EMPTIEST * math.prod(kernel.shape[2:]):
        return Refusal("its strides exceed its kernel so far that nearly all of its cells would be empty")
    weight = _matrices(kernel, groups, axes)
    phases = math.prod(axis.stride for axis in axes)
    channels = groups * kernel.shape[1]
    column_bias = None if bias is None else np.repeat(bias, phases)
    rank = len(axes)
    windows = Windows(
        kernel=tuple(axis.taps for axis in axes),
        strides=(1,) * rank,
        dilations=tuple(axis.step for axis in axes),
        pads=(*(axis.pads[0] for axis in axes), *(axis.pads[1] for axis in axes)),
    )

    def build(builder: Builder) -> list[Value | None]:
        made = builder.product(builder.operand(0), weight, bias=column_bias, windows=windows)
        return [_cropped(builder, _interleaved(builder, made, channels, axes), axes)]

    return Lowering(matrix_words(weight), build)


def _axes(operator: HostOp, kernel: tuple[int, ...]) -> list[_Axis] | Refusal:
    """The geometry of each spatial axis.

    Raises:
        ModelError: attributes that ONNX gives no meaning.
    """
    given = kernel_windows(operator, kernel)
    rank = given.rank
    extra = ints(operator, "output_padding", [0] * rank)
    if len(extra) != rank or min(extra) < 0:
        raise bad(operator, f"output_padding is {list(extra)}, expected {rank} numbers of at least 0")
    wanted = ints(operator, "output_shape", [])
    if wanted and len(wanted) not in (rank, rank + 2):
        raise bad(operator, f"output_shape is {list(wanted)}, expected {rank} numbers")
    value = operator.operands[0]
    spatial: Sequence[Dim] = [None] * rank if value is None or value.shape is None else value.shape[2:]
    if len(spatial) != rank:
        raise bad(operator, f"its input has {len(spatial)} spatial axes, its kernel {rank}")
    axes = []
    for place, size in enumerate(spatial):
        stride, dilation = given.strides[place], given.dilations[place]
        whole = (kernel[place] - 1) * dilation + 1 + extra[place] - stride  # and ``stride`` for each input
        before, after = given.pads[place], given.pads[rank + place]
        if wanted:
            if not isinstance(size, int):
                return Refusal("it states the sizes of its output, and those of its input are not known")
            before, after = _borders(whole + stride * size - wanted[place - rank], given.auto_pad)
        elif given.auto_pad.startswith("SAME"):
            if whole < 0 or extra[place]:
                return Refusal("auto_pad has no settled meaning with output_padding or strides beyond the kernel")
            before, after = _borders(whole, given.auto_pad)
        if isinstance(size, int) and whole + stride * size <= before + after:
            return Refusal(f"nothing is left of its output along spatial axis {place}")
        axes.append(_axis(kernel[place], stride, dilation, before, after - extra[place]))
    return axes


def _borders(surplus: int, auto_pad: str) -> tuple[int, int]:
    """How many outputs to cut off before and after; what is missing (a negative surplus) is added after."""
    if surplus < 0:
        return 0, surplus
    small, large = surplus // 2, surplus - surplus // 2
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def _axis(kernel: int, stride: int, dilation: int, before: int, after: int) -> _Axis:
    """One axis, of whose whole output ``before`` and ``after`` are cut off at the ends (or added, where negative)."""
    reach = (kernel - 1) * dilation + 1
    if stride == 1:
        shift, taps, step, spacing = 0, kernel, dilation, 1
    else:
        shift = -before % stride
        if -(-(reach + shift) // stride) > -(-reach // stride):
            shift = 0  # it would cost a tap
        taps, step, spacing = -(-(reach + shift) // stride), 1, dilation
    overlap = (taps - 1) * step  # windows that begin before the first input
    skipped = min((before + shift) // stride, overlap)
    # Windows are numbered by the last input that they read; the outputs of number m begin at stride * m.
    beyond = max((reach + shift - after - 1) // stride, 0)
    crop = (before + shift - stride * skipped, stride * (beyond + 1) - (reach + shift - after))
    return _Axis(kernel, spacing, stride, shift, taps, step, (overlap - skipped, beyond), crop)


def _matrices(kernel: np.ndarray, groups: int, axes: Sequence[_Axis]) -> np.ndarray:
    """``(groups, channels of a group and taps, outputs of a group and phases)`` of a kernel ``(channels, outputs of a
    group, *sizes)``."""
    channels, outputs = kernel.shape[0] // groups, kernel.shape[1]
    stretched = np.zeros((groups, channels, outputs, *(axis.taps * axis.stride for axis in axes)), dtype=kernel.dtype)
    places = tuple(slice(axis.shift, axis.shift + (axis.kernel - 1) * axis.spacing + 1, axis.spacing) for axis in axes)
    stretched[(slice(None),) * 3 + places] = kernel.reshape(groups, channels, outputs, *kernel.shape[2:])
    parted = stretched.reshape(groups, channels, outputs, *(size for axis in axes for size in (axis.taps, axis.stride)))
    taps = tuple(3 + 2 * place for place in range(len(axes)))
    flipped = np.flip(parted, taps)  # tap t reads the input t places back
    ordered = flipped.transpose(0, 1, *taps, 2, *(place + 1 for place in taps))
    return ordered.reshape(groups, channels * math.prod(axis.taps for axis in axes), -1)


def _interleaved(builder: Builder, value: Value, channels: int, axes: Sequence[_Axis]) -> Value:
    """``(images, channels * phases, *sizes)`` as ``(images, channels, *(size * stride))``."""
    strides = [axis.stride for axis in axes]
    rank = len(axes)
    if max(strides) == 1:
        return value
    if rank == 2 and strides[0] == strides[1]:
        return builder.host("DepthToSpace", [value], "interleaved", blocksize=strides[0], mode="CRD")
    spatial: Sequence[Dim] = [None] * rank if value.shape is None else value.shape[2:]
    known = [size for size in spatial if isinstance(size, int)]
    scaled = [size * stride for size, stride in zip(known, strides, strict=False)]
    if len(known) < rank:
        all_sizes = builder.host("Shape", [value], "shape")
        first, last = builder.ints("first", [2]), builder.ints("last", [2 + rank])
        sizes = builder.host("Slice", [all_sizes, first, last], "sizes")
        grown = builder.host("Mul", [sizes, builder.ints("strides", strides)], "grown")
        apart = builder.host("Concat", [builder.ints("phases", [0, channels, *strides]), sizes], "apart.shape", axis=0)
        joined = builder.host("Concat", [builder.ints("channels", [0, channels]), grown], "joined.shape", axis=0)
    else:
        apart = builder.ints("apart.shape", [0, channels, *strides, *known])
        joined = builder.ints("joined.shape", [0, channels, *scaled])
    # Stated, since shapes that are computed would hide that images stay along the first axis.
    elem = value.type.elem if isinstance(value.type, TensorType) else TensorProto.FLOAT
    images = value.shape[0] if value.shape else None
    parts = TensorType(elem, (images, channels, *strides, *spatial))
    whole = TensorType(elem, (images, channels, *(scaled if len(known) == rank else [None] * rank)))
    perm = [0, 1, *(place for axis in range(rank) for place in (2 + rank + axis, 2 + axis))]
    (value,) = builder.hosts("Reshape", [value, apart], ["apart"], result_types=[parts])
    value = builder.host("Transpose", [value], "shuffled", perm=perm)
    (value,) = builder.hosts("Reshape", [value, joined], ["interleaved"], result_types=[whole])
    return value


def _cropped(builder: Builder, value: Value, axes: Sequence[_Axis]) -> Value:
    """Without the outputs too many."""
    cut = [place for place, axis in enumerate(axes) if axis.crop != (0, 0)]
    if not cut:
        return value
    starts = builder.ints("crop.starts", [axes[place].crop[0] for place in cut])
    ends = builder.ints("crop.ends", [-axes[place].crop[1] or _TO_THE_END for place in cut])
    return builder.host("Slice", [value, starts, ends, builder.ints("crop.axes", [2 + place for place in cut])], "crop")


RULES: dict[str, Rule] = {"ConvTranspose": conv_transpose}
