"""Matrices, the blocks that they are cut into, and tiles: what bounds are computed from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Matrix:
    """A layer's weights: ``groups`` matrices of ``rows x columns``, on a diagonal of the layer's whole matrix."""

    groups: int
    rows: int
    columns: int

    @property
    def weights(self) -> int:
        """Weights of all groups."""
        return self.groups * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Tile:
    """Size of a tile, in rows and columns of cells."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Cells of it."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of one group's matrix.

    Attributes:
        layer: index of its matrix.
        group: index of the group.
        row, column: where it begins in the group's matrix.
        rows, columns: its size.
    """

    layer: int
    group: int
    row: int
    column: int
    rows: int
    columns: int

    @property
    def area(self) -> int:
        """Weights that it holds."""
        return self.rows * self.columns


def blocks(layer: int, matrix: Matrix, tile: Tile) -> list[Block]:
    """A matrix cut greedily for a tile: blocks as large as the tile allows, the last ones short; groups apart."""
    return [
        Block(layer, group, row, column, min(tile.rows, matrix.rows - row), min(tile.columns, matrix.columns - column))
        for group, row, column in itertools.product(
            range(matrix.groups), range(0, matrix.rows, tile.rows), range(0, matrix.columns, tile.columns)
        )
    ]


def all_blocks(matrices: Sequence[Matrix], tile: Tile) -> list[Block]:
    """The blocks of all matrices, in their order."""
    return [block for layer, matrix in enumerate(matrices) for block in blocks(layer, matrix, tile)]


def most_on_diagonal(rows: int, columns: int, tile: Tile) -> int:
    """How many blocks of that size the diagonal of a tile holds."""
    return min(tile.rows // rows, tile.columns // columns)


def unpacked_tiles(matrices: Sequence[Matrix], tile: Tile) -> int:
    """Tiles where no layers share one: a block a tile, groups that fit on diagonals, whole groups only."""
    total = 0
    for matrix in matrices:
        if matrix.rows <= tile.rows and matrix.columns <= tile.columns:
            total += math.ceil(matrix.groups / most_on_diagonal(matrix.rows, matrix.columns, tile))
        else:
            total += matrix.groups * math.ceil(matrix.rows / tile.rows) * math.ceil(matrix.columns / tile.columns)
    return total
