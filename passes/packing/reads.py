"""What one read of a tile can do: which pieces of a layer it serves, and how many reads a window needs.

A read drives rows and digitises columns; the current of a column is the sum over all driven rows. So a read serves a
set of pieces of one layer when, for every two of them, ``p`` and ``q``:

* the cells where rows of ``p`` cross columns of ``q`` hold nothing, or cells of ``q`` itself;
* where they share rows, they want the same input there: they are column neighbours of the same matrix.

From the first it follows that no two share a column: their sums, which belong to different outputs, or are digitised
apart, would run together. Pieces of other layers may lie anywhere else: they are read at other times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.passes.packing.pieces import Packing, Placement, Tile

#: A cell that holds no weight.
EMPTY = -1


@dataclass(frozen=True, slots=True)
class Read:
    """Pieces of one layer in one tile that are read at once.

    Attributes:
        layer: index of the matrix.
        tile: which tile.
        served: its placements.
    """

    layer: int
    tile: int
    served: tuple[Placement, ...]


def reads(packing: Packing, tile: Tile) -> list[Read]:
    """The reads that serve every piece once, few for each layer and tile: greedy, so not always the fewest."""
    found: list[Read] = []
    for number, placements in enumerate(packing.by_tile()):
        by_layer: dict[int, list[int]] = defaultdict(list)
        for index, placement in enumerate(placements):
            by_layer[placement.piece.layer].append(index)
        if all(len(members) == 1 for members in by_layer.values()):
            found += [Read(layer, number, (placements[index],)) for layer, (index,) in by_layer.items()]
            continue
        owners = owners_of(placements, tile)
        for layer, members in by_layer.items():
            found += [
                Read(layer, number, tuple(placements[index] for index in served))
                for served in _served_together(placements, members, owners)
            ]
    return found


def serial_reads(packing: Packing, tile: Tile, *, layers: int) -> list[int]:
    """Reads a window of each of so many layers: tiles work at once, the reads of one tile one after another."""
    counts = np.zeros((layers, packing.tiles), dtype=np.int64)
    for read in reads(packing, tile):
        counts[read.layer, read.tile] += 1
    return [int(count) for count in counts.max(axis=1, initial=0)]


def owners_of(placements: Sequence[Placement], tile: Tile) -> np.ndarray:
    """``(R, C)``: index of the placement whose weight lies on each cell of a tile, ``EMPTY`` where none does.

    Raises:
        ValueError: pieces overlap, or reach over the edge.
    """
    owners = np.full((tile.rows, tile.columns), EMPTY, dtype=np.int64)
    for index, placement in enumerate(placements):
        piece = placement.piece
        cells = owners[_rows(placement), _columns(placement)]
        if min(placement.row, placement.column) < 0 or cells.shape != (piece.rows, piece.columns):
            raise ValueError(f"{placement} reaches over the edge of a tile of {tile.rows} x {tile.columns}")
        if np.any(cells != EMPTY):
            raise ValueError(f"{placement} lies on cells of another piece")
        cells[...] = index
    return owners


def _served_together(placements: Sequence[Placement], members: list[int], owners: np.ndarray) -> list[list[int]]:
    """Members in sets that one read serves, first fit."""
    sets: list[list[int]] = []
    for index in members:
        for served in sets:
            if all(_compatible(placements, index, other, owners) for other in served):
                served.append(index)
                break
        else:
            sets.append([index])
    return sets


def _compatible(placements: Sequence[Placement], p: int, q: int, owners: np.ndarray) -> bool:
    first, second = placements[p], placements[q]
    if _rows_overlap(first, second) and not _same_inputs(first, second):
        return False
    return all(
        bool(np.all((cells == EMPTY) | (cells == other)))
        for cells, other in (
            (owners[_rows(first), _columns(second)], q),
            (owners[_rows(second), _columns(first)], p),
        )
    )


def _rows_overlap(first: Placement, second: Placement) -> bool:
    return first.row < second.row + second.piece.rows and second.row < first.row + first.piece.rows


def _same_inputs(first: Placement, second: Placement) -> bool:
    """Whether rows of the tile that both use carry the same inputs of their layer."""
    return first.piece.group == second.piece.group and first.row - first.piece.row == second.row - second.piece.row


def _rows(placement: Placement) -> slice:
    return slice(placement.row, placement.row + placement.piece.rows)


def _columns(placement: Placement) -> slice:
    return slice(placement.column, placement.column + placement.piece.columns)
