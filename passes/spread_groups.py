"""Spread: choose how many groups of a layer lie together on a diagonal, so that layers can share tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.errors import InternalError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.operators import MatVec
from xbarc.ir.partition import Partition
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage
from xbarc.passes.packing.matrices import Tile
from xbarc.passes.packing.pack import Mode, Scope, pack, tiles_of
from xbarc.passes.place_blocks import row_blocks_a_tile, tiles_of_blocks, unplaced

#: So many more tiles, as a share, larger diagonals may take than the smallest: they are fewer pieces.
_SLACK: Final = 0.01


@dataclass(frozen=True, slots=True)
class Shape:
    """What packing must know of a layer.

    Attributes:
        partition: how its matrix is cut.
        slices: how many there are.
        pairs: whether each weight has two cells.
    """

    partition: Partition
    slices: int = 1
    pairs: bool = False


@dataclass(frozen=True)
class SpreadGroups:
    """Cut diagonals of groups into smaller ones, equal but for the last, before blocks are packed.

    ``k`` groups on a diagonal take ``k * k`` times the cells of one. Where dense, every group lies by itself. In
    parallel, smaller diagonals can be put together again on the diagonal of a tile, as many as each has room for: the
    packer tries, and layers whose fullest tile holds few groups have so many on each diagonal from the start, as long
    as tiles stay nearly as few.

    By itself, no layer takes more tiles than before. Rows that are not driven at once stay as they are in parallel.
    Smaller diagonals have smaller currents, and their ADCs smaller ranges: where ADCs round, numbers change by that.
    """

    name: ClassVar[str] = "spread-groups"
    requires: ClassVar[Stage] = Stage.SPLIT
    ensures: ClassVar[Stage] = Stage.SPLIT

    hardware: Hardware
    scope: Scope
    mode: Mode

    def run(self, graph: Graph) -> None:
        shapes = {product.matrix: _shape(product) for _, product in products(graph)}
        found = self.spread(shapes)
        for _, product in products(graph):
            product.partition = found[product.matrix]

    def spread(self, shapes: Mapping[str, Shape]) -> dict[str, Partition]:
        """The partition that each layer, by name, should have."""
        if self.scope == "network":
            return self._together(shapes)
        found: dict[str, Partition] = {}
        for name, shape in shapes.items():
            found |= self._together({name: shape})
        return found

    def _together(self, shapes: Mapping[str, Shape]) -> dict[str, Partition]:
        """The partitions of layers that share tiles."""
        smallest = {name: self._smallest(shape.partition) for name, shape in shapes.items()}
        loose = [name for name, shape in shapes.items() if smallest[name] != shape.partition]
        if self.mode == "dense" or not loose:
            return smallest
        tables = self._pack(shapes, smallest)
        most = {
            name: self._most(shapes[name].partition, smallest[name].groups_per_diagonal * _fullest(tables[name]))
            for name in loose
        }
        fewest, available = tiles_of([*tables.values()]), self.hardware.chip_tiles
        enough = fewest * (1 + _SLACK)
        if available != "unlimited":
            enough = min(enough, max(fewest, available))
        sizes = sorted({partition.groups_per_diagonal for partition in most.values()})
        best, low, high = smallest, 0, len(sizes)
        while low < high:
            middle = (low + high + 1) // 2
            few = {name: found for name, found in most.items() if found.groups_per_diagonal <= sizes[middle - 1]}
            if tiles_of([*self._pack(shapes, smallest | few).values()]) <= enough:
                best, low = smallest | few, middle
            else:
                high = middle - 1
        return best

    def _smallest(self, partition: Partition) -> Partition:
        """The fewest groups on each diagonal with which the layer by itself takes no more tiles."""
        if self.mode == "parallel" and row_blocks_a_tile(partition, self.hardware) > 1:
            return partition
        tried = (spread_over(partition, together) for together in range(1, partition.groups_per_diagonal))
        return next((found for found in tried if self._is_no_loss(found, partition)), partition)

    def _most(self, partition: Partition, together: int) -> Partition:
        """At most so many groups on each diagonal, with which the layer by itself takes no more tiles."""
        tried = (spread_over(partition, count) for count in range(together, 0, -1))
        return next((found for found in tried if self._is_no_loss(found, partition)), partition)

    def _is_no_loss(self, found: Partition, instead_of: Partition) -> bool:
        return tiles_of_blocks(found, self.hardware) <= tiles_of_blocks(instead_of, self.hardware)

    def _pack(self, shapes: Mapping[str, Shape], partitions: Mapping[str, Partition]) -> dict[str, np.ndarray]:
        """The pieces of one copy of each layer."""
        tables = pack(
            [
                unplaced(partitions[name], self.hardware, copies=1, slices=shape.slices, pairs=shape.pairs)
                for name, shape in shapes.items()
            ],
            Tile(self.hardware.tile.rows, self.hardware.tile.columns),
            scope=self.scope,
            mode=self.mode,
            stacks=[row_blocks_a_tile(partitions[name], self.hardware) for name in shapes],
        )
        return dict(zip(shapes, tables, strict=True))


def spread_over(partition: Partition, together: int) -> Partition:
    """A partition with so many groups on each diagonal, where it has as many or more."""
    if together >= partition.groups_per_diagonal:
        return partition
    return dataclasses.replace(
        partition,
        groups_per_diagonal=together,
        block_rows=partition.rows * together,
        block_columns=partition.columns * together,
    )


def _shape(product: MatVec) -> Shape:
    if product.partition is None or product.encoding is None:
        raise InternalError(f"{product.name!r} is not cut into blocks of cells")
    slices, polarities = product.encoding.levels.shape[:2]
    return Shape(product.partition, slices=int(slices), pairs=polarities == 2)


def _fullest(table: np.ndarray) -> int:
    """How many diagonals of a layer the fullest tile holds."""
    places = np.unique(table[["tile", "place"]])
    return int(np.bincount(places["tile"]).max())
