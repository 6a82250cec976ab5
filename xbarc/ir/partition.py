"""How a layer's matrix is cut into blocks."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """Blocks of a matrix of ``groups`` diagonal parts, each ``rows x columns``.

    Several whole groups may lie side by side in one tile, on its diagonal; such a set is a *diagonal*. A group that is
    larger than a tile is a diagonal of its own, cut into row blocks, whose partial sums add up, and column blocks. A
    dense matrix is one diagonal. ``D`` in array shapes runs over diagonals, and within each over its row blocks.

    The rows of a convolution run over channels and, within each, over kernel positions. Where positions are cut apart,
    no block holds rows of two: row blocks run over positions, and within each over the blocks of its rows.

    Attributes:
        groups, rows, columns: number of groups, and the matrix of each.
        groups_per_diagonal: groups that share a tile; 1 where a group is cut.
        block_rows, block_columns: size of a full block, without reference columns.
        reference_column: whether each column block ends in a reference column.
        positions: of the kernel, where they are cut apart: row ``r`` is of position ``r % positions``. 1: rows are cut
            as they lie; so are those of several groups.
    """

    groups: int
    rows: int
    columns: int
    groups_per_diagonal: int
    block_rows: int
    block_columns: int
    reference_column: bool
    positions: int = 1

    @property
    def diagonals(self) -> int:
        """Sets of groups that share tiles."""
        return math.ceil(self.groups / self.groups_per_diagonal)

    @property
    def diagonal_rows(self) -> int:
        """Rows of a full diagonal."""
        return self.rows * self.groups_per_diagonal

    @property
    def diagonal_columns(self) -> int:
        """Columns of a full diagonal, without reference columns."""
        return self.columns * self.groups_per_diagonal

    @property
    def position_rows(self) -> int:
        """Rows of a full diagonal that are cut together: those of one position, or all."""
        return self.diagonal_rows // self.positions

    @property
    def position_blocks(self) -> int:
        """Row blocks of one position."""
        return math.ceil(self.position_rows / self.block_rows)

    @property
    def row_blocks(self) -> int:
        """Blocks whose partial sums add up."""
        return self.positions * self.position_blocks

    @property
    def column_blocks(self) -> int:
        """Blocks side by side."""
        return math.ceil(self.diagonal_columns / self.block_columns)

    @property
    def stacked(self) -> int:
        """``D``: diagonals times row blocks."""
        return self.diagonals * self.row_blocks

    @property
    def stack_columns(self) -> int:
        """``C`` of the stacked levels: columns of a diagonal with their reference columns."""
        return self.diagonal_columns + (self.column_blocks if self.reference_column else 0)

    @property
    def data_columns(self) -> list[int]:
        """Where the columns of a diagonal lie in the stack, between reference columns."""
        step = 1 if self.reference_column else 0
        return [column + step * (column // self.block_columns) for column in range(self.diagonal_columns)]

    @property
    def reference_columns(self) -> list[int]:
        """For each column of a diagonal, where its reference column lies in the stack; empty without them."""
        if not self.reference_column:
            return []
        return [
            min((block + 1) * self.block_columns, self.diagonal_columns) + block
            for block in (column // self.block_columns for column in range(self.diagonal_columns))
        ]

    def groups_in(self, diagonal: int) -> int:
        """Groups of one diagonal: the last may hold fewer."""
        return min(self.groups_per_diagonal, self.groups - diagonal * self.groups_per_diagonal)

    def rows_of(self, diagonal: int, row_block: int) -> range:
        """Which rows of the layer's matrix, groups laid end to end, lie in a block."""
        position, block = divmod(row_block, self.position_blocks)
        rows = self.rows * self.groups_in(diagonal) // self.positions
        first = diagonal * self.diagonal_rows + position
        begin, end = (min(edge * self.block_rows, rows) for edge in (block, block + 1))
        return range(first + begin * self.positions, first + end * self.positions, self.positions)

    def rows_in(self, diagonal: int, row_block: int) -> int:
        """Rows of a block that hold weights."""
        return len(self.rows_of(diagonal, row_block))

    def columns_in(self, diagonal: int, column_block: int) -> int:
        """Columns of a block that hold weights, without its reference column."""
        columns = self.columns * self.groups_in(diagonal)
        return max(min(self.block_columns, columns - column_block * self.block_columns), 0)

    def held_columns(self, diagonal: int) -> list[int]:
        """Columns of the stack that hold something in a diagonal, weights or references: a short one has fewer."""
        columns = self.columns * self.groups_in(diagonal)
        return sorted({*self.data_columns[:columns], *self.reference_columns[:columns]})

    def block_sizes(self) -> list[tuple[int, int]]:
        """``(rows, columns)`` of each block, over diagonals, row blocks, column blocks."""
        sizes: list[tuple[int, int]] = []
        for diagonal in range(self.diagonals):
            heights = [self.rows_in(diagonal, block) for block in range(self.row_blocks)]
            widths = [self.columns_in(diagonal, block) for block in range(self.column_blocks)]
            sizes.extend(itertools.product(heights, widths))
        return sizes


def logical_tiles(
    *, groups: int, rows: int, columns: int, tile_rows: int, tile_columns: int, positions: int = 1
) -> int:
    """Tiles of ``tile_rows x tile_columns`` weights that a layer takes, before slices, polarities and reference
    columns count, and whatever rows one read drives.

    Groups that fit lie on the diagonal of a tile, whole groups only; larger ones are cut one by one. Kernel
    ``positions`` that are cut apart take tiles of their own: ``positions * ceil(channels / tile_rows) * ceil(columns /
    tile_columns)``, the "novel" mapping of NeuroSim (Peng et al., "Optimizing weight mapping and data flow for
    convolutional neural networks on RRAM based processing-in-memory architecture", ISCAS 2019).
    """
    if positions > 1:
        return positions * math.ceil(rows // positions / tile_rows) * math.ceil(columns / tile_columns)
    if rows <= tile_rows and columns <= tile_columns:
        return math.ceil(groups / min(tile_rows // rows, tile_columns // columns))
    return groups * math.ceil(rows / tile_rows) * math.ceil(columns / tile_columns)


def dense_tiles(*, groups: int, rows: int, columns: int, tile_rows: int, tile_columns: int) -> int:
    """As :func:`logical_tiles`, where the zeros between groups take cells like any weight."""
    return math.ceil(groups * rows / tile_rows) * math.ceil(groups * columns / tile_columns)
