"""How few tiles can do: lower bounds of packings, by area and by dual-feasible functions.

A function ``u`` of lengths ``0..L`` is *dual feasible* when any lengths whose sum is at most ``L`` have values whose
sum is at most ``u(L)``. If ``u`` is one for rows and ``v`` one for columns, rectangles that fit a tile have values
``u(rows) * v(columns)`` whose sum is at most ``u(R) * v(C)``: so the sum over all rectangles, over that, bounds the
number of tiles. Functions and theorem: S. P. Fekete and J. Schepers, "New classes of fast lower bounds for bin packing
problems", Mathematical Programming 91 (2001) 11-31; for rectangles "A general framework for bounds for
higher-dimensional orthogonal packing problems", Mathematical Methods of Operations Research 60 (2004) 311-329.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from xbarc.passes.packing.matrices import Matrix, Tile, all_blocks, most_on_diagonal

#: Values are integers over a common denominator, so that bounds are exact: a table of ``u(0) .. u(L)``.
Table = np.ndarray


def area_bound(matrices: Sequence[Matrix], tile: Tile) -> int:
    """Tiles for as many cells as there are weights: holds for any packing, with any cuts."""
    return math.ceil(sum(matrix.weights for matrix in matrices) / tile.cells)


def uncut_bound(matrices: Sequence[Matrix], tile: Tile) -> int:
    """Tiles for the blocks of the matrices, each group apart and no block cut again, wherever they lie."""
    sizes = Counter((block.rows, block.columns) for block in all_blocks(matrices, tile))
    rows, columns = dual_feasible(tile.rows), dual_feasible(tile.columns)
    values = _values(sizes, rows, columns)
    limits = np.outer(rows[:, -1], columns[:, -1])
    return int((-(-values // limits)).max())


def parallel_bound(matrices: Sequence[Matrix], tile: Tile) -> int:
    """Tiles for the blocks, none cut again, where each layer has at most one region in a tile (``parallel``).

    ``k`` groups of ``r x c`` in one tile own a region of at least ``k r x k c`` cells, of value ``u(k r) * v(k c)``:
    the functions do not decrease. On ``T`` tiles a layer's ``n`` groups cost least by the lower convex hull of these
    values over ``k``: ``T * hull(n / T)``, which is infinite where the tiles take fewer than ``n``. It falls as ``T``
    grows, so the least ``T`` at which the sum over layers is at most ``T * u(R) * v(C)``, for every pair of functions,
    bounds the number of tiles. Blocks as large as a tile have tiles of their own, and ``T`` is of the others.
    """
    found = all_blocks(matrices, tile)
    whole = sum(block.area == tile.cells for block in found)
    alone: Counter[tuple[int, int]] = Counter()
    together: Counter[tuple[int, int, int, int, int]] = Counter()
    for block in found:
        if block.area == tile.cells:
            continue
        if matrices[block.layer].groups == 1:
            alone[block.rows, block.columns] += 1
        else:
            together[block.layer, block.row, block.column, block.rows, block.columns] += 1
    spread = Counter((rows, columns, count) for (*_, rows, columns), count in together.items())
    row_tables, column_tables = dual_feasible(tile.rows), dual_feasible(tile.columns)
    limits = np.outer(row_tables[:, -1], column_tables[:, -1])
    fixed = _values(alone, row_tables, column_tables) / limits
    costs = {
        (rows, columns): np.stack(
            [
                np.outer(row_tables[:, k * rows], column_tables[:, k * columns]) / limits
                for k in range(1, most_on_diagonal(rows, columns, tile) + 1)
            ]
        )
        for rows, columns, _ in spread
    }

    def enough(tiles: int) -> bool:
        total = fixed.copy()
        for (rows, columns, count), layers in spread.items():
            if count > tiles * len(costs[rows, columns]):
                return False
            total += layers * tiles * _hull(costs[rows, columns], count / tiles)
        return bool(np.all(total <= tiles * (1 + 1e-9)))

    low, high = 0, sum(alone.values()) + sum(together.values())
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return whole + low


def dual_feasible(length: int) -> Table:
    """Dual-feasible functions of lengths ``0..length``, none of which decreases: ``(functions, length + 1)`` integers.

    The identity and the three families of the paper, with ``e`` for its epsilon times ``length``.
    """
    x = np.arange(length + 1)
    tables = [x]
    for k in range(1, length // 2 + 1):
        tables.append(np.where((k + 1) * x % length == 0, x * k, (k + 1) * x // length * length))
    for e in range(1, length // 2 + 1):
        tables.append(np.where(x > length - e, length, np.where(x >= e, x, 0)))
        most = length // e
        tables.append(np.where(2 * x > length, most - (length - x) // e, np.where(x >= e, 1, 0)))
    return np.unique(np.stack(tables).astype(np.int64), axis=0)


def _values(sizes: Counter[tuple[int, int]], rows: Table, columns: Table) -> np.ndarray:
    """The sum over rectangles of ``u(rows) * v(columns)``, for every pair of functions."""
    heights = [height for height, _ in sizes]
    widths = [width for _, width in sizes]
    counts = np.array(list(sizes.values()), dtype=np.int64)
    found: np.ndarray = (rows[:, heights] * counts) @ columns[:, widths].T
    return found


def _hull(costs: np.ndarray, x: float) -> np.ndarray:
    """The lower convex hull at ``x`` of the points ``(0, 0), (1, costs[0]), (2, costs[1]), ..``, where ``x`` is one of
    these or between two."""
    least = np.full(costs.shape[1:], np.inf)
    for low, high in itertools.product(range(math.floor(x) + 1), range(math.ceil(x), len(costs) + 1)):
        share = (x - low) / (high - low) if high > low else 0.0
        before = costs[low - 1] if low else 0.0
        after = costs[high - 1] if high else 0.0
        np.minimum(least, (1 - share) * before + share * after, out=least)
    return least
