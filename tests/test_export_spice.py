"""Tiles of chips as netlists: they hold the chip's own cells, and tell the currents of its circuit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import ngspice
import numpy as np
import pytest
from command import Command
from networks import network, node
from places import cells_of

import xbarc
from xbarc.api.spice import tile_netlist
from xbarc.errors import UsageError
from xbarc.ir.layer import layers
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.wiring import Wiring

TILE = ("tile.rows=10", "tile.columns=8", "cell.g_min=1 uS")
WIRES = (
    "tile.row_wire=3 Ohm",
    "tile.column_wire=2 Ohm",
    "tile.source_resistance=50 Ohm",
    "tile.sense_resistance=9 Ohm",
)
WIRING = Wiring(row_wire_ohm=3.0, column_wire_ohm=2.0, source_ohm=50.0, sense_ohm=9.0)
LAYOUTS = {
    "unit-cell": (),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "paired": ("tile.polarity=paired-tiles", "weights.subtraction=digital"),
    "offset": ("weights.encoding=offset",),
}


def two_products(*overrides: str, hardware: str = "generic-pcm", pack: str = "off") -> xbarc.Program:
    rng = np.random.default_rng(0)
    constants = {name: rng.normal(size=size).astype(np.float32) for name, size in (("a", (6, 3)), ("b", (3, 9)))}
    nodes = [node("MatMul", ["x", "a"], "first"), node("MatMul", ["first", "b"], "y")]
    model = network(nodes, {"x": ("N", 6)}, constants)
    return xbarc.compile(model, hardware=hardware, overrides=[*TILE, *WIRES, *overrides], pack=pack)


def told(text: str) -> np.ndarray:
    """The currents in the comments."""
    return np.array([float(value) for value in re.findall(r"(?m)^\* i\(\S+\) = (\S+)$", text)])


def held(text: str, planes: int) -> np.ndarray:
    """The cells of a netlist, in siemens."""
    cells = np.zeros((planes, 10, 8))
    for plane, row, column, ohm in re.findall(r"(?m)^Rcell(\d+)_(\d+)_(\d+) \S+ \S+ (\S+)$", text):
        cells[int(plane), int(row), int(column)] = 1 / float(ohm)
    return cells


@pytest.mark.parametrize("pack", ["off", "network"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_netlist_holds_the_cells_of_its_tile(layout: str, pack: str) -> None:
    """As they were programmed (nothing drifts at time 0 and nothing is noisy here), the others at g_min."""
    program = two_products(*LAYOUTS[layout], pack=pack)
    chip = program.write("generic:programming_independent=0.05", seed=3)
    planes = 2 if layout == "unit-cell" else 1
    tiles: dict[int, np.ndarray] = {}
    for layer in layers(program.graph):
        for (tile, row, column, plane), (_, *level) in cells_of(layer, program.hardware):
            cells = tiles.setdefault(tile, np.full((planes, 10, 8), 1e-6))
            cells[plane, row, column] = chip.written.cells[layer.name].programmed[tuple(level)]
    volts = np.random.default_rng(1).uniform(-0.2, 0.2, 10)
    for tile, cells in tiles.items():
        text = tile_netlist(chip, tile, voltages=volts)
        np.testing.assert_allclose(held(text, planes), cells, rtol=1e-12)
        currents = solve_exact(cells, volts[None], WIRING).currents.ravel()
        np.testing.assert_allclose(told(text), currents, rtol=0, atol=1e-9 * np.abs(currents).max())


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="needs ngspice on the path")
def test_ngspice_runs_it_and_finds_what_it_tells() -> None:
    text = tile_netlist(two_products().write("pcm", seed=2).at("1d"), 0, voltages=np.full(10, 0.2))
    np.testing.assert_allclose(ngspice.run(text), told(text), rtol=0, atol=1e-9 * told(text).max())


def test_what_a_netlist_says_of_its_tile() -> None:
    program = two_products("tile.polarity=adjacent-columns")
    first, *notes = tile_netlist(program.write("pcm", seed=2).at("1d"), 0, voltages=np.zeros(10)).splitlines()[:3]
    assert first == "Tile 0 of segment 0 on pcm at 1 day, seed 2"
    assert notes == [
        f"* plane 0, rows 0 to 5, columns {columns} every 2: first, copy 0, slice 0, polarity {polarity}, block 0, "
        "columns from 0 on"
        for polarity, columns in enumerate(("0 to 4", "1 to 5"))
    ]


def test_the_ideal_device_holds_targets() -> None:
    program = two_products()
    text = tile_netlist(program.write(), 0, voltages=np.zeros(10))
    assert text.startswith("Tile 0 of segment 0 on ideal\n")
    cell, (layer, _) = program.hardware.cell, layers(program.graph)
    expected = cell.g_min + layer.read.levels[0, :, 0] * cell.g_step
    np.testing.assert_allclose(held(text, 2)[:, :6, :3], expected, rtol=1e-6)
    assert np.all(np.abs(held(text, 2)[:, 6:] - 1e-6) < 1e-12)


def test_time_and_noise_are_those_of_the_chip() -> None:
    chip = two_products().write("pcm", seed=2).with_read_noise("frozen")
    texts = [tile_netlist(look, 0, voltages=np.zeros(10)) for look in (chip, chip.at("1y"), chip)]
    assert texts[0] == texts[2]
    assert held(texts[1], 2).sum() < 0.9 * held(texts[0], 2).sum()


def test_tiles_and_voltages_that_there_are_not() -> None:
    chip = two_products().write()
    with pytest.raises(UsageError, match="nothing lies in tile 9 in segment 0") as caught:
        tile_netlist(chip, 9, voltages=np.zeros(10))
    assert "are in use, from 0 to" in str(caught.value)
    with pytest.raises(UsageError, match="nothing lies in tile 0 in segment 1"):
        tile_netlist(chip, 0, segment=1, voltages=np.zeros(10))
    with pytest.raises(UsageError, match="do not drive a tile of 10 rows"):
        tile_netlist(chip, 0, voltages=np.zeros(9))


# The command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.fixture
def program(command: Command) -> xbarc.Program:
    made = two_products()
    made.save("p.xbar.onnx")
    return made


def test_export_writes_what_the_function_says(command: Command, program: xbarc.Program) -> None:
    ran = command(
        *"export p.xbar.onnx --spice t.cir --tile 1 --device pcm --seed 5 --time 1h".split(), "--read-voltage", "0.2 V"
    )
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    chip = program.write("pcm", seed=5).at("1h")
    assert Path("t.cir").read_text("utf-8") == tile_netlist(chip, 1, voltages=np.full(10, 0.2))
    volts = np.linspace(-0.1, 0.2, 10)
    np.savez("v.npz", voltages=volts)
    assert command(*"export p.xbar.onnx --spice t.cir --tile 0 --voltages v.npz".split()).code == 0
    assert Path("t.cir").read_text("utf-8") == tile_netlist(program.write(), 0, voltages=volts)


def test_the_hardware_gives_the_read_voltage(command: Command) -> None:
    made = two_products("tile.read_voltage=0.3 V", hardware="exact")
    made.save("p.xbar.onnx")
    assert command(*"export p.xbar.onnx --spice t.cir --tile 0".split()).code == 0
    assert Path("t.cir").read_text("utf-8") == tile_netlist(made.write(), 0, voltages=np.full(10, 0.3))


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("--tile 0", 2, "the hardware does not give tile.read_voltage"),
        ("--tile 0 --read-voltage 5", 2, 'the read voltage "5" has no unit'),
        ("--tile 0 --read-voltage 5V --voltages v.npz", 2, "--voltages gives the voltage of each row, and so does"),
        ("--tile 0 --voltages none.npz", 1, "there is no such file"),
        ("--tile 0 --voltages x.npz", 1, "there is no array 'voltages'"),
        ("--tile 0 --voltages text.npz", 1, "'voltages' is <U1 (10,), and no list of numbers"),
        ("--tile 0 --voltages short.npz", 2, "do not drive a tile of 10 rows"),
        ("--tile 0 --voltages nan.npz", 2, "no finite number"),
        ("--tile 77 --read-voltage 1V", 2, "nothing lies in tile 77 in segment 0"),
        ("--tile 0 --seed 1 --read-voltage 1V", 2, "--seed would change nothing"),
        ("--tile 0 --device pcx --read-voltage 1V", 2, "there is no device 'pcx'"),
    ],
)
def test_exports_that_cannot_be(command: Command, program: xbarc.Program, options: str, code: int, says: str) -> None:
    np.savez("x.npz", x=np.zeros(10))
    np.savez("text.npz", voltages=np.array(["1"] * 10))
    np.savez("short.npz", voltages=np.zeros(9))
    np.savez("nan.npz", voltages=np.full(10, np.nan))
    ran = command(*"export p.xbar.onnx --spice t.cir".split(), *options.split())
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert not Path("t.cir").exists()


def test_ir_drop_is_left_out_when_told(command: Command, program: xbarc.Program) -> None:
    x = np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32)
    np.savez("x.npz", x=x)
    run = "run p.xbar.onnx --input x.npz --output y.npz --device pcm --read-noise frozen"
    chip = program.write("pcm").with_read_noise("frozen")
    for option, look in (("", chip), (" --ir-drop on", chip), (" --ir-drop off", chip.with_ir_drop(False))):
        assert command(*f"{run}{option}".split()).code == 0
        with np.load("y.npz") as found:
            assert np.array_equal(found["y"], look.run(x)["y"])
    assert not np.array_equal(chip.run(x)["y"], chip.with_ir_drop(False).run(x)["y"])


def test_an_evaluation_says_whether_wires_count(command: Command, program: xbarc.Program) -> None:
    np.savez("x.npz", x=np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32), labels=np.zeros(5, np.int64))
    arguments = "eval p.xbar.onnx --data x.npz --device pcm".split()
    for option, on in (([], True), (["--ir-drop", "on"], True), (["--ir-drop", "off"], False)):
        (chip,) = command(*arguments, *option, "--json").json()["chips"]
        assert chip["ir_drop"] is on
        assert ("(IR drop)" in command(*arguments, *option).out) is on


def test_ir_drop_of_hardware_without_wires_is_refused(command: Command) -> None:
    xbarc.compile(network([node("MatMul", ["x", "a"], "y")], {"x": ("N", 2)}, {"a": np.eye(2, dtype=np.float32)})).save(
        "p.xbar.onnx"
    )
    np.savez("x.npz", x=np.zeros((1, 2), np.float32), labels=np.zeros(1, np.int64))
    for verb in ("run p.xbar.onnx --input x.npz --output y.npz", "eval p.xbar.onnx --data x.npz"):
        ran = command(*f"{verb} --device pcm --ir-drop off".split())
        assert (ran.code, ran.out) == (2, "")
        assert "no wire of the hardware has any resistance: --ir-drop off would change nothing" in ran.err
        assert "--ir-drop would change nothing" in command(*f"{verb} --ir-drop on".split()).err
