"""Where the cells of a layer lie on tiles, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xbarc.errors import InternalError
from xbarc.ir.layer import Layer
from xbarc.ir.pieces import ALL


@dataclass(frozen=True, slots=True)
class TilePart:
    """Cells of one slice and polarity that lie in a rectangle of a tile.

    Attributes:
        index: of the cells among ``(S, P, D, R, C)``: rows by columns.
        rows, columns: how many there are of each.
        tile: that they lie in.
        row, column: of the first cell there.
        column_step: from one column to the next: 2 where the other polarity lies between.
        site: which of the cells at one site: the polarity, where pairs share a site, otherwise 0.
        copy: of the layer, which.
    """

    index: tuple[int, int, int, slice, slice]
    rows: int
    columns: int
    tile: int
    row: int
    column: int
    column_step: int
    site: int
    copy: int

    @property
    def place(self) -> tuple[int, slice, slice]:
        """Where it lies in ``(cells a site, rows, columns)`` of its tile."""
        end = self.column + (self.columns - 1) * self.column_step + 1
        return self.site, slice(self.row, self.row + self.rows), slice(self.column, end, self.column_step)


def tile_parts(layer: Layer, *, copies: bool = False) -> Iterator[TilePart]:
    """All cells of a placed layer but those of padding, by where its first copy lies, or all copies.

    What a chip's cells and converters are like follows from where the first copy lies: others count as equal to it.
    """
    pieces, polarities = layer.read.pieces, layer.read.levels.shape[1]
    if pieces is None:
        raise InternalError(f"layer {layer.name!r} has no tiles")
    for piece in pieces if copies else pieces[pieces["copy"] == 0]:
        first, count, rows = int(piece["first"]), int(piece["count"]), int(piece["rows"])
        apart, step = int(piece["side"]) != ALL, int(piece["columns"]) // count
        for polarity in [int(piece["side"])] if apart else range(polarities):
            yield TilePart(
                index=(int(piece["slice"]), polarity, int(piece["place"]), slice(0, rows), slice(first, first + count)),
                rows=rows,
                columns=count,
                tile=int(piece["tile"]),
                row=int(piece["row"]),
                column=int(piece["column"]) + polarity % step,
                column_step=step,
                site=0 if apart or step == 2 else polarity,
                copy=int(piece["copy"]),
            )
