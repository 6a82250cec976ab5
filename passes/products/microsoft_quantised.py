"""Quantised products that onnxruntime adds: ``DynamicQuantizeMatMul``, ``MatMulIntegerToFloat``, ``QGemm``."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.inner import build_inner, inner, known
from xbarc.passes.products.matrices import gemm, matmul
from xbarc.passes.products.quantised import (
    as_float,
    centred,
    centred_constant,
    placeholder,
    product,
    refused_codes,
    requantised,
    scaled,
    whole,
)
from xbarc.passes.products.rule import Lowering, Refusal, Rule, constant, present


def matmul_integer_to_float(operator: HostOp) -> Lowering | Refusal:
    """A product of quantised matrices as float32, with a bias; scales that are known go into the weights."""

    def finish(builder: Builder, sums: Value) -> Value:
        return _floats(builder, sums, [builder.operand(3), builder.operand(2)], 6)

    return product(operator, (0, 4), (1, 5), finish, exact=False)


def dynamic_quantize_matmul(operator: HostOp) -> Lowering | Refusal:
    """A float32 matrix, quantised by its own range, times a quantised one."""
    weight = centred_constant(operator, 1, 3, axis=-1)
    if isinstance(weight, Refusal):
        return Refusal("neither matrix is constant") if constant(operator, 1) is None else weight
    plain = inner(
        operator, "MatMul", [placeholder(operator, 0), known("weight", weight)], shape=operator.results[0].shape
    )
    lowering = matmul(plain)
    if isinstance(lowering, Refusal):
        return lowering

    def build(builder: Builder) -> list[Value | None]:
        codes, scale, zero = builder.hosts(
            "DynamicQuantizeLinear", [builder.operand(0)], ["quantised", "x_scale", "x_zero_point"]
        )
        numbers = builder.host("Cast", [codes], "numbers", to=TensorProto.FLOAT)
        value = builder.host("Sub", [numbers, as_float(builder, zero, "zero_point")], "centred")
        result = build_inner(builder, plain, lowering, {0: value})
        return [_floats(builder, result, [builder.operand(2), scale], 4)]

    return Lowering(lowering.reason, build)


def qgemm(operator: HostOp) -> Lowering | Refusal:
    """``alpha A' B' + C`` of quantised matrices, quantised again where an output scale is given."""
    refused = refused_codes(operator, 0)
    if refused is not None:
        return refused
    if constant(operator, 3) is None:
        return Refusal("its second matrix is not constant")
    if present(operator, 7) != present(operator, 8):
        return Refusal("it has a scale or a zero point for its result, but not both")
    weight = centred_constant(operator, 3, 5, axis=0 if operator.attribute("transB", 0) else -1)
    if isinstance(weight, Refusal):
        return weight
    addend = constant(operator, 6)
    operands: list[Value | None] = [placeholder(operator, 0), known("weight", weight)]
    if present(operator, 6):
        operands.append(placeholder(operator, 6) if addend is None else known("addend", addend.astype(np.float32)))
    plain = inner(operator, "Gemm", operands, attributes=("transA", "transB"), shape=operator.results[0].shape)
    lowering = gemm(plain)
    if isinstance(lowering, Refusal):
        return lowering

    def build(builder: Builder) -> list[Value | None]:
        given = {0: centred(builder, 0, 2)}
        if present(operator, 6) and addend is None:
            given[2] = builder.host("Cast", [builder.operand(6)], "addend", to=TensorProto.FLOAT)
        sums = whole(builder, build_inner(builder, plain, lowering, given))
        alpha = builder.constant("alpha", np.array(operator.attribute("alpha", 1.0), dtype=np.float32))
        factor = scaled(builder, "Mul", alpha, builder.operand(1), "scale.alpha")
        factor = scaled(builder, "Mul", factor, builder.operand(4), "scale")
        if not present(operator, 7):
            return [builder.host("Mul", [sums, factor], "y")]
        factor = scaled(builder, "Div", factor, builder.operand(7), "factor")
        return [requantised(builder, sums, factor, builder.operand(8))]

    return Lowering(lowering.reason, build)


def matmul_integer_16(operator: HostOp) -> Lowering | Refusal:
    """A product of integers of 16 bits."""
    return Refusal("float32 does not hold its sums of products of 16 bits")


def _floats(builder: Builder, sums: Value, scales: list[Value], bias: int) -> Value:
    """Sums times scales, plus a bias that may be there; what is known comes first, and so can go into the weights."""
    value = sums
    for number, scale in enumerate(sorted(scales, key=lambda scale: scale.constant is None)):
        value = builder.host("Mul", [value, scale], f"scaled{number}")
    return builder.host("Add", [value, builder.operand(bias)], "y") if present(builder.operator, bias) else value


RULES: dict[str, Rule] = {
    "com.microsoft.DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "com.microsoft.MatMulInteger16": matmul_integer_16,
    "com.microsoft.MatMulIntegerToFloat": matmul_integer_to_float,
    "com.microsoft.QGemm": qgemm,
}
