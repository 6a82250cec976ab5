"""What is left of tiles: the maximal free rectangles of each, and pieces put into them.

The maximal rectangles of a tile may overlap; a placed piece cuts every one that it touches into up to four, and those
that lie within another are dropped. All tiles share one array, so that the best place is found in one step.
"""

from __future__ import annotations

import numpy as np

from xbarc.passes.packing.pieces import Tile

#: Columns of the array of free rectangles.
TILE, ROW, COLUMN, ROWS, COLUMNS = range(5)


class FreeSpace:
    """Free rectangles of a number of tiles, ``rectangles`` ``(n, 5)``: tile, first row and column, rows, columns.

    Args:
        tile: the size of each.
        first: number of the first tile.
        tiles: how many are empty at the start.
    """

    def __init__(self, tile: Tile, *, first: int, tiles: int = 0) -> None:
        self.tile = tile
        self.next = first
        self.rectangles = np.empty((0, 5), dtype=np.int64)
        for _ in range(tiles):
            self.open()

    def open(self) -> int:
        """Add an empty tile; where its rectangle lies in ``rectangles``."""
        whole = np.array([[self.next, 0, 0, self.tile.rows, self.tile.columns]], dtype=np.int64)
        self.rectangles = np.concatenate([self.rectangles, whole])
        self.next += 1
        return len(self.rectangles) - 1

    def fill(self) -> int:
        """Add a tile that is full from the start; its number."""
        self.next += 1
        return self.next - 1

    def fitting(self, rows: int, columns: int) -> np.ndarray:
        """Indices of the free rectangles that hold so many rows and columns."""
        return np.flatnonzero((self.rectangles[:, ROWS] >= rows) & (self.rectangles[:, COLUMNS] >= columns))

    def take(self, index: int, rows: int, columns: int) -> tuple[int, int, int]:
        """Fill the first rows and columns of a free rectangle; returns tile, row and column."""
        tile, row, column = (int(number) for number in self.rectangles[index, :ROWS])
        here = self.rectangles[:, TILE] == tile
        left = _without(self.rectangles[here, ROW:], row, column, rows, columns)
        kept = np.empty((len(left), 5), dtype=np.int64)
        kept[:, TILE] = tile
        kept[:, ROW:] = np.array(left, dtype=np.int64).reshape(-1, 4)
        self.rectangles = np.concatenate([self.rectangles[~here], kept])
        return tile, row, column


def _without(free: np.ndarray, row: int, column: int, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Maximal free rectangles of one tile after a rectangle is taken."""
    bottom, right = row + rows, column + columns
    whole: list[tuple[int, int, int, int]] = []
    cut: list[tuple[int, int, int, int]] = []
    for top, start, height, width in free.tolist():
        low, end = top + height, start + width
        if top >= bottom or low <= row or start >= right or end <= column:
            whole.append((top, start, height, width))
            continue
        if top < row:
            cut.append((top, start, row - top, width))
        if low > bottom:
            cut.append((bottom, start, low - bottom, width))
        if start < column:
            cut.append((top, start, height, column - start))
        if end > right:
            cut.append((top, right, height, end - right))
    # What was whole and maximal lies within no part of another: only the parts can be dropped.
    cut = list(dict.fromkeys(cut))
    return whole + [part for part in cut if not any(other != part and _within(part, other) for other in (*whole, *cut))]


def _within(inner: tuple[int, int, int, int], outer: tuple[int, int, int, int]) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[0] + outer[2] >= inner[0] + inner[2]
        and outer[1] + outer[3] >= inner[1] + inner[3]
    )
