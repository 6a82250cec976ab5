"""The report's totals are sums over the map of tiles: painted cell by cell over networks and hardware of every kind."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, finite_hardware, network, node
from painting import Painted, Tile, paint

import xbarc
from xbarc.api.compiler import Packing
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import layers
from xbarc.passes.packing.pack import Mode
from xbarc.passes.split_blocks import Split

CAUSES = {"weights", "slices", "polarity", "copies", "reference", "groups", "edges", "packing"}


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def chains(draw: Draw) -> tuple[onnx.ModelProto, np.ndarray]:
    """A dense, a grouped and a dense convolution, and a fully connected layer."""
    channels, groups, outer = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    size, kernel = draw(st.integers(4, 6)), draw(st.integers(1, 3))
    last = max(size - kernel - draw(st.integers(0, 1)), 1)
    constants = {
        "a": numbers(2 * groups, channels, kernel, kernel, seed=1),
        "b": numbers(groups * outer, 2, 2, 2, seed=2),
        "c": numbers(3, groups * outer, size - kernel - last + 1, 1, seed=3),
        "d": numbers(3 * last * (size - kernel), draw(st.integers(1, 12)), seed=4),
    }
    nodes = [
        node("Conv", ["x", "a"], "dense"),
        node("Conv", ["dense", "b"], "grouped", group=groups),
        node("Conv", ["grouped", "c"], "point"),
        node("Flatten", ["point"], "flat"),
        node("MatMul", ["flat", "d"], "y"),
    ]
    return network(nodes, {"x": ("N", channels, size, size)}, constants), numbers(2, channels, size, size, seed=5)


@st.composite
def programs(draw: Draw, *, segments: bool = False) -> xbarc.Program:
    """Every encoding, polarity layout, slicing, split, packing and replication, on chips with and without an end.

    With ``segments``, on chips that are too small for some.
    """
    model, x = draw(chains())
    described = {**draw(finite_hardware()).to_dict(), "core": {"tiles": draw(st.integers(1, 6))}}
    pack = draw(st.sampled_from(get_args(Packing)))
    options: dict[str, Any] = {
        "calibration": x,
        "pack": pack,
        "split": draw(st.sampled_from(get_args(Split))),
        "pack_mode": "parallel" if pack == "off" else draw(st.sampled_from(get_args(Mode))),
    }
    replicate = draw(st.sampled_from(["none", "balance", 4]))
    if replicate == "none" and not segments:
        return xbarc.compile(model, hardware=Hardware.from_dict(described), **options)
    alone = xbarc.compile(model, hardware=Hardware.from_dict(described), split=options["split"]).report()
    core = described["core"]["tiles"]
    largest, all_of_them = max(layer.physical_tiles for layer in alone.layers), alone.totals.physical_tiles
    tiles = math.ceil((largest if segments else all_of_them) / core) + draw(st.integers(0, 12))
    described["chip"] = {"tiles": tiles * core}
    hardware = Hardware.from_dict(described)
    return xbarc.compile(model, hardware=hardware, replicate=replicate, segments=segments, **options)


def painted(program: xbarc.Program) -> Painted:
    written = json.loads(json.dumps(program.tile_map().to_json()))
    return paint(written, {layer.name: layer.read.partition for layer in layers(program.graph)})


@settings(max_examples=30, deadline=None)
@given(st.booleans().flatmap(lambda segments: programs(segments=segments)))
def test_cells_and_tiles_are_sums_over_the_painted_map(program: xbarc.Program) -> None:
    check_sums(program)


@pytest.mark.parametrize("pack", get_args(Packing))
@pytest.mark.parametrize(
    "overrides",
    [
        ("tile.polarity=unit-cell",),
        ("tile.polarity=adjacent-columns", "weights.slices=2"),
        ("tile.polarity=paired-tiles", "weights.subtraction=digital", "weights.slices=2"),
        ("weights.encoding=offset", "weights.scale=layer", "weights.slices=2", "cell.levels=16"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_so_they_are_in_every_layout(overrides: tuple[str, ...], pack: Packing) -> None:
    """A depthwise product of many groups, and a dense one of several tiles, with copies."""
    constants = {"a": numbers(7, 1, 3, 3, seed=1), "b": numbers(9, 7, 1, 1, seed=2)}
    nodes = [node("Conv", ["x", "a"], "m", group=7), node("Conv", ["m", "b"], "y")]
    model = network(nodes, {"x": ("N", 7, 5, 5)}, constants)
    small = (*overrides, "tile.rows=20", "tile.columns=8", "chip.tiles=120", "core.tiles=6")
    mode: Mode = "parallel" if pack == "off" else "dense"
    program = xbarc.compile(model, overrides=small, replicate="balance", pack=pack, pack_mode=mode)
    assert max(layer.copies for layer in program.report().layers) > 1
    check_sums(program)


def check_sums(program: xbarc.Program) -> None:
    """The whole report against the painted map."""
    found, report = painted(program), json.loads(json.dumps(program.report().to_json()))
    totals = report["totals"]
    assert {cause: totals["cells"][cause] for cause in CAUSES} == {cause: found.totals()[cause] for cause in CAUSES}
    assert totals["cells"]["total"] == sum(totals["cells"][cause] for cause in CAUSES) == found.totals().total()
    used = {tile for _, tile in found.tiles}
    assert totals["physical_tiles"] == totals["chip"]["used"] == len(used)
    for layer in report["layers"]:
        cells = found.of_layer(layer["name"])
        assert {cause: layer["cells"][cause] for cause in CAUSES} == {cause: cells[cause] for cause in CAUSES}
        assert layer["cells"]["total"] == cells.total()
        assert layer["physical_tiles"] == found.hosts()[layer["name"]]
        assert layer["guest_tiles"] == found.guests()[layer["name"]]
        assert layer["cells"]["weights"] == layer["groups"] * layer["rows"] * layer["columns"]
    held = sum(totals["cells"][cause] for cause in ("weights", "slices", "polarity", "copies"))
    assert totals["cell_utilisation"] == held / totals["cells"]["total"]
    chip = totals["chip"]
    if chip["total"] is None:
        assert (chip["slack"], chip["fragmentation"], chip["spare"], chip["free"]) == (0, 0, 0, None)
    else:
        assert chip["used"] + chip["slack"] + chip["fragmentation"] + chip["spare"] == chip["total"]
        assert totals["tile_utilisation"] == chip["used"] / chip["total"]
    core = program.hardware.core.tiles
    cores = {tile // core for tile in used}
    assert report["replication"]["cores_used"] == len(cores)
    assert report["replication"]["core_free"] == core * len(cores) - len(used)


@settings(max_examples=20, deadline=None)
@given(programs())
def test_idle_time_is_what_the_tiles_of_the_map_do_not_read(program: xbarc.Program) -> None:
    """Copies read windows side by side: one read for each digit, and each turn of a tile that one of them has."""
    found, report = painted(program), program.report()
    digits = {layer.name: len(layer.digit_weights) for layer in layers(program.graph)}
    windows = {layer.name: np.arange(layer.windows or 0) % layer.copies for layer in report.layers}
    reads: dict[str, dict[Tile, int]] = {layer.name: defaultdict(int) for layer in report.layers}
    for tile, blocks in found.blocks.items():
        turns: dict[tuple[str, int], list[int]] = defaultdict(list)
        for block in blocks:
            turns[block["layer"], block["turn"]].append(np.count_nonzero(windows[block["layer"]] == block["copy"]))
        for (name, _), rounds in turns.items():
            reads[name][tile] += max(rounds) * digits[name]
    usage = report.schedule
    interval = usage.interval if usage.interval_s is None else usage.interval_s / (usage.read_time or 1)
    assert interval
    busy = sum(sum(tiles.values()) for tiles in reads.values())
    assert report.schedule.idle == pytest.approx(1 - busy / (len(found.tiles) * interval))
    assert report.schedule.idle + (report.schedule.occupancy or 0) == 1
    for layer in report.schedule.layers:
        assert layer.idle == pytest.approx(1 - sum(reads[layer.name].values()) / (len(reads[layer.name]) * interval))
    for tile in found.tiles:
        assert sum(tiles.get(tile, 0) for tiles in reads.values()) <= interval * (1 + 1e-9)


def in_words(program: xbarc.Program) -> str:
    chip = program.report().totals.chip
    (reason,) = [name for name in ("slack", "fragmentation", "spare") if getattr(chip, name)]
    return reason


def test_free_tiles_are_free_for_a_reason() -> None:
    """One layer of 3 x 2 tiles and 9 windows, on a chip that lacks tiles, or room within cores, for one more copy."""
    model = network([node("Conv", ["x", "w"], "y")], {"x": ("N", 1, 5, 5)}, {"w": numbers(8, 1, 3, 3)})
    small = ["tile.rows=3", "tile.columns=4", "weights.scale=layer"]

    def free(tiles: int, core: int, replicate: str | int) -> str:
        chip = [*small, f"chip.tiles={tiles}", f"core.tiles={core}"]
        return in_words(xbarc.compile(model, overrides=chip, replicate=replicate))

    assert free(20, 1, "none") == "spare"
    assert free(20, 1, "balance") == "slack"  # three copies are 18 tiles: 3 rounds; two rounds take 5 copies
    assert free(60, 1, "balance") == "spare"  # nine copies: one round
    assert free(20, 10, "balance") == "fragmentation"  # a core has room for one copy, and 4 tiles that no copy takes
    assert free(20, 1, 3) == "spare"
    assert free(20, 1, 2) == "slack"
    assert free(20, 10, 3) == "fragmentation"


@pytest.mark.parametrize(
    ("change", "ratio"),
    [
        (("weights.slices=2",), 2),
        (("weights.slices=4",), 4),
        (("weights.slices=3", "cell.levels=16"), 3),
        (("tile.polarity=adjacent-columns",), 2),
        (("tile.polarity=paired-tiles", "weights.subtraction=digital"), 2),
        (("tile.polarity=paired-tiles", "weights.subtraction=digital", "weights.slices=2"), 4),
    ],
)
def test_physical_tiles_change_with_cell_bits_polarity_and_slices(change: tuple[str, ...], ratio: int) -> None:
    """A layer of 4 x 4 tiles in each: logical tiles stay, physical ones are as many times more."""
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 64)}, {"w": numbers(64, 64)})
    small = ("tile.rows=16", "tile.columns=16", "cell.levels=4")
    before, after = (xbarc.compile(model, overrides=[*small, *more]).report().totals for more in ((), change))
    assert (before.logical_tiles, after.logical_tiles) == (16, 16)
    assert (before.physical_tiles, after.physical_tiles) == (16, 16 * ratio)


@pytest.mark.parametrize(("bits", "slices"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_the_same_weights_on_cells_of_fewer_bits_take_more_tiles(bits: int, slices: int) -> None:
    """ISAAC's kind of encoding: 8 bits of a weight on cells of 1, 2, 4 or 8."""
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 64)}, {"w": numbers(64, 60)})
    overrides = ["tile.rows=16", "tile.columns=16", "weights.encoding=offset", "weights.scale=layer"]
    overrides += [f"cell.levels={2**bits}", f"weights.slices={slices}"]
    assert xbarc.compile(model, overrides=overrides).report().totals.physical_tiles == 16 * slices
