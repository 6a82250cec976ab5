"""Fault-aware placement: which cells of the silicon a weight meets, what follows it there, and what it is good for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from chips import bits, product
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node, open_session
from places import LAYOUTS, Cell, cells_of

import xbarc
from xbarc.api.reading import actual_cells, read_chip
from xbarc.api.writing import conductances, tile_shape
from xbarc.devices.faults import Fault, FaultMap
from xbarc.errors import DataError, UsageError
from xbarc.ir.layer import Layer, layers
from xbarc.runtime.tiles import occupants, tile_conductances

ROWS, COLUMNS = 24, 20
CUT = (f"tile.rows={ROWS}", f"tile.columns={COLUMNS}", "cell.g_min=1 uS")
EVERY = {**LAYOUTS, "few rows": ("tile.active_rows=8",)}
#: Of scope and mode of packing.
PACKED = {
    "apart": {},
    "layer": {"pack": "layer"},
    "dense": {"pack": "network", "pack_mode": "dense"},
    "copies": {"pack": "network", "replicate": 5},
}
DEVICE = "generic:stuck_at_gmin=0.04,stuck_at_gmax=0.04,dead_rows=0.03,dead_columns=0.03"
KNOWN = FaultMap((Fault(0, "stuck-at-gmax", 1, 2), Fault(0, "dead-row", row=4), Fault(1, "dead-column", column=5)))
#: What a cell holds: a matrix, and its index among ``(S, P, D, R, C)``.
Held = tuple[str, tuple[int, ...]]
X = np.random.default_rng(1).normal(size=(6, 4, 5, 5)).astype(np.float32)


def numbers(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@cache
def compiled(layout: str, packed: str, *more: str) -> xbarc.Program:
    """A grouped and a dense convolution and a product whose matrix is cut, on tiles most of which have spare lines."""
    constants = {"a": numbers(4, 1, 3, 3, seed=1), "b": numbers(3, 4, 1, 1, seed=2), "c": numbers(27, 22, seed=3)}
    nodes = [
        node("Conv", ["x", "a"], "first", group=4),
        node("Conv", ["first", "b"], "second"),
        node("Flatten", ["second"], "flat"),
        node("MatMul", ["flat", "c"], "y"),
    ]
    model = network(nodes, {"x": ("N", 4, 5, 5)}, constants)
    return xbarc.compile(model, overrides=(*CUT, *EVERY[layout], *more), calibration=X, **PACKED[packed])


def microsiemens(siemens: float) -> float:
    return round(float(siemens) * 1e6, 3)


@cache
def silicon(layout: str) -> dict[Cell, float]:
    """What every faulty cell of the first tiles holds, in microsiemens, from a program that fills them."""
    hardware = compiled(layout, "apart").hardware
    height = hardware.tile.active_rows or ROWS
    filling = product(numbers(6 * height, 4 * hardware.weight_columns, seed=4), (*CUT, *EVERY[layout]))
    (layer,) = layers(filling.graph)
    written = filling.write(DEVICE, seed=5, faults=KNOWN).written
    assert written is not None
    held = written.cells["y"].held
    assert held is not None
    lying = {place: held[tuple(level)] for place, (_, *level) in cells_of(layer, filling.hardware)}
    tiles = {tile for tile, *_ in lying}
    assert len(lying) == len(tiles) * ROWS * COLUMNS * (
        2 if layout in ("unit-cell", "digital", "slices", "few rows") else 1
    )
    return {place: microsiemens(siemens) for place, siemens in lying.items() if not np.isnan(siemens)}


def lying(program: xbarc.Program, chip: xbarc.Chip) -> dict[Cell, Held]:
    """What lies where, of first copies by the orders that the chip tells; no cell is taken twice."""
    assert chip.written is not None
    found: dict[Cell, Held] = {}
    layout = program.hardware.tile.polarity
    for layer in layers(program.graph):
        pieces = [piece for piece in layer.read.pieces.tolist() if piece[0] == 0]
        for piece, order in zip(pieces, chip.written.orders[layer.read.matrix], strict=True):
            _, slice_, side, block, first, count, *_ = piece
            polarities = range(layer.read.levels.shape[1]) if side < 0 else [side]
            for polarity in polarities:
                for column in range(count):
                    lies = 1 - polarity if order.swapped[column] else polarity
                    home = piece
                    if side >= 0 and lies != side:
                        (home,) = (
                            each
                            for each in pieces
                            if (*each[:2], *each[3:6]) == (*piece[:2], *piece[3:6]) and each[2] == lies
                        )
                    tile, top, left = home[6:9]
                    across = left + int(order.columns[column])
                    if layout == "adjacent-columns" and len(polarities) == 2:
                        across = left + 2 * int(order.columns[column]) + lies
                    for row in range(piece[9]):
                        cell = tile, top + int(order.rows[row]), across, lies if layout == "unit-cell" else 0
                        assert cell not in found
                        assert 0 <= cell[1] < ROWS
                        assert 0 <= cell[2] < COLUMNS
                        found[cell] = layer.read.matrix, (slice_, polarity, block, row, first + column)
        for cell, (copy, *level) in cells_of(layer, program.hardware):
            if copy:
                assert cell not in found
                found[cell] = layer.read.matrix, tuple(level)
    return found


def aware(program: xbarc.Program, device: str = DEVICE) -> xbarc.Chip:
    return program.write(device, seed=5, faults=KNOWN, placement="fault-aware")


def weight_errors(program: xbarc.Program, chip: xbarc.Chip) -> dict[str, float]:
    """Summed squared error of each layer's weights, in the units of its output."""
    assert chip.written is not None
    span, found = conductances(program.hardware), {}
    for layer in layers(program.graph):
        held = chip.written.cells[layer.read.matrix].held
        assert held is not None
        levels = np.where(np.isnan(held), layer.read.levels, (held - span.g_min) / span.step)
        change = np.tensordot(layer.accumulate.slice_weights, layer.signed_levels(levels) - layer.signed_levels(), 1)
        scale = layer.rescale.unit_scale.reshape(len(change), 1, -1)
        found[layer.name] = float(np.square(change * scale).sum())
    return found


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("layout", EVERY)
def test_a_weight_meets_the_faults_of_the_cell_that_it_lies_on(layout: str, packed: str) -> None:
    program = compiled(layout, packed)
    chip, broken = aware(program), silicon(layout)
    assert chip.written is not None
    copied = {cell for layer in layers(program.graph) for cell, (copy, *_) in cells_of(layer, program.hardware) if copy}
    assert bool(copied) == (packed == "copies")
    for cell, (matrix, index) in lying(program, chip).items():
        if cell in copied:  # copies have the faults of the first
            continue
        held = chip.written.cells[matrix].held
        assert held is not None
        assert broken.get(cell) == (None if np.isnan(held[index]) else microsiemens(held[index])), cell


@given(st.integers(0, 2**32), st.sampled_from(sorted(EVERY)), st.sampled_from(sorted(PACKED)))
@settings(max_examples=30, deadline=None)
def test_no_two_weights_lie_on_one_cell(seed: int, layout: str, packed: str) -> None:
    program = compiled(layout, packed)
    chip = program.write("generic:stuck_at_gmax=0.3,dead_columns=0.1", seed=seed, placement="fault-aware")
    every = sum(1 for layer in layers(program.graph) for _ in cells_of(layer, program.hardware))
    assert len(lying(program, chip)) == every


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("layout", EVERY)
def test_lines_that_belong_together_move_together(layout: str, packed: str) -> None:
    """Pieces that one read drives by the same rows share their order, tiles of a pair both; reference columns stay."""
    program = compiled(layout, packed)
    chip, moved = aware(program), 0
    assert chip.written is not None
    for layer in layers(program.graph):
        driven: dict[tuple[int, ...], list[int]] = {}
        paired: dict[tuple[int, ...], tuple[list[int], ...]] = {}
        pieces = layer.read.pieces[layer.read.pieces["copy"] == 0]
        for piece, order in zip(pieces, chip.written.orders[layer.read.matrix], strict=True):
            rows, columns = order.rows.tolist(), order.columns.tolist()
            by_read = tuple(int(piece[name]) for name in ("tile", "turn", "place", "row"))
            assert driven.setdefault(by_read, rows) == rows
            if set(pieces["side"].tolist()) == {0, 1}:
                same = tuple(int(piece[name]) for name in ("slice", "place", "first", "count"))
                both = rows, columns, order.swapped.tolist()
                assert paired.setdefault(same, both) == both
            stays = np.isin(piece["first"] + np.arange(piece["count"]), layer.read.partition.reference_columns)
            assert np.array_equal(order.columns[stays], np.flatnonzero(stays))
            moved += rows != sorted(rows) or columns != sorted(columns)
    assert moved


@pytest.mark.parametrize("layout", ["unit-cell", "adjacent", "paired", "digital"])
def test_no_layer_has_larger_errors_than_as_compiled(layout: str) -> None:
    """Where one slice holds a weight, its error is what is made small; here spare lines leave little of it."""
    program = compiled(layout, "apart")
    for seed in range(3):
        plain, better = (
            weight_errors(program, program.write(DEVICE, seed=seed, placement=how))
            for how in ("as-compiled", "fault-aware")
        )
        assert all(better[name] <= plain[name] * (1 + 1e-6) for name in plain)
        assert sum(better.values()) < 0.3 * sum(plain.values())


@pytest.mark.parametrize("layout", ["offset", "slices", "few rows"])
def test_errors_get_smaller_where_cells_share_them_too(layout: str) -> None:
    program = compiled(layout, "apart")
    plain, better = (
        np.sum(
            [sum(weight_errors(program, program.write(DEVICE, seed=seed, placement=how)).values()) for seed in range(3)]
        )
        for how in ("as-compiled", "fault-aware")
    )
    assert better < 0.5 * plain


def test_without_faults_nothing_moves() -> None:
    program = compiled("unit-cell", "apart")
    plain = program.write("pcm", seed=3)
    for known in (None, FaultMap((Fault(99, "dead-row", row=0),))):
        chip = program.write("pcm", seed=3, faults=known, placement="fault-aware")
        assert bits(chip.run(X)) == bits(plain.run(X))
    exact = program.write("generic", faults=FaultMap(()), placement="fault-aware")
    assert bits(exact.run(X)) == bits(program.write().run(X))


@pytest.mark.parametrize("layout", EVERY)
def test_onnxruntime_computes_the_same_bits(layout: str) -> None:
    program = compiled(layout, "dense", "adc.gain_sigma=0.02", "adc.offset_sigma=0.3", "tile.row_wire=2 Ohm")
    chip = aware(program, DEVICE.replace("generic", "pcm")).with_read_noise("frozen").at("1h")
    model = chip.model()
    onnx.checker.check_model(model, full_check=True)
    y = chip.run(X)["y"]
    assert open_session(model, optimized=False).run(None, {"x": X})[0].tobytes() == y.tobytes()
    assert '"placement": "fault-aware"' in next(entry.value for entry in model.metadata_props if "chip" in entry.value)
    assert bits(aware(program, chip.device.name).run(X)) != bits(program.write("pcm", seed=5, faults=KNOWN).run(X))


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("layout", EVERY)
def test_tiles_hold_their_cells_where_they_lie(layout: str, packed: str) -> None:
    """What wires and netlists are made of: every cell of a block once, faulty cells where the silicon has them."""
    program = compiled(layout, packed)
    chip, shape = aware(program, DEVICE.replace("generic", "pcm")), tile_shape(program.hardware)
    assert chip.written is not None
    cells = actual_cells(program.graph, program.hardware, chip.written, chip.reading, 0.0)
    tiles = {
        tile: tile_conductances(inside, cells, shape)
        for (_, tile), inside in occupants(layers(program.graph), chip.written.orders).items()
    }
    expected = {tile: np.full((shape.planes, ROWS, COLUMNS), shape.empty) for tile in tiles}
    for (tile, row, column, plane), (matrix, index) in lying(program, chip).items():
        expected[tile][plane, row, column] = cells[matrix][index]
    for tile, found in tiles.items():
        assert np.array_equal(found, expected[tile])


ADC = ("adc.gain_sigma=0.02", "adc.offset_sigma=0.3", "adc.inl_sigma=0.3", "adc.columns_per_adc=4")


@pytest.mark.parametrize("layout", ["unit-cell", "adjacent", "paired", "digital"])
def test_columns_meet_the_converters_of_where_they_lie(layout: str) -> None:
    """Errors of the filled tiles, read through the orders; a converter of differences meets those that are exchanged
    with the opposite sign, and so errs the other way."""
    filling = product(
        numbers(6 * ROWS, 4 * compiled(layout, "apart").hardware.weight_columns, seed=4), (*CUT, *EVERY[layout], *ADC)
    )
    known = converters(filling, filling.write("generic", seed=5))
    program = compiled(layout, "apart", *ADC)
    chip, met = aware(program), 0
    assert chip.written is not None
    single = layers(program.graph)[0].single_ended
    found = {layer.read.matrix: layer.adc.errors for layer in read_layers(program, chip)}
    for (tile, _, column, plane), (matrix, (slice_, polarity, block, _, stack)) in lying(program, chip).items():
        pair = 2 * (column // 2) if layout == "adjacent" else column
        place = (tile, column, plane) if single else (tile, pair, 0)
        errors = found[matrix]
        assert errors is not None
        assert errors.inl is not None
        if place not in known or (not single and polarity == 1):
            continue
        exchanged = not single and (plane == 1 if layout == "unit-cell" else column % 2 == 1)
        gain, offset, inl = known[place]
        at = slice_, polarity if single else 0, block
        assert errors.gain[at][stack] == gain
        assert errors.offset[at][stack] == (-offset if exchanged else offset)
        assert np.array_equal(errors.inl[at][:, stack], -inl[::-1] if exchanged else inl)
        met += exchanged
    assert met or single


def read_layers(program: xbarc.Program, chip: xbarc.Chip) -> list[Layer]:
    assert chip.written is not None
    return layers(read_chip(program.graph, program.hardware, chip.written, chip.reading)[0])


def converters(program: xbarc.Program, chip: xbarc.Chip) -> dict[tuple[int, int, int], tuple[float, float, np.ndarray]]:
    """Gain, offset and curve of each converter, by tile, column and plane."""
    (layer,) = read_layers(program, chip)
    errors, found = layer.adc.errors, {}
    assert errors is not None
    assert errors.inl is not None
    for (tile, _, column, plane), (_, slice_, polarity, block, _, stack) in cells_of(layer, program.hardware):
        if polarity < errors.gain.shape[1]:
            at = slice_, polarity, block
            found[tile, column, plane] = errors.gain[at][stack], errors.offset[at][stack], errors.inl[at][:, stack]
    return found


def test_the_same_seed_gives_the_same_chip_and_a_file_brings_it_back(tmp_path: Path) -> None:
    program = compiled("unit-cell", "dense", "tile.row_wire=2 Ohm", *ADC)
    chip = aware(program)
    chip.save(tmp_path / "chip.npz")
    loaded = program.load_chip(tmp_path / "chip.npz")
    series = program.series(DEVICE, seeds=[5], faults=KNOWN, placement="fault-aware")
    for other in (aware(program), loaded, *series):
        assert lying(program, other) == lying(program, chip)
        assert bits(other.run(X)) == bits(chip.run(X))
        assert other.written is not None
        assert other.written.placement == "fault-aware"
    sound = program.write("pcm", seed=5, placement="fault-aware")
    sound.save(tmp_path / "sound.npz")
    assert bits(program.load_chip(tmp_path / "sound.npz").run(X)) == bits(sound.run(X))


DAMAGED = {
    "rows": (lambda rows: rows[:-1], r"'0.rows' is int32 \(\d+,\), expected int32 \(\d+,\)"),
    "columns": (lambda columns: columns * 0, "'0.rows' and '0.columns' are no lines of a tile"),
    "swapped": (None, "it lacks '0.swapped'"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_orders_of_a_chip_file_are_named(tmp_path: Path, name: str) -> None:
    program, path = compiled("unit-cell", "apart"), tmp_path / "chip.npz"
    aware(program).save(path)
    with np.load(path) as saved:
        arrays = dict(saved)
    change, message = DAMAGED[name]
    array = arrays.pop(f"0.{name}")
    if change is not None:
        arrays[f"0.{name}"] = change(array)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"the chip file is damaged: {message}"):
        program.load_chip(path)


def test_cells_that_are_no_pairs_are_not_exchanged(tmp_path: Path) -> None:
    program, path = compiled("offset", "apart"), tmp_path / "chip.npz"
    aware(program).save(path)
    with np.load(path) as saved:
        arrays = dict(saved)
    assert not arrays["1.swapped"].any()
    arrays["1.swapped"] = ~arrays["1.swapped"]
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=r"the chip file is damaged: '1\.swapped' exchanges cells that are no pairs"):
        program.load_chip(path)


def test_one_seed_in_two_placements_is_two_chips() -> None:
    program = compiled("unit-cell", "apart")
    both = [program.write(DEVICE, seed=5, placement=placement) for placement in ("as-compiled", "fault-aware")]
    other = program.write("pcm", seed=5)
    found = other.evaluate({"x": X}, chips=[*both, other], metric="mse").chips
    assert [(chip.device, chip.placement) for chip in found] == [
        ("generic:stuck_at_gmin=0.04,stuck_at_gmax=0.04,dead_rows=0.03,dead_columns=0.03", "as-compiled"),
        ("generic:stuck_at_gmin=0.04,stuck_at_gmax=0.04,dead_rows=0.03,dead_columns=0.03", "fault-aware"),
        ("pcm", "as-compiled"),
    ]
    with pytest.raises(UsageError, match="a chip is given twice"):
        other.evaluate({"x": X}, chips=[*both, aware(program), both[1]], metric="mse")


def test_what_is_no_placement_is_refused() -> None:
    program = compiled("unit-cell", "apart")
    with pytest.raises(UsageError, match="there is no placement 'lucky'") as refused:
        program.write("pcm", placement="lucky")  # type: ignore[arg-type]
    assert refused.value.fix == "the placements are as-compiled and fault-aware"
    with pytest.raises(UsageError, match="there is no placement 'lucky'"):
        program.series("pcm", seeds=[1], placement="lucky")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no placement 'lucky'"):
        program.write(placement="lucky")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the ideal device has no faults"):
        program.write(placement="fault-aware")


@pytest.mark.parametrize("extra", [["run", "--output", "y.npz", "--input", "x.npz"], ["eval", "--data", "x.npz"]])
def test_commands_take_a_placement(
    extra: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    command, program = Command(capsys, monkeypatch), compiled("unit-cell", "apart")
    program.save("net.xbar.onnx")
    np.savez("x.npz", x=X)
    name, *options = extra
    if name == "eval":
        options = [*options, "--metric", "mse"]
    ran = command(name, "net.xbar.onnx", *options, "--device", DEVICE, "--placement", "fault-aware")
    assert ran.code == 0, ran.err
    if name == "run":
        with np.load("y.npz") as found:
            assert np.array_equal(found["y"], program.write(DEVICE, placement="fault-aware").run(X)["y"])
    else:
        assert "rows, columns and polarities of blocks lie where the faults of each chip do little harm" in ran.out
    idle = command(name, "net.xbar.onnx", *options, "--placement", "fault-aware")
    assert idle.code == 2
    assert "--placement would change nothing" in idle.err
