"""The map of tiles: which block lies where, and which layers share tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.pieces import ALL, PIECE


@dataclass(frozen=True, slots=True)
class MappedBlock:
    """A block on the chip, or some of its columns.

    Attributes:
        tile: which.
        row, column: of the tile, where it begins.
        rows, columns: of the tile that it takes: with reference columns, and both columns of pairs.
        layer: whose it is; of layers that share a matrix, the first.
        copy, slice: which, from 0 on.
        polarities: those at this place: both, but where they lie on tiles of their own.
        place: index of its diagonal and row block.
        first, count: columns of the layer's stack that it holds.
        turn: in which of the serial reads of its layer and tile it is read.
    """

    tile: int
    row: int
    column: int
    rows: int
    columns: int
    layer: str
    copy: int
    slice: int
    polarities: tuple[int, ...]
    place: int
    first: int
    count: int
    turn: int


@dataclass(frozen=True, slots=True)
class TileShare:
    """What a layer takes of the tiles. A tile that several layers share counts for the first of them.

    Attributes:
        tiles: that count for it.
        sites: of these, without those that other layers take; and those that it takes of other tiles. One row and one
            column meet at a site.
        guests: tiles of other layers that it has blocks in.
    """

    tiles: int
    sites: int
    guests: int


def tile_map(graph: Graph) -> tuple[MappedBlock, ...]:
    """All blocks of a placed graph, by layer in the order of execution."""
    return tuple(block for layer in layers(graph) if layer.read.matrix == layer.name for block in _blocks(layer))


def tile_shares(blocks: Sequence[MappedBlock], hardware: Hardware) -> Mapping[str, TileShare]:
    """What each layer of a map takes."""
    hosts: dict[int, str] = {}
    tiles: dict[str, int] = defaultdict(int)
    sites: dict[str, int] = defaultdict(int)
    guests: dict[str, set[int]] = defaultdict(set)
    for block in blocks:
        host = hosts.setdefault(block.tile, block.layer)
        if host != block.layer:
            sites[host] -= block.rows * block.columns
            sites[block.layer] += block.rows * block.columns
            guests[block.layer].add(block.tile)
    for host in hosts.values():
        tiles[host] += 1
        sites[host] += hardware.tile.rows * hardware.tile.columns
    names = dict.fromkeys(block.layer for block in blocks)
    return {name: TileShare(tiles[name], sites[name], len(guests[name])) for name in names}


def _blocks(layer: Layer) -> Iterator[MappedBlock]:
    """Raises ValueError where the layer is not placed."""
    read = layer.read
    if read.pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    polarities = tuple(range(read.levels.shape[1]))
    for piece in read.pieces:
        number = {name: int(piece[name]) for name in PIECE.names or ()}
        side = number.pop("side")
        yield MappedBlock(layer=layer.name, polarities=polarities if side == ALL else (side,), **number)
