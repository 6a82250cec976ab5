"""What is left of tiles: the maximal free rectangles of each, and rectangles put into them.

The maximal rectangles of a tile may overlap; what is placed cuts every one that it touches into up to four, and those
that lie within another are dropped. All tiles share one array, so that the best place is found in one step.
"""

from __future__ import annotations

import numpy as np

from xbarc.passes.packing.matrices import Tile

#: Columns of the array of free rectangles.
TILE, ROW, COLUMN, ROWS, COLUMNS = range(5)


class FreeSpace:
    """Free rectangles of a growing number of tiles, numbered from 0.

    Args:
        tile: the size of each.
        tiles: how many are empty at the start.
    """

    def __init__(self, tile: Tile, *, tiles: int = 0) -> None:
        self.tile = tile
        #: By tile, where its rectangles lie in the array.
        self._of: list[list[int]] = []
        self._array = np.zeros((max(2 * tiles, 16), 5), dtype=np.int64)
        self._used = 0
        for _ in range(tiles):
            self.open()

    @property
    def tiles(self) -> int:
        """How many there are."""
        return len(self._of)

    @property
    def rectangles(self) -> np.ndarray:
        """``(n, 5)``: tile, first row and column, rows, columns; of some that are gone, with no rows."""
        return self._array[: self._used]

    def open(self) -> int:
        """Add an empty tile; where its rectangle lies in ``rectangles``."""
        self._of.append([])
        self._set(self.tiles - 1, [(0, 0, self.tile.rows, self.tile.columns)])
        return self._of[-1][0]

    def fitting(self, rows: int, columns: int) -> np.ndarray:
        """Indices of the free rectangles that hold so many rows and columns."""
        free = self.rectangles
        return np.flatnonzero((free[:, ROWS] >= rows) & (free[:, COLUMNS] >= columns))

    def take(self, index: int, rows: int, columns: int) -> tuple[int, int, int]:
        """Fill the first rows and columns of a free rectangle; returns tile, row and column."""
        tile, row, column = (int(number) for number in self._array[index, :ROWS])
        self._set(tile, _without(self._array[self._of[tile], ROW:], row, column, rows, columns))
        return tile, row, column

    def _set(self, tile: int, rectangles: list[tuple[int, int, int, int]]) -> None:
        """Give a tile other free rectangles."""
        mine = self._of[tile]
        self._array[mine[len(rectangles) :], ROWS] = 0
        for _ in range(len(rectangles) - len(mine)):
            if self._used == len(self._array):
                self._array = np.concatenate([self._array, np.zeros_like(self._array)])
            mine.append(self._used)
            self._used += 1
        if rectangles:
            self._array[mine[: len(rectangles)], ROW:] = rectangles
            self._array[mine[: len(rectangles)], TILE] = tile


def _without(free: np.ndarray, row: int, column: int, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Maximal free rectangles of one tile after a rectangle is taken."""
    bottom, right = row + rows, column + columns
    whole: list[tuple[int, int, int, int]] = []
    cut: list[tuple[int, int, int, int]] = []
    for top, start, height, width in free.tolist():
        low, end = top + height, start + width
        if not height:
            continue
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
