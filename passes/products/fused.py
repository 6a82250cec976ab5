"""Products that onnxruntime's optimiser joins with what stands around them: ``FusedConv``, ``FusedGemm``,
``FusedMatMul``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from onnx import TensorProto

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import TensorType
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.convolution import conv
from xbarc.passes.products.inner import GEOMETRY, build_inner, inner, known
from xbarc.passes.products.matrices import gemm, matmul
from xbarc.passes.products.recurrent_activations import Activation
from xbarc.passes.products.rule import Lowering, Refusal, Rule, constant, present

#: The parameters of each activation, by ONNX's names for them.
_ACTIVATIONS: Final[dict[str, tuple[str, ...]]] = {
    "Celu": ("alpha",),
    "Clip": ("min", "max"),
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "ScaledTanh": ("alpha", "beta"),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}


def fused_conv(operator: HostOp) -> Lowering | Refusal:
    """A convolution, to which an array may be added before the activation."""
    plain = inner(operator, "Conv", operator.operands[:3], attributes=GEOMETRY, shape=operator.results[0].shape)
    numbers = operator.attribute("activation_params") or []
    return _activated(operator, plain, conv(plain), numbers, addend=3)


def fused_gemm(operator: HostOp) -> Lowering | Refusal:
    """``Gemm``, then an activation."""
    plain = inner(
        operator,
        "Gemm",
        operator.operands,
        attributes=("alpha", "beta", "transA", "transB"),
        shape=operator.results[0].shape,
    )
    names = _ACTIVATIONS.get(_activation(operator), ())
    numbers = [operator.attribute(f"activation_{name}") for name in names]
    return _activated(operator, plain, gemm(plain), [number for number in numbers if number is not None])


def fused_matmul(operator: HostOp) -> Lowering | Refusal:
    """``alpha A' B'``, each transposed or not, its batch axes too."""
    fixed = 1 if constant(operator, 1) is not None else 0
    matrix, value = constant(operator, fixed), operator.operands[1 - fixed]
    if matrix is None or value is None:
        return Refusal("neither matrix is constant")
    order = _order(operator, 1 - fixed, None if value.shape is None else len(value.shape))
    turned = _order(operator, fixed, matrix.ndim)
    if isinstance(order, Refusal) or isinstance(turned, Refusal):
        return order if isinstance(order, Refusal) else Refusal("its batch axes cannot be transposed")
    alpha = np.array(operator.attribute("alpha", 1.0), dtype=matrix.dtype)
    moved = matrix if turned is None else matrix.transpose(turned)
    shape = value.shape if value.shape is None or order is None else tuple(value.shape[axis] for axis in order)
    elem = value.type.elem if isinstance(value.type, TensorType) else 0
    operands = [Value("input", TensorType(elem, shape)), known("weight", moved if alpha == 1.0 else moved * alpha)]
    plain = inner(operator, "MatMul", operands[:: 1 if fixed == 1 else -1], shape=operator.results[0].shape)
    lowering = matmul(plain)
    if isinstance(lowering, Refusal):
        return lowering

    def build(builder: Builder) -> list[Value | None]:
        given = builder.operand(1 - fixed)
        if order is not None:
            given = builder.host("Transpose", [given], "turned", perm=order)
        return [build_inner(builder, plain, lowering, {1 - fixed: given})]

    return Lowering(lowering.reason, build)


def _order(operator: HostOp, place: int, rank: int | None) -> list[int] | Refusal | None:
    """In which order the axes of an operand count; ``None`` where they count as they are.

    With its batch axes transposed, ``(m, *batch, k)`` counts as ``(*batch, m, k)``.
    """
    side = "AB"[place]
    batch, last = operator.attribute(f"transBatch{side}", 0), operator.attribute(f"trans{side}", 0)
    if not (batch or last):
        return None
    if rank is None:
        return Refusal("the rank of its input is not known")
    if batch and rank < 3:
        return Refusal("its batch axes cannot be transposed")
    if rank < 2:
        return None
    order = [*range(1, rank - 1), 0, rank - 1] if batch else list(range(rank))
    return [*order[:-2], order[-1], order[-2]] if last else order


def _activation(operator: HostOp) -> str:
    name: bytes = operator.attribute("activation", b"")
    return name.decode()


def _activated(
    operator: HostOp,
    plain: HostOp,
    lowering: Lowering | Refusal,
    numbers: Sequence[float],
    *,
    addend: int | None = None,
) -> Lowering | Refusal:
    """A product, an addend, an activation; ``numbers``: parameters of the activation."""
    name = _activation(operator)
    if isinstance(lowering, Refusal):
        return lowering
    if name and name not in _ACTIVATIONS:
        return Refusal(f"its activation {name!r} is not known")
    if name and len(numbers) != len(_ACTIVATIONS[name]) and name != "HardSwish":
        return Refusal(f"its activation {name!r} lacks a parameter")

    def build(builder: Builder) -> list[Value | None]:
        value = build_inner(builder, plain, lowering, {})
        if addend is not None and present(operator, addend):
            value = builder.host("Add", [value, builder.operand(addend)], "sum")
        if not name:
            return [value]
        elem = value.type.elem if isinstance(value.type, TensorType) else int(TensorProto.FLOAT)
        if elem == TensorProto.FLOAT:
            return [_activate(builder, name, numbers, value)]
        wide = builder.host("Cast", [value], "wide", to=TensorProto.FLOAT)
        return [builder.host("Cast", [_activate(builder, name, numbers, wide)], "narrow", to=elem)]

    return Lowering(lowering.reason, build)


def _activate(builder: Builder, name: str, numbers: Sequence[float], value: Value) -> Value:
    match name:
        case "Clip":
            ends = [
                builder.constant(end, np.array(number, dtype=np.float32))
                for end, number in zip(("min", "max"), numbers, strict=True)
            ]
            return builder.host("Clip", [value, *ends], "activation")
        case "HardSwish":
            gate = builder.host("HardSigmoid", [value], "gate", alpha=1 / 6, beta=0.5)
            return builder.host("Mul", [value, gate], "activation")
        case "Selu":
            return builder.host("Selu", [value], "activation", alpha=numbers[0], gamma=numbers[1])
    return Activation(name, tuple(numbers)).write(builder, value, "activation")


RULES: dict[str, Rule] = {
    "com.microsoft.FusedConv": fused_conv,
    "com.microsoft.FusedGemm": fused_gemm,
    "com.microsoft.FusedMatMul": fused_matmul,
    "com.microsoft.TransposeMatMul": fused_matmul,
}
