"""Every encoding, sliced in any way, with codes applied in any way, computes the same product when cells are ideal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import ENCODINGS, error, network, node, run

import xbarc
from xbarc.errors import HardwareError
from xbarc.ir.layer import Layer, layers

INPUTS = [["input.mode=parallel"]] + [
    ["input.mode=bit-serial", f"input.digit_bits={width}", f"input.sign={sign}"]
    for width in (1, 3)
    for sign in ("twos-complement", "phases")
]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def compiled(x: np.ndarray, overrides: list[str], *, rows: int, columns: int, groups: int = 1) -> xbarc.Program:
    """A product or, of several groups, a convolution of one place."""
    if groups == 1:
        model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", rows]}, {"w": numbers(rows, columns, seed=1)})
    else:
        kernel = numbers(groups * columns, rows // groups, 1, seed=1)
        model = network([node("Conv", ["x", "w"], "y", group=groups)], {"x": ["N", rows, 1]}, {"w": kernel})
    return xbarc.compile(model, overrides=overrides, calibration=x)


def subtraction(encoding: str, wanted: str) -> str:
    return wanted if encoding in ("differential", "constant-sum", "offset") else "digital"


@settings(max_examples=150)
@given(
    encoding=st.sampled_from(ENCODINGS),
    slicing=st.sampled_from([(256, 1), (16, 2), (4, 4), (2, 8), (3, 3), (65, 2)]),
    inputs=st.sampled_from(INPUTS),
    wanted=st.sampled_from(["analog", "digital"]),
    signed=st.booleans(),
    shape=st.sampled_from([(20, 5, 1), (7, 9, 1), (12, 4, 3), (6, 2, 6)]),
)
def test_finite_resolution_equals_the_integer_product(
    encoding: str, slicing: tuple[int, int], inputs: list[str], wanted: str, signed: bool, shape: tuple[int, int, int]
) -> None:
    """Codes, times integers that the cells decode to: an integer product, whose scaling is the only rounding."""
    levels, slices = slicing
    assume(not (encoding == "twos-complement" and slices == 1))
    assume(not (encoding == "constant-sum" and levels == 2))
    rows, columns, groups = shape
    x = numbers(16, rows, seed=2) if groups == 1 else numbers(16, rows, 1, seed=2)
    x = x if signed else np.abs(x)
    overrides = [
        f"weights.encoding={encoding}",
        f"weights.subtraction={subtraction(encoding, wanted)}",
        f"weights.slices={slices}",
        f"cell.levels={levels}",
        "tile.rows=8",
        "tile.columns=7",
        "adc.bits=24",
        "adc.range=unit",
    ]
    program = compiled(x, [*overrides, *inputs], rows=rows, columns=columns, groups=groups)
    (layer,) = layers(program.graph)
    assert layer.adc.range is not None
    assert layer.adc.range.lossless
    codes = np.clip(np.rint(x / np.float32(layer.dac.scale)), layer.dac.codes.low, layer.dac.codes.high)  # type: ignore[union-attr]
    integers = np.tensordot(layer.accumulate.slice_weights, decoded(layer), axes=1)
    parts = codes.reshape(16, groups, -1).astype(np.float64)
    sums = np.einsum("ngk,gkc->ngc", parts, integers).reshape(16, -1)
    expected = (sums.astype(np.float32) * layer.rescale.scale).reshape(16, -1)
    found = program.write().run(x)["y"].reshape(16, -1)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, run(program.model(), {"x": x})[0].reshape(16, -1))
    assert xbarc.load(program.model()).text() == program.text()


def decoded(layer: Layer) -> np.ndarray:
    """``(S, G, K, N)``: what each slice's cells stand for, decoded here by the definition of the encoding."""
    return layer.signed_levels().astype(np.float64)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_the_cells_decode_to_are_the_weights(encoding: str) -> None:
    slices = 2
    overrides = [
        f"weights.encoding={encoding}",
        f"weights.subtraction={subtraction(encoding, 'digital')}",
        f"weights.slices={slices}",
        "cell.levels=256",
        "tile.rows=8",
        "tile.columns=7",
    ]
    x = numbers(16, 20, seed=2)
    program = compiled(x, overrides, rows=20, columns=5)
    (layer,) = layers(program.graph)
    integers = np.tensordot(layer.accumulate.slice_weights, decoded(layer), axes=1)[0]
    weights = integers * (layer.rescale.unit_scale / layer.dac.scale)
    np.testing.assert_allclose(weights, numbers(20, 5, seed=1), rtol=0, atol=0.006)  # one of 510 steps


@pytest.mark.parametrize("encoding", [each for each in ENCODINGS if each != "twos-complement"])
def test_unlimited_resolution_equals_the_float_product(encoding: str) -> None:
    x = numbers(16, 20, seed=2)
    overrides = [
        f"weights.encoding={encoding}",
        f"weights.subtraction={subtraction(encoding, 'digital')}",
        "cell.levels=unlimited",
        "dac.bits=unlimited",
        "adc.bits=unlimited",
        "tile.rows=8",
        "tile.columns=7",
    ]
    program = compiled(x, overrides, rows=20, columns=5)
    assert error(program.write().run(x)["y"], x @ numbers(20, 5, seed=1)) < 1e-5


def test_no_flipped_column_holds_more_than_half_of_what_it_could() -> None:
    """So that the ADC of ISAAC needs one bit less: its columns' largest currents are halved."""
    x = np.abs(numbers(16, 20, seed=2))
    overrides = ["weights.subtraction=digital", "cell.levels=4", "weights.slices=4", "tile.rows=8", "tile.columns=7"]
    program = compiled(x, ["weights.encoding=biased-flip", *overrides], rows=20, columns=5)
    (layer,) = layers(program.graph)
    partition = layer.read.partition
    for place in range(partition.stacked):
        rows = partition.rows_in(*divmod(place, partition.row_blocks))
        block = layer.read.levels[:, 0, place, :rows]
        assert np.all(2 * block[..., partition.data_columns].sum(axis=1, dtype=int) <= rows * 3)
        assert np.all(block[..., sorted(set(partition.reference_columns))] == 1)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_written_chips_of_any_encoding_are_checked_by_onnxruntime(encoding: str) -> None:
    x = numbers(16, 20, seed=2)
    overrides = [
        f"weights.encoding={encoding}",
        f"weights.subtraction={subtraction(encoding, 'digital')}",
        "weights.slices=2",
        "cell.levels=16",
        "tile.rows=8",
        "tile.columns=7",
        "input.mode=bit-serial",
    ]
    program = compiled(x, overrides, rows=20, columns=5)
    chip = program.write("pcm", seed=3).at("1h").compensated().with_read_noise("frozen")
    np.testing.assert_array_equal(chip.run(x)["y"], run(chip.model(), {"x": x})[0])
    quiet = program.write("generic", seed=3).run(x)["y"]
    np.testing.assert_array_equal(quiet, program.write().run(x)["y"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["weights.encoding=twos-complement", "weights.subtraction=digital"], "a slice of its own"),
        (["weights.encoding=offset-digital"], "nothing is subtracted before the ADC"),
        (["weights.encoding=constant-sum", "cell.levels=2"], "around the middle"),
        (["weights.slice_levels=[4, 4]"], "lists 2 slices"),
        (["weights.slice_levels=[512]"], "asks for 512 levels"),
    ],
)
def test_encodings_that_cannot_work_are_refused(overrides: list[str], says: str) -> None:
    with pytest.raises(HardwareError, match=says):
        compiled(numbers(4, 20), overrides, rows=20, columns=5)


def test_slices_of_any_width() -> None:
    x = np.abs(numbers(16, 20, seed=2))
    common: list[Any] = ["cell.levels=128", "tile.rows=8", "adc.bits=24", "adc.range=unit"]
    program = compiled(x, [*common, "weights.slices=3", "weights.slice_levels=[2, 128, 4]"], rows=20, columns=5)
    (layer,) = layers(program.graph)
    np.testing.assert_array_equal(layer.accumulate.slice_weights, [512, 4, 1])
    assert [int(each.max()) for each in layer.read.levels] == [1, 127, 3]
    assert error(program.write().run(x)["y"], x @ numbers(20, 5, seed=1)) < 0.02
