"""Written chips as ONNX models: what onnxruntime computes on them is what the chip computes, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from chips import cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Case, Draw, convolutions, finite_hardware, gemms, matmuls, open_session

import xbarc
from xbarc.hardware.schema import Hardware

PRODUCTS = st.one_of(convolutions(), gemms(), matmuls())
STUCK = "stuck_at_gmin=0.02,stuck_at_gmax=0.01"

#: Networks with their calibration samples and test data; standard-normal inputs where there are none.
BUNDLED = [(name, "digits_calibration.npz", "digits_test.npz") for name in ("digits_mlp", "digits_cnn", "digits_dscnn")]
SHARED = [
    ("mnist_mlp", "mnist_calibration.npz", "mnist_test.npz"),
    ("mnist_lenet5_bn", "mnist_calibration.npz", "mnist_test.npz"),
    ("resnet8_cifar10", "cifar10_calibration.npz", "cifar10_test.npz"),
    ("kws_dscnn", None, None),
    ("vww_mobilenet_v1_025", None, None),
]


@st.composite
def written(draw: Draw, program: xbarc.Program) -> xbarc.Chip:
    """The program on a chip that draws nothing when it is read, at any time."""
    device = draw(
        st.sampled_from(
            [
                "pcm",
                f"pcm:{STUCK}",
                f"pcm:read_scale=0,{STUCK}",
                f"generic:programming_proportional=0.05,nu_mean=0.05,nu_sigma=0.02,{STUCK}",
                "generic:programming_independent=0.3",
                "generic:stuck_at_gmin=0.5,stuck_at_gmax=0.5",
            ]
        )
    )
    chip = program.write(device, seed=draw(st.integers(0, 2**64 - 1)))
    seconds = draw(st.just(0.0) | st.floats(-3, 8).map(lambda power: 10.0**power))
    frozen = chip.with_read_noise("frozen").at(seconds)
    return frozen.compensated(draw(st.booleans()))


def check_same_bits(program: xbarc.Program, chip: xbarc.Chip, feeds: dict[str, np.ndarray]) -> None:
    assert not chip.noisy
    assert [layer.unquantised for layer in cells_of(program, chip)[0]] == [None] * len(program.report().layers)
    ours = list(chip.run(feeds).values())
    model = chip.model()
    onnx.checker.check_model(model, full_check=True)
    for optimized in (False, True):
        theirs = open_session(model, optimized=optimized).run(None, feeds)
        for mine, other in zip(ours, theirs, strict=True):
            assert (other.dtype, other.shape) == (mine.dtype, mine.shape)
            assert other.tobytes() == mine.tobytes()


@settings(max_examples=120)
@given(st.data(), PRODUCTS, finite_hardware())
def test_any_product_on_any_hardware(data: st.DataObject, case: Case, hardware: Hardware) -> None:
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds])
    assert [layer.name for layer in program.report().layers] == ["y"]
    check_same_bits(program, data.draw(written(program)), case.feeds)


def test_single_columns_that_are_converted_before_they_are_subtracted() -> None:
    """What keeps onnxruntime from joining their division with the product must not round them: they are no integers."""
    x = np.random.default_rng(0).normal(size=(500, 12)).astype(np.float32)
    for fine in ("adc.bits=8", "adc.bits=16"):
        overrides = ["weights.subtraction=digital", "cell.levels=16", "adc.range=unit", fine]
        program = product(np.random.default_rng(1).normal(size=(12, 1)), overrides, calibration=x)
        check_same_bits(program, program.write("pcm", seed=1).with_read_noise("frozen"), {"x": x})


def check_network(model: Path, calibration: Path | None, test: Path | None) -> None:
    program = xbarc.compile(model, calibration=calibration)
    (spec,) = program.inputs
    if test is None:
        x = np.random.default_rng(0).standard_normal((16, *spec.shape[1:]))
    else:
        with np.load(test) as data:
            x = data[spec.name][:16]
    chip = program.write(f"pcm:{STUCK}", seed=7).with_read_noise("frozen")
    for moment in (chip, chip.at("1d").compensated()):
        check_same_bits(program, moment, {spec.name: x.astype(spec.dtype)})


@pytest.mark.parametrize(("name", "calibration", "test"), BUNDLED, ids=[name for name, *_ in BUNDLED])
def test_bundled_networks(models_dir: Path, name: str, calibration: str, test: str) -> None:
    check_network(models_dir / f"{name}.onnx", models_dir / calibration, models_dir / test)


@pytest.mark.parametrize(("name", "calibration", "test"), SHARED, ids=[name for name, *_ in SHARED])
def test_larger_networks(shared_dir: Path, name: str, calibration: str | None, test: str | None) -> None:
    model = shared_dir / "models" / f"{name}.onnx"
    data = [None if part is None else shared_dir / "data" / part for part in (calibration, test)]
    if missing := [str(path) for path in (model, *data) if path is not None and not path.is_file()]:
        pytest.skip(f"needs {', '.join(missing)}")
    check_network(model, *data)


def test_a_chip_without_errors_is_the_ideal_chip(models_dir: Path) -> None:
    """A generic device none of whose sizes is given: the snapped cells hold the targets, the outputs are equal."""
    with np.load(models_dir / "digits_test.npz") as data:
        x = data["input"][:64]
    for overrides in ([], ["cell.levels=2", "weights.slices=8"], ["dac.bits=14", "cell.levels=1000"]):
        program = xbarc.compile(models_dir / "digits_cnn.onnx", calibration=x, overrides=overrides)
        ideal, written = program.write(), program.write("generic", seed=3).at("1y").compensated()
        (ours,), (expected,) = written.run(x).values(), ideal.run(x).values()
        assert ours.tobytes() == expected.tobytes()


def test_the_model_says_which_chip_it_is(models_dir: Path, tmp_path: Path) -> None:
    """And it is a program: loaded, it computes what the chip does."""
    program = xbarc.compile(models_dir / "digits_mlp.onnx", calibration=models_dir / "digits_calibration.npz")
    chip = program.write("pcm", seed=12).with_read_noise("frozen").at("1h")
    path = tmp_path / "chip.xbar.onnx"
    onnx.save(chip.model(), path)
    loaded = xbarc.load(path)
    assert loaded.facts["chip"]["seed"] == 12
    assert loaded.facts["chip"]["time_s"] == 3600
    assert loaded.facts["chip"]["device"] == "pcm"
    x = np.random.default_rng(0).random((8, *loaded.inputs[0].shape[1:]), dtype=np.float32)
    (ours,), (expected,) = loaded.write().run(x).values(), chip.run(x).values()
    assert ours.tobytes() == expected.tobytes()
