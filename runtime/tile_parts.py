"""Where the cells of a layer lie on tiles, piece by piece, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.errors import InternalError
from xbarc.ir.layer import Layer
from xbarc.ir.pieces import ALL


@dataclass(frozen=True, slots=True)
class Sites:
    """Cells of a tile: where some of its rows cross some of its columns.

    Attributes:
        tile: that they lie in.
        plane: which of the cells at one site: the polarity, where pairs share a site, otherwise 0.
        rows: of the tile, ``(rows,)``, each once, in any order.
        columns: likewise.
    """

    tile: int
    plane: int
    rows: np.ndarray
    columns: np.ndarray

    @property
    def index(self) -> tuple[int, np.ndarray, np.ndarray]:
        """Of the cells among ``(cells a site, rows, columns)`` of the tile: rows by columns."""
        return self.plane, self.rows[:, None], self.columns


@dataclass(frozen=True, slots=True)
class TilePart:
    """Cells of one slice and polarity that lie in one tile.

    Attributes:
        slice, polarity, block: indices along ``S``, ``P`` and ``D``.
        columns: along ``C``.
        sites: where they lie; its rows hold those of the block from the first on, its columns these columns.
        swapped: whether they lie where the other polarity would.
        copy: of the layer, which.
    """

    slice: int
    polarity: int
    block: int
    columns: np.ndarray
    sites: Sites
    swapped: bool
    copy: int

    @property
    def index(self) -> tuple[int, int, int, np.ndarray, np.ndarray]:
        """Of the cells among ``(S, P, D, R, C)``: rows by columns."""
        return self.slice, self.polarity, self.block, np.arange(len(self.sites.rows))[:, None], self.columns


@dataclass(frozen=True, slots=True)
class LineOrder:
    """Where the lines of a piece lie, counted from its first row and column on; each line of a tile is taken once.

    Attributes:
        rows: of each row of the piece, ``(rows,)`` integers: its own rows in another order, or rows of the tile before
            and after them that nothing else takes.
        columns: of each column of the stack that it holds, ``(count,)``; in steps of two where a pair takes two.
        swapped: of each column, whether the polarities of its pairs lie in each other's place, ``(count,)`` bool: what
            is read of it is counted with the opposite sign.
    """

    rows: np.ndarray
    columns: np.ndarray
    swapped: np.ndarray


def tile_parts(layer: Layer, orders: Sequence[LineOrder] | None = None, *, copies: bool = False) -> Iterator[TilePart]:
    """All cells of a placed layer but those of padding, by where its first copy lies, or all copies.

    What a chip's cells and converters are like follows from where the first copy lies: others count as equal to it.

    Args:
        layer: placed.
        orders: one for each piece of :func:`first_pieces`; ``None``: lines follow each other. Further copies lie so in
            any case.
        copies: all of them.
    """
    firsts = first_pieces(layer)
    for number, piece in enumerate(firsts):
        yield from _parts(layer, piece, None if orders is None else orders[number])
    if copies and layer.read.pieces is not None:
        for piece in layer.read.pieces[layer.read.pieces["copy"] > 0]:
            yield from _parts(layer, piece, None)


def first_pieces(layer: Layer) -> np.ndarray:
    """The pieces of a layer's first copy (:data:`xbarc.ir.pieces.PIECE`)."""
    pieces = layer.read.pieces
    if pieces is None:
        raise InternalError(f"layer {layer.name!r} has no tiles")
    first: np.ndarray = pieces[pieces["copy"] == 0]
    return first


def polarities_of(layer: Layer, piece: np.void) -> Sequence[int]:
    """The polarities that lie in a piece."""
    return range(layer.read.levels.shape[1]) if piece["side"] == ALL else [int(piece["side"])]


def opposite(layer: Layer, piece: np.void) -> np.void | None:
    """The piece that holds the other polarity of just these weights; ``None``: this one does, or none."""
    if piece["side"] == ALL:
        return None
    pieces = first_pieces(layer)
    alike = [pieces[name] == piece[name] for name in ("slice", "place", "first", "count")]
    found = pieces[np.logical_and.reduce([*alike, pieces["side"] != piece["side"]])]
    return found[0] if len(found) else None


def sites_of(piece: np.void, polarity: int, rows: np.ndarray, columns: np.ndarray) -> Sites:
    """Where lines of a piece lie, of one of the polarities in it.

    Args:
        piece: placed.
        polarity: 0 or 1.
        rows, columns: counted from its first on, as in :class:`LineOrder`.
    """
    step = int(piece["columns"]) // int(piece["count"])
    at_site = piece["side"] == ALL and step == 1
    return Sites(
        tile=int(piece["tile"]),
        plane=polarity if at_site else 0,
        rows=int(piece["row"]) + rows,
        columns=int(piece["column"]) + polarity % step + step * columns,
    )


def _parts(layer: Layer, piece: np.void, order: LineOrder | None) -> Iterator[TilePart]:
    count = int(piece["count"])
    if order is None:
        order = LineOrder(np.arange(int(piece["rows"])), np.arange(count), np.zeros(count, dtype=bool))
    other = opposite(layer, piece) if order.swapped.any() else None
    for polarity in polarities_of(layer, piece):
        for swapped in np.unique(order.swapped).tolist():
            chosen = np.flatnonzero(order.swapped == swapped)
            within = other if swapped and other is not None else piece
            yield TilePart(
                slice=int(piece["slice"]),
                polarity=polarity,
                block=int(piece["place"]),
                columns=int(piece["first"]) + chosen,
                sites=sites_of(within, polarity ^ swapped, order.rows, order.columns[chosen]),
                swapped=swapped,
                copy=int(piece["copy"]),
            )
