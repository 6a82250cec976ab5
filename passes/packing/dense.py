"""Dense packing: as few tiles as there are, at the price of serial reads.

Every column of a tile is a bin for rows. Blocks are cut by columns, which leaves sums as they are; a strip, all blocks
of one layer that want the same inputs, is laid along as many columns as it has, wherever there are rows enough below
what lies there: best fit, the highest strips first. It is the heuristic of bin packing, for many bins at once.

Where there is a choice, a strip goes to a tile that holds little of its layer. Low strips have more of it, at no price
in tiles: so those up to some height look at this first, and at the fit second.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.passes.packing.matrices import Tile

#: No cut leaves fewer columns than this: thinner pieces cost more in reads than the cells that they save.
LEAST: Final = 8


@dataclass(frozen=True, slots=True)
class Strips:
    """Equal strips of one layer that want different inputs.

    Attributes:
        layer: index of the layer.
        rows: of each strip.
        columns: of each block.
        unit: columns of a tile that one column of a block takes; 0: blocks are not cut.
        blocks: ``(strips, blocks of each)``, numbers of the layer's blocks.
    """

    layer: int
    rows: int
    columns: int
    unit: int
    blocks: np.ndarray

    def cut(self, start: int, room: int) -> int:
        """How many columns of a strip from ``start`` on go into so many: none, or as leaves no part too thin."""
        end = min(start + room, self.columns * self.blocks.shape[1])
        block, within = divmod(end, self.columns)
        if not within:
            return end - start
        edge, least = block * self.columns, LEAST * self.unit
        within = min(within - within % max(self.unit, 1), self.columns - least)
        if not self.unit or edge + within - max(start, edge) < least:
            return max(edge - start, 0)
        return edge + within - start


@dataclass(frozen=True, slots=True)
class _Run:
    """Columns of a strip that lie side by side: strip and first column of it; tile, row and column; how many."""

    strips: int
    strip: int
    start: int
    tile: int
    row: int
    column: int
    width: int


def pack_dense(layers: Sequence[np.ndarray], tile: Tile, *, cuttable: Sequence[bool]) -> tuple[int, list[np.ndarray]]:
    """Place blocks into as few tiles as the heuristic finds. Those that fill a tile are left out.

    Args:
        layers: the blocks of each, ``(copies, slices, sides, D, column blocks)`` of :data:`xbarc.ir.pieces.PIECE`, none
            larger than a tile.
        tile: the size of each.
        cuttable: of each layer, whether its blocks may be cut.

    Returns:
        The number of tiles, and of each layer the blocks, or what became of them, in one dimension, with ``tile``,
        ``row`` and ``column``.
    """
    found = [
        strips for layer, blocks in enumerate(layers) for strips in _strips(layer, blocks, tile, cut=cuttable[layer])
    ]
    found.sort(key=lambda strips: (-strips.rows, -strips.columns * strips.blocks.shape[1]))
    tight = _Tiles(tile, 0)
    best = [run for index, strips in enumerate(found) for run in tight.lay(index, strips, tight=True)]
    heights = sorted({strips.rows for strips in found})
    low, high = 0, len(heights)
    while low < high:
        middle = (low + high + 1) // 2
        tiles = _Tiles(tile, tight.count)
        runs = [
            run
            for index, strips in enumerate(found)
            for run in tiles.lay(index, strips, tight=strips.rows > heights[middle - 1])
        ]
        if tiles.count == tight.count:
            best, low = runs, middle
        else:
            high = middle - 1
    return tight.count, [_pieces(layer, blocks, tile, found, best) for layer, blocks in enumerate(layers)]


def _strips(layer: int, blocks: np.ndarray, tile: Tile, *, cut: bool) -> list[Strips]:
    numbers = np.arange(blocks.size).reshape(blocks.shape)
    found = []
    for across in range(blocks.shape[-1]):
        sizes = blocks[["rows", "columns", "count"]][0, 0, 0, :, across]
        for size in np.unique(sizes):
            rows, columns, count = (int(side) for side in size)
            if rows * columns < tile.cells:
                alike = np.moveaxis(numbers[..., sizes == size, across], 3, 1)
                unit = columns // count if cut else 0
                found.append(Strips(layer, rows, columns, unit, alike.reshape(alike.shape[0] * alike.shape[1], -1)))
    return found


class _Tiles:
    """Tiles that are filled from above, by intervals of columns that are filled equally far.

    Args:
        tile: the size of each.
        count: how many are empty at the start.
    """

    def __init__(self, tile: Tile, count: int) -> None:
        self._tile = tile
        #: Of each tile, by first column: how many columns, and the rows that are filled.
        self._filled: list[dict[int, tuple[int, int]]] = [{0: (tile.columns, 0)} for _ in range(count)]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._filled)

    def lay(self, index: int, strips: Strips, *, tight: bool) -> Iterator[_Run]:
        """Place strips, into new tiles where they fit nowhere."""
        held = Counter[int]()
        most = self._tile.rows - strips.rows

        def entry(tile: int, column: int, width: int, filled: int) -> tuple[int, int, int, int, int]:
            return (-filled, held[tile], tile, column, width) if tight else (held[tile], -filled, tile, column, width)

        waiting = [
            entry(tile, column, width, filled)
            for tile, intervals in enumerate(self._filled)
            for column, (width, filled) in intervals.items()
            if filled <= most
        ]
        heapq.heapify(waiting)
        for strip in range(len(strips.blocks)):
            start, passed = 0, []
            while start < strips.columns * strips.blocks.shape[1]:
                if not waiting:
                    self._filled.append({0: (self._tile.columns, 0)})
                    waiting.append(entry(self.count - 1, 0, self._tile.columns, 0))
                *_, tile, column, width = first = heapq.heappop(waiting)
                now = self._filled[tile].get(column)
                if now is None or now[0] != width:
                    continue
                current = entry(tile, column, *now)
                if current != first:
                    if now[1] <= most:
                        heapq.heappush(waiting, current)
                    continue
                taken = strips.cut(start, width)
                if not taken:
                    passed.append(first)
                    continue
                yield _Run(index, strip, start, tile, now[1], column, taken)
                start += taken
                held[tile] += 1
                for changed in self._fill(tile, column, taken, strips.rows):
                    if self._filled[tile][changed][1] <= most:
                        heapq.heappush(waiting, entry(tile, changed, *self._filled[tile][changed]))
            for each in passed:
                heapq.heappush(waiting, each)

    def _fill(self, tile: int, column: int, width: int, rows: int) -> list[int]:
        """Fill rows of the first columns of an interval; the first columns of intervals that changed."""
        intervals = self._filled[tile]
        whole, filled = intervals.pop(column)
        changed = [column]
        if width < whole:
            intervals[column + width] = (whole - width, filled)
            changed.append(column + width)
        filled += rows
        if (after := intervals.get(column + width)) is not None and after[1] == filled:
            del intervals[column + width]
            width += after[0]
        for first, (wide, full) in intervals.items():
            if first + wide == column and full == filled:
                intervals[first] = (wide + width, filled)
                return [first, *changed[1:]]
        intervals[column] = (width, filled)
        return changed


def _pieces(layer: int, blocks: np.ndarray, tile: Tile, found: Sequence[Strips], runs: Sequence[_Run]) -> np.ndarray:
    """The pieces of a layer: its blocks, cut where runs end."""
    table = blocks.reshape(-1)
    parts: list[tuple[int, ...]] = []
    for run in runs:
        strips = found[run.strips]
        if strips.layer != layer:
            continue
        at, end = run.start, run.start + run.width
        while at < end:
            block, within = divmod(at, strips.columns)
            width = min(end, (block + 1) * strips.columns) - at
            number = int(strips.blocks[run.strip, block])
            parts.append((number, within, width, run.tile, run.row, run.column + at - run.start))
            at += width
    whole = np.flatnonzero(table["rows"] * table["columns"] == tile.cells)
    number, within, width, where, row, column = np.array(parts, dtype=np.int64).reshape(-1, 6).T
    pieces = table[np.concatenate([whole, number])]
    mine = pieces[len(whole) :]
    unit = mine["columns"] // mine["count"]
    mine["first"] += (within // unit).astype(np.int32)
    mine["count"], mine["columns"] = width // unit, width
    mine["tile"], mine["row"], mine["column"] = where, row, column
    return pieces
