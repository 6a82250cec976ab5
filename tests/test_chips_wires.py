"""Written chips whose tiles have wires: the circuit of each tile, solved by itself, and what follows for a network."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from networks import network, node
from places import Cell, Level, cells_of

import xbarc
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.wiring import Wiring

WIRES = ("tile.row_wire=3 Ohm", "tile.column_wire=2 Ohm", "tile.source_resistance=5 Ohm", "tile.sense_resistance=1 Ohm")
WIRING = Wiring(row_wire_ohm=3.0, column_wire_ohm=2.0, source_ohm=5.0, sense_ohm=1.0)
SMALL = ("tile.rows=20", "tile.columns=12", "cell.g_max=2 mS")
SPREAD = "generic:programming_independent=0.05"


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def two_layers() -> onnx.ModelProto:
    constants = {"a": numbers(4, 1, 3, 3, seed=1), "b": numbers(64, 5, seed=2)}
    nodes = [
        node("Conv", ["x", "a"], "first", group=4),
        node("Flatten", ["first"], "flat"),
        node("MatMul", ["flat", "b"], "y"),
    ]
    return network(nodes, {"x": ("N", 4, 6, 6)}, constants)


def conductances(graph: Graph, program: xbarc.Program) -> dict[str, dict[Level, tuple[Cell, float]]]:
    """Of each layer, each cell of its first copy with its place and what it is taken for, in siemens."""
    cell = program.hardware.cell
    assert cell.g_step is not None
    found: dict[str, dict[Level, tuple[Cell, float]]] = {}
    for layer in layers(graph):
        found[layer.name] = {
            level: (place, cell.g_min + float(layer.read.levels[level[1:]]) * cell.g_step)
            for place, level in cells_of(layer, program.hardware)
            if level[0] == 0
        }
    return found


@pytest.mark.parametrize("pack", ["off", "network"])
@pytest.mark.parametrize(
    "layout",
    [
        ("tile.polarity=unit-cell",),
        ("tile.polarity=adjacent-columns",),
        ("tile.polarity=paired-tiles", "weights.subtraction=digital"),
        ("weights.encoding=offset", "weights.subtraction=digital"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_a_column_gives_what_the_circuit_of_its_tile_gives(layout: tuple[str, ...], pack: str) -> None:
    """Voltages on the rows of one block, all other rows of its tile at 0 V."""
    program = xbarc.compile(two_layers(), overrides=(*SMALL, *WIRES, *layout), pack=pack)
    chip = program.write(SPREAD, seed=3)
    actual = conductances(chip.with_ir_drop(False)._cells[0], program)
    seen = conductances(chip._cells[0], program)
    planes = 2 if "unit-cell" in layout[0] else 1
    tiles: dict[int, np.ndarray] = defaultdict(lambda: np.zeros((planes, 20, 12)))
    blocks: dict[tuple[str, int, int], list[tuple[Cell, float]]] = defaultdict(list)
    for name, cells in actual.items():
        for level, ((tile, row, column, plane), siemens) in cells.items():
            tiles[tile][plane, row, column] = siemens
            blocks[name, level[1], level[3]].append(((tile, row, column, plane), seen[name][level][1]))
    lost = []
    for places in blocks.values():
        for tile in {place[0] for place, _ in places}:
            mine = [(place, siemens) for place, siemens in places if place[0] == tile]
            volts = np.zeros((1, 20))
            rows = sorted({place[1] for place, _ in mine})
            volts[0, rows] = np.random.default_rng(len(lost)).uniform(-0.2, 0.2, len(rows))
            currents = solve_exact(tiles[tile], volts, WIRING).currents.reshape(planes, 12)
            expected: dict[tuple[int, int], float] = defaultdict(float)
            without: dict[tuple[int, int], float] = defaultdict(float)
            for (_, row, column, plane), siemens in mine:
                expected[plane, column] += volts[0, row] * siemens
                without[plane, column] += volts[0, row] * tiles[tile][plane, row, column]
            largest = max(abs(current) for current in without.values())
            for place, current in expected.items():
                assert currents[place] == pytest.approx(current, abs=2e-3 * largest)
            lost.append(max(abs(without[place] - current) for place, current in expected.items()) / largest)
    assert max(lost) > 0.05


def test_wires_without_resistance_change_no_bit() -> None:
    model, x = two_layers(), numbers(3, 4, 6, 6, seed=5)
    plain = xbarc.compile(model, overrides=SMALL).write("pcm", seed=4)
    wired = xbarc.compile(model, overrides=(*SMALL, *WIRES)).write("pcm", seed=4)
    expected = plain.run(x)["y"]
    assert np.array_equal(wired.with_ir_drop(False).run(x)["y"], expected)
    assert not np.array_equal(wired.run(x)["y"], expected)
    assert not wired.with_ir_drop(False).ir_drop
    assert wired.ir_drop
    assert not plain.ir_drop


def test_onnxruntime_computes_the_same_bits_behind_wires() -> None:
    x = numbers(3, 4, 6, 6, seed=5)
    chip = xbarc.compile(two_layers(), overrides=(*SMALL, *WIRES)).write("pcm", seed=4).with_read_noise("frozen")
    session = ort.InferenceSession(chip.model().SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": x})[0], chip.run(x)["y"])


def test_more_resistance_costs_accuracy_from_a_knee_on(models_dir: Path) -> None:
    """Little is lost up to a wire of 1e-5 times the resistance of the best cell, much at 1e-3 and more."""
    with np.load(models_dir / "digits_test.npz") as data:
        x, labels = data["input"][:150], data["labels"][:150]
    right = []
    for ohm in (0.0, 0.4, 40.0, 400.0):  # of 1 / 25 uS: 0, 1e-5, 1e-3, 1e-2
        program = xbarc.compile(
            models_dir / "digits_mlp.onnx",
            calibration=models_dir / "digits_calibration.npz",
            overrides=(f"tile.row_wire={ohm} Ohm", f"tile.column_wire={ohm} Ohm"),
        )
        found = program.write("generic:programming_independent=0.001", seed=1).run(x)
        right.append(float(np.mean(next(iter(found.values())).argmax(axis=-1) == labels)))
    assert right[0] > 0.95
    assert right[1] > right[0] - 0.02
    assert right[3] < right[2] <= right[1] + 0.02
    assert right[3] < 0.7
