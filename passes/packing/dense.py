"""Dense packing: as few tiles as there are, at the price of serial reads and of more partial sums.

Pieces of one layer may share rows of a tile: then their reads follow each other. A piece that fits nowhere is cut
again; where rows are cut, partial sums are added.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from xbarc.passes.packing.bounds import area_bound, parallel_bound
from xbarc.passes.packing.free_space import COLUMNS, ROWS, TILE, FreeSpace
from xbarc.passes.packing.parallel import pack_parallel
from xbarc.passes.packing.pieces import Matrix, Packing, Piece, Placement, Tile, all_blocks

#: No cut leaves fewer rows or columns than this: thinner pieces cost more converters than the cells that they save.
_LEAST: Final = 8
#: A cut of rows adds partial sums, one of columns does not: so much less is a place worth that needs one.
_ROW_CUT_WORTH: Final = 0.5


def pack_dense(matrices: Sequence[Matrix], tile: Tile, *, allowed: int = 0) -> Packing:
    """Pack matrices into as few tiles as the heuristic finds, from the area bound upwards.

    Args:
        matrices: of any size.
        tile: the size of each.
        allowed: so many tiles may be used in any case: the more, the fewer serial reads.

    Returns:
        A packing of at most as many tiles as in parallel.
    """
    pieces = all_blocks(matrices, tile)
    full = [Placement(piece, index, 0, 0) for index, piece in enumerate(p for p in pieces if p.area == tile.cells)]
    rest = [piece for piece in pieces if piece.area < tile.cells]
    fewest = max(area_bound(matrices, tile), allowed)
    # No packing in parallel is below its bound: up to there it need not be known.
    bound = max(parallel_bound(matrices, tile), fewest)
    found = _first_that_does(rest, full, range(fewest, bound), tile)
    if found is None:
        parallel = pack_parallel(matrices, tile)
        found = _first_that_does(rest, full, range(bound, parallel.tiles), tile) or parallel
    return found


def _first_that_does(rest: Sequence[Piece], full: Sequence[Placement], numbers: range, tile: Tile) -> Packing | None:
    """The packing into the first of these numbers of tiles that the pieces fit, beside those that fill a tile each."""
    for tiles in numbers:
        placements = _fill(rest, FreeSpace(tile, first=len(full), tiles=tiles - len(full)))
        if placements is not None:
            return Packing.of([*full, *placements])
    return None


@dataclass(frozen=True, slots=True)
class _Cut:
    """A place for the first rows and columns of a piece."""

    index: int
    rows: int
    columns: int


def _fill(pieces: Sequence[Piece], space: FreeSpace) -> list[Placement] | None:
    """Place pieces into the space that there is, largest first; ``None`` where it does not do."""
    waiting = [(-piece.area, piece) for piece in pieces]
    heapq.heapify(waiting)
    in_tile: Counter[tuple[int, int]] = Counter()
    placements: list[Placement] = []
    while waiting:
        _, piece = heapq.heappop(waiting)
        index = _best_fit(piece, space, in_tile)
        if index is None:
            cut = _best_cut(piece, space)
            if cut is None:
                return None
            index = cut.index
            piece, others = _divide(piece, cut)
            for other in others:
                heapq.heappush(waiting, (-other.area, other))
        place = space.take(index, piece.rows, piece.columns)
        in_tile[piece.layer, place[0]] += 1
        placements.append(Placement(piece, *place))
    return placements


def _best_fit(piece: Piece, space: FreeSpace, in_tile: Counter[tuple[int, int]]) -> int | None:
    """The free rectangle in whose tile there is least of the layer, and that leaves least beside the piece."""
    fitting = space.fitting(piece.rows, piece.columns)
    if not len(fitting):
        return None
    free = space.rectangles[fitting]
    slack = free[:, [ROWS, COLUMNS]] - (piece.rows, piece.columns)
    serial = [in_tile[piece.layer, number] for number in free[:, TILE].tolist()]
    return int(fitting[np.lexsort((slack.max(axis=1), slack.min(axis=1), serial))[0]])


def _best_cut(piece: Piece, space: FreeSpace) -> _Cut | None:
    """The free rectangle that takes most of the piece."""
    rows = _share(piece.rows, space.rectangles[:, ROWS])
    columns = _share(piece.columns, space.rectangles[:, COLUMNS])
    worth = rows * columns * np.where(rows < piece.rows, _ROW_CUT_WORTH, 1.0)
    if not np.any(worth):
        return None
    index = int(np.argmax(worth))
    return _Cut(index, int(rows[index]), int(columns[index]))


def _share(side: int, room: np.ndarray) -> np.ndarray:
    """How much of a side goes into each room: all, or so much that both parts are long enough, or nothing."""
    part = np.minimum(room, side - _LEAST)
    return np.where(room >= side, side, np.where(part >= _LEAST, part, 0))


def _divide(piece: Piece, cut: _Cut) -> tuple[Piece, list[Piece]]:
    """The part that is placed, and what is left of its columns and of its rows."""
    placed = replace(piece, rows=cut.rows, columns=cut.columns)
    others = []
    if cut.columns < piece.columns:
        others.append(replace(piece, column=piece.column + cut.columns, columns=piece.columns - cut.columns))
    if cut.rows < piece.rows:
        others.append(replace(placed, row=piece.row + cut.rows, rows=piece.rows - cut.rows))
    return placed, others
