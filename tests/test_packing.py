"""Packing: proved by arrays that are read like tiles, by brute force where it is small, and by published networks."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.ir.partition import logical_tiles
from xbarc.passes.packing.bounds import area_bound, dual_feasible, parallel_bound, uncut_bound
from xbarc.passes.packing.dense import pack_dense
from xbarc.passes.packing.parallel import Region, pack_parallel, pack_regions
from xbarc.passes.packing.pieces import Matrix, Packing, Piece, Placement, Tile, all_blocks, unpacked_tiles
from xbarc.passes.packing.reads import owners_of, reads, serial_reads

#: Networks with the most tiles that they may take: in parallel, as a multiple of its bound, and dense, of the area's.
NETWORKS = ("mobilenetv2", "shufflenet", "googlenet", "squeezenet", "inception_v3")
TILE_128 = Tile(128, 128)


@st.composite
def networks(draw: st.DrawFn, *, most: int = 40) -> tuple[list[Matrix], Tile]:
    """A few matrices, some of many small groups, and a tile."""
    tile = Tile(draw(st.integers(1, most)), draw(st.integers(1, most)))
    dense = st.builds(Matrix, st.just(1), st.integers(1, 2 * tile.rows + 3), st.integers(1, 2 * tile.columns + 3))
    small = st.builds(Matrix, st.integers(2, 30), st.integers(1, 5), st.integers(1, 5))
    grouped = st.builds(Matrix, st.integers(2, 4), st.integers(1, tile.rows + 3), st.integers(1, tile.columns + 3))
    return draw(st.lists(st.one_of(dense, small, grouped), min_size=1, max_size=6)), tile


def product_by_reads(matrices: Sequence[Matrix], packing: Packing, tile: Tile) -> None:
    """Fill arrays with weights, drive rows and sum columns as the reads say: out come the products of the matrices."""
    rng = np.random.default_rng(0)
    weights = [rng.integers(1, 1000, (matrix.groups, matrix.rows, matrix.columns)) for matrix in matrices]
    inputs = [rng.integers(1, 1000, (matrix.groups, matrix.rows)) for matrix in matrices]
    outputs = [np.zeros((matrix.groups, matrix.columns), np.int64) for matrix in matrices]
    covered = [np.zeros_like(weight) for weight in weights]
    cells = np.zeros((packing.tiles, tile.rows, tile.columns), np.int64)
    for placement in packing.placements:
        piece = placement.piece
        part = np.s_[piece.group, piece.row : piece.row + piece.rows, piece.column : piece.column + piece.columns]
        place = cells[placement.tile, placement.row :, placement.column :][: piece.rows, : piece.columns]
        assert place.shape == (piece.rows, piece.columns), "over the edge"
        assert not place.any(), "two pieces on one cell"
        place[...] = weights[piece.layer][part]
        covered[piece.layer][part] += 1
    assert all((count == 1).all() for count in covered), "every weight on one cell"
    for read in reads(packing, tile):
        voltages = np.zeros(tile.rows, np.int64)
        for placement in read.served:
            piece = placement.piece
            assert (piece.layer, placement.tile) == (read.layer, read.tile)
            voltages[placement.row : placement.row + piece.rows] = inputs[piece.layer][
                piece.group, piece.row : piece.row + piece.rows
            ]
        currents = voltages @ cells[read.tile]
        for placement in read.served:
            piece = placement.piece
            outputs[piece.layer][piece.group, piece.column : piece.column + piece.columns] += currents[
                placement.column : placement.column + piece.columns
            ]
    for x, weight, y in zip(inputs, weights, outputs, strict=True):
        np.testing.assert_array_equal(y, np.einsum("gk,gkn->gn", x, weight))


# What one read needs


@given(networks())
@settings(deadline=None)
def test_parallel_gives_the_products_by_one_read_a_layer_and_tile(network: tuple[list[Matrix], Tile]) -> None:
    matrices, tile = network
    packing = pack_parallel(matrices, tile)
    product_by_reads(matrices, packing, tile)
    assert serial_reads(packing, tile, layers=len(matrices)) == [1] * len(matrices)
    assert sorted(placement.piece for placement in packing.placements) == sorted(all_blocks(matrices, tile))
    assert parallel_bound(matrices, tile) <= packing.tiles <= unpacked_tiles(matrices, tile)


@given(networks(), st.integers(0, 20))
@settings(deadline=None)
def test_dense_gives_the_products_by_the_reads_that_are_counted(
    network: tuple[list[Matrix], Tile], allowed: int
) -> None:
    matrices, tile = network
    packing = pack_dense(matrices, tile, allowed=allowed)
    product_by_reads(matrices, packing, tile)
    found: dict[tuple[int, int], int] = defaultdict(int)
    for read in reads(packing, tile):
        found[read.layer, read.tile] += 1
    for layer, count in enumerate(serial_reads(packing, tile, layers=len(matrices))):
        assert count == max(number for (of, _), number in found.items() if of == layer)
    assert area_bound(matrices, tile) <= packing.tiles <= pack_parallel(matrices, tile).tiles


@given(st.integers(1, 30), st.integers(1, 30), st.data())
@settings(deadline=None)
def test_regions_keep_their_size_and_their_layers_apart(rows: int, columns: int, data: st.DataObject) -> None:
    tile = Tile(rows, columns)
    one = st.builds(Region, st.integers(0, 5), st.integers(1, rows), st.integers(1, columns))
    regions = data.draw(st.lists(one, max_size=30))
    places = pack_regions(regions, tile)
    tiles = {place.tile for place in places}
    assert tiles == set(range(len(tiles)))
    assert len(tiles) <= len(regions)
    cells = np.zeros((len(tiles), rows, columns), np.int64)
    for region, place in zip(regions, places, strict=True):
        part = cells[place.tile, place.row : place.row + region.rows, place.column : place.column + region.columns]
        assert part.shape == (region.rows, region.columns)
        part += 1
    assert cells.max(initial=0) <= 1
    found = [(region.layer, place.tile) for region, place in zip(regions, places, strict=True)]
    assert len(set(found)) == len(found)


def side_by_side(*corners: tuple[Piece, int, int]) -> list[int]:
    """Reads a window of pieces on one tile of 4 x 4, at these rows and columns."""
    placements = tuple(Placement(piece, 0, row, column) for piece, row, column in corners)
    packing = Packing(1, placements)
    return serial_reads(packing, Tile(4, 4), layers=1 + max(piece.layer for piece, _, _ in corners))


def test_which_pieces_one_read_serves() -> None:
    first, second = Piece(0, 0, 0, 0, 2, 1), Piece(0, 1, 0, 0, 2, 1)
    foreign = Piece(1, 0, 0, 0, 1, 1)
    assert side_by_side((first, 0, 0), (second, 2, 1)) == [1], "groups on a diagonal"
    assert side_by_side((first, 0, 0), (second, 0, 1)) == [2], "two groups want other inputs on the same rows"
    assert side_by_side((first, 0, 0), (second, 2, 0)) == [2], "the sums of two groups would run together"
    assert side_by_side((first, 0, 0), (second, 2, 1), (foreign, 2, 0)) == [2, 1], "a foreign weight is driven"
    assert side_by_side((first, 0, 0), (second, 2, 1), (foreign, 0, 2)) == [1, 1], "a foreign weight beside them"
    neighbour, below = Piece(0, 0, 0, 1, 2, 1), Piece(0, 0, 2, 0, 2, 1)
    assert side_by_side((first, 1, 0), (neighbour, 1, 2)) == [1], "columns of one matrix on the same rows"
    assert side_by_side((first, 0, 0), (neighbour, 1, 2)) == [2], "the same inputs on other rows"
    assert side_by_side((first, 0, 0), (below, 2, 0)) == [2], "partial sums are digitised apart"


def test_pieces_that_overlap_or_reach_over_the_edge_are_refused() -> None:
    piece = Piece(0, 0, 0, 0, 2, 2)
    with pytest.raises(ValueError, match="cells of another piece"):
        owners_of([Placement(piece, 0, 0, 0), Placement(piece, 0, 1, 1)], Tile(4, 4))
    with pytest.raises(ValueError, match="over the edge"):
        owners_of([Placement(piece, 0, 3, 0)], Tile(4, 4))
    with pytest.raises(ValueError, match="over the edge"):
        owners_of([Placement(piece, 0, -1, 0)], Tile(4, 4))


# Bounds


@given(st.integers(1, 60), st.data())
def test_functions_are_dual_feasible_and_do_not_decrease(length: int, data: st.DataObject) -> None:
    lengths: list[int] = []
    while (left := length - sum(lengths)) > 0:
        lengths.append(data.draw(st.integers(1, left)))
    tables = dual_feasible(length)
    assert (np.diff(tables, axis=1) >= 0).all()
    assert (tables[:, lengths].sum(axis=1) <= tables[:, -1]).all()
    assert (tables[:, -1] > 0).all()


Rectangle = tuple[int, int, int]


def fits(rectangles: Sequence[Rectangle], tile: Tile, tiles: int, *, apart: bool) -> bool:
    """Whether rectangles ``(layer, rows, columns)`` fit so many tiles, by trying all; ``apart``: one a layer each."""
    if not rectangles:
        return True
    used = [0] * tiles
    layers: list[set[int]] = [set() for _ in range(tiles)]

    def place(index: int) -> bool:
        if index == len(rectangles):
            return True
        layer, rows, columns = rectangles[index]
        for number in range(tiles):
            if apart and layer in layers[number]:
                continue
            for row, column in itertools.product(range(tile.rows - rows + 1), range(tile.columns - columns + 1)):
                mask = sum(
                    1 << (i * tile.columns + j)
                    for i, j in itertools.product(range(row, row + rows), range(column, column + columns))
                )
                if used[number] & mask:
                    continue
                used[number] |= mask
                layers[number].add(layer)
                if place(index + 1):
                    return True
                used[number] ^= mask
                layers[number].discard(layer)
            if not used[number]:
                return False  # the other empty tiles are like this one
        return False

    return place(0)


def shares(groups: int, most: int) -> Iterator[tuple[int, ...]]:
    """Ways to part groups into regions of at most so many, large ones first."""
    if groups == 0:
        yield ()
    for first in range(min(groups, most), 0, -1):
        for others in shares(groups - first, first):
            yield (first, *others)


def fewest_tiles(matrices: Sequence[Matrix], tile: Tile, *, apart: bool) -> int:
    """The optimum of packing uncut blocks, by trying all: in parallel, where ``apart``, or anywhere."""
    choices: list[list[list[Rectangle]]] = []
    for layer, matrix in enumerate(matrices):
        blocks = [(layer, piece.rows, piece.columns) for piece in all_blocks([matrix], tile)]
        most = min(tile.rows // matrix.rows, tile.columns // matrix.columns) if apart else 1
        if matrix.groups == 1 or most <= 1:
            choices.append([blocks])
        else:
            choices.append(
                [[(layer, k * matrix.rows, k * matrix.columns) for k in share] for share in shares(matrix.groups, most)]
            )
    rectangles = [
        sorted(itertools.chain.from_iterable(choice), key=lambda one: -one[1] * one[2])
        for choice in itertools.product(*choices)
    ]
    return next(
        tiles for tiles in itertools.count() if any(fits(some, tile, tiles, apart=apart) for some in rectangles)
    )


@st.composite
def tiny_networks(draw: st.DrawFn) -> tuple[list[Matrix], Tile]:
    """Few small matrices, of few uncut blocks, on small tiles."""
    tile = Tile(draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dense = st.builds(Matrix, st.just(1), st.integers(1, tile.rows + 1), st.integers(1, tile.columns))
    sides = [st.integers(1, min(2, side)) for side in (tile.rows, tile.columns)]
    matrices = draw(st.lists(st.one_of(dense, st.builds(Matrix, st.integers(2, 3), *sides)), min_size=1, max_size=4))
    while len(all_blocks(matrices, tile)) > 6:
        matrices.pop()
    return matrices, tile


@given(tiny_networks())
@settings(deadline=None, max_examples=500)
def test_bounds_are_below_the_optimum_and_packings_above(network: tuple[list[Matrix], Tile]) -> None:
    matrices, tile = network
    anywhere, apart = fewest_tiles(matrices, tile, apart=False), fewest_tiles(matrices, tile, apart=True)
    assert area_bound(matrices, tile) <= uncut_bound(matrices, tile) <= anywhere
    assert parallel_bound(matrices, tile) <= apart
    assert anywhere <= pack_dense(matrices, tile).tiles <= apart + 1
    assert apart <= pack_parallel(matrices, tile).tiles <= apart + 1


@given(networks())
def test_unpacked_tiles_are_those_of_the_partition(network: tuple[list[Matrix], Tile]) -> None:
    matrices, tile = network
    assert unpacked_tiles(matrices, tile) == sum(
        logical_tiles(
            groups=matrix.groups,
            rows=matrix.rows,
            columns=matrix.columns,
            tile_rows=tile.rows,
            tile_columns=tile.columns,
        )
        for matrix in matrices
    )


# Published networks


@pytest.fixture(scope="module")
def published(shared_dir: Path) -> dict[str, list[Matrix]]:
    """The layers of five networks, from software that is not ours."""
    path = shared_dir / "oracles" / "array_counts.json"
    if not path.is_file():
        pytest.skip(f"needs the layer lists {path}")
    entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: [
            Matrix(layer["groups"], layer["rows_per_group"], layer["cols_per_group"])
            for layer in entries[name]["layers"]
        ]
        for name in NETWORKS
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_parallel_is_within_a_tenth_of_its_bound(published: dict[str, list[Matrix]], name: str) -> None:
    matrices = published[name]
    packing = pack_parallel(matrices, TILE_128)
    product_by_reads(matrices, packing, TILE_128)
    assert serial_reads(packing, TILE_128, layers=len(matrices)) == [1] * len(matrices)
    assert packing.tiles <= 1.1 * parallel_bound(matrices, TILE_128)


@pytest.mark.parametrize("name", NETWORKS)
def test_dense_is_within_a_twentieth_of_the_area(published: dict[str, list[Matrix]], name: str) -> None:
    matrices = published[name]
    packing = pack_dense(matrices, TILE_128)
    product_by_reads(matrices, packing, TILE_128)
    assert packing.tiles <= 1.05 * area_bound(matrices, TILE_128)


def test_bounds_and_tiles_that_are_known(published: dict[str, list[Matrix]]) -> None:
    """Area bounds, and what a quick heuristic is known to reach: in parallel, and dense."""
    known = {
        "mobilenetv2": (212, 265, 214),
        "shufflenet": (84, 125, 95),
        "googlenet": (427, 428, 428),
        "squeezenet": (76, 77, 77),
        "inception_v3": (1453, 1460, 1460),
    }
    for name, (area, parallel, dense) in known.items():
        assert area_bound(published[name], TILE_128) == area
        assert pack_parallel(published[name], TILE_128).tiles <= parallel
        assert pack_dense(published[name], TILE_128).tiles <= dense
    assert uncut_bound(published["shufflenet"], TILE_128) == 120


def test_more_tiles_save_serial_reads(published: dict[str, list[Matrix]]) -> None:
    matrices = published["shufflenet"]
    area = area_bound(matrices, TILE_128)
    totals = []
    for allowed in (area, area + 4, area + 12):
        packing = pack_dense(matrices, TILE_128, allowed=allowed)
        assert packing.tiles <= allowed
        totals.append(sum(serial_reads(packing, TILE_128, layers=len(matrices))))
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0]
