"""Programs whose layers share tiles: where blocks lie, their numbers, faults and time, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from chips import product
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, finite_hardware, network, node, run
from places import cells_of

import xbarc
from xbarc.errors import CapacityError, ProgramError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import serial_reads
from xbarc.passes.packing.pack import MODES, SCOPES, Mode, Scope


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def three_layers(inner: int = 4, outer: int = 3) -> onnx.ModelProto:
    """A depthwise and a dense convolution, and a fully connected layer: of 16, 16 and 1 windows."""
    constants = {
        "a": numbers(inner, 1, 3, 3, seed=1),
        "b": numbers(outer, inner, 1, 1, seed=2),
        "c": numbers(outer * 16, 5, seed=3),
    }
    nodes = [
        node("Conv", ["x", "a"], "first", group=inner),
        node("Conv", ["first", "b"], "second"),
        node("Flatten", ["second"], "flat"),
        node("MatMul", ["flat", "c"], "y"),
    ]
    return network(nodes, {"x": ("N", inner, 6, 6)}, constants)


@st.composite
def networks(draw: Draw) -> tuple[onnx.ModelProto, np.ndarray]:
    inner = draw(st.integers(1, 6))
    return three_layers(inner, draw(st.integers(1, 6))), numbers(2, inner, 6, 6, seed=4)


def occupied(program: xbarc.Program) -> dict[tuple[int, ...], tuple[str, tuple[int, ...]]]:
    """What lies at each ``(tile, row, column, plane)``: layer and copy, slice, place; the plane is the polarity where
    pairs share a site."""
    hardware = program.hardware
    found: dict[tuple[int, ...], tuple[str, tuple[int, ...]]] = {}
    for layer in layers(program.graph):
        for cell, (copy, slice_, _, place, _, _) in cells_of(layer, hardware):
            assert cell not in found, "two blocks on one cell"
            assert cell[1] < hardware.tile.rows
            assert cell[2] < hardware.tile.columns
            found[cell] = (layer.name, (copy, slice_, place))
    return found


def check_numbers(packed: xbarc.Program, plain: xbarc.Program, x: np.ndarray) -> None:
    """Without noise, a packed program gives what onnxruntime makes of it; and what the unpacked one gives, unless the
    packer had groups lie on other diagonals, whose ADCs may round otherwise."""
    found = packed.write("ideal").run(x)["y"]
    pairs = zip(layers(packed.graph), layers(plain.graph), strict=True)
    if all(one.read.partition == other.read.partition for one, other in pairs):
        assert np.array_equal(found, plain.write("ideal").run(x)["y"])
    else:
        assert np.array_equal(found, run(packed.model(), {"x": x}, optimized=False)[0])


@settings(max_examples=40, deadline=None)
@given(networks(), finite_hardware(), st.sampled_from(["none", 3]), st.sampled_from(SCOPES), st.sampled_from(MODES))
def test_layers_share_tiles_cell_by_cell_and_no_number_changes(
    case: tuple[onnx.ModelProto, np.ndarray], hardware: Hardware, copies: str | int, scope: Scope, mode: Mode
) -> None:
    model, x = case
    options = {"hardware": hardware, "calibration": x, "replicate": copies}
    plain = xbarc.compile(model, **options)
    packed = xbarc.compile(model, **options, pack=scope, pack_mode=mode, verify=True)
    cells, report = occupied(packed), packed.report()
    blocks = {(tile, layer) for (tile, *_), (layer, _) in cells.items()}
    tiles = {tile for tile, _ in blocks}
    assert mode == "dense" or all(serial_reads(layer) == 1 for layer in layers(packed.graph))
    assert scope == "network" or len(blocks) == len(tiles), "layers share no tiles"
    assert tiles == set(range(len(tiles)))
    assert report.totals.physical_tiles == len(tiles) <= plain.report().totals.physical_tiles
    sites = 2 if hardware.tile.polarity == "unit-cell" and layers(packed.graph)[0].read.levels.shape[1] == 2 else 1
    total = report.totals.cells
    assert total.total == len(tiles) * hardware.tile.rows * hardware.tile.columns * sites
    held = (total.weights, total.slices, total.polarity, total.copies, total.reference, total.groups)
    assert sum(held) == len(cells)
    assert total.edges + total.packing == total.total - len(cells)
    for layer in report.layers:
        assert layer.physical_tiles + layer.guest_tiles == len({tile for tile, name in blocks if name == layer.name})
        assert layer.cells.edges >= 0
    check_numbers(packed, plain, x)
    again = xbarc.load(packed.model())
    assert occupied(again) == cells
    assert again.report().to_json() == report.to_json()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("tile.polarity=adjacent-columns",),
        ("tile.polarity=paired-tiles", "weights.subtraction=digital"),
        ("weights.encoding=offset",),
        ("weights.slices=2", "cell.levels=16"),
    ],
)
def test_faults_stay_with_the_silicon(overrides: tuple[str, ...]) -> None:
    """Cells that are stuck or dead under packed layers are those that are so under one that fills the same tiles."""
    device = "pcm:stuck_at_gmin=0.03,stuck_at_gmax=0.05,dead_rows=0.1,dead_columns=0.1"
    small = (*overrides, "tile.rows=50", "tile.columns=30")
    packed = xbarc.compile(three_layers(), overrides=small, pack="network")
    most = 1 + max(tile for tile, *_ in occupied(packed))
    full = product(numbers(50 * most, 30), small)
    stuck = {name: stuck_at(program, device) for name, program in (("packed", packed), ("full", full))}
    shared = stuck["packed"].keys() & stuck["full"].keys()
    assert len(shared) > 300
    assert any(row + column > 0 for _, row, column, _ in occupied(packed))
    assert all(stuck["packed"][cell] == stuck["full"][cell] for cell in shared)
    assert 0 < sum(stuck["packed"].values()) < len(stuck["packed"])


def stuck_at(program: xbarc.Program, device: str) -> dict[tuple[int, ...], bool]:
    """Whether each cell that holds a level is stuck, by its place on the chip."""
    chip = program.write(device, seed=2)
    assert chip.written is not None
    found: dict[tuple[int, ...], bool] = {}
    for layer in layers(program.graph):
        stuck = chip.written.cells[layer.name].stuck
        assert stuck is not None
        found |= stuck_of(program, layer, stuck)
    return found


def stuck_of(program: xbarc.Program, layer: Layer, stuck: np.ndarray) -> dict[tuple[int, ...], bool]:
    return {cell: bool(stuck[tuple(level)]) for cell, (copy, *level) in cells_of(layer, program.hardware) if copy == 0}


def test_a_network_fits_packed_where_it_does_not_unpacked() -> None:
    small = ("tile.rows=64", "tile.columns=16")
    needed = xbarc.compile(three_layers(), overrides=small, pack="network").report().totals.physical_tiles
    assert needed == 1
    with pytest.raises(CapacityError, match="needs 3 physical tiles"):
        xbarc.compile(three_layers(), overrides=(*small, "chip.tiles=2"))
    both = xbarc.compile(three_layers(), overrides=(*small, "chip.tiles=1"), pack="network", replicate="balance")
    assert both.report().totals.physical_tiles == 1
    with pytest.raises(CapacityError, match="the packed model needs 3 physical tiles, the chip has 2: 1 too few"):
        xbarc.compile(three_layers(), overrides=("tile.rows=36", "tile.columns=5", "chip.tiles=2"), pack="network")


@settings(max_examples=15, deadline=None)
@given(networks(), finite_hardware(), st.sampled_from(SCOPES), st.sampled_from(MODES), st.booleans(), st.data())
def test_what_fits_unpacked_fits_packed(
    case: tuple[onnx.ModelProto, np.ndarray],
    hardware: Hardware,
    scope: Scope,
    mode: Mode,
    some_rows: bool,
    data: st.DataObject,
) -> None:
    """On a chip without a tile to spare, with copies or without, whatever rows one read drives."""
    model, x = case
    entries = hardware.model_dump(exclude_unset=True)
    if some_rows:
        entries["tile"]["active_rows"] = data.draw(st.integers(1, hardware.tile.rows))
    options = {"calibration": x, "replicate": data.draw(st.sampled_from(["none", "balance"]))}
    tiles = xbarc.compile(model, hardware=hardware_of(entries), calibration=x).report().totals.physical_tiles
    entries["chip"] = {"tiles": tiles + data.draw(st.integers(0, 3))}
    full = hardware_of(entries)
    plain = xbarc.compile(model, hardware=full, **options)
    packed = xbarc.compile(model, hardware=full, **options, pack=scope, pack_mode=mode, verify=True)
    if options["replicate"] == "none":
        assert packed.report().totals.physical_tiles <= plain.report().totals.physical_tiles
    check_numbers(packed, plain, x)
    if mode == "parallel":
        for before, after in zip(layers(plain.graph), layers(packed.graph), strict=True):
            assert serial_reads(after) <= serial_reads(before)


def hardware_of(entries: dict[str, Any]) -> Hardware:
    return Hardware.from_dict(entries)


@pytest.mark.parametrize("overrides", [(), ("weights.slices=2", "cell.levels=16"), ("weights.encoding=offset",)])
@pytest.mark.parametrize(("scope", "mode"), [(scope, mode) for scope in SCOPES for mode in MODES])
def test_groups_on_other_diagonals_give_the_same_numbers(overrides: tuple[str, ...], scope: Scope, mode: Mode) -> None:
    """Where the ADC rounds nothing."""
    x = numbers(2, 6, 6, 6, seed=9)
    exact = (*overrides, "tile.rows=40", "tile.columns=24", "adc.bits=unlimited")
    plain = xbarc.compile(three_layers(6, 5), overrides=exact, calibration=x)
    packed = xbarc.compile(
        three_layers(6, 5), overrides=exact, calibration=x, pack=scope, pack_mode=mode, replicate=3, verify=True
    )
    assert np.array_equal(packed.write("ideal").run(x)["y"], plain.write("ideal").run(x)["y"])
    before, after = (layers(one.graph)[0].read.partition.groups_per_diagonal for one in (plain, packed))
    assert before == 4
    assert mode == "parallel" or after == 1


def test_dense_reads_follow_each_other_in_the_schedule() -> None:
    """Six kernels of a depthwise convolution on a tile of one column for each: as many reads a window."""
    model = network([node("Conv", ["x", "a"], "y", group=6)], {"x": ("N", 6, 6, 6)}, {"a": numbers(6, 1, 3, 3)})
    small = ("tile.rows=9", "tile.columns=6")
    plain = xbarc.compile(model, overrides=small)
    assert plain.report().totals.physical_tiles == 6
    for scope in SCOPES:
        dense = xbarc.compile(model, overrides=small, pack=scope, pack_mode="dense", verify=True)
        (layer,) = layers(dense.graph)
        assert serial_reads(layer) == 6
        report = dense.report()
        assert report.totals.physical_tiles == 1
        assert [layer.busy for layer in report.schedule.layers] == [6 * 16]
        check_numbers(dense, plain, numbers(2, 6, 6, 6))


def test_layers_that_share_a_tile_take_turns() -> None:
    """All on one tile: its reads add up, and a layer begins where the one before it ends."""
    small = ("tile.rows=64", "tile.columns=16")
    plain = xbarc.compile(three_layers(), overrides=small).report().schedule
    packed = xbarc.compile(three_layers(), overrides=small, pack="network").report()
    assert packed.totals.physical_tiles == 1
    busy = [layer.busy or 0 for layer in packed.schedule.layers]
    assert busy == [16, 16, 1]
    assert (plain.interval, packed.schedule.interval) == (16, 33)
    assert (plain.latency, packed.schedule.latency) == (18, 33)
    assert [(layer.start, layer.end) for layer in packed.schedule.layers] == [(0, 16), (16, 32), (32, 33)]
    assert packed.schedule.occupancy == pytest.approx(1.0)


def test_tiles_that_packing_saves_are_not_for_want_of_room(models_dir: Path) -> None:
    """Copies are chosen as if no blocks shared tiles: 104, 64 and 8 of 192 tiles, with no room for a faster choice."""
    small = ["chip.mesh_rows=1", "chip.mesh_columns=2"]
    options: dict[str, Any] = {"hardware": "isaac", "overrides": small, "replicate": "balance"}
    report = xbarc.compile(models_dir / "digits_cnn.onnx", **options, pack="network").report()
    usage, chip = report.replication, report.totals.chip
    assert [layer.copies for layer in report.layers] == [13, 4, 1]
    assert (usage.bottleneck, usage.optimum, usage.fragmentation) == (5, 5, 0)
    assert usage.saved == 104 + 64 + 8 - report.totals.physical_tiles > 0
    assert usage.copies == 12 * 8 + 3 * 16
    assert (chip.slack, chip.fragmentation, chip.spare) == (0, 0, chip.free)
    plain = xbarc.compile(models_dir / "digits_cnn.onnx", **options).report()
    assert plain.replication.saved == 0
    assert plain.totals.chip.slack == 192 - 176


def test_where_blocks_lie_is_checked_when_a_program_is_loaded() -> None:
    model = xbarc.compile(three_layers(), pack="network").model()
    (entry,) = [entry for entry in model.metadata_props if "pieces" in entry.value]
    facts = json.loads(entry.value)
    next(iter(facts["layers"].values()))["pieces"]["place"][0] += 1
    entry.value = json.dumps(facts)
    with pytest.raises(ProgramError, match="damaged"):
        xbarc.load(model)


def test_from_the_command_line(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "three.onnx"
    onnx.save(three_layers(), path)
    tiles = {}
    for pack, mode in (("off", "parallel"), ("layer", "dense"), ("layer", "parallel"), ("network", "parallel")):
        output = tmp_path / f"{pack}.xbar.onnx"
        assert command("compile", path, "-o", output, "--pack", pack, "--pack-mode", mode).code == 0
        options = xbarc.load(output).facts["options"]
        assert (options["pack"], options["pack_mode"]) == (pack, mode)
        tiles[pack] = command("report", output, "--json").json()["totals"]["physical_tiles"]
    assert tiles == {"off": 3, "layer": 3, "network": 1}
    (note,) = [line for line in command("report", output).out.splitlines() if "count for another" in line]
    assert note.rstrip().endswith("2")
    refused = command("compile", path, "--pack", "tight")
    assert refused.code == 2
    assert "--pack cannot be 'tight'" in refused.err
    refused = command("compile", path, "--pack", "layer", "--pack-mode", "tight")
    assert refused.code == 2
    assert "--pack-mode cannot be 'tight'" in refused.err


def test_the_map_shows_every_block_once(command: Command, tmp_path: Path) -> None:
    program = xbarc.compile(three_layers(), overrides=("tile.rows=36", "tile.columns=5"), pack="network")
    path = program.save(tmp_path / "three.xbar.onnx")
    blocks = command("report", path, "--map", "--json").json()["blocks"]
    cells = occupied(program)
    sites = {(*cell[:3], layer) for cell, (layer, _) in cells.items()}
    listed = [
        (block["tile"], row, column, block["layer"])
        for block in blocks
        for row in range(block["row"], block["row"] + block["rows"])
        for column in range(block["column"], block["column"] + block["columns"])
    ]
    assert len(listed) == len(sites)
    assert set(listed) == sites
    page = command("report", path, "--map").out
    assert all(f"{block['row']}..{block['row'] + block['rows'] - 1}" in page for block in blocks)


def test_a_packing_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="no packing 'tight'"):
        xbarc.compile(three_layers(), pack="tight")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no packing mode 'tight'"):
        xbarc.compile(three_layers(), pack="layer", pack_mode="tight")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="packing 'dense' is asked for, and nothing is packed"):
        xbarc.compile(three_layers(), pack_mode="dense")
