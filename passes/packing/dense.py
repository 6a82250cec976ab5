"""Dense packing: as few tiles as there are, at the price of serial reads.

Every column of a tile is a bin for rows. Blocks are cut by columns, which leaves sums as they are; a strip is laid
along as many columns as it has, wherever there are rows enough below what lies there: best fit, the highest strips
first. It is the heuristic of bin packing, for many bins at once.

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
from xbarc.passes.packing.strips import strips_of

#: No cut leaves fewer columns than this: thinner pieces cost more in reads than the cells that they save.
_LEAST: Final = 8


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
        _Strips(layer, rows, columns, columns // int(blocks["count"].flat[numbers[0, 0]]) if cut else 0, numbers)
        for layer, (blocks, cut) in enumerate(zip(layers, cuttable, strict=True))
        for rows, columns, numbers in strips_of(blocks, tile)
    ]
    found.sort(key=lambda strips: (-strips.rows, -strips.width))
    tiles, best = _lay(found, tile, 0, spread=0)
    heights = sorted({strips.rows for strips in found})
    low, high = 0, len(heights)
    while low < high:
        middle = (low + high + 1) // 2
        count, runs = _lay(found, tile, tiles, spread=heights[middle - 1])
        if count == tiles:
            best, low = runs, middle
        else:
            high = middle - 1
    parts: list[list[_Run]] = [[] for _ in layers]
    for run in best:
        parts[run.strips.layer].append(run)
    return tiles, [_pieces(blocks.reshape(-1), tile, runs) for blocks, runs in zip(layers, parts, strict=True)]


@dataclass(frozen=True, slots=True)
class _Strips:
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

    @property
    def width(self) -> int:
        """Columns of a strip."""
        return self.columns * int(self.blocks.shape[1])

    @property
    def narrowest(self) -> int:
        """Columns of the narrowest part of a strip: room for fewer takes nothing of it, wherever it is cut."""
        least = _LEAST * self.unit
        return least if self.unit and 2 * least <= self.columns else self.columns

    def fitting(self, start: int, room: int) -> int:
        """How many columns of a strip from ``start`` on go into so many, so that no cut leaves a part too thin."""
        end = min(start + room, self.width)
        block, within = divmod(end, self.columns)
        if not within:
            return end - start
        edge, least = block * self.columns, _LEAST * self.unit
        if self.unit:
            within = min(within - within % self.unit, self.columns - least)
            if edge + within - max(start, edge) >= least:
                return edge + within - start
        return max(edge - start, 0)


@dataclass(frozen=True, slots=True)
class _Run:
    """Columns of a strip that lie side by side.

    Attributes:
        strips: equal ones.
        strip: number of this one.
        start, width: first column of it, and how many.
        tile, row, column: where they begin.
    """

    strips: _Strips
    strip: int
    start: int
    width: int
    tile: int
    row: int
    column: int


def _lay(found: Sequence[_Strips], tile: Tile, count: int, *, spread: int) -> tuple[int, list[_Run]]:
    """Lay strips into ``count`` tiles, or more: those of more rows than ``spread`` where they fit best."""
    tiles = _Tiles(tile, count)
    runs = [run for strips in found for run in tiles.lay(strips, tight=strips.rows > spread)]
    return tiles.count, runs


class _Tiles:
    """Tiles that are filled from above, by intervals of columns that are filled equally far.

    Args:
        tile: the size of each.
        count: how many are empty at the start.
    """

    def __init__(self, tile: Tile, count: int) -> None:
        self._tile = tile
        #: Of each tile, by first column: how many columns, and the rows that are filled.
        self._intervals: list[dict[int, tuple[int, int]]] = []
        for _ in range(count):
            self._open()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._intervals)

    def _open(self) -> int:
        self._intervals.append({0: (self._tile.columns, 0)})
        return self.count - 1

    def lay(self, strips: _Strips, *, tight: bool) -> Iterator[_Run]:
        """Lay strips, in new tiles where they fit nowhere; ``tight``: the fit counts more than what a tile holds."""
        held = Counter[int]()
        deepest, narrowest = self._tile.rows - strips.rows, strips.narrowest

        def entry(tile: int, column: int) -> tuple[int, ...]:
            """The best interval has the least; how wide it is shows whether it has changed."""
            width, filled = self._intervals[tile][column]
            order = (-filled, held[tile]) if tight else (held[tile], -filled)
            return (*order, tile, column, width)

        waiting = [
            entry(tile, column)
            for tile, intervals in enumerate(self._intervals)
            for column, (width, filled) in intervals.items()
            if filled <= deepest and width >= narrowest
        ]
        heapq.heapify(waiting)
        for strip in range(len(strips.blocks)):
            start, passed = 0, []
            while start < strips.width:
                if not waiting:
                    waiting.append(entry(self._open(), 0))
                first = heapq.heappop(waiting)
                *_, tile, column, width = first
                if self._intervals[tile].get(column, (0, 0))[0] != width:
                    continue  # it has been cut or joined since, and what became of it waits too
                filled = self._intervals[tile][column][1]
                if first != entry(tile, column):
                    if filled <= deepest:
                        heapq.heappush(waiting, entry(tile, column))
                    continue
                laid = strips.fitting(start, width)
                if not laid:
                    passed.append(first)
                    continue
                yield _Run(strips, strip, start, laid, tile, filled, column)
                start += laid
                held[tile] += 1
                for changed in self._fill(tile, column, laid, strips.rows):
                    width, filled = self._intervals[tile][changed]
                    if filled <= deepest and width >= narrowest:
                        heapq.heappush(waiting, entry(tile, changed))
            for each in passed:
                heapq.heappush(waiting, each)

    def _fill(self, tile: int, column: int, width: int, rows: int) -> list[int]:
        """Fill rows of the first columns of an interval; where the intervals begin that have changed."""
        intervals = self._intervals[tile]
        whole, filled = intervals.pop(column)
        changed = []
        if width < whole:
            intervals[column + width] = (whole - width, filled)
            changed.append(column + width)
        filled += rows
        after = intervals.get(column + width)
        if after is not None and after[1] == filled:
            del intervals[column + width]
            width += after[0]
        for first, (wide, full) in intervals.items():
            if first + wide == column and full == filled:
                column, width = first, wide + width
                break
        intervals[column] = (width, filled)
        return [column, *changed]


def _pieces(table: np.ndarray, tile: Tile, runs: Sequence[_Run]) -> np.ndarray:
    """The pieces of a layer: its blocks, cut where runs end."""
    parts: list[tuple[int, ...]] = []
    for run in runs:
        columns, at, end = run.strips.columns, run.start, run.start + run.width
        while at < end:
            block, within = divmod(at, columns)
            width = min(end - at, columns - within)
            number = int(run.strips.blocks[run.strip, block])
            parts.append((number, within, width, run.tile, run.row, run.column + at - run.start))
            at += width
    whole = np.flatnonzero(table["rows"] * table["columns"] == tile.cells)
    cut = np.array(parts, dtype=np.int32).reshape(-1, 6)
    pieces: np.ndarray = table[np.concatenate([whole, cut[:, 0]])]
    mine = pieces[len(whole) :]
    unit = mine["columns"] // mine["count"]
    mine["first"] += cut[:, 1] // unit
    mine["count"], mine["columns"] = cut[:, 2] // unit, cut[:, 2]
    mine["tile"], mine["row"], mine["column"] = cut[:, 3], cut[:, 4], cut[:, 5]
    return pieces
