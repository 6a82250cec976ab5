"""The map of tiles: which block lies where, and which layers share tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers


@dataclass(frozen=True, slots=True)
class MappedBlock:
    """One block on the chip.

    Attributes:
        tile: which.
        row, column: of the tile, where it begins.
        rows, columns: of the tile that it takes: with reference columns, and both columns of pairs.
        layer: whose it is; of layers that share a matrix, the first.
        copy, slice: which, from 0 on.
        polarities: those at this place: both, but where they lie on tiles of their own.
        place: index of its diagonal and row block.
        column_block: index of its column block.
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
    column_block: int


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


def tile_map(graph: Graph, hardware: Hardware) -> tuple[MappedBlock, ...]:
    """All blocks of a placed graph, by layer in the order of execution."""
    return tuple(
        block for layer in layers(graph) if layer.read.matrix == layer.name for block in _blocks(layer, hardware)
    )


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


def _blocks(layer: Layer, hardware: Hardware) -> Iterator[MappedBlock]:
    """Raises ValueError where the layer is not placed."""
    read, partition = layer.read, layer.read.partition
    if read.tiles is None or read.replicas is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    tiles = np.concatenate([read.tiles[None], read.replicas])
    origins = np.zeros((*tiles.shape, 2), dtype=np.int32) if read.origins is None else read.origins
    pairs = tiles.shape[2]
    apart = hardware.tile.polarity == "paired-tiles"
    wide = 2 if hardware.tile.polarity == "adjacent-columns" and pairs == 2 else 1
    for copy, slice_, side, place, block in np.ndindex(*tiles.shape[:2], pairs if apart else 1, *tiles.shape[3:]):
        diagonal, row_block = divmod(place, partition.row_blocks)
        at = (copy, slice_, side, place, block)
        yield MappedBlock(
            tile=int(tiles[at]),
            row=int(origins[at][0]),
            column=int(origins[at][1]),
            rows=partition.rows_in(diagonal, row_block),
            columns=(partition.columns_in(diagonal, block) + int(partition.reference_column)) * wide,
            layer=layer.name,
            copy=copy,
            slice=slice_,
            polarities=(side,) if apart else tuple(range(pairs)),
            place=place,
            column_block=block,
        )
