"""``Attention`` and ``QAttention`` of onnxruntime: queries, keys and values are one product with a static matrix.

The rest has no static matrix and is left to the host's ``MultiHeadAttention``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from onnx import TensorProto

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import Dim, TensorType
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.quantised import centred, centred_constant, refused_codes, scaled
from xbarc.passes.products.rule import Lowering, Refusal, Rule, bad, constant, ints, matrix_words, present

_DOMAIN: Final = "com.microsoft"
#: Attributes of ``MultiHeadAttention`` that mean the same in both.
_SHARED: Final = ("num_heads", "scale", "mask_filter_value", "unidirectional")


def attention(operator: HostOp) -> Lowering | Refusal:
    """Self-attention of float32."""
    weight, bias = constant(operator, 1), constant(operator, 2)
    if weight is None or (present(operator, 2) and bias is None):
        return Refusal("its matrix is not constant" if weight is None else "its bias is not constant")

    def project(builder: Builder) -> Value:
        return builder.product(builder.operand(0), weight[None], bias=bias)

    return _lowering(operator, weight, project, mask=3, past=4, attention_bias=5)


def qattention(operator: HostOp) -> Lowering | Refusal:
    """Self-attention of quantised numbers; all but the projection is of float32."""
    refused = refused_codes(operator, 0)
    if refused is not None:
        return refused
    weight, bias, scale = constant(operator, 1), constant(operator, 2), constant(operator, 4)
    if weight is None or bias is None or scale is None:
        return Refusal(f"its {'matrix' if weight is None else 'bias' if bias is None else 'scale'} is not constant")
    codes = centred_constant(operator, 1, 7, axis=-1)
    if isinstance(codes, Refusal):
        return codes

    def project(builder: Builder) -> Value:
        value = builder.product(centred(builder, 0, 6), codes[None])
        factor = scaled(builder, "Mul", builder.operand(3), builder.operand(4), "scale")
        return builder.host("Add", [builder.host("Mul", [value, factor], "scaled"), builder.operand(2)], "projected")

    return _lowering(operator, codes, project, mask=5, past=8)


def _lowering(
    operator: HostOp,
    weight: np.ndarray,
    project: Callable[[Builder], Value],
    *,
    mask: int,
    past: int,
    attention_bias: int | None = None,
) -> Lowering | Refusal:
    """What both kinds share, once queries, keys and values are there, in this order along the last axis.

    Args:
        mask, past, attention_bias: places of the operands that may be there.
    """
    refused = _refused(operator, mask)
    if refused is not None:
        return refused
    sizes = _sizes(operator, weight)
    if weight.size == 0:
        return Refusal(f"its matrix has shape {list(weight.shape)}")

    def build(builder: Builder) -> list[Value | None]:
        projected = project(builder)
        ends = np.cumsum(sizes).tolist()
        parts = [
            builder.host(
                "Slice", [projected, *(builder.ints("slice", [number]) for number in (end - size, end, -1))], name
            )
            for name, size, end in zip(("query", "key", "value"), sizes, ends, strict=True)
        ]
        operands: list[Value | None] = [*parts, None, _optional(operator, mask)]
        operands.append(None if attention_bias is None else _optional(operator, attention_bias))
        if present(operator, past):
            pair = builder.operand(past)
            operands += [
                builder.host("Gather", [pair, builder.ints("entry", entry)], f"past_{name}", axis=0)
                for entry, name in enumerate(("key", "value"))
            ]
        attributes = {name: operator.attribute(name) for name in _SHARED if operator.attribute(name) is not None}
        wanted = len(operator.results) > 1 and bool(operator.results[1].hint)
        made = builder.hosts(
            "MultiHeadAttention",
            operands,
            ["attended", "present_key", "present_value"] if wanted else ["attended"],
            domain=_DOMAIN,
            result_types=_types(operator, parts[0], sizes[2])[: 3 if wanted else 1],
            **attributes,
        )
        if not wanted:
            return [made[0], *(None for _ in operator.results[1:])]
        axis = builder.ints("front", [0])
        pairs = [
            builder.host("Unsqueeze", [value, axis], f"{value.hint.rsplit('.', 1)[1]}.entry") for value in made[1:]
        ]
        return [made[0], builder.host("Concat", pairs, "present", axis=0)]

    return Lowering(matrix_words(weight[None]), build)


def _refused(operator: HostOp, mask: int) -> Refusal | None:
    """What the host's ``MultiHeadAttention`` does not do."""
    if operator.attribute("do_rotary", 0):
        return Refusal("it turns its positions (do_rotary), which onnxruntime does not do on a CPU")
    if operator.attribute("past_present_share_buffer", 0):
        return Refusal("its past and present share a buffer")
    value, given = _optional(operator, mask), operator.operands[0]
    if value is None:
        return None
    batch = None if given is None or not given.shape else given.shape[0]
    match value.shape:
        case (_, _) | (_, _, _):
            return None
        case (size,) if size is not None and size == batch:
            return None
        case (int(size),) if isinstance(batch, int) and size == 3 * batch + 2:
            return None
        case (int(size),) if isinstance(batch, int) and size == 2 * batch:
            return Refusal("its mask has a start and an end for each sample")
        case (_, _, _, _):
            return Refusal("its mask has 4 axes")
    return Refusal("the shape of its mask is not known")


def _sizes(operator: HostOp, weight: np.ndarray) -> tuple[int, int, int]:
    """Widths of queries, keys and values."""
    heads = int(operator.attribute("num_heads", 0))
    columns = weight.shape[-1]
    sizes = ints(operator, "qkv_hidden_sizes", [columns // 3] * 3)
    if weight.ndim != 2 or heads < 1 or len(sizes) != 3 or sum(sizes) != columns or any(size % heads for size in sizes):
        raise bad(operator, f"{heads} heads of widths {list(sizes)} do not fit weights {list(weight.shape)}")
    return sizes[0], sizes[1], sizes[2]


def _types(operator: HostOp, query: Value, width: int) -> list[TensorType]:
    """Types of the result, the present keys and the present values, as far as they are known."""
    elem = query.type.elem if isinstance(query.type, TensorType) else int(TensorProto.FLOAT)
    shape: tuple[Dim, ...] | None = operator.results[0].shape
    if shape is None and query.shape is not None:
        shape = (*query.shape[:-1], width)
    kept = operator.results[1].shape if len(operator.results) > 1 else None
    part = TensorType(elem, kept[1:] if kept else None)
    return [TensorType(elem, shape), part, part]


def _optional(operator: HostOp, index: int) -> Value | None:
    return operator.operands[index] if present(operator, index) else None


RULES: dict[str, Rule] = {"com.microsoft.Attention": attention, "com.microsoft.QAttention": qattention}
