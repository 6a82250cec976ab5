"""Uses and energies of programs of every kind: counted one by one, and simulated cell by cell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from costs import costly_hardware, count_uses, holds
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, network, node, run
from places import cells_of
from test_report_sums import chains

import xbarc
from xbarc.api.compiler import Packing
from xbarc.hardware.network import digital_bits, mesh_of
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers
from xbarc.ir.mesh import bit_hops
from xbarc.ir.traffic import traffic
from xbarc.passes.split_blocks import Split


@st.composite
def programs(draw: Draw) -> tuple[onnx.ModelProto, xbarc.Program]:
    """Every encoding, layout, input, split, packing and number of copies, with a figure for every use."""
    model, x = draw(chains())
    program = xbarc.compile(
        model,
        hardware=draw(costly_hardware()),
        calibration=x,
        pack=draw(st.sampled_from(get_args(Packing))),
        split=draw(st.sampled_from(get_args(Split))),
        replicate=draw(st.sampled_from(["none", 1, 4])),
    )
    return model, program


def windows_of(model: onnx.ModelProto) -> dict[str, int]:
    """Of each layer of a chain, by the sizes that onnxruntime makes."""
    names = ["dense", "grouped", "point"]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    shape = [1, *(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    _, *found = run(probed, {"x": np.zeros(shape, dtype=np.float32)})
    return {name: math.prod(array.shape[2:]) for name, array in zip(names, found, strict=True)} | {"y": 1}


@settings(max_examples=50, deadline=None)
@given(programs())
def test_uses_are_those_of_every_window_digit_and_block(drawn: tuple[onnx.ModelProto, xbarc.Program]) -> None:
    model, program = drawn
    windows, blocks = windows_of(model), program.tile_map().blocks
    for layer, cost in zip(layers(program.graph), program.report().cost.layers, strict=True):
        own = [block for block in blocks if block.layer == layer.name]
        expected = count_uses(layer, own, windows[layer.name], program.hardware)
        assert {use: cost.counts.of(use) for use in expected} == dict(expected)  # type: ignore[arg-type]


def test_rows_that_several_reads_drive_count_each_time_and_are_fed_once() -> None:
    """Two groups of 4 x 1 weights in two slices, all four blocks side by side in one tile, read one after the other."""
    model = network([node("Conv", ["x", "w"], "y", group=2)], {"x": ("N", 8, 1, 1)}, {"w": np.ones((2, 4, 1, 1), "f4")})
    described = {
        "name": "tall",
        "cell": {"g_min": "0 S", "g_max": "10 uS", "levels": 4},
        "tile": {"rows": 4, "columns": 4},
        "weights": {"slices": 2},
        "dac": {"bits": 4},
        "adc": {"bits": 8},
    }
    program = xbarc.compile(model, hardware=Hardware.from_dict(described))
    (layer,) = layers(program.graph)
    pieces = layer.read.pieces
    assert pieces is not None
    assert len(pieces) == 4
    pieces["tile"], pieces["row"] = 0, 0
    pieces["column"] = pieces["turn"] = np.arange(4)
    (cost,) = program.report().cost.layers
    counts = (cost.counts.tile_reads, cost.counts.dac_conversions, cost.counts.adc_conversions)
    assert counts == (4, 16, 4)
    assert cost.counts.buffer_bits == 2 * 4 * 4 + 2 * 4  # rows of two groups, and two outputs


def test_copies_that_share_a_read_count_it_once(models_dir: Path) -> None:
    """Five copies of 64 windows on the diagonals of two tiles: no tile is read more than 13 times for them."""
    few = ["chip.tiles=8"]
    program = xbarc.compile(models_dir / "digits_cnn.onnx", overrides=few, replicate="balance", pack="network")
    report = program.report()
    assert report.totals.physical_tiles == 2
    assert [layer.copies for layer in report.layers] == [5, 2, 1]
    assert [layer.counts.tile_reads for layer in report.cost.layers] == [2 * 13, 2 * 8, 1]
    assert [layer.counts.adc_conversions for layer in report.cost.layers] == [64 * 16, 16 * 32, 10]


@settings(max_examples=25, deadline=None)
@given(programs())
def test_reads_of_layers_are_those_of_tiles_and_fit_between_inferences(
    drawn: tuple[onnx.ModelProto, xbarc.Program],
) -> None:
    program = drawn[1]
    report, tiles = program.report(), program.tile_map().schedule.tiles
    assert sum(layer.counts.tile_reads or 0 for layer in report.cost.layers) == sum(tile.reads or 0 for tile in tiles)
    assert max(tile.reads or 0 for tile in tiles) <= (report.schedule.interval or 0)


@settings(max_examples=40, deadline=None)
@given(programs())
def test_sums_by_component_and_by_layer_are_the_total(drawn: tuple[onnx.ModelProto, xbarc.Program]) -> None:
    program = drawn[1]
    cost, hardware = program.report().cost, program.hardware
    places = [*cost.layers, cost.digital]
    assert cost.energy is not None
    assert cost.energy == pytest.approx(math.fsum(line.energy or 0.0 for line in cost.lines), rel=1e-12)
    assert cost.energy == pytest.approx(math.fsum(place.energy or 0.0 for place in places) + (cost.always_on or 0.0))
    parts = hardware.components.by_name
    for index, line in enumerate(cost.lines):
        column = [place.energies[index] for place in places]
        if line.use == "always":
            assert column == [None] * len(places)
        elif line.energy is not None:
            assert line.energy == pytest.approx(math.fsum(each or 0.0 for each in column), rel=1e-12)
        if line.energy is not None:
            assert line.count is not None
            assert line.figure is not None
            assert line.factor is not None
            assert line.energy == pytest.approx(line.count * line.figure * line.factor, rel=1e-9)
        if line.part != "cells":
            assert line.source == parts[line.part].source
    # Without a mesh nothing is known of the network, and the report says so.
    mesh = mesh_of(hardware)
    assert any("router" in sentence for sentence in cost.missing) == (mesh is None)
    assert len(cost.missing) == (1 if mesh is None else 0)
    if mesh is not None:
        found = traffic(program.graph, core_tiles=hardware.core.tiles, digital_bits=digital_bits(hardware))
        hops = sum(bit_hops(flow, mesh) for flow in found.flows)
        counted = sum(place.counts.network_bits or 0 for place in places)
        assert counted == pytest.approx(hops, abs=len(places))


# Energy of the cells


@st.composite
def single_layers(draw: Draw) -> tuple[onnx.ModelProto, np.ndarray]:
    """A product, or a convolution with groups, strides, dilations and padding, of inputs of either or one sign."""
    groups, channels, outer = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    low = draw(st.sampled_from([-1.0, 0.0]))
    if draw(st.booleans()):
        model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 9)}, {"w": normal(rng, 9, outer * 4)})
        return model, rng.uniform(low, 1.0, (5, 9)).astype(np.float32)
    kernel, pads = [draw(st.integers(1, 3)) for _ in range(2)], [draw(st.integers(0, 2)) for _ in range(4)]
    attributes = {"strides": [draw(st.integers(1, 3)) for _ in range(2)], "dilations": [draw(st.integers(1, 2)), 1]}
    weight = normal(rng, groups * outer, channels, *kernel)
    convolution = node("Conv", ["x", "w"], "y", group=groups, pads=pads, **attributes)
    model = network([convolution], {"x": ("N", groups * channels, 6, 5)}, {"w": weight})
    return model, rng.uniform(low, 1.0, (3, groups * channels, 6, 5)).astype(np.float32)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def rows_of_windows(model: onnx.ModelProto, codes: np.ndarray) -> np.ndarray:
    """The codes at the rows of the matrix, ``(windows, rows)``: onnxruntime gathers them, with one weight of 1 each."""
    (product,) = model.graph.node
    if product.op_type == "MatMul":
        return codes
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    each = math.prod(weight.shape[1:])
    groups = codes.shape[1] // weight.shape[1]
    ones = np.tile(np.eye(each, dtype=np.float32).reshape(each, *weight.shape[1:]), (groups, 1, 1, 1))
    gather = onnx.ModelProto()
    gather.CopyFrom(network([product], {"x": ("N", *codes.shape[1:])}, {"w": ones}))
    (found,) = run(gather, {"x": codes.astype(np.float32)})
    return np.moveaxis(found, 1, -1).reshape(-1, found.shape[1])


def digits_of(layer: Layer, codes: np.ndarray) -> list[np.ndarray]:
    """The numbers that are applied to rows one after the other, as texts of binary digits have them."""
    if layer.read.digits is None:
        return [np.abs(codes)]
    bits, width, sign = layer.read.digits.bits, layer.read.digits.width, layer.read.digits.sign
    parts = {"twos-complement": [(codes < 0) * 1, codes % 2**bits], "phases": [codes.clip(0), (-codes).clip(0)]}
    wholes = [codes] if sign is None else parts[sign]
    found = []
    for index, whole in enumerate(wholes):
        length = 1 if sign == "twos-complement" and index == 0 else bits
        for end in reversed(range(length, 0, -width)):
            digit = np.vectorize(lambda number, end=end, length=length: int(text(number, length, end, width), 2))
            found.append(digit(whole))
    return found


def text(number: int, length: int, end: int, width: int) -> str:
    return f"{number:0{length}b}"[max(end - width, 0) : end]


@settings(max_examples=60, deadline=None)
@given(single_layers(), costly_hardware())
def test_cells_take_what_flows_through_each_of_them(
    drawn: tuple[onnx.ModelProto, np.ndarray], hardware: Hardware
) -> None:
    model, x = drawn
    program = xbarc.compile(model, hardware=hardware, calibration=x)
    (layer,), cost = layers(program.graph), program.report().cost
    assert layer.dac.codes is not None
    codes = np.rint(x / np.float32(layer.dac.scale)).clip(layer.dac.codes.low, layer.dac.codes.high).astype(np.int64)
    digits = digits_of(layer, rows_of_windows(model, codes).astype(np.int64))
    assert len(digits) == len(layer.digit_weights)
    partition, cell = layer.read.partition, hardware.cell
    largest = max(layer.dac.codes.high, -layer.dac.codes.low)
    if layer.read.digits is not None:
        largest = 2 ** min(hardware.input.digit_bits, layer.read.digits.bits) - 1
    energy, count, seconds = 0.0, 0, 100e-9
    for _, (copy, slice_, polarity, place, row, column) in cells_of(layer, hardware):
        diagonal, block = divmod(place, partition.row_blocks)
        if copy == 0 and holds(partition, diagonal, column):
            level = int(layer.read.levels[slice_, polarity, place, row, column])
            siemens = cell.g_min + level * (cell.g_max - cell.g_min) / (cell.levels - 1)  # type: ignore[operator]
            for digit in digits:
                volts = 0.2 * digit[:, partition.rows_of(diagonal, block)[row]] / largest
                energy += float((volts**2).sum()) * siemens * seconds
                count += len(digit)
    (line,) = (line for line in cost.lines if line.use == "cells")
    assert line.count == count / len(x)
    assert line.energy == pytest.approx(energy / len(x), rel=1e-6, abs=1e-25)
    # What DACs take follows the mean level.
    (dac,) = (line for line in cost.lines if line.part == "dac")
    assert dac.factor == pytest.approx(float(np.mean([digit / largest for digit in digits])), rel=1e-6, abs=1e-12)
    statistics = cost.layers[0].inputs
    assert statistics is not None
    assert sum(statistics.histogram) == x.size
    width = math.ceil((layer.dac.codes.high - layer.dac.codes.low + 1) / 256)
    bins = np.bincount((codes.reshape(-1) - layer.dac.codes.low) // width, minlength=len(statistics.histogram))
    assert list(statistics.histogram) == bins.tolist()
    for digit, found in zip(digits, statistics.digits, strict=True):
        assert found.squared == pytest.approx(float(np.mean((digit / largest) ** 2)), rel=1e-6, abs=1e-12)
        assert found.nonzero == pytest.approx(float(np.mean(digit != 0)), rel=1e-6, abs=1e-12)
