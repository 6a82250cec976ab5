"""Whole networks, compiled: against onnxruntime on the source and on the program itself, and against their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import xbarc
from xbarc.api.program import Program
from xbarc.ir.layer import layers

OPTIMISATIONS = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "default": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True)
class Network:
    """A trained network: its folder (``models`` or ``shared``), its data where there are any."""

    name: str
    folder: str
    calibration: str | None = None
    test: str | None = None

    def __str__(self) -> str:
        return self.name


NETWORKS = [
    Network("digits_mlp", "models", "digits_calibration.npz", "digits_test.npz"),
    Network("digits_cnn", "models", "digits_calibration.npz", "digits_test.npz"),
    Network("digits_dscnn", "models", "digits_calibration.npz", "digits_test.npz"),
    Network("mnist_mlp", "shared", "mnist_calibration.npz", "mnist_test.npz"),
    Network("mnist_lenet5_bn", "shared", "mnist_calibration.npz", "mnist_test.npz"),
    Network("resnet8_cifar10", "shared", "cifar10_calibration.npz", "cifar10_test.npz"),
    Network("kws_dscnn", "shared"),
    Network("vww_mobilenet_v1_025", "shared"),
]
CLASSIFIERS = [network for network in NETWORKS if network.test]


@pytest.fixture(scope="module", params=NETWORKS, ids=str)
def network(request: pytest.FixtureRequest) -> Network:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def files(network: Network, request: pytest.FixtureRequest) -> Files:
    return files_of(network, request)


@dataclass(frozen=True)
class Files:
    """Where a network and its data lie."""

    model: Path
    calibration: Path | None
    test: Path | None


def files_of(network: Network, request: pytest.FixtureRequest) -> Files:
    """The files of a network; skips where the shared folder is absent."""
    if network.folder == "models":
        folder: Path = request.getfixturevalue("models_dir")
        models, data = folder, folder
    else:
        shared: Path = request.getfixturevalue("shared_dir")
        models, data = shared / "models", shared / "data"
    found = [None if name is None else data / name for name in (network.calibration, network.test)]
    return Files(models / f"{network.name}.onnx", *found)


def sample(program: Program, files: Files, count: int) -> dict[str, np.ndarray]:
    """Inputs of a program: test images where there are any, otherwise standard-normal numbers."""
    if files.test is None:
        rng = np.random.default_rng(0)
        return {spec.name: rng.standard_normal((count, *spec.shape[1:])).astype(spec.dtype) for spec in program.inputs}
    with np.load(files.test) as data:
        return {spec.name: data[spec.name][:count].astype(spec.dtype) for spec in program.inputs}


def onnxruntime(model: str | bytes, inputs: dict[str, np.ndarray], level: str = "default") -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = OPTIMISATIONS[level]
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, inputs)
    return results


def test_exact_hardware_equals_the_source(files: Files) -> None:
    program = xbarc.compile(files.model, hardware="exact")
    inputs = sample(program, files, 16)
    expected = onnxruntime(str(files.model), inputs)
    for actual, wanted in zip(program.write().run(inputs).values(), expected, strict=True):
        assert np.abs(actual - wanted).max() <= 1e-4 * np.ptp(wanted)


@pytest.mark.parametrize("level", OPTIMISATIONS)
def test_onnxruntime_on_the_program_gives_equal_bits(files: Files, level: str, tmp_path: Path) -> None:
    program = xbarc.compile(files.model, calibration=files.calibration)
    path = program.save(tmp_path / "program.xbar.onnx")
    inputs = sample(program, files, 32)
    expected = onnxruntime(str(path), inputs, level)
    for actual, wanted in zip(program.write().run(inputs).values(), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    # No layer is excused: the program names those where equality cannot be promised, and there are none.
    assert [layer.inexact for layer in program.report().layers] == [None] * len(layers(program.graph))


def test_programs_are_valid_and_come_back_as_they_were(files: Files, tmp_path: Path) -> None:
    program = xbarc.compile(files.model, calibration=files.calibration)
    path = program.save(tmp_path / "program.xbar.onnx")
    onnx.checker.check_model(path, full_check=True)
    loaded = xbarc.load(path)
    assert loaded.text() == program.text()
    assert loaded.report().to_json() == program.report().to_json()
    inputs = sample(program, files, 4)
    for before, after in zip(program.write().run(inputs).values(), loaded.write().run(inputs).values(), strict=True):
        np.testing.assert_array_equal(before, after)
    again = loaded.save(tmp_path / "again.xbar.onnx")
    assert again.read_bytes() == path.read_bytes()


def test_exact_layers_are_named_as_such(files: Files) -> None:
    """Unquantised products are sums of reals, whose last bits depend on the order: the program says so by layer."""
    program = xbarc.compile(files.model, hardware="exact")
    assert all(layer.inexact and "unlimited" in layer.inexact for layer in program.report().layers)


@pytest.mark.parametrize("network", CLASSIFIERS, ids=str)
def test_eight_bits_keep_the_accuracy(network: Network, request: pytest.FixtureRequest) -> None:
    files = files_of(network, request)
    program = xbarc.compile(files.model, calibration=files.calibration)
    result = program.write().evaluate(files.test)
    assert result.float.value is not None
    assert result.ideal.value is not None
    allowed = max(0.005, 3 / result.samples)
    assert abs(result.ideal.value - result.float.value) <= allowed
    assert abs(result.quantized.value - result.float.value) <= allowed
    assert result.ideal.agreement is not None
    assert result.ideal.agreement >= 0.95


def test_each_pass_says_what_it_changes(models_dir: Path, tmp_path: Path) -> None:
    """Folding and lowering change nothing but last bits; converters change what their bits allow."""
    found = []
    xbarc.compile(
        models_dir / "digits_cnn.onnx",
        calibration=models_dir / "digits_calibration.npz",
        on_difference=found.append,
        dump_folder=tmp_path / "dump",
    )
    by_name = {difference.name: difference.relative for difference in found}
    assert all(by_name[name] < 1e-5 for name in ("fold-constants", "lower-products", "fold-affine", "place-blocks"))
    assert 1e-4 < by_name["insert-converters"] < 0.05
    assert 1e-4 < by_name["calibrate-adc"] < 0.1
    dumps = sorted(path.name for path in (tmp_path / "dump").iterdir())
    assert dumps == [f"{number:02d}-{difference.name}.txt" for number, difference in enumerate(found, start=1)]


def test_large_programs_keep_their_weights_in_a_second_file(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xbarc.api.model_files.EXTERNAL_DATA_BYTES", 0)
    program = xbarc.compile(models_dir / "digits_mlp.onnx", calibration=models_dir / "digits_calibration.npz")
    path = program.save(tmp_path / "large.xbar.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["large.xbar.onnx", "large.xbar.onnx.data"]
    onnx.checker.check_model(path, full_check=True)
    with np.load(models_dir / "digits_test.npz") as data:
        inputs = {"input": data["input"][:8]}
    loaded = xbarc.load(path)
    assert loaded.text() == program.text()
    np.testing.assert_array_equal(loaded.write().run(inputs)["logits"], onnxruntime(str(path), inputs)[0])
