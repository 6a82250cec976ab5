"""Products of every form against onnxruntime: unquantised on the source model, quantised on the compiled program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Case, convolutions, error, finite_hardware, gemms, matmuls, network, node, run
from product_checks import check_exact, check_same_bits, host_reasons, on_tiles

import xbarc
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import layers

PRODUCTS = st.one_of(convolutions(), gemms(), matmuls())

WIDE_PRODUCTS = st.one_of(gemms(np.float64), matmuls(np.float64))  # onnxruntime has no Conv of float64
# onnxruntime computes host operators of float16 in float32, and rounds between them or not, as its optimisation goes.
HALF_PRODUCTS = st.one_of(convolutions(np.float16), gemms(np.float16, computed_addends=False), matmuls(np.float16))


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Unlimited resolution


@settings(max_examples=150)
@given(PRODUCTS)
def test_exact_hardware_gives_the_floating_point_result(case: Case) -> None:
    check_exact(case, 1e-6)


@settings(max_examples=30)
@given(WIDE_PRODUCTS)
def test_exact_hardware_on_a_double_model_is_as_good_as_float(case: Case) -> None:
    check_exact(case, 1e-6)


@settings(max_examples=40)
@given(HALF_PRODUCTS)
def test_exact_hardware_on_a_half_precision_model_is_within_a_rounding(case: Case) -> None:
    check_exact(case, 2.0**-10)


# Finite resolution


@settings(max_examples=250)
@given(PRODUCTS, finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=30)
@given(st.one_of(WIDE_PRODUCTS, HALF_PRODUCTS), finite_hardware())
def test_other_precisions_give_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=40)
@given(PRODUCTS)
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    check_same_bits(case, load_hardware("generic-pcm"))


@settings(max_examples=40)
@given(case=PRODUCTS, hardware=finite_hardware())
def test_a_program_survives_its_file(tmp_path_factory: pytest.TempPathFactory, case: Case, hardware: Hardware) -> None:
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds])
    path: Path = tmp_path_factory.mktemp("programs") / "one.xbar.onnx"
    loaded = xbarc.load(program.save(path))
    assert loaded.text() == program.text()
    assert loaded.hardware == program.hardware
    assert loaded.report() == program.report()
    before, after = (each.write().run(case.feeds)["y"] for each in (program, loaded))
    assert after.tobytes() == before.tobytes()
    (theirs,) = run(onnx.load(path), case.feeds)
    assert theirs.tobytes() == before.tobytes()


def test_a_layer_of_one_channel_behind_a_digital_product_is_divided_exactly() -> None:
    """onnxruntime makes a division by one number right after a product a product by the reciprocal, if we let it."""
    model = network(
        [node("MatMul", ["a", "b"], "digital"), node("MatMul", ["digital", "w"], "y")],
        {"a": (4000, 6, 4), "b": (4000, 4, 1)},
        {"w": numbers((1, 5))},
    )
    feeds = {"a": numbers((4000, 6, 4), 1), "b": numbers((4000, 4, 1), 2)}
    fine = ["dac.bits=16", "adc.bits=16", "adc.range=unit"]
    program = xbarc.compile(model, calibration=feeds, overrides=fine)
    assert on_tiles(program) == ["y"]
    ours = program.write().run(feeds)["y"]
    for optimized in (False, True):
        (theirs,) = run(program.model(), feeds, optimized=optimized)
        assert np.count_nonzero(theirs != ours) == 0


def test_an_addend_that_counts_zero_times_leaves_nothing_behind() -> None:
    nodes = [node("Neg", ["x"], "addend"), node("Gemm", ["x", "w", "addend"], "y", beta=0.0)]
    model = network(nodes, {"x": ("N", 4)}, {"w": numbers((4, 4))})
    check_exact(Case(model, {"x": numbers((3, 4), 1)}), 1e-6)
    assert xbarc.compile(model).report().host == ()


@pytest.mark.parametrize("encoding", ["differential", "offset"])
@pytest.mark.parametrize("subtraction", ["analog", "digital"])
def test_sums_that_float32_cannot_hold_are_exact(encoding: str, subtraction: str) -> None:
    """Every current has a code of its own, so that nothing is rounded before the last step, whatever the sum."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.8, 1.0, (700, 3)).astype(np.float32)
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 700)}, {"w": weight})
    x = rng.uniform(0.9, 1.0, (50, 700)).astype(np.float32)
    given = [f"weights.encoding={encoding}", f"weights.subtraction={subtraction}", "dac.bits=7", "adc.bits=24"]
    hardware = load_hardware("generic-pcm", [*given, "adc.range=fixed", "adc.fixed_lsb=1.0"])
    program = check_same_bits(Case(model, {"x": x}), hardware)
    (layer,) = layers(program.graph)
    codes = np.clip(np.rint(x / np.float32(layer.dac.scale)), 0, 127).astype(np.int64)
    total = codes @ layer.signed_levels()[0, 0]
    assert encoding == "offset" or total.min() > 2**24
    expected = total.astype(np.float32) * layer.rescale.scale
    assert program.write().run(x)["y"].tobytes() == expected.tobytes()


# What stays digital


REFUSED = {
    "neither matrix is constant": ([node("MatMul", ["x", "x"], "y")], {}),
    "its kernel is not constant": (
        [node("Mul", ["w", "x"], "moving"), node("Conv", ["x", "moving"], "y")],
        {"w": numbers((2, 4, 1))},
    ),
    "its bias is not constant": (
        [
            node("ReduceMax", ["x"], "peak", keepdims=0),
            node("Mul", ["b", "peak"], "moving"),
            node("Conv", ["x", "w", "moving"], "y"),
        ],
        {"w": numbers((3, 4, 2)), "b": numbers((3,))},
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_product_without_a_static_matrix_stays_digital_for_a_stated_reason(reason: str) -> None:
    nodes, constants = REFUSED[reason]
    model = network(nodes, {"x": (2, 4, 4)}, constants)
    feeds = {"x": numbers((2, 4, 4), 1)}
    program = xbarc.compile(model, calibration=feeds)
    assert on_tiles(program) == []
    assert host_reasons(program)["y"] == reason
    (expected,) = run(model, feeds)
    assert error(program.write().run(feeds)["y"], expected) < 1e-6


def test_integer_products_stay_digital() -> None:
    constants = {"w": np.arange(12, dtype=np.int32).reshape(4, 3)}
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 4)}, constants, dtype=np.int32)
    program = xbarc.compile(model)
    assert on_tiles(program) == []
    assert program.report().host[0].reason == "its element type is int32"
    x = np.arange(8, dtype=np.int32).reshape(2, 4)
    assert np.array_equal(program.write().run(x)["y"], x @ constants["w"])


def test_deformable_convolutions_stay_digital() -> None:
    nodes = [node("DeformConv", ["x", "w", "offset"], "y", kernel_shape=[2, 2])]
    inputs = {"x": (1, 3, 4, 4), "offset": (1, 8, 3, 3)}
    model = network(nodes, inputs, {"w": numbers((5, 3, 2, 2))}, opset=19)
    feeds = {name: numbers(shape, 1) for name, shape in inputs.items()}
    program = xbarc.compile(model, calibration=feeds)
    assert host_reasons(program) == {"y": "its windows are interpolated between pixels, at computed places"}
    (expected,) = run(model, feeds)
    assert error(program.write().run(feeds)["y"], expected) < 1e-6
