"""Split: cut each layer's matrix into row and column blocks that fit a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.partition import Partition
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage


@dataclass(frozen=True)
class SplitBlocks:
    """Greedy cuts: every block is as large as a tile holds, the last ones are short.

    Groups that fit a tile lie side by side on its diagonal, whole groups only; larger ones are cut one by one.
    """

    name: ClassVar[str] = "split-blocks"
    requires: ClassVar[Stage] = Stage.ENCODED
    ensures: ClassVar[Stage] = Stage.SPLIT

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        for _, product in products(graph):
            groups, rows, columns = product.weight.shape
            product.partition = split(
                groups=groups,
                rows=rows,
                columns=columns,
                tile_rows=self.hardware.tile.rows,
                tile_columns=self.hardware.weight_columns,
                reference_column=self.hardware.weights.reference_column,
            )


def split(
    *, groups: int, rows: int, columns: int, tile_rows: int, tile_columns: int, reference_column: bool
) -> Partition:
    """The partition of ``groups`` matrices, ``rows x columns`` each, for tiles of so many rows and weight columns."""
    if rows <= tile_rows and columns <= tile_columns:
        together = min(tile_rows // rows, tile_columns // columns, groups)
        return Partition(groups, rows, columns, together, rows * together, columns * together, reference_column)
    return Partition(groups, rows, columns, 1, min(rows, tile_rows), min(columns, tile_columns), reference_column)
