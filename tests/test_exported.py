"""Models as exporters write them: every static matrix on tiles under its own name, and the numbers of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from exported_models import EXAMPLES, FOLDER, Example
from networks import error

import xbarc

#: What multiplies matrices, in any domain.
PRODUCTS = frozenset(
    """Attention Conv ConvInteger ConvTranspose DynamicQuantizeLSTM DynamicQuantizeMatMul FusedConv FusedGemm
    FusedMatMul GRU Gemm LSTM LinearClassifier MatMul MatMulInteger MatMulNBits QGemm QLinearConv QLinearMatMul
    RNN""".split()
)


@pytest.fixture(scope="module", params=EXAMPLES, ids=str)
def example(request: pytest.FixtureRequest) -> Example:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def exact(example: Example) -> xbarc.Program:
    return xbarc.compile(example.path, hardware="exact")


def onnxruntime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[Any]:
    """What onnxruntime makes of a model at the level of optimisation at which chips run their host operators."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(None, feeds)
    return results


def agree(actual: Any, expected: Any, tolerance: float) -> bool:
    """Whether two outputs are equal; numbers up to a share of their range. Mappings are compared number by number."""
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(
            list(mine) == list(other) and agree(np.array([*mine.values()]), np.array([*other.values()]), tolerance)
            for mine, other in zip(actual, expected, strict=True)
        )
    if expected.dtype.kind != "f":
        return actual.dtype == expected.dtype and np.array_equal(actual, expected)
    return error(actual, expected) <= tolerance


def owner(layer: str, example: Example) -> str:
    """The node that a layer belongs to: its own, or one whose several products are named after it."""
    return next((node for node in example.layers if layer.startswith(f"{node}.")), layer)


def test_every_file_has_its_line() -> None:
    assert {example.path for example in EXAMPLES} == set(FOLDER.glob("*.onnx"))


def test_every_static_matrix_is_on_tiles(example: Example, exact: xbarc.Program) -> None:
    report = exact.report()
    found: dict[str, int] = {}
    for layer in report.layers:
        node = owner(layer.name, example)
        found[node] = found.get(node, 0) + layer.groups * layer.rows * layer.columns
    assert found == dict(example.layers)
    digital = {operator.name for operator in report.host if operator.kind.split(".")[-1] in PRODUCTS}
    assert {name for name in digital if owner(name, example) not in example.layers} == set(example.digital)


def test_exact_hardware_equals_the_source(example: Example, exact: xbarc.Program) -> None:
    source, chip = onnx.load(example.path), exact.write()
    for shapes in example.shapes:
        feeds = example.feeds(shapes)
        expected = onnxruntime(source, feeds)
        assert all(agree(*pair, example.tolerance) for pair in zip(chip.run(feeds).values(), expected, strict=True)), (
            shapes
        )


def test_onnxruntime_on_the_program_gives_equal_bits(example: Example) -> None:
    program = xbarc.compile(example.path, calibration=example.feeds(example.shapes[0]))
    chip, model = program.write(), program.model()
    for shapes in example.shapes:
        feeds = example.feeds(shapes)
        expected = onnxruntime(model, feeds)
        pairs = zip(chip.run(feeds).values(), expected, strict=True)
        assert all(agree(*pair, 0.0) for pair in pairs), shapes
    assert [layer.inexact for layer in program.report().layers if layer.inexact] == []


def test_programs_and_written_chips_come_back_as_they_were(example: Example, tmp_path: Path) -> None:
    feeds = example.feeds(example.shapes[0])
    program = xbarc.compile(example.path, calibration=feeds)
    path = program.save(tmp_path / "program.xbar.onnx")
    onnx.checker.check_model(path, full_check=True)
    loaded = xbarc.load(path)
    assert loaded.text() == program.text()
    assert loaded.save(tmp_path / "again.xbar.onnx").read_bytes() == path.read_bytes()
    chip = program.write("pcm", seed=1)
    chip.save(tmp_path / "chip.npz")
    pairs = zip(chip.run(feeds).values(), loaded.load_chip(tmp_path / "chip.npz").run(feeds).values(), strict=True)
    assert all(agree(*pair, 0.0) for pair in pairs)


def test_written_chips_are_judged_layer_by_layer(example: Example) -> None:
    feeds = example.feeds(example.shapes[0])
    program = xbarc.compile(example.path, calibration=feeds)
    ratios = program.write("pcm", seed=1).layer_snr(feeds)
    names = {layer.name for layer in program.report().layers}
    assert set(ratios) <= names  # a branch that is not taken says nothing about its layers
    assert bool(ratios) == bool(names)
    assert [name for name, ratio in ratios.items() if not ratio > 0] == []
