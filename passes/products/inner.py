"""Operators that are another one with steps of the host around it: quantised and fused products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from onnx import TensorProto, helper

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import Dim, TensorType, of_array
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.rule import Lowering

#: Attributes by which a convolution of any kind tells its geometry.
GEOMETRY: Final = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def inner(
    operator: HostOp,
    op_type: str,
    operands: Sequence[Value | None],
    *,
    attributes: Sequence[str] = (),
    shape: tuple[Dim, ...] | None = None,
) -> HostOp:
    """The plain operator that another one holds, so that the rule of the plain one says how it is lowered.

    It is called as the other, and stands in no graph.

    Args:
        operator: that holds it.
        op_type: of ONNX's own domain.
        operands: constants as they count; what the host makes may be stood for by any value of its type.
        attributes: that it has in common with the operator.
        shape: of its result.
    """
    node = helper.make_node(op_type, [], [], name=operator.name)
    node.attribute.extend(attribute for attribute in operator.node.attribute if attribute.name in attributes)
    first = next((value for value in operands if value is not None and value.constant is None), None)
    elem = first.type.elem if first is not None and isinstance(first.type, TensorType) else int(TensorProto.FLOAT)
    result = Value(f"{operator.name}.product", TensorType(elem, shape))
    return HostOp(name=operator.name, operands=list(operands), results=[result], node=node)


def build_inner(builder: Builder, plain: HostOp, lowering: Lowering, given: dict[int, Value]) -> Value:
    """Lower the plain operator where the other one stands, with these operands in the places of those that stood for
    them; its result.
    """
    operands = [given.get(index, value) for index, value in enumerate(plain.operands)]
    made = HostOp(name=plain.name, operands=operands, results=plain.results, node=plain.node)
    (result,) = lowering.build(builder.within(made))
    return result or plain.result


def known(hint: str, array: np.ndarray) -> Value:
    """A constant that stands in no graph."""
    return Value(hint, of_array(array), array)
