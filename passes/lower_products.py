"""Lower products: the operators chosen for tiles become ``MatVec``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from xbarc.errors import InternalError, ModelError
from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.samples import sample_axes
from xbarc.ir.stages import Stage
from xbarc.ir.types import Dim, TensorType
from xbarc.passes.static_products import Refusal, StaticProduct, recognise


@dataclass(frozen=True)
class LowerProducts:
    """Replace each chosen operator by ``MatVec``, with the transpositions and additions around it left to the host.

    Products of other float types are cast to float32 before and back after: the converters decide the precision.

    Raises:
        ModelError: weights or biases that are not finite.
    """

    name: ClassVar[str] = "lower-products"
    requires: ClassVar[Stage] = Stage.CHOSEN
    ensures: ClassVar[Stage] = Stage.LOWERED

    def run(self, graph: Graph) -> None:
        for operator in graph.operators():
            if isinstance(operator, HostOp) and operator.decision is not None and operator.decision.analog:
                product = recognise(operator)
                if isinstance(product, Refusal):
                    raise InternalError(f"{operator.name!r} was chosen, but cannot be lowered: {product.reason}")
                _check_finite(operator, product)
                _lower(graph, operator, product, operator.decision.reason)
        graph.prune()  # an addend that counts zero times has lost its reader
        axes = sample_axes(graph)
        for operator in graph.operators():
            if isinstance(operator, MatVec):
                axis = axes.get(operator.operand)
                operator.sample_axis = axis if isinstance(axis, int) else None


def _lower(graph: Graph, operator: HostOp, product: StaticProduct, reason: str) -> None:
    old = operator.results[0]
    value = operator.operands[product.operand]
    if value is None:
        raise InternalError(f"{operator.name!r} lacks its operand")
    around = _Around(graph, operator.name)
    if product.elem != TensorProto.FLOAT:
        value = around.host("Cast", [value], "input", to=TensorProto.FLOAT)
    if product.transpose_operand:
        rank = len(value.shape or (0, 0))
        value = around.host("Transpose", [value], "rows", perm=_exchanged(rank))
    result = Value(f"{operator.name}.result", TensorType(TensorProto.FLOAT, _result_shape(value, product)))
    graph.add(
        MatVec(
            name=operator.name,
            operands=[value],
            results=[result],
            source=operator.kind,
            weight=product.weight,
            bias=product.bias,
            windows=product.windows,
            reason=reason,
        )
    )
    if product.transpose_result:
        result = around.host("Transpose", [result], "columns", perm=_exchanged(len(result.shape or (0, 0))))
    if product.squeeze:
        last = around.constant("last", np.array([-1], dtype=np.int64))
        result = around.host("Squeeze", [result, last], "vector")
    if product.elem != TensorProto.FLOAT:
        result = around.host("Cast", [result], "output", to=product.elem)
    if product.addend is not None:
        index, factor = product.addend
        addend = operator.operands[index]
        if addend is None:
            raise InternalError(f"{operator.name!r} lacks its addend")
        if factor != 1.0:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(product.elem)
            scale = around.constant("beta", np.array(factor, dtype=dtype))
            addend = around.host("Mul", [addend, scale], "scaled")
        result = around.host("Add", [result, addend], "sum")
    result.hint, result.type = old.hint, old.type or result.type
    graph.replace_uses(old, result)
    graph.remove(operator)


@dataclass(frozen=True)
class _Around:
    """Adds host operators around a product."""

    graph: Graph
    name: str

    def host(self, op_type: str, operands: Sequence[Value], suffix: str, **attributes: Any) -> Value:
        shape = operands[0].shape
        elem = operands[0].type.elem if isinstance(operands[0].type, TensorType) else TensorProto.FLOAT
        if op_type == "Cast":
            elem = int(attributes["to"])
        elif op_type == "Transpose" and shape is not None:
            shape = (*shape[:-2], shape[-1], shape[-2])
        elif op_type == "Squeeze" and shape is not None:
            shape = shape[:-1]
        name = f"{self.name}.{suffix}"
        node = onnx.helper.make_node(op_type, [], [], name=name, **attributes)
        result = Value(name, TensorType(elem, shape))
        self.graph.add(HostOp(name=name, operands=list(operands), results=[result], node=node))
        return result

    def constant(self, suffix: str, array: np.ndarray) -> Value:
        tensor = numpy_helper.from_array(array, f"{self.name}.{suffix}")
        return Value(tensor.name, TensorType(tensor.data_type, array.shape), tensor)


def _exchanged(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def _result_shape(value: Value, product: StaticProduct) -> tuple[Dim, ...] | None:
    if value.shape is None:
        return None
    columns = product.weight.shape[0] * product.weight.shape[2]
    if product.windows.rank == 0:
        return (*value.shape[:-1], columns)
    spatial = value.shape[2:]
    sizes = [size for size in spatial if isinstance(size, int)]
    if len(sizes) == len(spatial):
        return (value.shape[0], columns, *product.windows.output_sizes(sizes))
    return (value.shape[0], columns, *(None for _ in spatial))


def _check_finite(operator: HostOp, product: StaticProduct) -> None:
    for what, array in (("weights", product.weight), ("bias", product.bias)):
        if array is not None and not np.isfinite(array).all():
            bad = array[~np.isfinite(array)]
            raise ModelError(
                f"{bad.size} of the {array.size} {what} are not finite (the first is {bad[0]})",
                where=f"node {operator.name!r} ({operator.kind})",
                fix="export the model again from finite parameters; training that diverged leaves NaN behind",
            )
