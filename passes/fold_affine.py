"""Fold affine operators: BatchNormalization, and additions and products by a constant a column, go into the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import ModelError
from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage


@dataclass(frozen=True)
class FoldAffine:
    """``(x W + b) * factor + offset`` becomes ``x (W * factor) + (b * factor + offset)``, where only this reads the
    product.

    Raises:
        ModelError: a folded weight that is not finite, as a negative variance makes it.
    """

    name: ClassVar[str] = "fold-affine"
    requires: ClassVar[Stage] = Stage.LOWERED
    ensures: ClassVar[Stage] = Stage.LOWERED

    def run(self, graph: Graph) -> None:
        for scope, product in products(graph):
            while _fold_next(scope, product):
                pass


def _fold_next(graph: Graph, product: MatVec) -> bool:
    """Fold the one operator that reads the product, if it is affine a column."""
    users = list(product.result.users)
    if len(users) != 1 or graph.is_output(product.result) or product.result.users[users[0]] != 1:
        return False
    user = users[0]
    if not isinstance(user, HostOp) or user.captures or len(user.results) != 1:
        return False
    with np.errstate(all="ignore"):
        affine = _affine(user, product)
        if affine is None:
            return False
        factor, offset = affine
        groups, _, columns = product.weight.shape
        weight = product.weight
        if np.any(factor != 1.0):
            weight = (weight * factor.reshape(groups, 1, columns)).astype(weight.dtype)
        bias = (0.0 if product.bias is None else product.bias) * factor + offset
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        if user.kind != "BatchNormalization":
            return False  # an infinite mask, say, has its meaning after the product and none within
        raise ModelError(
            "folding it into the weights before it gives numbers that are not finite",
            where=f"node {user.name!r} ({user.kind}) after {product.name!r}",
            fix="look at its parameters: a variance must not be negative, none may be NaN",
        )
    product.weight = weight
    product.bias = bias if np.any(bias != 0.0) or product.bias is not None else None
    product.result.hint, product.result.type = user.results[0].hint, user.results[0].type or product.result.type
    graph.replace_uses(user.results[0], product.result)
    graph.remove(user)
    return True


def _affine(user: HostOp, product: MatVec) -> tuple[np.ndarray, np.ndarray] | None:
    """``(factor, offset)``, one number a column each, where the operator is that."""
    ones, zeros = np.ones(product.columns), np.zeros(product.columns)
    if user.kind == "BatchNormalization":
        if user.attribute("training_mode", 0) or _column_axis(product) != 1 or user.operands[0] is not product.result:
            return None
        parameters = [_constant(value) for value in user.operands[1:5]]
        if any(parameter is None or parameter.shape != ones.shape for parameter in parameters):
            return None
        scale, shift, mean, variance = (parameter for parameter in parameters if parameter is not None)
        epsilon = float(user.attribute("epsilon", 1e-5))
        factor = scale / np.sqrt(variance + epsilon)
        return factor, shift - mean * factor
    if user.kind not in ("Add", "Sub", "Mul", "Div"):
        return None
    first = user.operands[0] is product.result
    other = _constant(user.operands[1 if first else 0])
    column = None if other is None else _per_column(other, product)
    if column is None or (not first and user.kind in ("Sub", "Div")):
        return None
    match user.kind:
        case "Add":
            return ones, column
        case "Sub":
            return ones, -column
        case "Mul":
            return column, zeros
        case _:
            return ones / column, zeros


def _column_axis(product: MatVec) -> int | None:
    """The axis of the result on which columns lie."""
    if product.windows.rank:
        return 1
    return None if product.result.shape is None else len(product.result.shape) - 1


def _per_column(constant: np.ndarray, product: MatVec) -> np.ndarray | None:
    """The constant as one number a column, where broadcasting it to the result means that."""
    rank = 2 + product.windows.rank if product.windows.rank else len(product.result.shape or ())
    axis = _column_axis(product)
    if axis is None or constant.ndim > rank:
        return None
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if any(size != 1 for position, size in enumerate(shape) if position != axis) or shape[axis] not in (
        1,
        product.columns,
    ):
        return None
    return np.broadcast_to(constant.reshape(-1), (product.columns,))


def _constant(value: Value | None) -> np.ndarray | None:
    return None if value is None or value.constant is None else value.constant.astype(np.float64)
