"""Packing: proved by arrays that are read like tiles, by brute force where it is small, and by published networks."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.hardware.load import load_hardware
from xbarc.ir.partition import logical_tiles
from xbarc.ir.pieces import ALL, whole_blocks
from xbarc.ir.reads import take_turns
from xbarc.passes.packing import dense
from xbarc.passes.packing.bounds import area_bound, dual_feasible, parallel_bound, uncut_bound
from xbarc.passes.packing.matrices import Matrix, Tile, all_blocks, unpacked_tiles
from xbarc.passes.packing.pack import MODES, SCOPES, Mode, Scope, pack, tiles_of
from xbarc.passes.place_blocks import unplaced
from xbarc.passes.split_blocks import split
from xbarc.passes.spread_groups import Shape, SpreadGroups, spread_over

#: Published networks: the area bound, and what a quick heuristic is known to reach, in parallel and dense.
NETWORKS = {
    "mobilenetv2": (212, 265, 214),
    "shufflenet": (84, 125, 95),
    "googlenet": (427, 428, 428),
    "squeezenet": (76, 77, 77),
    "inception_v3": (1453, 1460, 1460),
}
TILE_128 = Tile(128, 128)
#: Fewest columns of a block that is cut.
LEAST = 8


@dataclass(frozen=True)
class Chip:
    """Layers as blocks, and the tiles for them.

    Attributes:
        layers: the blocks of each.
        matrices: of each.
        tile: of the chip.
        active_rows: that one read may drive.
        stacks: of each layer, how many row blocks lie below each other in any case.
        cuttable: of each layer.
        apart: tiles of each layer where no layers share one.
    """

    layers: list[np.ndarray]
    matrices: list[Matrix]
    tile: Tile
    active_rows: int | None
    stacks: list[int]
    cuttable: list[bool]
    apart: list[int]


@st.composite
def chips(draw: st.DrawFn, *, most: int = 40, plain: bool = False) -> Chip:
    """A few layers, some of many small groups; of several copies, slices and sides, unless ``plain``."""
    tile = Tile(draw(st.integers(2, most)), draw(st.integers(2, most)))
    active = None if plain else draw(st.one_of(st.none(), st.integers(1, tile.rows)))
    reads = math.ceil(tile.rows / (active or tile.rows))
    dense = st.builds(Matrix, st.just(1), st.integers(1, 2 * tile.rows + 3), st.integers(1, 2 * tile.columns + 3))
    small = st.builds(Matrix, st.integers(2, 30), st.integers(1, 5), st.integers(1, 5))
    grouped = st.builds(Matrix, st.integers(2, 4), st.integers(1, tile.rows + 3), st.integers(1, tile.columns + 3))
    matrices = draw(st.lists(st.one_of(dense, small, grouped), min_size=1, max_size=5))
    copies, slices, sides = (1, 1, 1) if plain else (draw(st.integers(1, 3)) for _ in range(3))
    sides, wide, reference = min(sides, 2), 1, False
    if not plain:
        wide, reference = draw(st.sampled_from([(1, False), (1, False), (2, False), (1, True)]))
    layers, stacks, apart = [], [], []
    for matrix in matrices:
        partition = split(
            groups=matrix.groups,
            rows=matrix.rows,
            columns=matrix.columns,
            most_rows=tile.rows // reads,
            most_columns=tile.columns // wide - int(reference),
            reference_column=reference,
        )
        stacks.append(tile.rows // partition.block_rows if reads > 1 else 1)
        across = math.ceil(partition.stacked / stacks[-1]) * partition.column_blocks
        apart.append(copies * slices * sides * across)
        if reads == 1 and not reference and draw(st.booleans()):
            partition = spread_over(partition, 1)
        layers.append(
            whole_blocks(
                partition,
                copies=copies,
                slices=slices,
                sides=(0, 1) if sides == 2 else (ALL,),
                columns_a_column=wide,
            )
        )
    return Chip(layers, matrices, tile, active, stacks, [not reference] * len(layers), apart)


def packed(chip: Chip, scope: Scope, mode: Mode) -> list[np.ndarray]:
    """The pieces of a chip's layers, with their turns."""
    tables = pack(chip.layers, chip.tile, scope=scope, mode=mode, stacks=chip.stacks, cuttable=chip.cuttable)
    take_turns(tables, active_rows=chip.active_rows)
    return tables


def product_by_reads(chip: Chip, tables: Sequence[np.ndarray]) -> None:
    """Fill arrays with weights, drive rows and sum columns turn by turn: out come the products of the blocks."""
    rng = np.random.default_rng(0)
    tile = chip.tile
    cells = np.zeros((tiles_of(tables), tile.rows, tile.columns), np.int64)
    held, wanted = [], []
    for blocks, table in zip(chip.layers, tables, strict=True):
        high, wide = int(blocks["rows"].max()), int((blocks["columns"] // blocks["count"]).max())
        size = (*blocks.shape[:4], high, wide * int((blocks["first"] + blocks["count"]).max()))
        weights, covered = np.zeros(size, np.int64), np.zeros(size, np.int64)
        for block in blocks.reshape(-1):
            part = within(block, wide)
            weights[part] = rng.integers(1, 1000, weights[part].shape)
        for piece in table:
            part, place = within(piece, wide), on_chip(piece)
            assert cells[place].shape == weights[part].shape == (piece["rows"], piece["columns"]), "over the edge"
            assert not cells[place].any(), "two pieces on one cell"
            cells[place] = weights[part]
            covered[part] += 1
        assert np.array_equal(covered, weights > 0), "every weight on one cell"
        inputs = rng.integers(1, 1000, (size[0], *size[3:5]))
        held.append((wide, inputs))
        wanted.append(np.einsum("cdr,cspdrn->cspdn", inputs, weights))
    for table, (wide, inputs), expected in zip(tables, held, wanted, strict=True):
        found = np.zeros_like(expected)
        for together in itertools.groupby(
            sorted(table, key=lambda piece: (piece["tile"], piece["turn"])),
            key=lambda piece: (piece["tile"], piece["turn"]),
        ):
            (number, _), served = together[0], list(together[1])
            voltages = np.zeros(tile.rows, np.int64)
            for piece in served:
                rows = slice(piece["row"], piece["row"] + piece["rows"])
                voltages[rows] = inputs[piece["copy"], piece["place"], : piece["rows"]]
            assert np.count_nonzero(voltages) <= (chip.active_rows or tile.rows)
            currents = voltages @ cells[number]
            for piece in served:
                *at, _, columns = within(piece, wide)
                found[(*at, columns)] += currents[piece["column"] : piece["column"] + piece["columns"]]
        np.testing.assert_array_equal(found, expected)


def within(piece: np.ndarray, wide: int) -> tuple[Any, ...]:
    """Where a piece lies in its layer: copy, slice, side, place, rows, columns."""
    first = wide * int(piece["first"])
    columns = slice(first, first + int(piece["columns"]))
    at = (int(piece[name]) for name in ("copy", "slice", "side", "place"))
    copy, slice_, side, place = at
    return (copy, slice_, max(side, 0), place, slice(0, int(piece["rows"])), columns)


def on_chip(piece: np.ndarray) -> tuple[Any, ...]:
    """Where a piece lies on the chip: tile, rows, columns."""
    row, column, rows, columns = (int(piece[name]) for name in ("row", "column", "rows", "columns"))
    return (int(piece["tile"]), slice(row, row + rows), slice(column, column + columns))


# What packings are


@given(chips(), st.sampled_from(SCOPES), st.sampled_from(MODES))
@settings(deadline=None, max_examples=60)
def test_reads_of_packed_tiles_give_the_products(chip: Chip, scope: Scope, mode: Mode) -> None:
    tables = packed(chip, scope, mode)
    product_by_reads(chip, tables)
    used = [np.unique(table["tile"]) for table in tables]
    assert np.array_equal(np.unique(np.concatenate(used)), np.arange(tiles_of(tables)))
    assert tiles_of(tables) <= sum(chip.apart)
    if scope == "layer":
        assert sum(len(tiles) for tiles in used) == tiles_of(tables), "layers share no tiles"
        assert all(len(tiles) <= apart for tiles, apart in zip(used, chip.apart, strict=True))
    for again, table in zip(packed(chip, scope, mode), tables, strict=True):
        assert np.array_equal(again, table)


@given(chips(), st.sampled_from(SCOPES))
@settings(deadline=None, max_examples=60)
def test_parallel_takes_one_read_and_cuts_nothing(chip: Chip, scope: Scope) -> None:
    """Row blocks that no read can drive at once stay below each other, and are read in turn as they are unpacked."""
    for blocks, table, stack in zip(chip.layers, packed(chip, scope, "parallel"), chip.stacks, strict=True):
        assert table["turn"].max() < stack
        names = ["copy", "slice", "side", "place", "first", "count"]
        assert np.array_equal(table[names], blocks.reshape(-1)[names])


@given(chips(), st.sampled_from(SCOPES))
@settings(deadline=None, max_examples=60)
def test_dense_cuts_columns_only_and_leaves_no_thin_piece(chip: Chip, scope: Scope) -> None:
    for blocks, table, cuttable in zip(chip.layers, packed(chip, scope, "dense"), chip.cuttable, strict=True):
        starts = np.unique(blocks["first"])
        whole = {tuple(block[name] for name in ("place", "first")): block["count"] for block in blocks.reshape(-1)}
        for piece in table:
            block = int(starts[np.searchsorted(starts, piece["first"], side="right") - 1])
            count = whole[piece["place"], block]
            assert piece["count"] == count or (cuttable and LEAST <= piece["count"] <= count - LEAST)


def test_slices_of_a_narrow_block_lie_side_by_side() -> None:
    """Four slices of one block want the same inputs: one read of one tile. Those of copies do not."""
    partition = split(groups=1, rows=10, columns=3, most_rows=16, most_columns=16)
    blocks = whole_blocks(partition, copies=2, slices=4, sides=(ALL,), columns_a_column=1)
    for scope in SCOPES:
        (table,) = pack([blocks], Tile(16, 16), scope=scope, mode="parallel")
        take_turns([table], active_rows=None)
        assert table["turn"].max() == 0
        assert [len(np.unique(table["tile"][table["copy"] == copy])) for copy in (0, 1)] == [1, 1]
        assert tiles_of([table]) == 2


def test_dense_tries_no_room_that_is_too_narrow_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks that may not be cut, of which each tile takes one beside a rest of columns."""
    tried: list[int] = []
    fitting = dense._Strips.fitting

    def counted(strips: dense._Strips, start: int, room: int) -> int:
        tried.append(room)
        return fitting(strips, start, room)

    monkeypatch.setattr(dense._Strips, "fitting", counted)
    cut = split(groups=1, rows=8, columns=9, most_rows=8, most_columns=9)
    blocks = whole_blocks(cut, copies=200, slices=1, sides=(ALL,), columns_a_column=1)
    (table,) = pack([blocks], Tile(8, 16), scope="network", mode="dense", cuttable=[False])
    assert tiles_of([table]) == 200
    assert len(tried) <= 10 * 200


def test_nothing_is_packed_into_no_tiles() -> None:
    for scope, mode in itertools.product(SCOPES, MODES):
        assert tiles_of(pack([], Tile(4, 4), scope=scope, mode=mode)) == 0


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


def plain_blocks(matrices: Sequence[Matrix], tile: Tile) -> list[np.ndarray]:
    """The blocks of matrices, every group by itself."""
    found = []
    for matrix in matrices:
        rows, columns = min(matrix.rows, tile.rows), min(matrix.columns, tile.columns)
        partition = split(
            groups=matrix.groups, rows=matrix.rows, columns=matrix.columns, most_rows=rows, most_columns=columns
        )
        found.append(whole_blocks(partition, copies=1, slices=1, sides=(ALL,), columns_a_column=1))
    return found


@given(tiny_networks())
@settings(deadline=None, max_examples=300)
def test_bounds_are_below_the_optimum_and_packings_above(network: tuple[list[Matrix], Tile]) -> None:
    matrices, tile = network
    blocks = plain_blocks(matrices, tile)
    found = {mode: tiles_of(pack(blocks, tile, scope="network", mode=mode)) for mode in MODES}
    anywhere, apart = fewest_tiles(matrices, tile, apart=False), fewest_tiles(matrices, tile, apart=True)
    assert area_bound(matrices, tile) <= uncut_bound(matrices, tile) <= anywhere
    assert parallel_bound(matrices, tile) <= apart
    assert anywhere <= found["dense"] <= anywhere + 1
    assert apart <= found["parallel"] <= apart + 1


@given(chips(plain=True))
def test_unpacked_tiles_are_those_of_the_partition(chip: Chip) -> None:
    assert unpacked_tiles(chip.matrices, chip.tile) == sum(
        logical_tiles(
            groups=matrix.groups,
            rows=matrix.rows,
            columns=matrix.columns,
            tile_rows=chip.tile.rows,
            tile_columns=chip.tile.columns,
        )
        for matrix in chip.matrices
    )


# Published networks


@pytest.fixture(scope="module")
def published(shared_dir: Path) -> dict[str, list[Matrix]]:
    """The layers of networks, from software that is not ours."""
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


def as_compiled(matrices: Sequence[Matrix], scope: Scope, mode: Mode) -> tuple[Chip, list[np.ndarray]]:
    """Split, spread and packed as a compilation does it, into logical tiles of 128 x 128."""
    hardware = load_hardware("generic-pcm", ["tile.rows=128", "tile.columns=128"])
    shapes = {
        str(number): Shape(
            split(groups=matrix.groups, rows=matrix.rows, columns=matrix.columns, most_rows=128, most_columns=128)
        )
        for number, matrix in enumerate(matrices)
    }
    partitions = SpreadGroups(hardware, scope, mode).spread(shapes).values()
    blocks = [unplaced(partition, hardware, copies=1, slices=1, pairs=False) for partition in partitions]
    ones = [1] * len(blocks)
    chip = Chip(blocks, [*matrices], TILE_128, None, ones, [True] * len(blocks), ones)
    return chip, packed(chip, scope, mode)


@pytest.mark.parametrize("name", NETWORKS)
def test_parallel_is_within_a_tenth_of_its_bound(published: dict[str, list[Matrix]], name: str) -> None:
    matrices = published[name]
    chip, tables = as_compiled(matrices, "network", "parallel")
    assert tiles_of(tables) <= min(1.1 * parallel_bound(matrices, TILE_128), NETWORKS[name][1])
    assert max(table["turn"].max() for table in tables) == 0
    if name in ("mobilenetv2", "squeezenet"):
        product_by_reads(chip, tables)


@pytest.mark.parametrize("name", NETWORKS)
def test_dense_is_within_a_fiftieth_of_the_area(published: dict[str, list[Matrix]], name: str) -> None:
    """But of ShuffleNet within a tenth: many of its blocks are a little more than half as high as a tile."""
    matrices = published[name]
    chip, tables = as_compiled(matrices, "network", "dense")
    area = (1.1 if name == "shufflenet" else 1.02) * area_bound(matrices, TILE_128)
    assert tiles_of(tables) <= min(area, NETWORKS[name][2])
    if name in ("shufflenet", "squeezenet"):
        product_by_reads(chip, tables)


def test_bounds_that_are_known(published: dict[str, list[Matrix]]) -> None:
    assert all(area_bound(published[name], TILE_128) == area for name, (area, *_) in NETWORKS.items())
    assert uncut_bound(published["shufflenet"], TILE_128) == 120


@pytest.mark.parametrize("mode", MODES)
def test_layers_by_themselves_take_no_more_tiles_than_unpacked(published: dict[str, list[Matrix]], mode: Mode) -> None:
    for name in ("shufflenet", "squeezenet"):
        matrices = published[name]
        _, tables = as_compiled(matrices, "layer", mode)
        tiles = [len(np.unique(table["tile"])) for table in tables]
        unpacked = [unpacked_tiles([matrix], TILE_128) for matrix in matrices]
        assert sum(tiles) == tiles_of(tables)
        assert all(some <= most for some, most in zip(tiles, unpacked, strict=True))
        assert mode == "parallel" or sum(tiles) < sum(unpacked)
