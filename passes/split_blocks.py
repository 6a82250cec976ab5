"""Split: cut each layer's matrix into row and column blocks that fit a tile."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar, Literal

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.partition import Partition
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage

#: How matrices are cut: see :class:`SplitBlocks`.
Split = Literal["greedy", "balanced", "positions"]


@dataclass(frozen=True)
class SplitBlocks:
    """Cut matrices into blocks of no more rows than one read drives, and no more columns than a tile has for weights.

    Groups that fit lie side by side on the diagonal of a tile, whole groups only; larger ones are cut one by one.

    =========  =========================================================================================================
    greedy     every block is as large as it can be, the last ones are short
    balanced   as many blocks, of sizes as equal as they can be where all but the last are equal; likewise, as many
               groups on each diagonal
    positions  the rows of each kernel position of a convolution without groups are cut by themselves, greedily: what
               moves on to the next blocks, window by window, is whole pixels; other products are cut greedily
    =========  =========================================================================================================

    Layers that share a matrix share its blocks. A matrix that is a plain product's too has no positions.
    """

    name: ClassVar[str] = "split-blocks"
    requires: ClassVar[Stage] = Stage.ENCODED
    ensures: ClassVar[Stage] = Stage.SPLIT

    hardware: Hardware
    how: Split = "greedy"

    def run(self, graph: Graph) -> None:
        found = [product for _, product in products(graph)]
        kernels: dict[str, list[int]] = defaultdict(list)
        for product in found:
            kernels[product.matrix].append(product.windows.kernel_size)
        for product in found:
            groups, rows, columns = product.weight.shape
            product.partition = split(
                groups=groups,
                rows=rows,
                columns=columns,
                most_rows=self.hardware.weight_rows,
                most_columns=self.hardware.weight_columns,
                reference_column=self.hardware.weights.reference_column,
                balanced=self.how == "balanced",
                positions=min(kernels[product.matrix]) if self.how == "positions" and groups == 1 else 1,
            )


def split(
    *,
    groups: int,
    rows: int,
    columns: int,
    most_rows: int,
    most_columns: int,
    reference_column: bool = False,
    balanced: bool = False,
    positions: int = 1,
) -> Partition:
    """The partition of ``groups`` matrices, ``rows x columns`` each, into blocks of ``most_rows x most_columns``.

    Args:
        groups, rows, columns: of the layer.
        most_rows, most_columns: of a block, without reference columns.
        reference_column: whether each column block has one more, for reference.
        balanced: whether blocks are as equal as they can be, or as large.
        positions: of the kernel, to be cut apart; 1: rows are cut as they lie.
    """
    together = max(min(most_rows // rows, most_columns // columns, groups), 1)
    if balanced:
        together = _block(groups, together, balanced=True)
    return Partition(
        groups,
        rows,
        columns,
        together,
        _block(rows * together // positions, most_rows, balanced=balanced),
        _block(columns * together, most_columns, balanced=balanced),
        reference_column,
        positions,
    )


def _block(size: int, most: int, *, balanced: bool) -> int:
    """How many of ``size`` come together where ``most`` can, and only the last block is short."""
    return math.ceil(size / math.ceil(size / most)) if balanced else min(size, most)
