"""Parallel packing: one read a window serves all that a layer has in a tile.

A layer has at most one *region* in a tile: a rectangle that it shares with nobody. A region is one block, or blocks of
several groups on its diagonal, with zeros between them. How many groups a region takes is free: ``k`` groups use
``k * k`` times the cells of one, so a layer is spread over as many tiles as have room for some of it.

Two blocks of one ungrouped matrix never fit one tile so: greedy cuts leave none that have room beside each other, with
rows and columns of their own or as neighbours on the same rows. One region a tile therefore costs them nothing.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from xbarc.passes.packing.bounds import parallel_bound
from xbarc.passes.packing.free_space import COLUMNS, ROWS, TILE, FreeSpace
from xbarc.passes.packing.pieces import Matrix, Packing, Piece, Placement, Tile, all_blocks, most_on_diagonal


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a tile that one layer's read owns.

    Attributes:
        layer: index of the layer.
        rows, columns: its size.
    """

    layer: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a region begins."""

    tile: int
    row: int
    column: int


#: Orders in which regions are placed, largest first.
_Order = Callable[[Region], tuple[int, ...]]
_ORDERS: Final[tuple[_Order, ...]] = (
    lambda region: (region.rows * region.columns, region.rows),
    lambda region: (max(region.rows, region.columns), min(region.rows, region.columns)),
    lambda region: (region.rows, region.columns),
    lambda region: (region.columns, region.rows),
)


#: So near to the bound, as a share of it, a packing is good enough.
_CLOSE: Final = 0.01

_Found = TypeVar("_Found")


class Shelves:
    """Tiles in use, with the layers that have a region in each.

    Args:
        tile: the size of each.
        tiles: how many are open from the start: then regions are kept apart, so that every tile has room left.
    """

    def __init__(self, tile: Tile, *, tiles: int = 0) -> None:
        self.space = FreeSpace(tile, first=0, tiles=tiles)
        self._apart = tiles > 0
        self._tile = tile
        self._free_cells = [tile.cells] * tiles
        self._used: dict[int, set[int]] = defaultdict(set)

    def open(self) -> int:
        """Add an empty tile; the index of its free rectangle."""
        self._free_cells.append(self._tile.cells)
        return self.space.open()

    def open_to(self, layer: int) -> np.ndarray:
        """Which free rectangles lie in tiles where the layer has no region: a mask."""
        used = np.zeros(self.space.next, dtype=np.bool_)
        used[list(self._used[layer])] = True
        return ~used[self.space.rectangles[:, TILE]]

    def put(self, region: Region) -> Place:
        """Place a region where it fits best, in a new tile where it fits nowhere or takes a whole one."""
        if (region.rows, region.columns) == (self._tile.rows, self._tile.columns):
            self._free_cells.append(0)
            return Place(self.space.fill(), 0, 0)
        fitting = self.space.fitting(region.rows, region.columns)
        fitting = fitting[self.open_to(region.layer)[fitting]]
        return self.put_into(region, fitting if len(fitting) else np.array([self.open()]), apart=self._apart)

    def put_into(self, region: Region, candidates: np.ndarray, *, apart: bool = False) -> Place:
        """Place a region into one of several free rectangles.

        It takes the one that is left with the thinnest rest; or, ``apart``, with the fewest rows below, and of those
        one in the emptiest tile: what stays free are whole columns, which take the most groups on a diagonal.
        """
        free = self.space.rectangles[candidates]
        slack = free[:, [ROWS, COLUMNS]] - (region.rows, region.columns)
        if apart:
            best = np.lexsort((-np.array(self._free_cells)[free[:, TILE]], slack[:, 0]))[0]
        else:
            best = np.lexsort((slack.max(axis=1), slack.min(axis=1)))[0]
        place = Place(*self.space.take(int(candidates[best]), region.rows, region.columns))
        self._used[region.layer].add(place.tile)
        self._free_cells[place.tile] -= region.rows * region.columns
        return place


def pack_regions(regions: Sequence[Region], tile: Tile) -> list[Place]:
    """Places of regions as they are, each layer at most once in a tile; never more tiles than regions.

    Args:
        regions: none larger than the tile.
        tile: its size.

    Returns:
        The place of each, in their order; tiles are numbered from 0 without gaps.
    """
    whole = sum(region.rows * region.columns == tile.cells for region in regions)

    def attempt(order: _Order, tiles: int) -> list[Place]:
        places = _place_all(regions, Shelves(tile, tiles=max(tiles - whole, 0)), order)
        used = {number: index for index, number in enumerate(sorted({place.tile for place in places}))}
        return [replace(place, tile=used[place.tile]) for place in places]

    area = sum(region.rows * region.columns for region in regions)
    return _fewest(attempt, lambda places: len({place.tile for place in places}), math.ceil(area / tile.cells))


def pack_parallel(matrices: Sequence[Matrix], tile: Tile) -> Packing:
    """Pack matrices so that one read a window serves each layer in each tile. Never more tiles than unpacked."""
    return _fewest(
        lambda order, tiles: _pack(matrices, tile, order, tiles=tiles),
        lambda packing: packing.tiles,
        parallel_bound(matrices, tile),
    )


def _fewest(attempt: Callable[[_Order, int], _Found], tiles_of: Callable[[_Found], int], bound: int) -> _Found:
    """The attempt of fewest tiles, over all orders.

    Tiles are opened as they are needed; or so many in advance, in the orders that gain by it: as few as do, found by
    halving what is between them and the bound.

    Args:
        attempt: packs in an order, with so many tiles open in advance.
        tiles_of: how many it took.
        bound: below which none can be.
    """
    best = min((attempt(order, 0) for order in _ORDERS), key=tiles_of)
    low, high = bound, tiles_of(best)
    while high - low > _CLOSE * low:
        middle = (low + high) // 2
        found = min((attempt(order, middle) for order in _ORDERS[:2]), key=tiles_of)
        best = min(best, found, key=tiles_of)
        low, high = (low, middle) if tiles_of(found) <= middle else (middle + 1, min(high, tiles_of(best)))
    return best


def _place_all(regions: Sequence[Region], shelves: Shelves, order: _Order) -> list[Place]:
    """Put regions on shelves in some order; the place of each, in their own."""
    places: dict[int, Place] = {}
    for index in sorted(range(len(regions)), key=lambda index: order(regions[index]), reverse=True):
        places[index] = shelves.put(regions[index])
    return [places[index] for index in range(len(regions))]


def _on_diagonals(piece: Piece, matrices: Sequence[Matrix], tile: Tile) -> bool:
    """Whether a tile holds several pieces like this one on its diagonal."""
    return matrices[piece.layer].groups > 1 and most_on_diagonal(piece.rows, piece.columns, tile) > 1


def _pack(matrices: Sequence[Matrix], tile: Tile, order: _Order, *, tiles: int = 0) -> Packing:
    """Blocks that lie alone first, then those of which a tile holds several on its diagonal, long layers first."""
    alone: list[Piece] = []
    together: dict[tuple[int, int, int], list[Piece]] = defaultdict(list)
    for piece in all_blocks(matrices, tile):
        if _on_diagonals(piece, matrices, tile):
            together[piece.layer, piece.row, piece.column].append(piece)
        else:
            alone.append(piece)
    shelves = Shelves(tile, tiles=max(tiles - sum(piece.area == tile.cells for piece in alone), 0))
    places = _place_all([Region(piece.layer, piece.rows, piece.columns) for piece in alone], shelves, order)
    placements = [
        Placement(piece, place.tile, place.row, place.column) for piece, place in zip(alone, places, strict=True)
    ]
    for pieces in sorted(together.values(), key=lambda pieces: (len(pieces), pieces[0].area), reverse=True):
        placements += _spread(pieces, shelves)
    return Packing.of(placements)


def _spread(pieces: Sequence[Piece], shelves: Shelves) -> list[Placement]:
    """Put equal pieces of several groups into tiles, as few a tile as there is room for all."""
    one = pieces[0]
    room = _room(one, shelves)
    while sum(room.values()) < len(pieces):
        shelves.open()
        room = _room(one, shelves)
    most = next(most for most in itertools.count(1) if sum(min(most, k) for k in room.values()) >= len(pieces))
    waiting = list(pieces)
    placements: list[Placement] = []
    for tile, k in sorted(room.items(), key=lambda item: -item[1]):
        served = waiting[: min(most, k)]
        if not served:
            break
        del waiting[: len(served)]
        region = Region(one.layer, one.rows * len(served), one.columns * len(served))
        fitting = shelves.space.fitting(region.rows, region.columns)
        place = shelves.put_into(region, fitting[shelves.space.rectangles[fitting, TILE] == tile])
        placements += [
            Placement(piece, tile, place.row + index * one.rows, place.column + index * one.columns)
            for index, piece in enumerate(served)
        ]
    return placements


def _room(piece: Piece, shelves: Shelves) -> dict[int, int]:
    """How many pieces of that size each tile takes on a diagonal, for tiles that take any."""
    free = shelves.space.rectangles[shelves.open_to(piece.layer)]
    k = np.minimum(free[:, ROWS] // piece.rows, free[:, COLUMNS] // piece.columns)
    room: dict[int, int] = defaultdict(int)
    for tile, fits in zip(free[:, TILE].tolist(), k.tolist(), strict=True):
        if fits:
            room[tile] = max(room[tile], fits)
    return room
