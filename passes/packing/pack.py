"""Pack blocks of layers into tiles: the packers, and what is common to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from xbarc.passes.packing.dense import pack_dense
from xbarc.passes.packing.matrices import Tile
from xbarc.passes.packing.parallel import pack_parallel, tiles_apart

#: Which blocks share tiles: those of one layer, or of all.
Scope = Literal["layer", "network"]
#: Whether one read of a tile serves all that a layer has in it.
Mode = Literal["parallel", "dense"]

SCOPES: Final[tuple[Scope, ...]] = ("layer", "network")
MODES: Final[tuple[Mode, ...]] = ("parallel", "dense")


def pack(
    layers: Sequence[np.ndarray],
    tile: Tile,
    *,
    scope: Scope,
    mode: Mode,
    stacks: Sequence[int] = (),
    cuttable: Sequence[bool] = (),
) -> list[np.ndarray]:
    """Place blocks of layers in tiles, numbered from 0 without gaps, by the first of the layers in each.

    Args:
        layers: the blocks of each, ``(copies, slices, sides, D, column blocks)`` of :data:`xbarc.ir.pieces.PIECE`.
        tile: the size of each; no block is larger.
        scope: which blocks share tiles.
        mode: see :mod:`xbarc.passes.packing.parallel` and :mod:`xbarc.passes.packing.dense`.
        stacks: of each layer, how many row blocks lie below each other in any case, and are read one after the other;
            1 by default. In parallel they stay together.
        cuttable: of each layer, whether ``dense`` may cut its blocks by columns; they are by default.

    Returns:
        The pieces of each layer, ``(pieces,)`` of :data:`xbarc.ir.pieces.PIECE`, but their turns. They take no more
        tiles than where no layers share one, and groups lie on diagonals.
    """
    stacks, cuttable = stacks or [1] * len(layers), cuttable or [True] * len(layers)
    parts = [range(len(layers))] if scope == "network" else [range(index, index + 1) for index in range(len(layers))]
    tables: list[np.ndarray] = []
    first = 0
    for part in parts:
        some = slice(part.start, part.stop)
        tiles, found = _pack(layers[some], tile, mode, stacks[some], cuttable[some])
        for table in found:
            table["tile"] += first
        first += tiles
        tables += found
    return _numbered(tables)


def _pack(
    layers: Sequence[np.ndarray], tile: Tile, mode: Mode, stacks: Sequence[int], cuttable: Sequence[bool]
) -> tuple[int, list[np.ndarray]]:
    diagonals = [count == 1 for count in stacks]
    stacked = [_stacked(blocks, count) for blocks, count in zip(layers, stacks, strict=True)]
    if mode == "dense":
        tiles, tables = pack_dense(layers, tile, cuttable=cuttable)
        tiles = _fill_whole(tables, tile, tiles)
        if tiles <= tiles_apart(stacked, tile, diagonals=diagonals):
            return tiles, tables
    few, units = pack_parallel(stacked, tile, diagonals=diagonals)
    few = _fill_whole(units, tile, few)
    if mode == "dense" and tiles <= few:
        return tiles, tables
    return few, [_apart(*one) for one in zip(layers, units, stacks, strict=True)]


def _fill_whole(tables: Sequence[np.ndarray], tile: Tile, first: int) -> int:
    """Give every piece that fills a tile one of its own, from number ``first`` on; how many tiles that makes."""
    for table in tables:
        whole = np.flatnonzero(table["rows"] * table["columns"] == tile.cells)
        table["tile"][whole] = np.arange(first, first + len(whole))
        first += len(whole)
    return first


def _stacked(blocks: np.ndarray, count: int) -> np.ndarray:
    """Blocks with ``count`` row blocks at a time taken for one."""
    if count == 1:
        return blocks
    starts = np.arange(0, blocks.shape[3], count)
    units = blocks[:, :, :, starts]
    units["rows"] = np.add.reduceat(blocks["rows"], starts, axis=3)
    units["columns"] = np.maximum.reduceat(blocks["columns"], starts, axis=3)
    return units


def _apart(blocks: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """The blocks of placed units, one below the other."""
    if count == 1:
        return units
    pieces = blocks.copy()
    down = np.arange(blocks.shape[3]) // count
    placed = units.reshape(*blocks.shape[:3], -1, blocks.shape[4])[:, :, :, down]
    above = np.cumsum(blocks["rows"], axis=3) - blocks["rows"]
    pieces["tile"], pieces["column"] = placed["tile"], placed["column"]
    pieces["row"] = placed["row"] + above - above[:, :, :, down * count]
    return pieces.reshape(-1)


def _numbered(tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The tables in the order of their layer's cells, with tiles numbered by the first of the layers in each."""
    if not tables:
        return []
    ordered = [
        table[np.lexsort([table[name] for name in ("first", "place", "side", "slice", "copy")])] for table in tables
    ]
    tiles = np.concatenate([table["tile"] for table in ordered])
    _, first, numbers = np.unique(tiles, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    for table, found in zip(
        ordered, np.split(rank[numbers], np.cumsum([len(table) for table in ordered])[:-1]), strict=True
    ):
        table["tile"] = found
    return ordered


def tiles_of(tables: Sequence[np.ndarray]) -> int:
    """How many tiles hold pieces that are packed."""
    return 1 + max((int(table["tile"].max()) for table in tables), default=-1)
