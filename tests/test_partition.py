"""Tiles: counted against the published networks and a brute-force packer; cells: counted one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Draw, finite_hardware, network, node
from places import cells_of

import xbarc
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers
from xbarc.ir.partition import dense_tiles, logical_tiles
from xbarc.passes.split_blocks import Split

#: Compiling takes as long as writing the weights: larger layers are only counted.
MOST_WEIGHTS = 300_000


@pytest.fixture(scope="module")
def oracle(shared_dir: Path) -> dict[str, Any]:
    """Tile counts of ten networks, by software that is not ours; its layers and rules stand beside it."""
    path = shared_dir / "oracles" / "array_counts.json"
    if not path.is_file():
        pytest.skip(f"needs the tile counts {path}")
    counts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return counts


def sizes_of(layer: dict[str, Any], tile: tuple[int, int]) -> dict[str, int]:
    matrix = {"groups": layer["groups"], "rows": layer["rows_per_group"], "columns": layer["cols_per_group"]}
    return matrix | {"tile_rows": tile[0], "tile_columns": tile[1]}


def one_layer(groups: int, rows: int, columns: int) -> onnx.ModelProto:
    """A dense layer, or a grouped or depthwise convolution, of so many rows and columns a group."""
    if groups == 1:
        weight = np.ones((rows, columns), np.float32)
        return network([node("MatMul", ["x", "w"], "y")], {"x": ("N", rows)}, {"w": weight})
    kernel = next(size for size in (9, 7, 5, 4, 3, 2, 1) if rows % size == 0)
    weight = np.ones((groups * columns, rows // kernel, kernel), np.float32)
    convolution = node("Conv", ["x", "w"], "y", group=groups)
    return network([convolution], {"x": ("N", groups * rows // kernel, kernel)}, {"w": weight})


# Against the published networks


def test_the_oracle_holds_the_ten_networks(oracle: dict[str, Any]) -> None:
    assert len(oracle) == 10
    assert sum(len(entry["layers"]) for entry in oracle.values()) > 300


def test_tiles_of_ten_networks_by_both_rules(oracle: dict[str, Any]) -> None:
    for name, entry in oracle.items():
        found = [sizes_of(layer, entry["tile"]) for layer in entry["layers"]]
        assert sum(dense_tiles(**sizes) for sizes in found) == entry["logical_tiles_dense"], name
        assert sum(logical_tiles(**sizes) for sizes in found) == entry["logical_tiles_block_diagonal"], name


def test_compiled_layers_of_ten_networks_report_these_tiles(oracle: dict[str, Any]) -> None:
    """Each different layer once; both its report and the tiles that were given out."""
    shapes = {
        (layer["groups"], layer["rows_per_group"], layer["cols_per_group"])
        for entry in oracle.values()
        for layer in entry["layers"]
    }
    small = [shape for shape in shapes if shape[0] * shape[1] * shape[2] <= MOST_WEIGHTS]
    assert sum(groups > 1 for groups, _, _ in small) > 15
    for groups, rows, columns in sorted(small):
        program = xbarc.compile(
            one_layer(groups, rows, columns), overrides=["tile.rows=128", "tile.columns=128", "adc.range=unit"]
        )
        expected = logical_tiles(groups=groups, rows=rows, columns=columns, tile_rows=128, tile_columns=128)
        (layer,) = program.report().layers
        assert (layer.logical_tiles, layer.physical_tiles) == (expected, expected), (groups, rows, columns)


# Against a packer that puts whole groups into tiles until no more fits


def pack(groups: int, rows: int, columns: int, tile_rows: int, tile_columns: int) -> int:
    """Tiles that are opened when groups are put on diagonals one by one, and larger ones are cut on a grid."""
    if rows > tile_rows or columns > tile_columns:
        corners = {(r // tile_rows, c // tile_columns) for r in range(rows) for c in range(columns)}
        return groups * len(corners)
    tiles, row, column = 0, tile_rows, tile_columns
    for _ in range(groups):
        if row + rows > tile_rows or column + columns > tile_columns:
            tiles, row, column = tiles + 1, 0, 0
        row, column = row + rows, column + columns
    return tiles


def covered(groups: int, rows: int, columns: int, tile_rows: int, tile_columns: int) -> int:
    """Tiles of the grid over the whole matrix, zeros between groups included."""
    return len({(r // tile_rows, c // tile_columns) for r in range(groups * rows) for c in range(groups * columns)})


@settings(max_examples=300)
@given(*[st.integers(1, top) for top in (9, 14, 14, 12, 12)])
def test_the_rules_count_what_a_packer_does(
    groups: int, rows: int, columns: int, tile_rows: int, tile_columns: int
) -> None:
    sizes = (groups, rows, columns, tile_rows, tile_columns)
    named = dict(zip(("groups", "rows", "columns", "tile_rows", "tile_columns"), sizes, strict=True))
    assert logical_tiles(**named) == pack(*sizes)
    assert dense_tiles(**named) == covered(*sizes)


# Cells, one by one


@st.composite
def matrices(draw: Draw) -> tuple[int, int, int]:
    groups, rows, columns = (draw(st.integers(1, top)) for top in (9, 24, 20))
    return groups, rows, columns


def occupied(layer: Layer, hardware: Hardware) -> dict[str, int]:
    """What each cell of the layer's tiles is for, by walking over its cells and marking those of real tiles."""
    partition, pieces = layer.read.partition, layer.read.pieces
    assert pieces is not None
    planes = layer.read.levels.shape[1] if hardware.tile.polarity == "unit-cell" else 1
    marks = {
        tile: np.full((hardware.tile.rows, hardware.tile.columns, planes), "edge", dtype="U9")
        for tile in set(pieces["tile"].tolist())
    }
    step = partition.block_columns + int(hardware.weights.reference_column)
    for (tile, *site), (_, slice_, polarity, place, row, column) in cells_of(layer, hardware):
        diagonal, row_block = divmod(place, partition.row_blocks)
        groups = min(partition.groups - diagonal * partition.groups_per_diagonal, partition.groups_per_diagonal)
        block, within = divmod(column, step)
        across = block * partition.block_columns + within
        kind = "weight" if (slice_, polarity) == (0, 0) else "slice" if polarity == 0 else "polarity"
        if hardware.weights.reference_column and column in partition.reference_columns:
            kind = "reference"
        elif across >= groups * partition.columns:
            kind = "group"  # between a short diagonal and its reference column
        elif (row_block * partition.block_rows + row) // partition.rows != across // partition.columns:
            kind = "group"
        assert marks[tile][tuple(site)] == "edge", "a cell is used twice"
        marks[tile][tuple(site)] = kind
    kinds, counts = np.unique(np.concatenate([each.reshape(-1) for each in marks.values()]), return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


@settings(max_examples=60)
@given(matrices(), finite_hardware(), st.sampled_from([None, 1, 2, 9]), st.sampled_from(["greedy", "balanced"]))
def test_cells_are_told_apart_and_add_up(
    matrix: tuple[int, int, int], hardware: Hardware, active_rows: int | None, how: Split
) -> None:
    groups, rows, columns = matrix
    assume(groups * rows * columns <= 1500)
    if active_rows is not None:
        description: dict[str, Any] = hardware.to_dict()
        description["tile"]["active_rows"] = min(active_rows, hardware.tile.rows)
        hardware = Hardware.from_dict(description)
    program = xbarc.compile(one_layer(*matrix), hardware=hardware, split=how)
    report, (layer,) = program.report(), layers(program.graph)
    cells = report.layers[0].cells
    counted = occupied(layer, hardware)
    named = {"weight": "weights", "slice": "slices", "group": "groups"}
    for kind, name in (named | {"polarity": "polarity", "reference": "reference"}).items():
        assert getattr(cells, name) == counted.get(kind, 0), kind
    assert cells.edges + cells.packing == counted.get("edge", 0)
    assert active_rows is not None or cells.packing == 0
    assert cells.total == sum(counted.values())
    assert cells.weights == groups * rows * columns
    assert report.totals.cells == cells
    assert 0.0 < cells.utilisation <= 1.0
    # Logical tiles know nothing of polarities, slices, reference columns and active rows.
    assert report.layers[0].logical_tiles == pack(groups, rows, columns, hardware.tile.rows, hardware.tile.columns)


@settings(max_examples=60)
@given(st.lists(matrices(), min_size=2, max_size=4), finite_hardware())
def test_no_two_layers_share_a_tile(chain: list[tuple[int, int, int]], hardware: Hardware) -> None:
    nodes, constants, last = [], {}, "x"
    for number, (_, rows, columns) in enumerate(chain):
        name = "y" if number == len(chain) - 1 else f"t{number}"
        constants[f"w{number}"] = np.ones((chain[number - 1][2] if number else rows, columns), np.float32)
        nodes.append(node("MatMul", [last, f"w{number}"], name))
        last = name
    program = xbarc.compile(network(nodes, {"x": ("N", chain[0][1])}, constants), hardware=hardware)
    report = program.report()
    used = [set(layer.read.pieces["tile"].tolist()) for layer in layers(program.graph) if layer.read.pieces is not None]
    assert [len(tiles) for tiles in used] == [layer.physical_tiles for layer in report.layers]
    assert set.union(*used) == set(range(report.totals.physical_tiles))
    assert sum(layer.cells.total for layer in report.layers) == report.totals.cells.total
