"""How matrices are cut: block by block against brute force, and what programs cut in each way compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from command import Command
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Case, Draw, arrays, convolutions, finite_hardware, gemms, network, node, run
from product_checks import check_exact, check_same_bits

import xbarc
from xbarc.errors import InternalError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers
from xbarc.ir.partition import Partition, logical_tiles
from xbarc.passes.split_blocks import Split, split
from xbarc.passes.verify_mapping import verify_cells

SPLITS: tuple[Split, ...] = get_args(Split)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def only(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


# Blocks, weight by weight


@st.composite
def cuts(draw: Draw) -> dict[str, Any]:
    """What :func:`split` is asked; ``balanced`` and ``positions`` are left out."""
    groups, rows, columns = (draw(st.integers(1, top)) for top in (7, 30, 20))
    return {
        "groups": groups,
        "rows": rows,
        "columns": columns,
        "most_rows": draw(st.integers(1, 20)),
        "most_columns": draw(st.integers(1, 20)),
        "reference_column": draw(st.booleans()),
    }


def blocks_of(partition: Partition) -> Iterator[tuple[list[int], list[int]]]:
    """Rows and columns of each block in the layer's matrix, groups laid end to end."""
    for diagonal in range(partition.diagonals):
        for down in range(partition.row_blocks):
            rows = list(partition.rows_of(diagonal, down))
            for across in range(partition.column_blocks):
                first = diagonal * partition.diagonal_columns + across * partition.block_columns
                yield rows, list(range(first, first + partition.columns_in(diagonal, across)))


def check_blocks(partition: Partition, asked: dict[str, Any]) -> None:
    """Every weight in one block, and no block beyond what it may be."""
    groups, rows, columns = asked["groups"], asked["rows"], asked["columns"]
    held = np.zeros((groups * rows, groups * columns), dtype=int)
    found = list(blocks_of(partition))
    assert partition.block_sizes() == [(len(down), len(across)) for down, across in found]
    for down, across in found:
        assert 1 <= len(down) <= partition.block_rows <= asked["most_rows"]
        assert 1 <= len(across) <= partition.block_columns <= asked["most_columns"]
        held[np.ix_(down, across)] += 1
    for group in range(groups):
        assert np.all(held[group * rows : (group + 1) * rows, group * columns : (group + 1) * columns] == 1)
    assert held.max() == 1
    assert len(found) == partition.stacked * partition.column_blocks


def fewest(size: int, most: int) -> int:
    """The fewest pieces of at most ``most`` that ``size`` falls into."""
    return next(count for count in range(1, size + 1) if count * most >= size)


@settings(max_examples=300)
@given(cuts())
def test_greedy_and_balanced_blocks_are_as_few_as_can_be(asked: dict[str, Any]) -> None:
    greedy, balanced = split(**asked), split(**asked, balanced=True)
    for partition in (greedy, balanced):
        check_blocks(partition, asked)
        if greedy.groups_per_diagonal == 1:
            assert partition.row_blocks == fewest(asked["rows"], asked["most_rows"])
            assert partition.column_blocks == fewest(asked["columns"], asked["most_columns"])
    assert balanced.diagonals == greedy.diagonals
    assert len(balanced.block_sizes()) == len(greedy.block_sizes())
    assert greedy.block_rows in (asked["most_rows"], greedy.diagonal_rows)
    # No blocks of one size, the last one short, have a smaller largest one.
    assert balanced.block_rows == math.ceil(balanced.diagonal_rows / balanced.row_blocks)
    assert balanced.block_columns == math.ceil(balanced.diagonal_columns / balanced.column_blocks)


@settings(max_examples=300)
@given(cuts(), st.integers(2, 9), st.integers(1, 30))
def test_no_block_holds_rows_of_two_positions(asked: dict[str, Any], positions: int, channels: int) -> None:
    asked |= {"groups": 1, "rows": channels * positions}
    partition = split(**asked, positions=positions)
    check_blocks(partition, asked)
    for down, _ in blocks_of(partition):
        # Rows run over channels and, within each, over the kernel's positions, as they do in an ONNX kernel.
        assert len({row % positions for row in down}) == 1
        assert np.all(np.diff([row // positions for row in down]) == 1)
    down, across = fewest(channels, asked["most_rows"]), fewest(asked["columns"], asked["most_columns"])
    assert len(partition.block_sizes()) == positions * down * across
    tile = {"tile_rows": asked["most_rows"], "tile_columns": asked["most_columns"]}
    sizes = {"groups": 1, "rows": asked["rows"], "columns": asked["columns"]}
    assert logical_tiles(**sizes, **tile, positions=positions) == positions * down * across


# The published networks

#: Kernel sides, input and output channels; the last layers are fully connected.
VGG16 = [
    *((3, rows, columns) for rows, columns in ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256))),
    *((3, rows, columns) for rows, columns in ((256, 256), (256, 512), *[(512, 512)] * 5)),
    *((1, rows, columns) for rows, columns in ((25088, 4096), (4096, 4096), (4096, 1000))),
]


def resnet(stages: tuple[int, ...], *, bottleneck: bool) -> list[tuple[int, int, int]]:
    found, width, inner = [(7, 3, 64)], 64, 64
    for stage, blocks in enumerate(stages):
        inner = 64 * 2**stage
        outer = 4 * inner if bottleneck else inner
        for _ in range(blocks):
            found += [(1, width, outer)] if width != outer else []
            found += (
                [(1, width, inner), (3, inner, inner), (1, inner, outer)]
                if bottleneck
                else [(3, width, inner), (3, inner, inner)]
            )
            width = outer
    return [*found, (1, width, 1000)]


@pytest.mark.parametrize(
    ("shapes", "by_position", "as_they_lie"),
    [
        (resnet((2, 2, 2, 2), bottleneck=False), 794, 727),
        (resnet((3, 4, 6, 3), bottleneck=False), 1424, 1349),
        (resnet((3, 4, 6, 3), bottleneck=True), 1635, 1576),
        (VGG16, 8470, 8454),
    ],
    ids=["ResNet-18", "ResNet-34", "ResNet-50", "VGG-16"],
)
def test_tiles_of_known_networks(shapes: list[tuple[int, int, int]], by_position: int, as_they_lie: int) -> None:
    """By NeuroSim's "novel" mapping and by rows as they lie, on 128 x 128 tiles, as others count them."""
    for apart, expected in ((True, by_position), (False, as_they_lie)):
        counted = blocks = 0
        for side, channels, columns in shapes:
            sizes = {"groups": 1, "rows": side**2 * channels, "columns": columns}
            positions = side**2 if apart else 1
            counted += logical_tiles(**sizes, tile_rows=128, tile_columns=128, positions=positions)
            blocks += len(split(**sizes, most_rows=128, most_columns=128, positions=positions).block_sizes())
        assert (counted, blocks) == (expected, expected)


def test_reports_count_positions_that_are_apart() -> None:
    """LeNet's first layers: 25 positions of one and of six channels; the fully connected layer is cut as ever."""
    constants = {"a": numbers(6, 1, 5, 5), "b": numbers(16, 6, 5, 5), "c": numbers(16 * 4 * 4, 10)}
    nodes = [
        node("Conv", ["x", "a"], "first"),
        node("Conv", ["first", "b"], "second", strides=[2, 2]),
        node("Flatten", ["second"], "flat"),
        node("MatMul", ["flat", "c"], "y"),
    ]
    model = network(nodes, {"x": ("N", 1, 15, 15)}, constants)
    overrides = ["tile.rows=4", "tile.columns=8"]
    program = xbarc.compile(model, overrides=overrides, calibration=numbers(4, 1, 15, 15), split="positions")
    assert [layer.logical_tiles for layer in program.report().layers] == [25, 25 * 2 * 2, 64 * 2]
    assert [layer.physical_tiles for layer in program.report().layers] == [25, 25 * 2 * 2, 64 * 2]
    assert "blocks=25 positions of 2 x 2 of 4 x 8" in program.text()
    assert program.facts["options"]["split"] == "positions"


# What is computed


@st.composite
def kernels(draw: Draw) -> Case:
    """A convolution without groups, of several kernel positions."""
    rank = draw(st.integers(1, 2))
    kernel, strides, dilations = ([draw(st.integers(least, 3)) for _ in range(rank)] for least in (2, 1, 1))
    inner, outer, batch = draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 2))
    sizes = [(side - 1) * step + 1 + draw(st.integers(0, 3)) for side, step in zip(kernel, dilations, strict=True)]
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations}
    attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    constants = {"w": draw(arrays((outer, inner, *kernel), weights=True)), "b": draw(arrays((outer,)))}
    nodes = [node("Conv", ["x", *constants], "y", **attributes)]
    model = network(nodes, {"x": ["N", inner, *sizes]}, constants)
    return Case(model, {"x": draw(arrays((batch, inner, *sizes)))})


@st.composite
def products(draw: Draw) -> Case:
    """Convolutions of all kinds, transposed ones, and plain products."""
    kind = draw(st.sampled_from(["kernel", "kernel", "grouped", "transposed", "plain"]))
    if kind != "transposed":
        case: Case = draw({"kernel": kernels, "grouped": convolutions, "plain": gemms}[kind]())
        return case
    inner, outer = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    size, kernel, stride = draw(st.integers(2, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
    weight = draw(arrays((inner, outer, kernel, kernel)))
    nodes = [node("ConvTranspose", ["x", "w"], "y", strides=[stride, stride])]
    model = network(nodes, {"x": ("N", inner, size, size)}, {"w": weight})
    return Case(model, {"x": draw(arrays((2, inner, size, size)))})


def driving(hardware: Hardware, active_rows: int | None) -> Hardware:
    """The hardware, of which one read drives so many rows, if it has them."""
    description: dict[str, Any] = hardware.to_dict()
    if active_rows is not None:
        description["tile"]["active_rows"] = min(active_rows, hardware.tile.rows)
    return Hardware.from_dict(description)


@settings(max_examples=30)
@given(products(), st.sampled_from(SPLITS))
def test_unlimited_resolution_gives_the_float_result(case: Case, how: Split) -> None:
    assume(on_one_layer(case))
    check_exact(case, 1e-5, split=how)


def on_one_layer(case: Case) -> bool:
    """Whether the product goes on tiles as one layer ``y``; a transposed one may be followed by the host."""
    program = xbarc.compile(case.model, hardware="exact", calibration=[case.feeds])
    return [layer.name for layer in program.report().layers] == ["y"]


@settings(max_examples=60)
@given(products(), finite_hardware(), st.sampled_from(SPLITS), st.sampled_from([None, 1, 3, 16]))
def test_onnxruntime_computes_the_same_bits(
    case: Case, hardware: Hardware, how: Split, active_rows: int | None
) -> None:
    assume(on_one_layer(case))
    program = check_same_bits(case, driving(hardware, active_rows), split=how)
    again = xbarc.load(program.model())
    assert again.text() == program.text()
    np.testing.assert_array_equal(again.write().run(case.feeds)["y"], program.write().run(case.feeds)["y"])


@settings(max_examples=30)
@given(products(), finite_hardware(), st.sampled_from([None, 1, 3, 16]))
def test_without_loss_in_the_converters_all_cuts_give_the_same_numbers(
    case: Case, hardware: Hardware, active_rows: int | None
) -> None:
    description: dict[str, Any] = hardware.to_dict()
    description["adc"] = {"bits": 24, "range": "unit"}
    description["cell"]["g_min"] = "0 S"  # a pedestal is no whole number of units
    program = xbarc.compile(case.model, hardware=Hardware.from_dict(description), calibration=[case.feeds])
    assume(all(layer.adc.range is not None and layer.adc.range.lossless for layer in layers(program.graph)))
    expected = program.write().run(case.feeds)["y"]
    for how in SPLITS:
        described = driving(Hardware.from_dict(description), active_rows)
        program = xbarc.compile(case.model, hardware=described, calibration=[case.feeds], split=how, verify=True)
        np.testing.assert_array_equal(program.write().run(case.feeds)["y"], expected)


def test_layers_of_one_matrix_are_cut_alike() -> None:
    """One constant as a kernel of three positions and as a plain matrix, for which it has none."""
    nodes = [
        node("Conv", ["x", "w"], "windows"),
        node("Einsum", ["x", "w"], "plain", equation="nck,ock->no"),
    ]
    model = network(nodes, {"x": ("N", 4, 3)}, {"w": numbers(5, 4, 3)}, outputs=["windows", "plain"])
    x = numbers(6, 4, 3, seed=1)
    program = xbarc.compile(model, hardware="exact", calibration=x, split="positions", verify=True)
    found = program.write().run(x)
    for name, expected in zip(("windows", "plain"), run(model, {"x": x}), strict=True):
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
    first, second = layers(program.graph)
    assert first.read.matrix == second.read.matrix
    assert first.read.partition == second.read.partition
    np.testing.assert_allclose(run(program.model(), {"x": x})[1], found["plain"], atol=1e-5)


def test_a_wrong_cell_is_named_by_its_row_in_the_matrix() -> None:
    model = network([node("Conv", ["x", "w"], "y")], {"x": ("N", 5, 4)}, {"w": numbers(2, 5, 3)})
    overrides = ["tile.rows=2", "tile.columns=2"]
    program = xbarc.compile(model, overrides=overrides, calibration=numbers(4, 5, 4), split="positions")
    layer = only(program)
    weights = {"y": numbers(2, 5, 3).reshape(1, 2, 15).transpose(0, 2, 1)}
    verify_cells(program.graph, program.hardware, weights)
    # The third block of the second position begins with its fifth channel.
    cell = layer.read.levels[0, :, 1 * 3 + 2, 0, 1]
    cell[:] = 255 - cell
    with pytest.raises(InternalError, match=rf"at row {4 * 3 + 1}, column 1 of diagonal 0 hold"):
        verify_cells(program.graph, program.hardware, weights)


# Rows that one read drives


@settings(max_examples=60)
@given(st.tuples(*(st.integers(1, top) for top in (6, 20, 6))), finite_hardware(), st.integers(1, 64), st.data())
def test_no_read_drives_more_rows_than_it_may(
    matrix: tuple[int, int, int], hardware: Hardware, active_rows: int, data: st.DataObject
) -> None:
    """As many row blocks as there are reads fill a tile, but for fewer rows than reads."""
    groups, rows, columns = matrix
    hardware = driving(hardware, active_rows)
    model = network(
        [node("Conv", ["x", "w"], "y", group=groups)],
        {"x": ["N", groups * rows, 1]},
        {"w": numbers(groups * columns, rows, 1)},
    )
    program = xbarc.compile(model, hardware=hardware, split=data.draw(st.sampled_from(SPLITS)), verify=True)
    layer = only(program)
    most = min(active_rows, hardware.tile.rows)
    assert max(height for height, _ in layer.read.partition.block_sizes()) <= most
    assert layer.read.levels.shape[3] <= most
    reads = math.ceil(hardware.tile.rows / most)
    assert hardware.tile.rows - reads < reads * hardware.weight_rows <= hardware.tile.rows
    # Logical tiles know nothing of it.
    sizes = {"tile_rows": hardware.tile.rows, "tile_columns": hardware.tile.columns}
    counted = logical_tiles(groups=groups, rows=rows, columns=columns, **sizes)
    assert program.report().layers[0].logical_tiles == counted


@pytest.mark.parametrize(("active_rows", "clips"), [(16, True), (5, True), (3, False), (2, False), (1, False)])
def test_each_read_is_converted_by_itself(active_rows: int, clips: bool) -> None:
    """Sixteen rows of level 1 at input code 3, through an ADC up to 7: two rows pass, more do not.

    Three rows a read make six reads, and six blocks share the rows of a tile evenly: two each.
    """
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 16]}, {"w": np.ones((16, 1), np.float32)})
    x = np.ones((4, 16), np.float32)
    overrides = [
        *("tile.rows=16", "tile.columns=4", f"tile.active_rows={active_rows}", "cell.levels=2"),
        *("dac.bits=2", "dac.range=max", "adc.bits=4", "adc.range=fixed", "adc.fixed_lsb=1"),
    ]
    program = xbarc.compile(model, overrides=overrides, calibration=x)
    reads = math.ceil(16 / active_rows)
    seen = min(16 // reads * 3, 7) * math.ceil(16 / (16 // reads))
    np.testing.assert_allclose(program.write().run(x)["y"], seen / 3, rtol=1e-6)
    assert (seen < 48) is clips
    np.testing.assert_array_equal(run(program.model(), {"x": x})[0], program.write().run(x)["y"])


# Written chips


def test_a_cell_keeps_its_noise_however_its_matrix_is_cut() -> None:
    """What is drawn for a weight goes by its row and column in the layer's matrix."""
    model = network([node("Conv", ["x", "w"], "y")], {"x": ("N", 5, 7, 7)}, {"w": numbers(6, 5, 3, 3)})
    x = numbers(4, 5, 7, 7, seed=1)
    written = []
    for how in SPLITS:
        overrides = ["tile.rows=4", "tile.columns=5"]
        program = xbarc.compile(model, overrides=overrides, calibration=x, split=how)
        chip, partition = program.write("pcm", seed=3).at("1h"), only(program).read.partition
        assert chip.written is not None
        cells = chip.written.cells["y"]
        matrix = np.full((2, 2, partition.rows, partition.columns), np.nan)
        for place in range(partition.stacked):
            rows = partition.rows_of(*divmod(place, partition.row_blocks))
            for number, kind in enumerate((cells.programmed, cells.nu)):
                matrix[number][:, list(rows)] = kind[0, :, place, : len(rows)]
        written.append(matrix)
        quiet = chip.compensated().with_read_noise("frozen")
        np.testing.assert_array_equal(quiet.run(x)["y"], run(quiet.model(), {"x": x})[0])
        assert not np.isnan(matrix).any()
    assert all(np.array_equal(matrix, written[0]) for matrix in written)


# What is asked for


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def test_no_such_split(models_dir: Path) -> None:
    wrong: Any = "rows"
    with pytest.raises(UsageError, match="there is no split 'rows'"):
        xbarc.compile(models_dir / "digits_cnn.onnx", split=wrong)


def test_the_command_line_cuts_as_it_is_told(command: Command, tmp_path: Path) -> None:
    model = network([node("Conv", ["x", "w"], "y")], {"x": ("N", 2, 5, 5)}, {"w": numbers(3, 2, 3, 3)})
    onnx.save(model, tmp_path / "conv.onnx")
    for how, tiles in (("greedy", 1), ("balanced", 1), ("positions", 9)):
        assert command("compile", "conv.onnx", "--split", how).code == 0
        program = xbarc.load(tmp_path / "conv.xbar.onnx")
        assert [layer.logical_tiles for layer in program.report().layers] == [tiles]
        assert program.facts["options"]["split"] == how
    refused = command("compile", "conv.onnx", "--split", "rows")
    assert refused.code == 2
    assert "--split cannot be 'rows'" in refused.err
    assert "give greedy, balanced or positions" in refused.err
