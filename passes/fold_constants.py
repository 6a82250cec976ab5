"""Fold constants: host operators that depend on constants alone are computed once, by the executor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from onnx import TensorProto, numpy_helper

from xbarc.ir.executor import Executor
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import HostOp
from xbarc.ir.stages import Stage
from xbarc.ir.types import TensorType

_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Dropout"}
)
#: Element types that travel through numpy without loss.
_PLAIN: Final = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
        TensorProto.BOOL,
    }
)
_LARGE: Final = 2**20  # elements; results above this size are folded only where they are no larger than their operands


@dataclass(frozen=True)
class FoldConstants:
    """Replace what is known before the program runs by its value, and drop what no output needs.

    Not folded: random operators, results that are not plain tensors, and large tensors that a small recipe makes.
    """

    name: ClassVar[str] = "fold-constants"
    requires: ClassVar[Stage] = Stage.HOST
    ensures: ClassVar[Stage] = Stage.HOST

    executor: Executor

    def run(self, graph: Graph) -> None:
        graph.prune()
        known: set[Operator] = set()
        for operator in graph.operators():
            if _foldable(operator, known):
                known.add(operator)
        values = [
            value
            for operator in known
            for value in operator.results
            if graph.is_output(value) or any(user not in known for user in value.users)
        ]
        if not values:
            return
        for value, array in zip(values, self.executor.evaluate(graph, values), strict=True):
            tensor = numpy_helper.from_array(array, value.hint)
            folded = Value(value.hint, TensorType(tensor.data_type, tuple(array.shape)), tensor)
            graph.replace_uses(value, folded)
        graph.prune()


def _foldable(operator: Operator, known: set[Operator]) -> bool:
    if not isinstance(operator, HostOp) or operator.kind in _RANDOM:
        return False
    operands = [value for value in operator.operands if value is not None]
    if not all(value.constant is not None or value.producer in known for value in operands):
        return False
    sizes = []
    for value in operator.results:
        if not isinstance(value.type, TensorType) or value.type.elem not in _PLAIN:
            return False
        sizes.append(_size(value))
    if operator.kind == "Constant":
        return True
    total = sum(size or 0 for size in sizes)
    return total <= max(_LARGE, sum(_size(value) or 0 for value in operands))


def _size(value: Value) -> int | None:
    sizes = [size for size in value.shape or () if isinstance(size, int)]
    return math.prod(sizes) if value.shape is not None and len(sizes) == len(value.shape) else None
