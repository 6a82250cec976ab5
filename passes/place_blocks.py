"""Place: give every block its physical tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import CapacityError, InternalError
from xbarc.hardware.schema import Hardware
from xbarc.ir.captures import settle_captures
from xbarc.ir.cores import pack
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.stages import Stage


@dataclass(frozen=True)
class PlaceBlocks:
    """Number the tiles, one block position a tile: in the order of execution, or core by core.

    Both polarities of a block share its tile (``unit-cell``, ``adjacent-columns``) or take one each (``paired-tiles``).
    Every copy of a layer has tiles of its own, within as few cores as it can. Layers that share a matrix share its
    tiles.

    Raises:
        CapacityError: the chip has too few tiles.
    """

    name: ClassVar[str] = "place-blocks"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.PLACED

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        settle_captures(graph)
        found = layers(graph)
        owners: dict[str, Layer] = {}
        for layer in found:
            owners.setdefault(layer.read.matrix, layer)
        self._check_capacity([*owners.values()])
        placed = dict(zip(owners, self._numbers([*owners.values()]), strict=True))
        for layer in found:
            shape = block_shape(layer, self.hardware)
            slices, polarities = layer.read.levels.shape[:2]
            tiles = np.broadcast_to(
                placed[layer.read.matrix].reshape(-1, *shape), (layer.read.copies, slices, polarities, *shape[2:])
            )
            layer.read.tiles, layer.read.replicas = tiles[0].copy(), tiles[1:].copy()

    def _numbers(self, owners: list[Layer]) -> list[np.ndarray]:
        """The tiles of each layer, ``(copies, tiles of one copy)``."""
        sizes = [math.prod(block_shape(layer, self.hardware)) for layer in owners]
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

    def _check_capacity(self, owners: list[Layer]) -> None:
        tiles = {layer.name: math.prod(block_shape(layer, self.hardware)) * layer.read.copies for layer in owners}
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
            fix=f"{self._larger_chip(needed)}, take larger tiles, or leave layers digital (--host PATTERN)",
        )

    def _larger_chip(self, tiles: int) -> str:
        if self.hardware.chip.mesh is None:
            return f"set chip.tiles to at least {tiles}"
        return f"give the mesh of the chip at least {math.ceil(tiles / self.hardware.core.tiles)} cores"


def block_shape(layer: Layer, hardware: Hardware) -> tuple[int, ...]:
    """``(S, tiles a pair, D, column blocks)``: each entry is a tile of one copy of the layer."""
    slices, polarities = layer.read.levels.shape[:2]
    sides = polarities if hardware.tile.polarity == "paired-tiles" else 1
    partition = layer.read.partition
    return (slices, sides, partition.stacked, partition.column_blocks)


def cores(hardware: Hardware) -> int | None:
    """How many cores the chip has; ``None``: unlimited."""
    return None if hardware.chip_tiles == "unlimited" else hardware.chip_tiles // hardware.core.tiles
