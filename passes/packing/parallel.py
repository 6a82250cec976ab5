"""Parallel packing: one read a window serves all that a layer has in a tile.

A layer has at most one *region* in a tile: a rectangle that it shares with nobody. A region is a *strip*, or several on
its diagonal, with nothing between them; a strip is some blocks side by side that want the same inputs: slices and sides
of one block of the matrix. How many strips a region takes is free: ``k`` of them use ``k * k`` times the cells of one,
so a layer is spread over as many tiles as have room for some of it.

Two row blocks or column blocks of one matrix never fit one tile so: cuts leave none that have room beside each other,
with rows and columns of their own or as neighbours on the same rows. One region a tile therefore costs them nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.passes.packing.free_space import COLUMNS, ROWS, TILE, FreeSpace
from xbarc.passes.packing.matrices import Tile, most_on_diagonal
from xbarc.passes.packing.strips import strips_of


@dataclass(frozen=True, slots=True)
class _Strips:
    """Equal strips of one layer that want different inputs.

    Attributes:
        layer: index of the layer.
        rows, columns: of each strip.
        blocks: ``(strips, blocks of each)``, numbers of the layer's blocks.
        most: how many of them one region takes.
    """

    layer: int
    rows: int
    columns: int
    blocks: np.ndarray
    most: int


#: Orders in which strips are placed, largest first.
_Order = Callable[[_Strips], tuple[int, ...]]
_ORDERS: Final[tuple[_Order, ...]] = (
    lambda strips: (strips.rows * strips.columns, strips.rows),
    lambda strips: (max(strips.rows, strips.columns), min(strips.rows, strips.columns)),
    lambda strips: (strips.rows, strips.columns),
    lambda strips: (strips.columns, strips.rows),
)

#: So near to the bound, as a share of it, a packing is good enough.
_CLOSE: Final = 0.01
#: So many strips are placed in each order that there is; where there are more, in fewer orders.
_EFFORT: Final = 4000

#: How many tiles, and of all strips ``(strips, 3)`` tile, row and column.
_Packed = tuple[int, list[np.ndarray]]


def pack_parallel(
    layers: Sequence[np.ndarray], tile: Tile, *, diagonals: Sequence[bool]
) -> tuple[int, list[np.ndarray]]:
    """Place blocks so that one read a window serves each layer in each tile. Those that fill a tile are left out.

    Args:
        layers: the blocks of each, ``(copies, slices, sides, D, column blocks)`` of :data:`xbarc.ir.pieces.PIECE`, none
            larger than a tile.
        tile: the size of each.
        diagonals: of each layer, whether a region may be more than one strip: whether one read drives so many rows.

    Returns:
        The number of tiles, never more than where no layers share one, and the blocks of each layer in one dimension,
        with ``tile``, ``row`` and ``column``.
    """
    found = _all_strips(layers, tile, diagonals)
    area = sum(len(strips.blocks) * strips.rows * strips.columns for strips in found)
    regions = Counter[int]()
    for strips in found:
        regions[strips.layer] += math.ceil(len(strips.blocks) / strips.most)
    bound = max(math.ceil(area / tile.cells), *regions.values(), 0)
    orders = _ORDERS[: max(_EFFORT // max(sum(len(strips.blocks) for strips in found), 1), 1)]
    tiles, places = _fewest(found, tile, orders, bound)
    tables = [blocks.reshape(-1).copy() for blocks in layers]
    for strips, place in zip(found, places, strict=True):
        table = tables[strips.layer]
        width = strips.columns // strips.blocks.shape[1]
        table["tile"][strips.blocks], table["row"][strips.blocks] = place[:, :1], place[:, 1:2]
        table["column"][strips.blocks] = place[:, 2:] + np.arange(strips.blocks.shape[1]) * width
    return tiles, tables


def tiles_apart(layers: Sequence[np.ndarray], tile: Tile, *, diagonals: Sequence[bool]) -> int:
    """Tiles where no layers share one, but slices, sides and groups of a layer do as they do in parallel."""
    full = sum(int((blocks["rows"] * blocks["columns"] == tile.cells).sum()) for blocks in layers)
    return full + sum(math.ceil(len(strips.blocks) / strips.most) for strips in _all_strips(layers, tile, diagonals))


def _all_strips(layers: Sequence[np.ndarray], tile: Tile, diagonals: Sequence[bool]) -> list[_Strips]:
    return [
        strips
        for layer, (blocks, several) in enumerate(zip(layers, diagonals, strict=True))
        for strips in _strips(layer, blocks, tile, several=several)
    ]


def _strips(layer: int, blocks: np.ndarray, tile: Tile, *, several: bool) -> list[_Strips]:
    """The strips of a layer. As many blocks lie side by side in one as go with the fewest tiles."""

    def most(rows: int, columns: int) -> int:
        return most_on_diagonal(rows, columns, tile) if several else 1

    found = []
    for rows, columns, numbers in strips_of(blocks, tile):
        choices = [
            [
                _Strips(layer, rows, width := columns * part.shape[1], part, most(rows, width))
                for part in np.split(numbers, range(together, numbers.shape[1], together), axis=1)
            ]
            for together in range(min(tile.columns // columns, numbers.shape[1]), 0, -1)
        ]
        found += min(choices, key=lambda made: sum(math.ceil(len(one.blocks) / one.most) for one in made))
    return found


def _fewest(found: Sequence[_Strips], tile: Tile, orders: Sequence[_Order], bound: int) -> _Packed:
    """The packing into the fewest tiles, over all orders.

    Tiles are opened as they are needed; or so many in advance, in the orders that gain by it: as few as do, found by
    halving what is between them and the bound.
    """

    def tiles_of(packed: _Packed) -> int:
        return packed[0]

    best = min((_pack(found, tile, order) for order in orders), key=tiles_of)
    low, high = bound, best[0]
    while high - low > _CLOSE * low:
        middle = (low + high) // 2
        packed = min((_pack(found, tile, order, tiles=middle) for order in orders[:2]), key=tiles_of)
        best = min(best, packed, key=tiles_of)
        low, high = (low, middle) if packed[0] <= middle else (middle + 1, min(high, best[0]))
    return best


def _pack(found: Sequence[_Strips], tile: Tile, order: _Order, *, tiles: int = 0) -> _Packed:
    """_Strips of which a tile holds one first, then those that go on diagonals, long layers first."""
    shelves = _Shelves(tile, tiles=tiles)
    places: dict[int, np.ndarray] = {}
    alone = [index for index, strips in enumerate(found) if strips.most == 1 or len(strips.blocks) == 1]
    for index in sorted(alone, key=lambda index: order(found[index]), reverse=True):
        places[index] = np.array([shelves.put(found[index]) for _ in found[index].blocks])
    together = [index for index in range(len(found)) if index not in places]
    for index in sorted(
        together, key=lambda index: (len(found[index].blocks), found[index].rows * found[index].columns), reverse=True
    ):
        places[index] = _spread(found[index], shelves)
    everywhere = np.concatenate([np.empty((0, 3), dtype=np.int64), *places.values()])
    used, numbers = np.unique(everywhere[:, 0], return_inverse=True)
    everywhere[:, 0] = numbers
    parts = np.split(everywhere, np.cumsum([len(place) for place in places.values()])[:-1]) if places else []
    placed = dict(zip(places, parts, strict=True))
    return len(used), [placed[index] for index in range(len(found))]


class _Shelves:
    """Tiles in use, with the layers that have a region in each.

    Args:
        tile: the size of each.
        tiles: how many are open from the start: then regions are kept apart, so that every tile has room left.
    """

    def __init__(self, tile: Tile, *, tiles: int) -> None:
        self.space = FreeSpace(tile, tiles=tiles)
        self._apart = tiles > 0
        self._free_cells = np.full(max(tiles, 16), tile.cells, dtype=np.int64)
        self._used: dict[int, list[int]] = defaultdict(list)

    def open(self) -> int:
        """Add an empty tile; the index of its free rectangle."""
        if self.space.tiles == len(self._free_cells):
            more = np.full_like(self._free_cells, self.space.tile.cells)
            self._free_cells = np.concatenate([self._free_cells, more])
        return self.space.open()

    def open_to(self, layer: int, rectangles: np.ndarray) -> np.ndarray:
        """Which of some free rectangles lie in tiles where the layer has no region: a mask."""
        used = np.zeros(self.space.tiles, dtype=np.bool_)
        used[self._used[layer]] = True
        free: np.ndarray = ~used[self.space.rectangles[rectangles, TILE]]
        return free

    def put(self, strips: _Strips) -> tuple[int, int, int]:
        """Place one strip where it fits best, in a new tile where it fits nowhere; returns tile, row and column."""
        fitting = self.space.fitting(strips.rows, strips.columns)
        fitting = fitting[self.open_to(strips.layer, fitting)]
        candidates = fitting if len(fitting) else np.array([self.open()])
        return self.put_into(strips.layer, strips.rows, strips.columns, candidates, apart=self._apart)

    def put_into(
        self, layer: int, rows: int, columns: int, candidates: np.ndarray, *, apart: bool = False
    ) -> tuple[int, int, int]:
        """Place a region into one of several free rectangles; returns tile, row and column.

        It takes the one that is left with the thinnest rest; or, ``apart``, with the fewest rows below, and of those
        one in the emptiest tile: what stays free are whole columns, which take the most strips on a diagonal.
        """
        free = self.space.rectangles[candidates]
        slack = free[:, [ROWS, COLUMNS]] - (rows, columns)
        if apart:
            best = np.lexsort((-self._free_cells[free[:, TILE]], slack[:, 0]))[0]
        else:
            best = np.lexsort((slack.max(axis=1), slack.min(axis=1)))[0]
        place = self.space.take(int(candidates[best]), rows, columns)
        self._free_cells[place[0]] -= rows * columns
        self._used[layer].append(place[0])
        return place


def _spread(strips: _Strips, shelves: _Shelves) -> np.ndarray:
    """Put strips into tiles, as few a tile as there is room for all: ``(strips, 3)`` tile, row and column."""
    room = _room(strips, shelves)
    missing = math.ceil(max(len(strips.blocks) - int(room.sum()), 0) / strips.most)
    for _ in range(missing):
        shelves.open()
    room = np.concatenate([room, np.full(missing, strips.most)])
    level = next(k for k in range(1, strips.most + 1) if np.minimum(room, k).sum() >= len(strips.blocks))
    places: list[tuple[int, int, int]] = []
    for number in np.argsort(-room, kind="stable"):
        count = min(level, int(room[number]), len(strips.blocks) - len(places))
        if not count:
            break
        rows, columns = strips.rows * count, strips.columns * count
        fitting = shelves.space.fitting(rows, columns)
        tile, row, column = shelves.put_into(
            strips.layer, rows, columns, fitting[shelves.space.rectangles[fitting, TILE] == number]
        )
        places += [(tile, row + index * strips.rows, column + index * strips.columns) for index in range(count)]
    return np.array(places)


def _room(strips: _Strips, shelves: _Shelves) -> np.ndarray:
    """How many strips each tile takes on a diagonal."""
    fitting = shelves.space.fitting(strips.rows, strips.columns)
    free = shelves.space.rectangles[fitting[shelves.open_to(strips.layer, fitting)]]
    room = np.zeros(shelves.space.tiles, dtype=np.int64)
    np.maximum.at(room, free[:, TILE], np.minimum(free[:, ROWS] // strips.rows, free[:, COLUMNS] // strips.columns))
    return room
