"""Pack: blocks of one layer, or of several, share tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import CapacityError
from xbarc.hardware.schema import Hardware
from xbarc.ir.captures import settle_captures
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import take_turns
from xbarc.ir.segments import owners_by_segment
from xbarc.ir.stages import Stage
from xbarc.passes.packing.matrices import Tile
from xbarc.passes.packing.pack import Mode, Scope, pack, tiles_of
from xbarc.passes.place_blocks import blocks_of, row_blocks_a_tile


@dataclass(frozen=True)
class PackBlocks:
    """Give every block, or every part of one, its tile, and the row and column where it begins there.

    =========  =========================================================================================================
    parallel   blocks are packed as they were cut; all that a layer has in a tile is read at once, as far as one read
               can drive the rows
    dense      as few tiles as the packer finds; blocks without a reference column may be cut by columns, and what a
               layer has in a tile may need several reads
    =========  =========================================================================================================

    Layers that share a tile read it in turn. Layers that share a matrix share its tiles. Each reload segment has the
    chip for itself. There are never more tiles than without packing.

    Attributes:
        hardware: with the tiles.
        scope: whether blocks of one layer share tiles, or of all.
        mode: as above.

    Raises:
        CapacityError: the chip has too few tiles.
    """

    name: ClassVar[str] = "pack-blocks"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.PLACED

    hardware: Hardware
    scope: Scope
    mode: Mode

    def run(self, graph: Graph) -> None:
        settle_captures(graph)
        placed: dict[str, np.ndarray] = {}
        for owners in owners_by_segment(graph):
            tables = self._packed(owners)
            self._check_capacity(tiles_of(tables), owners)
            take_turns(tables, active_rows=self.hardware.tile.active_rows)
            placed.update((layer.read.matrix, table) for layer, table in zip(owners, tables, strict=True))
        for layer in layers(graph):
            layer.read.pieces = placed[layer.read.matrix].copy()

    def tiles_of(self, owners: Sequence[Layer]) -> int:
        """Tiles that layers take when they are packed, one for each matrix."""
        return tiles_of(self._packed(owners))

    def _packed(self, owners: Sequence[Layer]) -> list[np.ndarray]:
        """The pieces of each layer, placed, without their turns."""
        partitions = [layer.read.partition for layer in owners]
        return pack(
            [blocks_of(layer, self.hardware) for layer in owners],
            Tile(self.hardware.tile.rows, self.hardware.tile.columns),
            scope=self.scope,
            mode=self.mode,
            stacks=[row_blocks_a_tile(partition, self.hardware) for partition in partitions],
            cuttable=[not partition.reference_column for partition in partitions],
        )

    def _check_capacity(self, needed: int, owners: Sequence[Layer]) -> None:
        available = self.hardware.chip_tiles
        if available == "unlimited" or needed <= available:
            return
        sizes = {layer.name: blocks_of(layer, self.hardware).size for layer in owners}
        largest = max(sizes, key=lambda name: sizes[name])
        closer = "" if (self.scope, self.mode) == ("network", "dense") else "pack closer (network, dense), "
        raise CapacityError(
            f"the packed model needs {needed} physical tiles, the chip has {available}: {needed - available} too few",
            where=f"the largest layer, {largest!r}, has {sizes[largest]} blocks",
            fix=f"{closer}set chip.tiles to at least {needed}, take larger tiles, leave layers digital (--host "
            "PATTERN), or write the chip for one part of the network after the other (--segments)",
        )
