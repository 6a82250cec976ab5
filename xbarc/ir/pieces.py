"""Where the cells of a layer lie on the chip: a table with one entry for each piece.

A piece is a block of the layer's matrix, or some columns of a block: a rectangle of a tile. Blocks are those of
:class:`xbarc.ir.partition.Partition`, for every copy, slice and side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from xbarc.ir.partition import Partition

#: The side of a piece that holds all polarities of its weights.
ALL: Final = -1

#: An entry of the table, integers all:
#:
#: * ``copy`` and ``slice``: which, from 0 on. ``side``: the polarity that it holds, or :data:`ALL`.
#: * ``place``: index along ``D``, of diagonals and row blocks. ``first`` and ``count``: the columns of the stack, along
#:   ``C``, reference columns included.
#: * ``tile``, ``row``, ``column``: where it begins. ``rows`` and ``columns``: of the tile that it takes; a pair in
#:   neighbouring columns takes two.
#: * ``turn``: in which of the serial reads of its tile it is read.
PIECE: Final = np.dtype(
    [
        (name, np.int32)
        for name in (
            *("copy", "slice", "side", "place", "first", "count"),
            *("tile", "row", "column", "rows", "columns", "turn"),
        )
    ]
)


def whole_blocks(
    partition: Partition, *, copies: int, slices: int, sides: Sequence[int], columns_a_column: int
) -> np.ndarray:
    """A piece for each block, not placed yet: at row and column 0 of tile 0.

    Args:
        partition: of the layer's matrix.
        copies, slices: how many there are.
        sides: those that lie apart, or :data:`ALL` alone.
        columns_a_column: columns of a tile that one column of weights takes: 2 for pairs in neighbouring columns.

    Returns:
        ``(copies, slices, sides, D, column blocks)`` of :data:`PIECE`.
    """
    sizes = np.array(partition.block_sizes(), dtype=np.int32).reshape(partition.stacked, partition.column_blocks, 2)
    shape = (copies, slices, len(sides), partition.stacked, partition.column_blocks)
    pieces = np.zeros(shape, dtype=PIECE)
    copy, slice_, side, place, block = np.ogrid[tuple(slice(0, size) for size in shape)]
    pieces["copy"], pieces["slice"], pieces["place"] = copy, slice_, place
    pieces["side"] = np.array(sides, dtype=np.int32)[side]
    pieces["first"] = block * (partition.block_columns + int(partition.reference_column))
    pieces["count"] = _stacked_columns(partition, sizes[..., 1])
    pieces["rows"] = sizes[..., 0]
    pieces["columns"] = pieces["count"] * columns_a_column
    return pieces


def are_complete(pieces: np.ndarray, partition: Partition, *, copies: int, slices: int, polarities: int) -> bool:
    """Whether pieces are placed, and hold every column of every block of every copy, slice and polarity once."""
    if pieces.dtype != PIECE or pieces.ndim != 1:
        return False
    whole = ("copy", "slice", "place", "first", "tile", "row", "column", "turn")
    if any(np.any(pieces[name] < 0) for name in whole) or np.any(pieces["count"] < 1):
        return False
    sides = pieces["side"]
    if np.any(sides == ALL) and not np.all(sides == ALL):
        return False
    planes = 1 if np.all(sides == ALL) else polarities
    held = np.zeros((copies, slices, planes, partition.stacked, partition.stack_columns + 1), dtype=np.int32)
    at = (pieces["copy"], pieces["slice"], np.maximum(sides, 0), pieces["place"])
    try:
        np.add.at(held, (*at, pieces["first"]), 1)
        np.add.at(held, (*at, pieces["first"] + pieces["count"]), -1)
    except IndexError:
        return False
    sizes = np.array(partition.block_sizes(), dtype=np.int32).reshape(partition.stacked, partition.column_blocks, 2)
    wanted = np.arange(partition.stack_columns) < _stacked_columns(partition, sizes[..., 1]).sum(axis=1)[:, None]
    rows = sizes[pieces["place"], 0, 0]
    return bool(np.array_equal(pieces["rows"], rows) and np.all(held.cumsum(axis=-1)[..., :-1] == wanted))


def _stacked_columns(partition: Partition, columns: np.ndarray) -> np.ndarray:
    """Columns of the stack that each block takes, ``(D, column blocks)``, by the columns of weights of each.

    A short diagonal has its reference column where a full one has it.
    """
    if not partition.reference_column:
        return columns
    if partition.groups_per_diagonal > 1:
        return np.full_like(columns, partition.diagonal_columns + 1)
    return columns + 1
