"""Where cells lie on the chip, one by one, from the table of pieces."""

from __future__ import annotations

from collections.abc import Iterator

from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer
from xbarc.ir.pieces import ALL

#: Hardware in which the cells of a weight lie in different ways.
LAYOUTS = {
    "unit-cell": (),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "paired": ("tile.polarity=paired-tiles", "weights.subtraction=digital"),
    "digital": ("weights.subtraction=digital",),
    "offset": ("weights.encoding=offset",),
    "slices": ("weights.slices=2", "cell.levels=16"),
}
#: Tile, row, column, and the plane: the polarity where pairs share a site.
Cell = tuple[int, int, int, int]
#: Copy, slice, polarity, and place, row and column of the stack.
Level = tuple[int, int, int, int, int, int]


def cells_of(layer: Layer, hardware: Hardware) -> Iterator[tuple[Cell, Level]]:
    """Every cell of a placed layer, with the level that it holds."""
    assert layer.read.pieces is not None
    polarities, layout = layer.read.levels.shape[1], hardware.tile.polarity
    for piece in layer.read.pieces.tolist():
        copy, slice_, side, place, first, count, tile, top, left, rows, _, _ = piece
        for polarity in range(polarities) if side == ALL else [side]:
            for row in range(rows):
                for column in range(count):
                    adjacent = layout == "adjacent-columns" and polarities == 2
                    across = 2 * column + polarity if adjacent else column
                    plane = polarity if layout == "unit-cell" else 0
                    yield (tile, top + row, left + across, plane), (copy, slice_, polarity, place, row, first + column)
