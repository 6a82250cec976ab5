"""A matrix that several layers share is mapped, written and counted once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from networks import network, node, run

import xbarc
from xbarc.ir.layer import layers


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def unrolled() -> onnx.ModelProto:
    """Three steps of a loop with one matrix, and a layer whose own matrix happens to be equal to it."""
    steps = [
        node("MatMul", ["x", "W"], "first"),
        node("Tanh", ["first"], "a"),
        node("MatMul", ["a", "W"], "second"),
        node("Add", ["second", "b"], "shifted"),
        node("Tanh", ["shifted"], "c"),
        node("MatMul", ["c", "W"], "third"),
        node("Tanh", ["third"], "d"),
        node("MatMul", ["d", "V"], "other"),
    ]
    matrix = numbers(6, 6, seed=1)
    return network(
        steps, {"x": ["N", 6]}, {"W": matrix, "V": matrix.copy(), "b": numbers(6, seed=2)}, outputs=["other"]
    )


def program() -> xbarc.Program:
    return xbarc.compile(unrolled(), calibration=numbers(32, 6))


def test_its_tiles_are_counted_once() -> None:
    report = program().report()
    assert [(layer.name, layer.shares) for layer in report.layers] == [
        ("first", None),
        ("second", "first"),
        ("third", "first"),
        ("other", None),
    ]
    assert [layer.physical_tiles for layer in report.layers] == [1, 0, 0, 1]
    assert report.totals.physical_tiles == 2
    assert report.totals.cells.weights == 2 * 36
    assert report.totals.analog_macs == 4 * 36


def test_its_levels_lie_once_in_the_artefact() -> None:
    made = program()
    model = made.model()
    levels = [tensor for tensor in model.graph.initializer if tensor.name.endswith("levels")]
    assert len(levels) == 2
    x = numbers(5, 6, seed=9)
    again = xbarc.load(model)
    for each in (made, again):
        np.testing.assert_array_equal(each.write().run(x)["other"], run(model, {"x": x})[0])
    assert again.text() == made.text()


def test_a_chip_has_its_cells_once(tmp_path: Path) -> None:
    made = program()
    chip = made.write("pcm", seed=4).at("1h")
    assert chip.written is not None
    assert list(chip.written.cells) == ["first", "other"]
    graph = chip._cells[0]
    first, second, third, other = (layer.read.levels for layer in layers(graph))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, other)  # equal weights in cells of their own
    chip.save(tmp_path / "chip.npz")
    x = numbers(5, 6, seed=9)
    back = made.load_chip(tmp_path / "chip.npz").at("1h").run(x)
    np.testing.assert_array_equal(back["other"], chip.run(x)["other"])
