"""What the cells of used tiles are for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer
from xbarc.ir.partition import Partition
from xbarc.ir.pieces import ALL
from xbarc.ir.segments import tile_keys


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of used tiles, told apart; the parts add up to ``total``.

    Attributes:
        total: cells in used tiles.
        weights: one a weight.
        slices: further cells of the same weights, for their other slices.
        polarity: further cells of the same weights, for their other sign.
        copies: further cells of the same weights, for the layer's other copies.
        reference: cells of reference columns.
        groups: cells of blocks that pair a row of one group with a column of another, or of a group that a short
            diagonal lacks: they hold no weight.
        edges: cells beyond the block, in tiles that hold one.
        packing: cells beyond the blocks, in tiles that hold several, of one layer or of more.
    """

    total: int
    weights: int
    slices: int
    polarity: int
    copies: int
    reference: int
    groups: int
    edges: int
    packing: int

    @property
    def utilisation(self) -> float:
        """Cell utilisation: cells that hold a weight, of any slice, polarity and copy, over cells in used tiles."""
        held = self.weights + self.slices + self.polarity + self.copies
        return held / self.total if self.total else 0.0

    def __add__(self, other: Cells) -> Cells:
        return Cells(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


NO_CELLS: Final = Cells(0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class TileShare:
    """What a layer takes of the tiles. A tile that several layers share counts for the first of them; a tile that is
    written anew for another reload segment counts in each.

    Attributes:
        tiles: that count for it.
        guests: tiles of other layers that it has blocks in.
        cells: of all its blocks, and those that nothing takes of the tiles that count for it.
    """

    tiles: int
    guests: int
    cells: Cells


def tile_shares(layers: Sequence[Layer], hardware: Hardware) -> Mapping[str, TileShare]:
    """What each layer takes.

    Args:
        layers: placed, in the order of execution: one for each matrix.
        hardware: that they were placed on.

    Raises:
        ValueError: a layer is not placed.
    """
    tables = [_pieces(layer) for layer in layers]
    if not tables:
        return {}
    every = np.concatenate([tile_keys(layer) for layer in layers])
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    areas = np.concatenate([piece_cells(layer, table) for layer, table in zip(layers, tables, strict=True)])
    tiles, first, index, counts = np.unique(every, return_index=True, return_inverse=True, return_counts=True)
    host = owner[first]
    polarities = max(layer.read.levels.shape[1] for layer in layers)
    planes = polarities if hardware.tile.polarity == "unit-cell" else 1
    whole = hardware.tile.rows * hardware.tile.columns * planes
    free = whole - np.bincount(index, weights=areas, minlength=len(tiles)).astype(np.int64)
    shares = {}
    for number, (layer, table) in enumerate(zip(layers, tables, strict=True)):
        hosted, held = host == number, _held(layer, table)
        edges, packing = int(free[hosted & (counts == 1)].sum()), int(free[hosted & (counts > 1)].sum())
        cells = dataclasses.replace(held, total=held.total + edges + packing, edges=edges, packing=packing)
        guests = len(np.unique(table["tile"])) - int(hosted.sum())
        shares[layer.name] = TileShare(int(hosted.sum()), guests, cells)
    return shares


def _pieces(layer: Layer) -> np.ndarray:
    if layer.read.pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    return layer.read.pieces


def piece_cells(layer: Layer, pieces: np.ndarray) -> np.ndarray:
    """``(pieces,)`` cells of each piece of a layer: as many a site as it holds polarities, or as many sites."""
    cells: np.ndarray = pieces["rows"].astype(np.int64) * pieces["count"] * _sides(layer, pieces)
    return cells


def _sides(layer: Layer, pieces: np.ndarray) -> np.ndarray:
    sides: np.ndarray = np.where(pieces["side"] == ALL, layer.read.levels.shape[1], 1)
    return sides


def _held(layer: Layer, pieces: np.ndarray) -> Cells:
    """The cells of a layer's pieces."""
    held, references = _columns_held(layer.read.partition, pieces)
    sides, areas = _sides(layer, pieces), piece_cells(layer, pieces)
    weights = held * np.where(layer.read.partition.groups_per_diagonal > 1, layer.read.partition.rows, pieces["rows"])
    reference = references * pieces["rows"] * sides
    original = pieces["copy"] == 0
    positive = original & (pieces["side"] <= 0)  # these hold the first polarity
    return Cells(
        total=int(areas.sum()),
        weights=int(weights[positive & (pieces["slice"] == 0)].sum()),
        slices=int(weights[positive & (pieces["slice"] > 0)].sum()),
        polarity=int((weights * (sides - positive))[original].sum()),
        copies=int((weights * sides)[~original].sum()),
        reference=int(reference.sum()),
        groups=int((areas - reference - weights * sides).sum()),
        edges=0,
        packing=0,
    )


def _columns_held(partition: Partition, pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(pieces,)`` each: columns of weights, and reference columns, among those that a piece holds."""
    is_data = np.zeros(partition.stack_columns + 1, dtype=np.int64)
    is_data[1:][partition.data_columns] = 1
    before = is_data.cumsum()  # columns of weights before each column of the stack
    groups = np.array([partition.groups_in(diagonal) for diagonal in range(partition.diagonals)])
    width = groups[pieces["place"] // partition.row_blocks] * partition.columns
    begin, end = before[pieces["first"]], before[pieces["first"] + pieces["count"]]
    return np.minimum(end, width) - np.minimum(begin, width), pieces["count"] - (end - begin)
