"""Share weights: products of one matrix use the same cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage


@dataclass(frozen=True)
class ShareWeights:
    """A constant that is the matrix of several products (unrolled loops, tied layers) is mapped once, under the name of
    the first.

    The products keep converter ranges and biases of their own, and take turns on their tiles. Constants that happen to
    be equal are not shared: they are layers of their own.
    """

    name: ClassVar[str] = "share-weights"
    requires: ClassVar[Stage] = Stage.LOWERED
    ensures: ClassVar[Stage] = Stage.LOWERED

    def run(self, graph: Graph) -> None:
        owners: dict[tuple[object, ...], str] = {}
        for _, product in products(graph):
            product.matrix = owners.setdefault(_place(product.weight), product.name)


def _place(weight: np.ndarray) -> tuple[object, ...]:
    """Where an array lies in memory, and how it is read."""
    steps = tuple(step for step, size in zip(weight.strides, weight.shape, strict=True) if size > 1)
    return weight.__array_interface__["data"][0], weight.shape, steps, weight.dtype.str
