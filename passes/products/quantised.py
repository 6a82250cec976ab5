"""Products of quantised numbers: ``ConvInteger``, ``MatMulInteger``, ``QLinearConv``, ``QLinearMatMul``.

The host subtracts the input's zero point, so that padding is zero; the product holds the weights without theirs, as
whole numbers. Its sums are rounded to the whole numbers that they are, and scaled as onnxruntime scales them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from onnx import TensorProto, helper

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import Dim, TensorType, float32
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.convolution import conv
from xbarc.passes.products.inner import GEOMETRY, build_inner, inner, known
from xbarc.passes.products.matrices import matmul
from xbarc.passes.products.rule import Lowering, Refusal, Rule, constant, present

#: Writes what follows a product whose sums are whole numbers.
Finish = Callable[[Builder, Value], Value]

NARROW: Final = frozenset({TensorProto.INT8, TensorProto.UINT8})


def conv_integer(operator: HostOp) -> Lowering | Refusal:
    """A convolution of integers, as int32."""
    return convolution(
        operator, (0, 2), (1, 3), lambda builder, sums: builder.host("Cast", [sums], "y", to=TensorProto.INT32)
    )


def qlinear_conv(operator: HostOp) -> Lowering | Refusal:
    """A convolution of quantised numbers, with a bias of int32; ``channels_last`` in the domain of onnxruntime."""
    scale = constant(operator, 4)
    if scale is None:
        return Refusal("the scale of its weights is not constant")
    last = bool(operator.attribute("channels_last", 0))
    rank = len(operator.operands[3].shape or ()) if operator.operands[3] is not None else 0

    def finish(builder: Builder, sums: Value) -> Value:
        column = scale.reshape(-1, *([1] * (rank - 2))) if scale.size > 1 else scale
        factor = requantisation(builder, builder.operand(1), builder.constant("w_scale", column), builder.operand(6))
        return requantised(builder, sums, factor, builder.operand(7))

    return convolution(operator, (0, 2), (3, 5), finish, bias=8, channels_last=last)


def matmul_integer(operator: HostOp) -> Lowering | Refusal:
    """A product of matrices of integers, as int32."""
    return product(
        operator, (0, 2), (1, 3), lambda builder, sums: builder.host("Cast", [sums], "y", to=TensorProto.INT32)
    )


def qlinear_matmul(operator: HostOp) -> Lowering | Refusal:
    """A product of matrices of quantised numbers."""

    def finish(builder: Builder, sums: Value) -> Value:
        factor = requantisation(builder, builder.operand(1), builder.operand(4), builder.operand(6))
        return requantised(builder, sums, factor, builder.operand(7))

    return product(operator, (0, 2), (3, 5), finish)


def convolution(
    operator: HostOp,
    image: tuple[int, int],
    kernel: tuple[int, int],
    finish: Finish,
    *,
    bias: int | None = None,
    channels_last: bool = False,
) -> Lowering | Refusal:
    """The convolution of an image with a kernel; of each, the places of its codes and its zero point are given."""
    refused = refused_codes(operator, image[0])
    if refused is not None:
        return refused
    weight = centred_constant(operator, *kernel, axis=0)
    if isinstance(weight, Refusal):
        return weight
    added: Value | None = None
    if bias is not None and present(operator, bias):
        found = constant(operator, bias)
        if found is None:
            return Refusal("its bias is not constant")
        added = known("bias", found.astype(np.float64))
    shape = operator.results[0].shape
    rank = weight.ndim
    plain = inner(
        operator,
        "Conv",
        [placeholder(operator, image[0]), known("weight", weight), added],
        attributes=GEOMETRY,
        shape=_channels_first(shape) if channels_last else shape,
    )
    lowering = conv(plain)
    if isinstance(lowering, Refusal):
        return lowering

    def build(builder: Builder) -> list[Value | None]:
        value = centred(builder, *image)
        if channels_last:
            value = builder.host("Transpose", [value], "channels_first", perm=[0, rank - 1, *range(1, rank - 1)])
        result = finish(builder, whole(builder, build_inner(builder, plain, lowering, {0: value})))
        if channels_last:
            result = builder.host("Transpose", [result], "channels_last", perm=[0, *range(2, rank), 1])
        return [result]

    return Lowering(lowering.reason, build)


def product(
    operator: HostOp, left: tuple[int, int], right: tuple[int, int], finish: Finish, *, exact: bool = True
) -> Lowering | Refusal:
    """The product of two matrices, one of them constant; of each, the places of its codes and its zero point are given.

    Args:
        exact: whether sums are rounded to whole numbers; without, what follows may be folded into the weights.
    """
    fixed = left if constant(operator, right[0]) is None else right
    if constant(operator, fixed[0]) is None:
        return Refusal("neither matrix is constant")
    moving = left if fixed is right else right
    refused = refused_codes(operator, moving[0])
    if refused is not None:
        return refused
    weight = centred_constant(operator, *fixed, axis=-1)
    if isinstance(weight, Refusal):
        return weight
    place = int(moving is right)
    operands = [placeholder(operator, moving[0]), known("weight", weight)][:: 1 if place == 0 else -1]
    plain = inner(operator, "MatMul", operands, shape=operator.results[0].shape)
    lowering = matmul(plain)
    if isinstance(lowering, Refusal):
        return lowering

    def build(builder: Builder) -> list[Value | None]:
        result = build_inner(builder, plain, lowering, {place: centred(builder, *moving)})
        return [finish(builder, whole(builder, result) if exact else result)]

    return Lowering(lowering.reason, build)


def refused_codes(operator: HostOp, index: int) -> Refusal | None:
    """The refusal of an operator whose input is not of 8 bits."""
    value = operator.operands[index]
    elem = value.type.elem if value is not None and isinstance(value.type, TensorType) else None
    if elem is None:
        return Refusal("the type of its input is not known")
    return None if elem in NARROW else Refusal(f"its input is of type {TensorProto.DataType.Name(elem).lower()}")


def centred_constant(operator: HostOp, codes: int, zero: int, *, axis: int) -> np.ndarray | Refusal:
    """Constant codes without their zero point, as float32; ``axis``: on which several zero points lie."""
    array = constant(operator, codes)
    if array is None:
        return Refusal("its kernel is not constant")
    if not present(operator, zero):
        return array.astype(np.float32)
    zeros = constant(operator, zero)
    if zeros is None:
        return Refusal("the zero point of its weights is not constant")
    if zeros.size > 1 and zeros.ndim == 1 and axis != -1:
        zeros = zeros.reshape(-1, *([1] * (array.ndim - 1)))
    return array.astype(np.float32) - zeros.astype(np.float32)


def centred(builder: Builder, codes: int, zero: int) -> Value:
    """An operand without its zero point, as float32."""
    value = builder.host("Cast", [builder.operand(codes)], "numbers", to=TensorProto.FLOAT)
    found = constant(builder.operator, zero)
    if not present(builder.operator, zero) or (found is not None and not found.any()):
        return value
    return builder.host("Sub", [value, as_float(builder, builder.operand(zero), "zero_point")], "centred")


def as_float(builder: Builder, value: Value, suffix: str) -> Value:
    """A number, or some, as float32: known where they were."""
    if value.constant is not None:
        return builder.constant(suffix, value.constant.astype(np.float32))
    if isinstance(value.type, TensorType) and value.type.elem == TensorProto.FLOAT:
        return value
    return builder.host("Cast", [value], suffix, to=TensorProto.FLOAT)


def whole(builder: Builder, sums: Value) -> Value:
    """Sums of whole numbers, which no arithmetic of real numbers has to give as such."""
    return builder.host("Round", [sums], "integers")


def scaled(builder: Builder, op_type: str, left: Value, right: Value, suffix: str) -> Value:
    """``Mul`` or ``Div`` of scales: known where both are."""
    if left.constant is None or right.constant is None:
        return builder.host(op_type, [left, right], suffix)
    function = np.multiply if op_type == "Mul" else np.divide
    return builder.constant(suffix, np.asarray(function(left.constant, right.constant)))


def requantisation(builder: Builder, left: Value, right: Value, out: Value) -> Value:
    """``left * right / out``, in this order, in float32."""
    first, second, third = (
        as_float(builder, value, name)
        for value, name in ((left, "left_scale"), (right, "right_scale"), (out, "y_scale"))
    )
    return scaled(builder, "Div", scaled(builder, "Mul", first, second, "scale"), third, "factor")


def requantised(builder: Builder, sums: Value, factor: Value, zero: Value) -> Value:
    """Codes of the type of ``zero``: nearest to ``sums * factor + zero``, halves to even, within the type's range."""
    elem = zero.type.elem if isinstance(zero.type, TensorType) else int(TensorProto.UNDEFINED)
    range_ = np.iinfo(helper.tensor_dtype_to_np_dtype(elem))
    value = builder.host("Round", [builder.host("Mul", [sums, factor], "scaled")], "rounded")
    if zero.constant is None or zero.constant.any():
        value = builder.host("Add", [value, as_float(builder, zero, "y_zero_point")], "shifted")
    ends = [
        builder.constant(name, np.array(end, dtype=np.float32))
        for name, end in (("low", range_.min), ("high", range_.max))
    ]
    return builder.host("Cast", [builder.host("Clip", [value, *ends], "clipped")], "y", to=elem)


def placeholder(operator: HostOp, index: int) -> Value:
    """What stands for an operand that the host will have made float32."""
    value = operator.operands[index]
    return Value("input", float32(None if value is None else value.shape))


def _channels_first(shape: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
    """A shape with the channels first instead of last."""
    return None if not shape else (shape[0], shape[-1], *shape[1:-1])


RULES: dict[str, Rule] = {
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "com.microsoft.QLinearConv": qlinear_conv,
}
