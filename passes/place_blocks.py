"""Place: give every block its physical tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import CapacityError
from xbarc.hardware.schema import Hardware
from xbarc.ir.captures import settle_captures
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.stages import Stage


@dataclass(frozen=True)
class PlaceBlocks:
    """Number the tiles in the order of execution, one block position a tile.

    Both polarities of a block share its tile (``unit-cell``, ``adjacent-columns``) or take one each (``paired-tiles``).

    Raises:
        CapacityError: the chip has too few tiles.
    """

    name: ClassVar[str] = "place-blocks"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.PLACED

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        settle_captures(graph)
        first = 0
        found = layers(graph)
        placed: dict[str, np.ndarray] = {}
        for layer in found:
            if layer.read.matrix not in placed:
                tiles = self._tiles(layer, first)
                placed[layer.read.matrix] = tiles
                first = int(tiles.max()) + 1
            layer.read.tiles = placed[layer.read.matrix].copy()
        self._check_capacity(first, found)

    def _tiles(self, layer: Layer, first: int) -> np.ndarray:
        """Tiles of a layer's blocks, numbered from ``first`` on."""
        slices, polarities = layer.read.levels.shape[:2]
        sides = polarities if self.hardware.tile.polarity == "paired-tiles" else 1
        partition = layer.read.partition
        shape = (slices, sides, partition.stacked, partition.column_blocks)
        tiles = np.arange(first, first + int(np.prod(shape)), dtype=np.int32).reshape(shape)
        return np.broadcast_to(tiles, (slices, polarities, *shape[2:]))

    def _check_capacity(self, needed: int, found: list[Layer]) -> None:
        available = self.hardware.chip.tiles
        if available == "unlimited" or needed <= available:
            return
        fitting, room = [], available
        for layer in found:
            room -= _tiles_of(layer) if layer.read.matrix == layer.name else 0
            if room < 0:
                break
            fitting.append(layer.name)
        largest = max(found, key=_tiles_of)
        fits = (
            f"the first {len(fitting)} of {len(found)} layers (up to {fitting[-1]!r}) would fit"
            if fitting
            else "no layer fits"
        )
        raise CapacityError(
            f"the model needs {needed} physical tiles, the chip has {available}: {needed - available} too few",
            where=f"{fits}; the largest layer, {largest.name!r}, takes {_tiles_of(largest)}",
            fix=f"set chip.tiles to at least {needed}, take larger tiles, or leave layers digital (--host PATTERN)",
        )


def _tiles_of(layer: Layer) -> int:
    return 0 if layer.read.tiles is None else len(np.unique(layer.read.tiles))
