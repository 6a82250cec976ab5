"""When layers read: against onnxruntime, which carries the times along, and a walk over windows one by one."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, network, node, run
from onnx import helper
from test_control_flow import recurrent, repeated
from test_shared_weights import unrolled

import xbarc
from xbarc.ir.schedule import Schedule, schedule
from xbarc.report.json_form import plain

READ_TIME = ["tile.read_time=100 ns"]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def dense(*sizes: int, batch: tuple[Any, ...] = ("N",)) -> onnx.ModelProto:
    constants = {f"w{at}": numbers(*pair) for at, pair in enumerate(itertools.pairwise(sizes))}
    names = ["x", *(f"t{at}" for at in range(len(sizes) - 2)), "y"]
    nodes = [node("MatMul", [names[at], f"w{at}"], names[at + 1]) for at in range(len(sizes) - 1)]
    return network(nodes, {"x": (*batch, sizes[0])}, constants)


def made(model: onnx.ModelProto, replicate: Any = "none", *changes: str) -> Schedule:
    return schedule(xbarc.compile(model, overrides=["chip.tiles=unlimited", *changes], replicate=replicate).graph)


# Networks of images, against a walk over windows in which onnxruntime takes the largest time in each window


@st.composite
def images(draw: Draw) -> onnx.ModelProto:
    """Convolutions and pools one after the other or side by side, with what lies between them in networks."""
    size = draw(st.integers(4, 9))
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    values = [("x", 2, size)]
    for at in range(draw(st.integers(1, 6))):
        name = f"v{at}"
        (last, channels, width), other = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        kernel, stride, pad = (draw(st.integers(*ends)) for ends in ((1, 3), (1, 2), (0, 1)))
        pad = min(pad, kernel - 1)  # as pools need it
        after = (width + 2 * pad - kernel) // stride + 1
        kind = draw(st.sampled_from(["Conv", "Conv", "Conv", "Relu", "Add", "Concat", "MaxPool", "AveragePool"]))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        alike = width == other[2]
        if kind == "Conv" and after >= 1 and (width, kernel) != (1, 1):
            constants[f"{name}.w"] = numbers(3, channels, kernel, kernel, seed=at)
            nodes.append(node("Conv", [last, f"{name}.w"], name, **window))
            values.append((name, 3, after))
        elif kind in ("MaxPool", "AveragePool") and after >= 1:
            nodes.append(node(kind, [last], name, **window))
            values.append((name, channels, after))
        elif kind == "Add" and alike and channels == other[1]:
            nodes.append(node("Add", [last, other[0]], name))
            values.append((name, channels, width))
        elif kind == "Concat" and alike:
            nodes.append(node("Concat", [last, other[0]], name, axis=1))
            values.append((name, channels + other[1], width))
        else:
            nodes.append(node("Relu", [last], name))
            values.append((name, channels, width))
    constants["end"] = numbers(3, values[-1][1], 1, 1, seed=99)
    nodes.append(node("Conv", [values[-1][0], "end"], "y"))
    # All layers are outputs, so that none is dropped.
    outputs = [each.output[0] for each in nodes if each.op_type == "Conv"]
    return network(nodes, {"x": ("N", 2, size, size)}, constants, outputs=outputs)


def latest(times: np.ndarray, window: onnx.NodeProto) -> np.ndarray:
    """The largest time in each window, as onnxruntime takes it."""
    given = {entry.name: helper.get_attribute_value(entry) for entry in window.attribute}
    kernel = given.get("kernel_shape", [1, 1])
    pool = node("MaxPool", ["x"], "y", **{"kernel_shape": kernel} | {k: v for k, v in given.items() if k != "group"})
    (found,) = run(network([pool], {"x": (1, 1, *times.shape)}), {"x": times[None, None].astype(np.float32)})
    return found[0, 0]


def walk(model: onnx.ModelProto, copies: dict[str, int]) -> tuple[dict[str, tuple[int, int]], int]:
    """Spans of layers and the latency, one window after the other."""
    size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    times = {"x": np.zeros((size, size))}
    spans = {}
    for each in model.graph.node:
        before = [times[name] for name in each.input if name in times]
        if each.op_type == "Conv":
            ready = latest(before[0], each)
            free = [0] * copies[each.name]
            done = np.zeros_like(ready)
            for number, place in enumerate(np.ndindex(ready.shape)):
                copy = number % len(free)
                free[copy] = done[place] = max(free[copy], ready[place]) + 1
            spans[each.name] = (int(done.min()) - 1, int(done.max()))
            times[each.output[0]] = done
        elif each.op_type.endswith("Pool"):
            times[each.output[0]] = latest(before[0], each)
        else:
            times[each.output[0]] = np.maximum.reduce(before)
    return spans, max(end for _, end in spans.values())


@settings(max_examples=100)
@given(images(), st.sampled_from(["none", 1, 2, 5, 17]))
def test_windows_are_read_when_their_inputs_are_there(model: onnx.ModelProto, replicate: Any) -> None:
    program = xbarc.compile(model, overrides=["chip.tiles=unlimited"], replicate=replicate)
    report, found = program.report(), schedule(program.graph)
    spans, latency = walk(model, {layer.name: layer.copies for layer in report.layers})
    assert {name: (span.start, span.end) for name, span in found.spans.items()} == spans
    assert found.latency == latency
    assert found.interval == max(math.ceil((layer.windows or 0) / layer.copies) for layer in report.layers)
    assert found.interval <= found.latency <= sum(layer.rounds or 0 for layer in report.layers)


# Others, by hand


def test_layers_of_one_window_follow_each_other() -> None:
    found = made(dense(4, 5, 6, 7))
    assert [(span.start, span.end) for span in found.spans.values()] == [(0, 1), (1, 2), (2, 3)]
    assert (found.interval, found.latency) == (1, 3)


def test_tokens_stream_through() -> None:
    found = made(dense(4, 5, 6, batch=("N", 10)))
    assert [(span.start, span.end) for span in found.spans.values()] == [(0, 10), (1, 11)]
    found = made(dense(4, 5, 6, batch=("N", 10)), 4)
    assert [(span.start, span.end) for span in found.spans.values()] == [(0, 4), (1, 5)]


def test_an_operator_that_needs_all_of_its_input_waits_for_it() -> None:
    nodes = [
        node("MatMul", ["x", "a"], "t"),
        node("Softmax", ["t"], "s", axis=1),
        node("MatMul", ["s", "b"], "y"),
    ]
    model = network(nodes, {"x": ("N", 10, 4)}, {"a": numbers(4, 5), "b": numbers(5, 6)})
    assert [(span.start, span.end) for span in made(model).spans.values()] == [(0, 10), (10, 20)]


def test_heads_and_shuffled_channels_pass_through_reshapes() -> None:
    nodes = [
        node("Conv", ["x", "a"], "t"),
        node("Reshape", ["t", "split"], "g"),
        node("Transpose", ["g"], "s", perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["s", "joined"], "r"),
        node("Conv", ["r", "b"], "y"),
    ]
    constants = {
        "a": numbers(6, 2, 1, 1),
        "b": numbers(3, 6, 1, 1),
        "split": np.array([0, 2, 3, 5, 5]),
        "joined": np.array([0, 6, 5, 5]),
    }
    found = made(network(nodes, {"x": ("N", 2, 5, 5)}, constants))
    assert [(span.start, span.end) for span in found.spans.values()] == [(0, 25), (1, 26)]


def test_channels_join_also_with_those_of_the_input() -> None:
    nodes = [
        node("Conv", ["x", "a"], "t"),
        node("Concat", ["x", "t"], "j", axis=1),
        node("Conv", ["j", "b"], "y"),
    ]
    model = network(nodes, {"x": ("N", 2, 4, 4)}, {"a": numbers(6, 2, 1, 1), "b": numbers(3, 8, 1, 1)})
    assert [(span.start, span.end) for span in made(model).spans.values()] == [(0, 16), (1, 17)]


def test_layers_that_share_tiles_take_turns() -> None:
    """Three layers on one matrix, which depend on each other, and a fourth; 3 windows of one matrix an inference."""
    found = made(unrolled())
    assert (found.interval, found.latency) == (3, 4)
    side = [node("MatMul", ["x", "w"], "p"), node("MatMul", ["v", "w"], "q")]
    model = network(side, {"x": ("N", 4), "v": ("N", 4)}, {"w": numbers(4, 5)}, outputs=("p", "q"))
    assert [(span.start, span.end) for span in made(model).spans.values()] == [(0, 1), (1, 2)]
    assert [(span.start, span.end) for span in made(model, 1).spans.values()] == [(0, 1), (1, 2)]


def test_a_loop_takes_its_steps_one_after_the_other() -> None:
    found = made(repeated(6))
    assert (found.interval, found.latency) == (6, 6)
    assert [(span.start, span.end) for span in found.spans.values()] == [(0, 6)]


def test_copies_in_a_loop_take_turns_at_its_steps() -> None:
    """Over many inferences, no copy is read more often than another."""
    program = xbarc.compile(repeated(6), overrides=["chip.tiles=3"], calibration=numbers(3, 4), replicate=2)
    loads = program.tile_map().schedule.tiles
    assert [(load.reads, load.busy) for load in loads] == [(2, 1.0)] * 3
    assert program.report().schedule.interval == 2


def test_layers_on_the_same_cells_each_count_their_own_reads() -> None:
    """Signed codes of 8 bits are 14 digits in two phases, those of 8 bits behind the ``Relu`` 8."""
    nodes = [node("MatMul", ["x", "w"], "a"), node("Relu", ["a"], "b"), node("MatMul", ["b", "w"], "y")]
    model = network(nodes, {"x": ("N", 4)}, {"w": numbers(4, 4)})
    found = made(model, "none", "input.mode=bit-serial", "input.sign=phases", "dac.bits=8")
    assert (found.interval, found.latency) == (22, 22)
    # One layer on each of two copies: the slower sets the pace.
    assert made(model, 1, "input.mode=bit-serial", "input.sign=phases", "dac.bits=8").interval == 14


def test_unknown_sizes_have_no_schedule() -> None:
    model = network(
        [node("Conv", ["x", "a"], "y")], {"x": ("N", 2, "H", "W")}, {"a": numbers(3, 2, 3, 3)}, output_ranks={"y": 4}
    )
    found = made(model)
    assert (found.interval, found.latency, found.spans) == (None, None, {})
    assert made(recurrent()).latency is None


@pytest.mark.parametrize("sign", ["twos-complement", "phases"])
def test_each_digit_is_a_read(sign: str) -> None:
    serial = ["input.mode=bit-serial", "input.digit_bits=2", f"input.sign={sign}", "dac.bits=8"]
    x = numbers(8, 4)
    program = xbarc.compile(dense(4, 5), calibration=x, overrides=serial)
    (layer,) = program.report().schedule.layers
    assert layer.reads == {"twos-complement": 5, "phases": 8}[sign]
    assert (layer.start, layer.end, layer.busy) == (0, layer.reads, layer.reads)


def test_seconds_come_from_the_time_of_a_read() -> None:
    program = xbarc.compile(dense(4, 5, 6, batch=("N", 10)), overrides=READ_TIME)
    usage = program.report().schedule
    assert (usage.interval, usage.latency) == (10, 11)
    assert usage.interval_s == pytest.approx(1e-6)
    assert usage.latency_s == pytest.approx(1.1e-6)
    assert usage.throughput == pytest.approx(1e6)
    assert usage.occupancy == 1.0
    written = plain(usage)
    assert written["throughput"] == usage.throughput
    assert [layer["end"] for layer in written["layers"]] == [10, 11]


def test_occupancy_counts_tiles_by_what_they_read(models_dir: Path) -> None:
    """64, 16 and 1 windows on 1, 3 and 2 tiles; then the first has 3 copies."""
    tiles = ["tile.rows=64", "tile.columns=64"]
    usage = xbarc.compile(models_dir / "digits_cnn.onnx", overrides=tiles).report().schedule
    assert [layer.occupancy for layer in usage.layers] == [1, 16 / 64, 1 / 64]
    assert usage.occupancy == pytest.approx((1 + 3 * 16 / 64 + 2 / 64) / 6)
    usage = xbarc.compile(models_dir / "digits_cnn.onnx", overrides=tiles, replicate=22).report().schedule
    assert usage.interval == 22
    assert usage.occupancy == pytest.approx((64 / 22 + 3 * 16 / 22 + 2 / 22) / 8)
