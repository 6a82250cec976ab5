"""Matrices, the pieces that they are cut into, and where pieces lie on tiles."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace


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
    """Size of a tile, in weights."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Weights that a tile holds."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True, order=True)
class Piece:
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


@dataclass(frozen=True, slots=True)
class Placement:
    """A piece with its tile and the tile's row and column where it begins."""

    piece: Piece
    tile: int
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Packing:
    """Where every piece of a list of matrices lies.

    Attributes:
        tiles: how many are used, numbered from 0.
        placements: of all pieces.
    """

    tiles: int
    placements: tuple[Placement, ...]

    @classmethod
    def of(cls, placements: Sequence[Placement]) -> Packing:
        """The packing of these placements, with the tiles that hold any numbered anew, in their order."""
        used = {tile: number for number, tile in enumerate(sorted({placement.tile for placement in placements}))}
        return cls(len(used), tuple(replace(placement, tile=used[placement.tile]) for placement in placements))

    def by_tile(self) -> list[list[Placement]]:
        """The placements on each tile."""
        found: list[list[Placement]] = [[] for _ in range(self.tiles)]
        for placement in self.placements:
            found[placement.tile].append(placement)
        return found

    def partial_sums(self, layers: int) -> list[int]:
        """Partial sums a window of each of so many layers: columns of its pieces. Cutting rows adds some."""
        found = Counter[int]()
        for placement in self.placements:
            found[placement.piece.layer] += placement.piece.columns
        return [found[layer] for layer in range(layers)]


def blocks(layer: int, matrix: Matrix, tile: Tile) -> list[Piece]:
    """A matrix cut greedily for a tile: pieces as large as the tile allows, the last ones short; groups apart."""
    return [
        Piece(layer, group, row, column, min(tile.rows, matrix.rows - row), min(tile.columns, matrix.columns - column))
        for group, row, column in itertools.product(
            range(matrix.groups), range(0, matrix.rows, tile.rows), range(0, matrix.columns, tile.columns)
        )
    ]


def all_blocks(matrices: Sequence[Matrix], tile: Tile) -> list[Piece]:
    """The blocks of all matrices, in their order."""
    return [piece for layer, matrix in enumerate(matrices) for piece in blocks(layer, matrix, tile)]


def most_on_diagonal(rows: int, columns: int, tile: Tile) -> int:
    """How many pieces of that size the diagonal of a tile holds."""
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
