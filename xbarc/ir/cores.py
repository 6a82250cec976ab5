"""Copies of layers within cores: which tiles each takes, so that it reaches over as few cores as it can.

Tile ``t`` lies in core ``t // core_tiles``. A copy that is larger than a core fills whole cores, and the rest of it
lies within one more; a smaller copy lies within one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Packing:
    """Which tiles the copies of each layer take.

    Attributes:
        tiles: for each layer ``(copies, tiles of one copy)``, int32.
        scattered: layers, by index, whose first copy reaches over more cores than it should: there was no room else.
    """

    tiles: tuple[np.ndarray, ...]
    scattered: tuple[int, ...]


def pack(sizes: Sequence[int], copies: Sequence[int], *, core_tiles: int, cores: int | None) -> Packing | None:
    """Give every copy its tiles: first copies before the others, large pieces before small, into the fullest core.

    A first copy that finds no room within as few cores as it should takes what tiles there are, so that a network of
    one copy each fits whenever the tiles suffice. ``None`` where another copy finds no room.

    Args:
        sizes: tiles of one copy, for each layer.
        copies: how many, at least 1.
        core_tiles: tiles of a core.
        cores: of the chip, with room for at least one copy of each; ``None``: unlimited.
    """
    free = _FreeTiles(core_tiles, cores)
    tiles = [np.empty((count, size), dtype=np.int32) for size, count in zip(sizes, copies, strict=True)]
    pieces = _pieces(sizes, core_tiles)
    homeless = []
    for piece in pieces:
        if first := free.take(piece.size, 1):
            tiles[piece.layer][0, piece.within] = np.arange(first[0], first[0] + piece.size)
        else:
            homeless.append(piece)
    for piece in homeless:
        tiles[piece.layer][0, piece.within] = free.take_anywhere(piece.size)
    for piece in pieces:
        further = copies[piece.layer] - 1
        starts = free.take(piece.size, further)
        if len(starts) < further:
            return None
        if further:
            tiles[piece.layer][1:, piece.within] = np.add.outer(starts, np.arange(piece.size))
    return Packing(tuple(tiles), tuple(sorted({piece.layer for piece in homeless})))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a copy that lies within one core: its tiles from number ``start`` on."""

    layer: int
    start: int
    size: int

    @property
    def within(self) -> slice:
        return slice(self.start, self.start + self.size)


def _pieces(sizes: Sequence[int], core_tiles: int) -> list[_Piece]:
    """The pieces of one copy of each layer, the largest first."""
    pieces = [
        _Piece(layer, start, min(core_tiles, size - start))
        for layer, size in enumerate(sizes)
        for start in range(0, size, core_tiles)
    ]
    return sorted(pieces, key=lambda piece: -piece.size)


class _FreeTiles:
    """The free tiles of the cores; those of one core are its last."""

    def __init__(self, core_tiles: int, cores: int | None) -> None:
        self._core_tiles = core_tiles
        self._cores = cores
        self._opened = 0
        #: Opened cores by how many of their tiles are free.
        self._by_room: list[list[int]] = [[] for _ in range(core_tiles + 1)]

    def take(self, size: int, count: int) -> list[int]:
        """The first tiles of ``count`` pieces, each within one core, or of as many as there is room for."""
        starts: list[int] = []
        for room in range(size, self._core_tiles + 1):
            while self._by_room[room] and len(starts) < count:
                starts += self._fill(room, size, count - len(starts))
        while len(starts) < count and self._open():
            starts += self._fill(self._core_tiles, size, count - len(starts))
        return starts

    def take_anywhere(self, size: int) -> np.ndarray:
        """As many single tiles, from the emptiest cores first."""
        starts: list[int] = []
        for room in range(self._core_tiles, 0, -1):
            while self._by_room[room] and len(starts) < size:
                starts += self._fill(room, 1, size - len(starts))
        return np.array(starts, dtype=np.int32)

    def _fill(self, room: int, size: int, count: int) -> list[int]:
        """Pieces in one core with so much room, as many as fit and are wanted."""
        core = self._by_room[room].pop()
        fitting = min(count, room // size)
        self._by_room[room - fitting * size].append(core)
        first = (core + 1) * self._core_tiles - room
        return list(range(first, first + fitting * size, size))

    def _open(self) -> bool:
        """Begin a core, if there is one left."""
        if self._opened == self._cores:
            return False
        self._by_room[self._core_tiles].append(self._opened)
        self._opened += 1
        return True
