"""The physical tiles of a written chip: which cells lie where in them, and what their wires leave of each.

Letters in shapes as in ``xbarc.ir.operators``: ``(S, P, D, R, C)``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import threadpoolctl

from xbarc.ir.layer import Layer
from xbarc.runtime.circuit.effective import effective_conductances
from xbarc.runtime.circuit.wiring import Wiring
from xbarc.runtime.tile_parts import LineOrder, TilePart, tile_parts

#: Told how many tiles of how many are solved.
TilesSolved: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileShape:
    """What all tiles of a chip have in common.

    Attributes:
        planes: cells a site.
        rows, columns: of sites.
        empty: siemens of cells that no block takes: nothing is written there.
    """

    planes: int
    rows: int
    columns: int
    empty: float


@dataclass(frozen=True, slots=True)
class Occupant:
    """Cells of a layer in a tile.

    Attributes:
        matrix: the name that the layer's cells go by.
        part: of them.
    """

    matrix: str
    part: TilePart


def occupants(
    layers: Sequence[Layer], orders: Mapping[str, Sequence[LineOrder]] = MappingProxyType({})
) -> dict[tuple[int, int], list[Occupant]]:
    """What lies in each tile that anything lies in, by reload segment and tile, of all copies.

    Args:
        layers: placed. Of those that share a matrix, the first is looked at.
        orders: of a matrix, in which its lines lie (:func:`xbarc.runtime.tile_parts.tile_parts`).
    """
    found: dict[tuple[int, int], list[Occupant]] = {}
    for layer in {layer.read.matrix: layer for layer in reversed(layers)}.values():
        for part in tile_parts(layer, orders.get(layer.read.matrix), copies=True):
            found.setdefault((layer.read.segment, part.sites.tile), []).append(Occupant(layer.read.matrix, part))
    return found


def tile_conductances(
    inside: Sequence[Occupant], conductances: Mapping[str, np.ndarray], shape: TileShape
) -> np.ndarray:
    """The cells of a tile, ``(planes, rows, columns)`` float64 siemens.

    Args:
        inside: what lies in it. Copies of a layer hold the same.
        conductances: of each matrix, ``(S, P, D, R, C)`` siemens.
        shape: of the tile.
    """
    cells = np.full((shape.planes, shape.rows, shape.columns), shape.empty, dtype=np.float64)
    for each in inside:
        cells[each.part.sites.index] = conductances[each.matrix][each.part.index]
    return cells


def through_wires(
    layers: Sequence[Layer],
    conductances: Mapping[str, np.ndarray],
    shape: TileShape,
    wiring: Wiring,
    *,
    orders: Mapping[str, Sequence[LineOrder]] = MappingProxyType({}),
    wanted: Collection[str] | None = None,
    threads: int = 1,
    progress: TilesSolved | None = None,
) -> dict[str, np.ndarray]:
    """What each cell adds to its column's current a volt on its row, with the drops on all wires of its tile.

    All rows but those of a block are held at 0 V while it is read; so one matrix a tile holds for every input and for
    whatever a read drives (:func:`~xbarc.runtime.circuit.effective.effective_conductances`). Left out is what rows of
    one block drive into the columns of another that is read at the same time: where ``empty`` is 0, nothing but through
    cells of third blocks; otherwise also through empty cells, which wires keep from cancelling in pairs.
    Copies count as the first: others in other places of a tile would differ a little.

    Args:
        layers: placed.
        conductances: of each matrix, ``(S, P, D, R, C)`` siemens.
        shape: of every tile.
        wiring: of every tile.
        orders: as for :func:`occupants`.
        wanted: which matrices matter; ``None``: all. Tiles with none of them are not solved.
        threads: over tiles; they do not change the result.
        progress: told after each tile.

    Returns:
        Of each matrix, float32 siemens of the same shape; cells of padding, and of tiles not solved, as they are.

    Raises:
        HardwareError: resistances out of all proportion to the cells.
    """
    effective = {matrix: cells.astype(np.float32) for matrix, cells in conductances.items()}
    needed = set(conductances if wanted is None else wanted)
    # Those with copies alone matter to no result.
    tiles = [
        inside
        for inside in occupants(layers, orders).values()
        if any(each.part.copy == 0 and each.matrix in needed for each in inside)
    ]

    def solve(inside: list[Occupant]) -> None:
        found = effective_conductances(tile_conductances(inside, conductances, shape), wiring)
        for each in inside:
            if each.part.copy == 0:
                effective[each.matrix][each.part.index] = found[each.part.sites.index]

    # One BLAS thread a tile: rounding must not depend on threads.
    with threadpoolctl.threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(solve, tiles), start=1):
            if progress is not None:
                progress(done, len(tiles))
    return effective
