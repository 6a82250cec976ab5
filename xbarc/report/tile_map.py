"""The map of tiles: which block lies where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.pieces import ALL, PIECE
from xbarc.report.json_form import json_schema, plain
from xbarc.report.tile_times import TileTimes, tile_times

#: Rises when a key of a map changes its meaning or goes away.
MAP_SCHEMA: Final = 2


@dataclass(frozen=True, slots=True)
class MappedBlock:
    """A block on the chip, or some of its columns: a rectangle of one tile. All numbers begin at 0.

    Attributes:
        segment: reload segment in which it is there.
        tile: which tile of the chip.
        row: of the tile, where it begins.
        column: of the tile, where it begins.
        rows: of the tile that it takes.
        columns: of the tile that it takes, with reference columns, and with both columns of pairs side by side.
        layer: name of the layer whose it is; of layers that share a matrix, the first.
        copy: of the layer, which.
        slice: of the weights' bits, which; the most significant is 0.
        polarities: those at this place: all, but where they lie on tiles of their own.
        place: index of its diagonal and row block, row blocks faster.
        first: column of the diagonal where it begins, reference columns counted in.
        count: columns of the diagonal that it holds, reference columns counted in.
        turn: in which of the serial reads of its layer and tile it is read.
    """

    segment: int
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
class TileMap:
    """What lies where on the chip.

    Attributes:
        tile_rows: rows of a tile.
        tile_columns: columns of a tile.
        cells_a_site: cells where a row and a column meet: as many as polarities, where they lie at one site.
        blocks: all of them, by layer in the order of execution.
        schedule: when tiles are busy.
    """

    tile_rows: int
    tile_columns: int
    cells_a_site: int
    blocks: tuple[MappedBlock, ...]
    schedule: TileTimes

    def to_json(self) -> dict[str, Any]:
        """Plain data, as :func:`map_schema` describes it."""
        return {"schema": MAP_SCHEMA, **plain(self)}


def map_schema() -> dict[str, Any]:
    """The JSON Schema of a map."""
    return json_schema(TileMap, version=MAP_SCHEMA, title="xbarc report --map --json")


def tile_map(graph: Graph, hardware: Hardware) -> TileMap:
    """The map of a placed graph.

    Raises:
        ValueError: a layer is not placed.
    """
    found = layers(graph)
    polarities = max((layer.read.levels.shape[1] for layer in found), default=1)
    return TileMap(
        tile_rows=hardware.tile.rows,
        tile_columns=hardware.tile.columns,
        cells_a_site=polarities if hardware.tile.polarity == "unit-cell" else 1,
        blocks=tuple(block for layer in found if layer.read.matrix == layer.name for block in _blocks(layer)),
        schedule=tile_times(graph, hardware),
    )


def _blocks(layer: Layer) -> Iterator[MappedBlock]:
    read = layer.read
    if read.pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    polarities = tuple(range(read.levels.shape[1]))
    for piece in read.pieces:
        number = {name: int(piece[name]) for name in PIECE.names or ()}
        side = number.pop("side")
        yield MappedBlock(
            segment=read.segment, layer=layer.name, polarities=polarities if side == ALL else (side,), **number
        )
