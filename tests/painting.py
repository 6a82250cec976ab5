"""The tiles of a program painted cell by cell, from nothing but its map as JSON and the sizes of its matrices."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarc.ir.partition import Partition

FREE = ""
#: Reload segment and number.
Tile = tuple[int, int]


@dataclass
class Painted:
    """What the cells of the tiles are for.

    Attributes:
        tiles: by reload segment and number ``(rows, columns, cells a site)``: the cause that each cell counts for, and
        owners: the layer.
        blocks: by tile, those on it.
    """

    tiles: dict[Tile, np.ndarray] = field(default_factory=dict)
    owners: dict[Tile, np.ndarray] = field(default_factory=dict)
    blocks: dict[Tile, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def totals(self) -> Counter[str]:
        """Cells by cause."""
        return sum((Counter(tile.reshape(-1).tolist()) for tile in self.tiles.values()), Counter())

    def of_layer(self, name: str) -> Counter[str]:
        """Cells by cause, of one layer: a free cell counts for the layer whose block comes first in the map."""
        found: Counter[str] = Counter()
        for tile, causes in self.tiles.items():
            found += Counter(causes[self.owners[tile] == name].tolist())
        return found

    def hosts(self) -> Counter[str]:
        """Tiles by the layer that they count for."""
        return Counter(blocks[0]["layer"] for blocks in self.blocks.values())

    def guests(self) -> Counter[str]:
        """By layer, tiles of others that it has blocks in."""
        return Counter(
            name
            for blocks in self.blocks.values()
            for name in {block["layer"] for block in blocks} - {blocks[0]["layer"]}
        )


def paint(written: dict[str, Any], partitions: dict[str, Partition]) -> Painted:
    """Lay the blocks of a map on tiles; fails where one leaves its tile or lies on another."""
    stencils = {name: stencil(partition) for name, partition in partitions.items()}
    found = Painted()
    for block in written["blocks"]:
        tile = (block["segment"], block["tile"])
        if tile not in found.tiles:
            shape = (written["tile_rows"], written["tile_columns"], written["cells_a_site"])
            found.tiles[tile] = np.full(shape, FREE, dtype="U9")
            found.owners[tile] = np.full(shape, block["layer"], dtype=object)
        found.blocks[tile].append(block)
        _lay(block, found.tiles[tile], found.owners[tile], stencils[block["layer"]][block["place"]])
    for tile, causes in found.tiles.items():
        causes[causes == FREE] = "packing" if len(found.blocks[tile]) > 1 else "edges"
    return found


def _lay(block: dict[str, Any], causes: np.ndarray, owners: np.ndarray, held: np.ndarray) -> None:
    polarities = block["polarities"]
    apart = causes.shape[2] == 1 and len(polarities) == 2  # in neighbouring columns
    for number, polarity in enumerate(polarities):
        for row in range(block["rows"]):
            for column in range(block["count"]):
                across = block["column"] + (2 * column + number if apart else column)
                site = (block["row"] + row, across, polarity if causes.shape[2] > 1 else 0)
                assert across < block["column"] + block["columns"], "wider than the map says"
                assert causes[site] == FREE, "two blocks on one cell"
                causes[site] = _cause(held[row, block["first"] + column], block, polarity)
                owners[site] = block["layer"]


def _cause(kind: str, block: dict[str, Any], polarity: int) -> str:
    if kind != "weights":
        return kind
    if block["copy"]:
        return "copies"
    if polarity:
        return "polarity"
    return "slices" if block["slice"] else "weights"


def stencil(partition: Partition) -> np.ndarray:
    """``(D, rows, columns of the stack)``: whether a cell is for weights, for reference, or joins two groups."""
    shape = (partition.stacked, partition.block_rows, partition.stack_columns)
    found = np.full(shape, "groups", dtype="U9")
    for place in range(partition.stacked):
        diagonal, block = divmod(place, partition.row_blocks)
        for at, row in enumerate(partition.rows_of(diagonal, block)):
            for number, column in enumerate(partition.data_columns):
                of_matrix = diagonal * partition.diagonal_columns + number
                if row // partition.rows == of_matrix // partition.columns:
                    found[place, at, column] = "weights"
            if partition.reference_column:
                found[place, at, np.unique(partition.reference_columns)] = "reference"
    return found
