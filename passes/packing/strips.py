"""Strips: blocks of a layer that want the same inputs, which one read can serve when they lie side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xbarc.passes.packing.matrices import Tile


def strips_of(blocks: np.ndarray, tile: Tile) -> Iterator[tuple[int, int, np.ndarray]]:
    """The blocks of a layer that fill no tile, as strips: slices and sides of one block of its matrix.

    Args:
        blocks: ``(copies, slices, sides, D, column blocks)`` of :data:`xbarc.ir.pieces.PIECE`.
        tile: its size.

    Yields:
        For each column block and size, rows and columns of a block, and the numbers of the blocks in the array laid
        flat: ``(strips, blocks of each)``, over copies and ``D``, and over slices and sides.
    """
    numbers = np.arange(blocks.size).reshape(blocks.shape)
    for across in range(blocks.shape[-1]):
        sizes = blocks[["rows", "columns"]][0, 0, 0, :, across]
        for size in np.unique(sizes):
            rows, columns = (int(side) for side in size)
            if rows * columns < tile.cells:
                alike = np.moveaxis(numbers[..., sizes == size, across], 3, 1)
                yield rows, columns, alike.reshape(alike.shape[0] * alike.shape[1], -1)
