"""Pack: blocks of several layers share tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import CapacityError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import take_turns
from xbarc.ir.stages import Stage
from xbarc.passes.packing.parallel import Region, pack_regions
from xbarc.passes.packing.pieces import Tile
from xbarc.passes.place_blocks import blocks_of


@dataclass(frozen=True)
class PackBlocks:
    """Give every block its tile, and the row and column where it begins there.

    Blocks are packed as they were cut. A layer, with all its slices, polarities and copies, has one block at most in a
    tile, so that its reads stay parallel; layers that share a tile read it in turn. Never more tiles than blocks.

    Raises:
        CapacityError: the chip has too few tiles.
    """

    name: ClassVar[str] = "pack-blocks"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.PLACED

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        found_layers = layers(graph)
        owners: dict[str, Layer] = {}
        for layer in found_layers:
            owners.setdefault(layer.read.matrix, layer)
        regions = [region for index, layer in enumerate(owners.values()) for region in self._regions(index, layer)]
        places = pack_regions(regions, Tile(self.hardware.tile.rows, self.hardware.tile.columns))
        table = np.array([(place.tile, place.row, place.column) for place in places], dtype=np.int32).reshape(-1, 3)
        self._check_capacity(len(np.unique(table[:, 0])), owners)
        placed: dict[str, np.ndarray] = {}
        for matrix, layer in owners.items():
            pieces = blocks_of(layer, self.hardware).reshape(-1)
            found, table = np.split(table, [len(pieces)])
            pieces["tile"], pieces["row"], pieces["column"] = found.T
            placed[matrix] = pieces
        take_turns([*placed.values()], active_rows=self.hardware.tile.active_rows)
        for layer in found_layers:
            layer.read.pieces = placed[layer.read.matrix].copy()

    def _regions(self, index: int, layer: Layer) -> list[Region]:
        """The rectangles of a layer's blocks, of all copies."""
        pieces = blocks_of(layer, self.hardware).reshape(-1)
        return [Region(index, rows, columns) for rows, columns in pieces[["rows", "columns"]].tolist()]

    def _check_capacity(self, needed: int, owners: dict[str, Layer]) -> None:
        available = self.hardware.chip_tiles
        if available == "unlimited" or needed <= available:
            return
        sizes = {name: blocks_of(layer, self.hardware).size for name, layer in owners.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        raise CapacityError(
            f"the packed model needs {needed} physical tiles, the chip has {available}: {needed - available} too few",
            where=f"the largest layer, {largest!r}, has {sizes[largest]} blocks",
            fix=f"set chip.tiles to at least {needed}, take larger tiles, or leave layers digital (--host PATTERN)",
        )
