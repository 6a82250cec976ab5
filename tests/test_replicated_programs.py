"""Programs with copies: their tiles, their numbers, their files, and what is said of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, finite_hardware, network, node
from onnx import numpy_helper
from test_control_flow import repeated
from test_shared_weights import unrolled

import xbarc
from xbarc.errors import CapacityError, UsageError
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tiles_of(layer: Layer) -> list[set[int]]:
    """The tiles of each copy."""
    pieces = layer.read.pieces
    assert pieces is not None
    return [set(pieces["tile"][pieces["copy"] == copy].tolist()) for copy in range(layer.read.copies)]


@st.composite
def convolutional(draw: Draw) -> onnx.ModelProto:
    """Two convolutions and a fully connected layer: many windows, fewer, one."""
    size, inner, outer = draw(st.integers(6, 9)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    constants = {
        "a": numbers(inner, 2, 3, 3, seed=1),
        "b": numbers(outer, inner, 2, 2, seed=2),
        "c": numbers(outer * (size - 3) ** 2, 5, seed=3),
    }
    nodes = [
        node("Conv", ["x", "a"], "first"),
        node("Conv", ["first", "b"], "second"),
        node("Flatten", ["second"], "flat"),
        node("MatMul", ["flat", "c"], "y"),
    ]
    return network(nodes, {"x": ("N", 2, size, size)}, constants)


def on_chip(hardware: Hardware, *, tiles: int, core: int) -> Hardware:
    return Hardware.from_dict({**hardware.to_dict(), "chip": {"tiles": tiles}, "core": {"tiles": core}})


@settings(max_examples=40)
@given(convolutional(), finite_hardware(), st.integers(0, 40), st.integers(1, 9), st.sampled_from(["balance", 3, 20]))
def test_copies_have_tiles_of_their_own_and_change_no_number(
    model: onnx.ModelProto, hardware: Hardware, spare: int, core: int, asked: str
) -> None:
    """On every chip on which one copy of each fits, down to the last tile."""
    x = numbers(2, *(entry.dim_value for entry in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    plain = xbarc.compile(model, hardware=hardware, calibration=x)
    tiles = core * (math.ceil(plain.report().totals.physical_tiles / core) + spare // core)
    chip = on_chip(hardware, tiles=tiles, core=core)
    copied = xbarc.compile(model, hardware=chip, calibration=x, replicate=asked)
    report, found = copied.report(), layers(copied.graph)
    every = [copy for layer in found for copy in tiles_of(layer)]
    assert len(set.union(*every)) == sum(len(copy) for copy in every) == report.totals.physical_tiles
    assert max(set.union(*every)) < tiles
    assert [layer.copies for layer in report.layers] == [len(tiles_of(layer)) for layer in found]
    assert [layer.physical_tiles for layer in report.layers] == [sum(map(len, tiles_of(layer))) for layer in found]
    assert [layer.rounds for layer in report.layers] == [
        math.ceil((layer.windows or 0) / layer.copies) for layer in report.layers
    ]
    usage = report.replication
    assert usage.bottleneck == max(layer.rounds or 0 for layer in report.layers)
    assert report.totals.chip.free == tiles - report.totals.physical_tiles
    assert usage.copies == report.totals.physical_tiles - plain.report().totals.physical_tiles
    cores = {tile // core for copy in every for tile in copy}
    assert usage.cores_used == len(cores)
    assert usage.core_free == core * len(cores) - report.totals.physical_tiles
    cells = report.totals.cells
    parts = (cells.weights, cells.slices, cells.polarity, cells.copies, cells.reference, cells.groups, cells.edges)
    assert sum(parts) == cells.total
    held = (cells.weights + cells.slices + cells.polarity) // cells.weights
    assert cells.copies == sum(layer.cells.weights * held * (layer.copies - 1) for layer in report.layers)
    assert np.array_equal(copied.write("ideal").run(x)["y"], plain.write("ideal").run(x)["y"])
    again = xbarc.load(copied.model())
    assert [tiles_of(layer) for layer in layers(again.graph)] == [tiles_of(layer) for layer in found]
    assert again.report().to_json() == report.to_json()
    assert json.loads(json.dumps(report.to_json()["replication"])) == report.to_json()["replication"]


def test_without_it_each_layer_has_one_copy() -> None:
    report = xbarc.compile(unrolled(), calibration=numbers(8, 6)).report()
    assert {layer.copies for layer in report.layers} == {1}
    assert (report.replication.asked, report.replication.copies) == ("none", 0)


def test_windows_of_layers_that_share_tiles_add_up() -> None:
    """Three layers take turns on one matrix; the fourth has its own."""
    program = xbarc.compile(unrolled(), calibration=numbers(8, 6), replicate=1)
    report = program.report()
    assert [layer.copies for layer in report.layers] == [3, 3, 3, 1]
    assert [layer.rounds for layer in report.layers] == [1, 1, 1, 1]
    assert [layer.physical_tiles for layer in report.layers] == [3, 0, 0, 1]
    first, second, *_ = (tiles_of(layer) for layer in layers(program.graph))
    assert first == second


def test_windows_in_a_loop_count_as_often_as_it_runs() -> None:
    report = xbarc.compile(repeated(6), calibration=numbers(3, 4), replicate=2).report()
    assert [(layer.copies, layer.rounds) for layer in report.layers] == [(3, 2)]


def test_a_layer_of_unknown_windows_keeps_one_copy_and_is_named() -> None:
    constants = {"a": numbers(3, 2, 3, 3), "b": numbers(4, 4)}
    nodes = [
        node("Conv", ["x", "a"], "y"),
        node("MatMul", ["v", "b"], "z"),
    ]
    model = network(
        nodes,
        {"x": ("N", 2, "H", "W"), "v": ("N", 8, 4)},
        constants,
        outputs=("y", "z"),
        output_ranks={"y": 4, "z": 3},
    )
    report = xbarc.compile(model, calibration={"x": numbers(2, 2, 7, 7), "v": numbers(2, 8, 4)}, replicate=2).report()
    assert [(layer.copies, layer.rounds) for layer in report.layers] == [(1, None), (4, 2)]
    assert report.replication.unknown == ("y",)
    assert (report.replication.bottleneck, report.replication.slowest) == (2, "z")


def test_what_is_missed_is_said_with_the_tiles_that_are_short(models_dir: Path) -> None:
    """Three layers of 1, 3 and 2 tiles and 64, 16 and 1 windows; 8 + 2 x 3 + 2 tiles would do it."""
    program = xbarc.compile(
        models_dir / "digits_cnn.onnx",
        overrides=["tile.rows=64", "tile.columns=64", "chip.tiles=14"],
        calibration=models_dir / "digits_calibration.npz",
        replicate=8,
    )
    report = program.report()
    assert [layer.copies for layer in report.layers] == [6, 2, 1]
    (said,) = report.warnings
    assert said == "conv1 takes 11 rounds where at most 8 were asked for: the chip is 2 tiles short"


def test_a_network_that_does_not_fit_is_refused_as_without(models_dir: Path) -> None:
    said = []
    for asked in ("none", "balance", 5):
        with pytest.raises(CapacityError) as refused:
            xbarc.compile(
                models_dir / "digits_cnn.onnx",
                overrides=["tile.rows=64", "tile.columns=64", "chip.tiles=5"],
                replicate=asked,
            )
        said.append(str(refused.value))
    assert "needs 6 physical tiles, the chip has 5: 1 too few" in said[0]
    assert said == said[:1] * 3


@pytest.mark.parametrize("asked", [0, -3, "most", 1.5, True])
def test_other_words_are_refused(models_dir: Path, asked: object) -> None:
    with pytest.raises(UsageError, match="there is no replication"):
        xbarc.compile(models_dir / "digits_cnn.onnx", replicate=asked)


def test_an_unlimited_chip_has_no_balance(models_dir: Path) -> None:
    with pytest.raises(UsageError, match="unlimited tiles"):
        xbarc.compile(models_dir / "digits_cnn.onnx", overrides=["chip.tiles=unlimited"], replicate="balance")


def test_copies_for_a_throughput() -> None:
    """16 windows of 1 us: 62,500 inferences a second of one copy, and twice as many of two."""
    model = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 2, 18]}, {"w": numbers(3, 2, 3)})
    timed = ("tile.read_time=1 us",)

    def copies(replicate: str, *overrides: str) -> int:
        (layer,) = layers(xbarc.compile(model, overrides=(*timed, *overrides), replicate=replicate).graph)
        return layer.read.copies

    assert [copies(text) for text in ("60 k/s", "62.5k/s", "63 k/s", "125 k/s", "126 k/s")] == [1, 1, 2, 2, 3]
    # Half of the rows at once: two reads a window.
    assert copies("62.5 k/s", "tile.rows=6", "tile.active_rows=3") == 2
    # 1000 windows of 1 us are 1 ms, in whatever way that is rounded.
    long = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 2, 1002]}, {"w": numbers(3, 2, 3)})
    (layer,) = layers(xbarc.compile(long, overrides=timed, replicate="1 k/s").graph)
    assert layer.read.copies == 1
    program = xbarc.compile(model, overrides=(*timed, "chip.tiles=2"), replicate="200 k/s")
    (warning,) = [text for text in program.report().warnings if "a second" in text]
    assert warning == "200 k inferences a second were asked for, 125 k are reached"
    hardware = load_hardware("generic-pcm").to_dict()
    hardware["tile"].pop("read_time")
    hardware["adc"].pop("columns_per_adc")
    hardware["components"] = {}
    with pytest.raises(UsageError, match="depends on the time of a read, which is not known"):
        xbarc.compile(model, hardware=Hardware.from_dict(hardware), replicate="5 k/s")
    for text in ("5 k", "0/s", "-1/s", "fast/s"):
        with pytest.raises(UsageError, match="there is no replication"):
            xbarc.compile(model, replicate=text)


def vgg() -> onnx.ModelProto:
    """VGG-16, its weights one repeated number, so that the model is small."""
    nodes, constants, last, channels = [], {}, "x", 3

    def filled(name: str, *shape: int) -> str:
        constants[f"{name}.shape"] = np.array(shape)
        nodes.append(
            node("ConstantOfShape", [f"{name}.shape"], name, value=numpy_helper.from_array(np.float32([0.01])))
        )
        return name

    for stage, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        for number in range(depth):
            name = f"conv{stage}_{number}"
            weight = filled(f"{name}.weight", width, channels, 3, 3)
            nodes.append(node("Conv", [last, weight], name, pads=[1, 1, 1, 1]))
            nodes.append(node("Relu", [name], f"{name}.relu"))
            last, channels = f"{name}.relu", width
        nodes.append(node("MaxPool", [last], f"pool{stage}", kernel_shape=[2, 2], strides=[2, 2]))
        last = f"pool{stage}"
    nodes.append(node("Flatten", [last], "flat"))
    for name, before, after, width in (
        ("fc6", "flat", 25088, 4096),
        ("fc7", "fc6", 4096, 4096),
        ("y", "fc7", 4096, 1000),
    ):
        nodes.append(node("MatMul", [before, filled(f"{name}.weight", after, width)], name))
    return network(nodes, {"x": ("N", 3, 224, 224)}, constants)


def test_vgg_is_copied_on_a_chip_that_it_nearly_fills() -> None:
    """Figures by software that is not ours: 8454 tiles of 128 x 128 for one copy; 965 rounds with 9198 of 9216."""
    chip = ["tile.rows=128", "tile.columns=128", "chip.tiles=9216", "core.tiles=64", "adc.range=unit"]
    report = xbarc.compile(vgg(), overrides=chip, replicate="balance").report()
    usage = report.replication
    assert report.totals.logical_tiles == 8454
    assert (usage.single, usage.optimum, usage.bottleneck) == (50176, 965, 965)
    assert report.totals.physical_tiles == 9198
    assert (report.totals.chip.slack, report.totals.chip.fragmentation, report.totals.chip.spare) == (18, 0, 0)
    assert not usage.scattered
