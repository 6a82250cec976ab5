"""Place: give every block its physical tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import CapacityError, InternalError
from xbarc.hardware.schema import Hardware
from xbarc.ir.captures import settle_captures
from xbarc.ir.cores import pack
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.partition import Partition
from xbarc.ir.pieces import ALL, whole_blocks
from xbarc.ir.reads import take_turns
from xbarc.ir.segments import owners_by_segment
from xbarc.ir.stages import Stage


@dataclass(frozen=True)
class PlaceBlocks:
    """Number the tiles, one block a tile: in the order of execution, or core by core.

    Where one read drives fewer rows than a tile has, row blocks lie below each other and are read in turn. Both
    polarities of a block share its tile (``unit-cell``, ``adjacent-columns``) or take one each (``paired-tiles``).
    Every copy of a layer has tiles of its own, within as few cores as it can. Layers that share a matrix share its
    tiles. Each reload segment has the chip for itself.

    Raises:
        CapacityError: the chip has too few tiles.
    """

    name: ClassVar[str] = "place-blocks"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.PLACED

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        settle_captures(graph)
        placed: dict[str, np.ndarray] = {}
        for owners in owners_by_segment(graph):
            self._check_capacity(owners)
            numbers = self._numbers(owners)
            tables = [self._pieces(layer, tiles) for layer, tiles in zip(owners, numbers, strict=True)]
            take_turns(tables, active_rows=self.hardware.tile.active_rows)
            placed.update((layer.read.matrix, table) for layer, table in zip(owners, tables, strict=True))
        for layer in layers(graph):
            layer.read.pieces = placed[layer.read.matrix].copy()

    def tiles_of(self, owners: Sequence[Layer]) -> int:
        """Tiles that one copy each of layers takes, one for each matrix."""
        return sum(tiles_of_copy(layer, self.hardware) for layer in owners)

    def _numbers(self, owners: list[Layer]) -> list[np.ndarray]:
        """The tiles of each layer, ``(copies, tiles of one copy)``."""
        sizes = [tiles_of_copy(layer, self.hardware) for layer in owners]
        copies = [layer.read.copies for layer in owners]
        if self.hardware.core.tiles == 1:
            ends = np.cumsum([size * count for size, count in zip(sizes, copies, strict=True)])
            return [
                np.arange(end - size * count, end, dtype=np.int32).reshape(count, size)
                for end, size, count in zip(ends.tolist(), sizes, copies, strict=True)
            ]
        packing = pack(sizes, copies, core_tiles=self.hardware.core.tiles, cores=cores(self.hardware))
        if packing is None:
            raise InternalError(f"the chip's cores have no room for copies {copies} of {sizes} tiles")
        return list(packing.tiles)

    def _pieces(self, layer: Layer, tiles: np.ndarray) -> np.ndarray:
        """The pieces of a layer on its tiles, ``(copies, tiles of one copy)``."""
        pieces, together = blocks_of(layer, self.hardware), row_blocks_a_tile(layer.read.partition, self.hardware)
        copies, slices, sides, stacked, across = pieces.shape
        down = np.arange(stacked)
        shaped = tiles.reshape(copies, slices, sides, math.ceil(stacked / together), across)
        pieces["tile"] = shaped[:, :, :, down // together]
        pieces["row"] = (down % together * layer.read.partition.block_rows)[:, None]
        return pieces.reshape(-1)

    def _check_capacity(self, owners: list[Layer]) -> None:
        tiles = {layer.name: tiles_of_copy(layer, self.hardware) * layer.read.copies for layer in owners}
        needed, available = sum(tiles.values()), self.hardware.chip_tiles
        if available == "unlimited" or needed <= available:
            return
        fitting, room = [], available
        for name, size in tiles.items():
            room -= size
            if room < 0:
                break
            fitting.append(name)
        largest = max(tiles, key=lambda name: tiles[name])
        fits = (
            f"the first {len(fitting)} of {len(tiles)} layers (up to {fitting[-1]!r}) would fit"
            if fitting
            else "no layer fits"
        )
        raise CapacityError(
            f"the model needs {needed} physical tiles, the chip has {available}: {needed - available} too few",
            where=f"{fits}; the largest layer, {largest!r}, takes {tiles[largest]}",
            fix=f"{self._larger_chip(needed)}, take larger tiles, leave layers digital (--host PATTERN), or write the "
            "chip for one part of the network after the other (--segments)",
        )

    def _larger_chip(self, tiles: int) -> str:
        if self.hardware.chip.mesh is None:
            return f"set chip.tiles to at least {tiles}"
        return f"give the mesh of the chip at least {math.ceil(tiles / self.hardware.core.tiles)} cores"


def blocks_of(layer: Layer, hardware: Hardware) -> np.ndarray:
    """The blocks of a layer, not placed yet: ``(copies, slices, sides, D, column blocks)`` of pieces."""
    slices, polarities = layer.read.levels.shape[:2]
    return unplaced(layer.read.partition, hardware, copies=layer.read.copies, slices=slices, pairs=polarities == 2)


def unplaced(partition: Partition, hardware: Hardware, *, copies: int, slices: int, pairs: bool) -> np.ndarray:
    """As :func:`blocks_of`, where there are so many copies and slices, of pairs of cells or of single ones."""
    layout = hardware.tile.polarity
    return whole_blocks(
        partition,
        copies=copies,
        slices=slices,
        sides=(0, 1) if pairs and layout == "paired-tiles" else (ALL,),
        columns_a_column=2 if pairs and layout == "adjacent-columns" else 1,
    )


def tiles_of_copy(layer: Layer, hardware: Hardware) -> int:
    """Tiles of one copy of a layer where no other layer shares them."""
    slices, polarities = (int(size) for size in layer.read.levels.shape[:2])
    sides = polarities if hardware.tile.polarity == "paired-tiles" else 1
    return slices * sides * tiles_of_blocks(layer.read.partition, hardware)


def tiles_of_blocks(partition: Partition, hardware: Hardware) -> int:
    """Tiles of one slice and side where no other layer shares them.

    Row blocks lie below each other where one read cannot drive all rows of a tile; otherwise as many diagonals lie on
    one as go: one, where all groups that go are on it already (:class:`xbarc.passes.spread_groups.SpreadGroups`).
    """
    together = row_blocks_a_tile(partition, hardware)
    if together == 1 and partition.row_blocks * partition.column_blocks == 1:
        reference = int(partition.reference_column)
        across = (hardware.weight_columns + reference) // (partition.block_columns + reference)
        together = min(hardware.tile.rows // partition.block_rows, across)
    return math.ceil(partition.stacked / together) * partition.column_blocks


def reads_before_placing(layer: Layer, hardware: Hardware) -> int:
    """Reads of a tile for one window of a layer whose blocks share tiles with no other layer's."""
    partition = layer.read.partition
    return len(layer.digit_weights) * min(row_blocks_a_tile(partition, hardware), partition.stacked)


def row_blocks_a_tile(partition: Partition, hardware: Hardware) -> int:
    """Row blocks that lie below each other in a tile, since one read may not drive all of its rows."""
    active = hardware.tile.active_rows
    if active is None or active >= hardware.tile.rows:
        return 1
    return hardware.tile.rows // partition.block_rows


def cores(hardware: Hardware) -> int | None:
    """How many cores the chip has; ``None``: unlimited."""
    return None if hardware.chip_tiles == "unlimited" else hardware.chip_tiles // hardware.core.tiles
