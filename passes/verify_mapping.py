"""Verify the mapping: every weight lies on cells of its own, and the cells give it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from xbarc.errors import InternalError
from xbarc.hardware.schema import Hardware
from xbarc.hardware.weights import magnitude_levels
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.pipeline import Pass
from xbarc.ir.reads import clashes
from xbarc.ir.scopes import products
from xbarc.ir.segments import tile_keys
from xbarc.ir.stages import Stage

_HALF = 0.5 + 1e-6  # what rounds to an integer may lie so far off, with the rounding of the quotient itself
_EXACT = 1e-9  # the same where nothing is rounded, as shares of the largest weight


@dataclass
class VerifyMapping:
    """An observer of the pipeline: keeps the weights that are encoded, and proves that the placed cells hold them.

    Raises:
        InternalError: cells of two blocks coincide, or a weight is not on the chip, or more than once, or what its
            cells decode to is more than half a step from it.
    """

    hardware: Hardware
    _weights: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, _entry: Pass, _number: int, graph: Graph) -> None:
        if graph.stage == Stage.ENCODED:
            self._weights.update((product.name, product.weight) for _, product in products(graph))
        elif graph.stage == Stage.PLACED:
            verify_places(graph, self.hardware)
            verify_cells(graph, self.hardware, self._weights)


def verify_places(graph: Graph, hardware: Hardware) -> None:
    """Check that every piece lies within its tile, that no two of a reload segment have a cell in common, and that
    those of a layer and tile that are read at once may be.

    Raises:
        InternalError: names the layers, the tile, and the row and column where they meet.
    """
    owners: dict[str, Layer] = {}
    tables, keys = [], []
    for layer in layers(graph):
        owner = owners.setdefault(layer.read.matrix, layer)
        pieces = layer.read.pieces
        if pieces is None:
            raise InternalError(f"layer {layer.name!r} has no tiles")
        if owner is layer:
            tables.append(pieces)
            keys.append(tile_keys(layer))
        elif owner.read.pieces is None or not np.array_equal(owner.read.pieces, pieces):
            raise InternalError(f"layers {owner.name!r} and {layer.name!r} share a matrix, but not its tiles")
    if not tables:
        return
    names = [layer.name for layer in owners.values()]
    whose = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    table = np.concatenate(tables)
    bottom, right = table["row"] + table["rows"], table["column"] + table["columns"]
    for index in np.flatnonzero((bottom > hardware.tile.rows) | (right > hardware.tile.columns))[:1]:
        raise InternalError(f"a block of layer {names[whose[index]]!r} reaches beyond tile {table['tile'][index]}")
    tiles = np.concatenate(keys)
    order = np.lexsort((whose, tiles))
    for together in np.split(order, np.flatnonzero(np.diff(tiles[order])) + 1):
        if len(together) > 1:
            _verify_tile(table[together], [names[index] for index in whose[together]], hardware.tile.active_rows)


def _verify_tile(pieces: np.ndarray, names: Sequence[str], active_rows: int | None) -> None:
    """Check the pieces of one tile; those of a layer follow each other."""
    top, left = pieces["row"], pieces["column"]
    bottom, right = top + pieces["rows"], left + pieces["columns"]
    high, low = np.maximum(top[:, None], top), np.minimum(bottom[:, None], bottom)
    begin, end = np.maximum(left[:, None], left), np.minimum(right[:, None], right)
    for one, other in np.argwhere(np.triu((high < low) & (begin < end), 1))[:1]:
        raise InternalError(
            f"blocks of layers {names[one]!r} and {names[other]!r} lie on the same cell: "
            f"tile {pieces['tile'][one]}, row {high[one, other]}, column {begin[one, other]}"
        )
    for name in dict.fromkeys(names):
        mine = pieces[[other == name for other in names]]
        if len(mine) == 1:
            continue
        at_once = mine["turn"][:, None] == mine["turn"]
        driven = [
            sum({int(piece["row"]): int(piece["rows"]) for piece in mine[mine["turn"] == turn]}.values())
            for turn in np.unique(mine["turn"])
        ]
        if np.any(clashes(mine, pieces) & at_once) or max(driven) > (active_rows or max(driven)):
            raise InternalError(f"one read of tile {pieces['tile'][0]} cannot serve all that layer {name!r} has in it")


def verify_cells(graph: Graph, hardware: Hardware, weights: Mapping[str, np.ndarray]) -> None:
    """Check that the cells of every layer, decoded block by block, give its weights back, clipped where it says so.

    Args:
        graph: at tile level.
        hardware: that it is made for.
        weights: ``(G, K, N)`` of each layer, as they were encoded.

    Raises:
        InternalError: names the layer, and row and column of a weight that is not what its cells hold.
    """
    for layer in layers(graph):
        weight, partition = weights[layer.name], layer.read.partition
        scale = layer.rescale.unit_scale.reshape(partition.groups, partition.columns) / layer.dac.scale
        held = np.zeros(weight.shape, dtype=np.uint8)
        for place in range(partition.stacked):
            for block in range(partition.column_blocks):
                _verify_block(layer, hardware, weight, scale, held, (place, block))
        for group, row, column in np.argwhere(held != 1)[:1]:
            raise InternalError(
                f"layer {layer.name!r}: the weight at group {group}, row {row}, column {column} is in "
                f"{held[group, row, column]} blocks"
            )


def _verify_block(
    layer: Layer,
    hardware: Hardware,
    weight: np.ndarray,
    scale: np.ndarray,
    held: np.ndarray,
    at: tuple[int, int],
) -> None:
    """Compare the block with the weights over their ``scale``, ``(G, N)``; count those in ``held``, ``(G, K, N)``."""
    partition = layer.read.partition
    diagonal, row_block = divmod(at[0], partition.row_blocks)
    position, block = divmod(row_block, partition.position_blocks)
    top, left = block * partition.block_rows, at[1] * partition.block_columns
    height = partition.rows // partition.positions
    parted = (partition.groups, height, partition.positions, partition.columns)
    weight, held = (array.reshape(parted)[:, :, position] for array in (weight, held))
    found = _decode(layer, at)
    expected = np.zeros(found.shape)
    slack = np.zeros(found.shape)  # between groups there is nothing, exactly
    beyond = np.zeros(found.shape[1])
    unlimited, clipping = layer.read.levels.dtype.kind == "f", layer.read.clipping
    furthest = 0.0 if clipping is None else clipping.largest_error * (1 + _EXACT)
    # A step of a pair around the middle counts in both cells.
    step = 2.0 if hardware.weights.encoding == "constant-sum" else 1.0
    for number in range(partition.groups_in(diagonal)):
        group = diagonal * partition.groups_per_diagonal + number
        rows, inner_rows = _common(top, found.shape[0], number * height, height)
        columns, inner_columns = _common(left, found.shape[1], number * partition.columns, partition.columns)
        expected[rows, columns] = weight[group, inner_rows, inner_columns] / scale[group, inner_columns]
        slack[rows, columns] = _EXACT if unlimited else _HALF * step
        beyond[columns] = furthest / scale[group, inner_columns]
        held[group, inner_rows, inner_columns] += 1
    largest = _largest(hardware)
    wrong = np.abs(found - expected) > slack + beyond
    if clipping is not None:
        wrong |= np.abs(found - np.clip(expected, -largest, largest)) > slack
    if not unlimited:
        wrong |= np.abs(found) > largest
    for row, column in np.argwhere(wrong)[:1]:
        below = (top + row) * partition.positions + position
        raise InternalError(
            f"layer {layer.name!r}: the cells at row {below}, column {left + column} of diagonal {diagonal} hold "
            f"{found[row, column]:g}, and the weight over its scale is {expected[row, column]:g}"
        )


def _decode(layer: Layer, at: tuple[int, int]) -> np.ndarray:
    """What the cells of a block stand for, all slices together: ``(rows, columns)`` float64, without padding."""
    read, how, partition = layer.read, layer.accumulate, layer.read.partition
    diagonal, row_block = divmod(at[0], partition.row_blocks)
    rows, columns = partition.rows_in(diagonal, row_block), partition.columns_in(diagonal, at[1])
    left = at[1] * partition.block_columns
    width = min(partition.block_columns, partition.diagonal_columns - left)
    first = at[1] * (partition.block_columns + int(partition.reference_column))
    total = np.zeros((rows, columns))
    for number, worth in enumerate(how.slice_weights):
        planes = read.levels[number, :, at[0], :rows, first : first + columns].astype(np.float64)
        if how.recombination is not None:
            unit = read.levels[number, :, at[0], :rows, first + width, None].astype(np.float64)
            counted = (number, at[0], slice(left, left + columns))
            planes = planes * how.recombination.signs[counted] + unit * how.recombination.references[counted]
        elif partition.reference_column:
            planes -= read.levels[number, :, at[0], :rows, first + width, None]
        elif how.offsets is not None:
            planes -= float(how.offsets[number])
        total += worth * (planes[0] - planes[1] if len(planes) == 2 else planes[0])
    return total


def _common(begin: int, size: int, other: int, other_size: int) -> tuple[slice, slice]:
    """What two ranges have in common, counted from the beginning of either."""
    low, high = max(begin, other), min(begin + size, other + other_size)
    high = max(low, high)
    return slice(low - begin, high - begin), slice(low - other, high - other)


def _largest(hardware: Hardware) -> float:
    """The largest integer that a weight is encoded as, in what cells decode to; a share where levels are unlimited."""
    total, kind = magnitude_levels(hardware.weights, hardware.cell), hardware.weights.encoding
    if total == "unlimited":
        return 1.0 if hardware.weights.polarities == 2 else 0.5
    match kind:
        case "differential":
            return total - 1
        case "constant-sum":
            return 2 * (total - 1)
        case "twos-complement":
            return total // 2 - 1
        case _:
            return total - 1 - total // 2
