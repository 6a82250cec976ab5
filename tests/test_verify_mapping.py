"""The translation check: every weight on cells of its own, which decode to it; what is corrupted is found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command import Command
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Draw, convolutions, finite_hardware, gemms, network, node

import xbarc
from xbarc.errors import InternalError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers
from xbarc.passes.verify_mapping import verify_cells, verify_places


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def matrices(draw: Draw) -> tuple[onnx.ModelProto, np.ndarray]:
    """A product of one to four groups, and its weights ``(G, K, N)``."""
    groups, rows, columns = (draw(st.integers(1, top)) for top in (4, 20, 10))
    weight = numbers(groups, rows, columns, seed=draw(st.integers(0, 99)))
    kernel = weight.transpose(0, 2, 1).reshape(groups * columns, rows, 1)
    model = network([node("Conv", ["x", "w"], "y", group=groups)], {"x": ["N", groups * rows, 1]}, {"w": kernel})
    return model, weight


def only(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


@settings(max_examples=120, deadline=None)
@given(matrices(), finite_hardware(), st.sampled_from(["off", "network"]), st.data())
def test_any_wrong_level_is_found(
    case: tuple[onnx.ModelProto, np.ndarray], hardware: Hardware, pack: str, data: st.DataObject
) -> None:
    model, weight = case
    program = xbarc.compile(model, hardware=hardware, pack=pack, verify=True)
    layer = only(program)
    weights = {layer.name: weight}
    verify_places(program.graph, hardware)
    verify_cells(program.graph, hardware, weights)
    partition = layer.read.partition
    group, row, column = (data.draw(st.integers(0, size - 1)) for size in weight.shape)
    diagonal, place = divmod(group, partition.groups_per_diagonal)
    block, inner = divmod(place * partition.rows + row, partition.block_rows)
    stack = partition.data_columns[place * partition.columns + column]
    levels = layer.read.levels = layer.read.levels.copy()
    # Of a pair around the middle, a level in one cell is half a step of the weight.
    change = 2 if hardware.weights.encoding == "constant-sum" else 1
    scale = layer.rescale.unit_scale[group * partition.columns + column] / layer.dac.scale * change
    assume(abs(abs(weight[group, row, column] / scale) % 1 - 0.5) > 1e-4)  # midway, two integers are near enough
    each, polarity = (data.draw(st.integers(0, size - 1)) for size in levels.shape[:2])
    at = (each, polarity, diagonal * partition.row_blocks + block, inner, stack)
    levels[at] = levels[at] - change if levels[at] >= change else levels[at] + change
    with pytest.raises(InternalError, match=rf"{layer.name}.*row \d+, column \d+.*hold .*weight over its scale is"):
        verify_cells(program.graph, hardware, weights)


@pytest.mark.parametrize("overrides", [["cell.levels=unlimited"], ["cell.levels=unlimited", "weights.encoding=offset"]])
def test_unlimited_levels_hold_the_weights_exactly(overrides: list[str]) -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 9]}, {"w": numbers(9, 5)})
    program = xbarc.compile(model, hardware="exact", overrides=overrides, verify=True)
    layer = only(program)
    layer.read.levels = layer.read.levels.copy()
    layer.read.levels[0, 0, 0, 3, 2] += 1e-6
    with pytest.raises(InternalError, match="row 3, column 2"):
        verify_cells(program.graph, program.hardware, {layer.name: numbers(9, 5)[None]})


@settings(max_examples=60, deadline=None)
@given(st.one_of(convolutions(), gemms()), finite_hardware(), st.sampled_from(["off", "network"]))
def test_any_layer_is_proven(case: Any, hardware: Hardware, pack: str) -> None:
    program = xbarc.compile(case.model, hardware=hardware, calibration=case.feeds, replicate=2, pack=pack, verify=True)
    assert all(layer.read.pieces is not None for layer in layers(program.graph))


def two_layers() -> onnx.ModelProto:
    nodes = [node("MatMul", ["x", "a"], "h"), node("MatMul", ["h", "b"], "y")]
    return network(nodes, {"x": ["N", 6]}, {"a": numbers(6, 4), "b": numbers(4, 3)})


def test_blocks_that_meet_are_found() -> None:
    program = xbarc.compile(two_layers(), pack="network", verify=True)
    first, second = layers(program.graph)
    assert first.read.pieces is not None
    assert second.read.pieces is not None
    verify_places(program.graph, program.hardware)
    first.read.pieces["row"], first.read.pieces["column"] = 0, 0
    second.read.pieces["tile"] = first.read.pieces["tile"]
    second.read.pieces["row"], second.read.pieces["column"] = 5, 3
    with pytest.raises(
        InternalError, match=r"blocks of layers 'h' and 'y' lie on the same cell: tile 0, row 5, col.* 3"
    ):
        verify_places(program.graph, program.hardware)
    second.read.pieces["row"] = program.hardware.tile.rows - 3
    with pytest.raises(InternalError, match="a block of layer 'y' reaches beyond tile 0"):
        verify_places(program.graph, program.hardware)
    second.read.pieces = None
    with pytest.raises(InternalError, match="layer 'y' has no tiles"):
        verify_places(program.graph, program.hardware)


def test_reads_that_serve_too_much_are_found() -> None:
    """Four row blocks below each other in one tile: each has to be read by itself."""
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 32]}, {"w": numbers(32, 4)})
    small = ("tile.rows=32", "tile.columns=16", "tile.active_rows=8")
    program = xbarc.compile(model, overrides=small, verify=True)
    layer = only(program)
    assert layer.read.pieces is not None
    assert layer.read.pieces["turn"].tolist() == [0, 1, 2, 3]
    layer.read.pieces["turn"] = [0, 1, 1, 2]
    with pytest.raises(InternalError, match="one read of tile 0 cannot serve all that layer 'y' has in it"):
        verify_places(program.graph, program.hardware)


def test_copies_of_a_layer_have_cells_of_their_own() -> None:
    model = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 2, 9]}, {"w": numbers(3, 2, 3)})
    program = xbarc.compile(model, replicate=2, verify=True)
    layer = only(program)
    assert layer.read.copies > 1
    assert layer.read.pieces is not None
    layer.read.pieces["tile"] = 0
    with pytest.raises(InternalError, match="blocks of layers 'y' and 'y' lie on the same cell"):
        verify_places(program.graph, program.hardware)


def test_layers_of_one_matrix_share_its_tiles() -> None:
    nodes = [node("MatMul", ["x", "w"], "h"), node("MatMul", ["h", "w"], "y")]
    program = xbarc.compile(network(nodes, {"x": ["N", 4]}, {"w": numbers(4, 4)}), verify=True)
    _, second = layers(program.graph)
    assert second.read.pieces is not None
    second.read.pieces["tile"] += 1
    with pytest.raises(InternalError, match="layers 'h' and 'y' share a matrix, but not its tiles"):
        verify_places(program.graph, program.hardware)


def test_the_command_proves_and_writes_the_same_program(command: Command) -> None:
    onnx.save(two_layers(), "two.onnx")
    plain = command("compile", "two.onnx", "-o", "plain.onnx", "--json")
    proven = command("compile", "two.onnx", "-o", "proven.onnx", "--verify", "--json")
    assert (plain.code, proven.code) == (0, 0)
    assert Path("plain.onnx").read_bytes() == Path("proven.onnx").read_bytes()


def test_compile_fails_where_a_pass_loses_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    from xbarc.passes.place_blocks import PlaceBlocks

    run = PlaceBlocks.run

    def lose(self: PlaceBlocks, graph: Any) -> None:
        run(self, graph)
        read = layers(graph)[0].read
        read.levels = copy.copy(read.levels)
        read.levels[:, :, 0, 1, 2] = 0

    monkeypatch.setattr(PlaceBlocks, "run", lose)
    xbarc.compile(two_layers())
    with pytest.raises(InternalError, match="layer 'h': the cells at row 1, column 2 of diagonal 0 hold 0, and"):
        xbarc.compile(two_layers(), verify=True)
