"""``LinearRegressor`` and ``LinearClassifier`` of ``ai.onnx.ml``, whose matrices are attributes."""

from __future__ import annotations

from typing import Final

import numpy as np
from onnx import TensorProto

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import TensorType
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.rule import Lowering, Refusal, Rule, bad, matrix_words

#: Functions after the product that ONNX has as operators.
_TRANSFORMS: Final = ("NONE", "LOGISTIC", "SOFTMAX")


def linear_regressor(operator: HostOp) -> Lowering | Refusal:
    """One column a target."""
    made = _matrix(operator, int(operator.attribute("targets", 1)))
    if isinstance(made, Refusal):
        return made
    weight, bias = made

    def build(builder: Builder) -> list[Value | None]:
        return [_transformed(builder, _scores(builder, weight, bias))]

    return Lowering(matrix_words(weight), build)


def linear_classifier(operator: HostOp) -> Lowering | Refusal:
    """One column a class; the label is that of the first of the largest scores, before they are transformed."""
    texts, numbers = operator.attribute("classlabels_strings"), operator.attribute("classlabels_ints")
    labels = np.array([each.decode() for each in texts], dtype=object) if texts else np.array(numbers or [], np.int64)
    if labels.size < 2 or len(operator.attribute("intercepts", [])) != labels.size:
        return Refusal("it has no row of coefficients for each class")
    made = _matrix(operator, labels.size)
    if isinstance(made, Refusal):
        return made
    weight, bias = made

    def build(builder: Builder) -> list[Value | None]:
        scores = _scores(builder, weight, bias)
        best = builder.host("ArgMax", [scores], "best", axis=1, keepdims=0)
        label = builder.host("Gather", [builder.constant("labels", labels), best], "label", axis=0)
        found: list[Value | None] = [label, _transformed(builder, scores)]
        return found[: len(operator.results)]

    return Lowering(matrix_words(weight), build)


def _matrix(operator: HostOp, columns: int) -> tuple[np.ndarray, np.ndarray | None] | Refusal:
    """``(1, features, columns)`` and the intercepts.

    Raises:
        ModelError: numbers of coefficients or intercepts that do not fit one another.
    """
    transform = operator.attribute("post_transform", b"NONE").decode()
    if transform not in _TRANSFORMS:
        return Refusal(f"its post_transform is {transform}")
    value = operator.operands[0]
    if value is None or not isinstance(value.type, TensorType) or value.shape is None or len(value.shape) != 2:
        return Refusal("its input is not known to be a matrix")
    coefficients = np.array(operator.attribute("coefficients", []), dtype=np.float32)
    intercepts = np.array(operator.attribute("intercepts", []), dtype=np.float32)
    if columns < 1 or coefficients.size == 0 or coefficients.size % columns:
        raise bad(operator, f"{coefficients.size} coefficients cannot be parted into {columns} rows")
    if intercepts.size not in (0, columns):
        raise bad(operator, f"it has {intercepts.size} intercepts, expected {columns}")
    weight = coefficients.reshape(columns, -1).T[None]
    if isinstance(value.shape[1], int) and value.shape[1] != weight.shape[1]:
        raise bad(operator, f"its input has {value.shape[1]} features, its coefficients {weight.shape[1]}")
    return weight, intercepts if intercepts.size else None


def _scores(builder: Builder, weight: np.ndarray, bias: np.ndarray | None) -> Value:
    """The product, which is float32 whatever the input is."""
    value = builder.operand(0)
    if not isinstance(value.type, TensorType) or value.type.elem != TensorProto.FLOAT:
        value = builder.host("Cast", [value], "features", to=TensorProto.FLOAT)
    return builder.product(value, weight, bias=bias)


def _transformed(builder: Builder, scores: Value) -> Value:
    match builder.operator.attribute("post_transform", b"NONE"):
        case b"LOGISTIC":
            return builder.host("Sigmoid", [scores], "transformed")
        case b"SOFTMAX":
            return builder.host("Softmax", [scores], "transformed", axis=1)
    return scores


RULES: dict[str, Rule] = {
    "ai.onnx.ml.LinearClassifier": linear_classifier,
    "ai.onnx.ml.LinearRegressor": linear_regressor,
}
