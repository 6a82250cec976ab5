"""Claims of the literature that need no data: every encoding is the float product up to its rounding (A 1), the bits
that lose nothing (A 2), and what converters and fast read noise do to a layer, by formula against Monte Carlo.

Errors of cells (A 3, A 4, A 5, A 7) are in test_device_claims.py, wires (A 6) in test_circuit.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from chips import product
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import ENCODINGS

import xbarc
from xbarc.ir.layer import Layer, layers

INPUTS = {
    "parallel": (),
    "bits": ("input.mode=bit-serial", "input.digit_bits=1"),
    "digits": ("input.mode=bit-serial", "input.digit_bits=3", "input.sign=phases"),
}


def layer_of(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


# A 1: without non-idealities


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from(ENCODINGS),
    levels=st.sampled_from([(256, 1), (16, 2), (4, 4), (8, 3)]),
    inputs=st.sampled_from(sorted(INPUTS)),
    positive=st.booleans(),
    rows=st.integers(1, 40),
    seed=st.integers(0, 2**16),
)
def test_a1_every_encoding_is_the_float_product_up_to_half_a_step_of_weights_and_inputs(
    encoding: str, levels: tuple[int, int], inputs: str, positive: bool, rows: int, seed: int
) -> None:
    """|y - x W| <= sum |x| dw + |w| dx + dw dx, with half the step of a weight and of an input. The largest weight of a
    column is as many steps as the encoding has codes above zero: all, half of them, those of digits on one side of the
    middle level, or those beside the slice of the sign."""
    each, slices = levels
    assume(not (encoding == "twos-complement" and slices == 1))
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(16, rows)).astype(np.float32), rng.normal(size=(rows, 5)).astype(np.float32)
    x = np.abs(x) if positive else x
    analog = encoding in ("differential", "constant-sum", "offset") and seed % 2
    cells = (f"cell.levels={each}", f"weights.slices={slices}", "tile.rows=16", "tile.columns=12", "cell.g_min=0 S")
    how = (f"weights.encoding={encoding}", f"weights.subtraction={'analog' if analog else 'digital'}")
    converters = ("dac.range=max", "adc.bits=24", "adc.range=unit")
    program = product(weight, (*cells, *how, *converters, *INPUTS[inputs]), calibration=x)
    layer = layer_of(program)
    assert layer.adc.range is not None
    assert layer.adc.range.lossless
    one_side = {
        "differential": each**slices - 1,
        "constant-sum": ((each + 1) // 2) ** slices - 1,
        "twos-complement": each ** (slices - 1) - 1,
    }.get(encoding, each**slices // 2 - 1)
    dw = np.abs(weight).max(axis=0).astype(np.float64) / one_side / 2
    dx = np.abs(x).max() / (255 if positive else 127) / 2
    exact = x.astype(np.float64) @ weight
    bound = np.abs(x) @ np.tile(dw, (rows, 1)) + dx * np.abs(weight).sum(axis=0) + rows * dx * dw
    assert np.all(np.abs(program.write().run(x)["y"] - exact) <= bound + 1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a1_weights_and_inputs_that_are_codes_come_out_exactly(encoding: str) -> None:
    """Of integers from -7 to 7 nothing is rounded, so all encodings give one number."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-7, 8, (30, 5)).astype(np.float32)
    weight[0], weight[1] = 7, -7
    x = rng.integers(-127, 128, (16, 30)).astype(np.float32)
    x[0, 0] = 127
    levels, slices = {"differential": (8, 1), "twos-complement": (8, 2), "constant-sum": (15, 1)}.get(encoding, (16, 1))
    program = product(
        weight,
        (
            f"weights.encoding={encoding}",
            "weights.subtraction=digital",
            f"weights.slices={slices}",
            f"cell.levels={levels}",
            "tile.rows=16",
            "dac.range=max",
            "adc.bits=24",
            "adc.range=unit",
        ),
        calibration=x,
    )
    np.testing.assert_allclose(program.write().run(x)["y"], x @ weight, rtol=3e-7, atol=1e-3)


# A 2: the bits that lose nothing


def exact_bits(rows: int, weight_bits: int, input_bits: int) -> int:
    """Of a converter that counts in units of (one step of a cell) x (one input code), from 0 to the largest sum."""
    largest = rows * (2**weight_bits - 1) * (2**input_bits - 1)
    return math.ceil(math.log2(largest + 1))


def sufficient_bits(rows: int, weight_bits: int, input_bits: int) -> int:
    """Xiao et al. 2022, equation 2."""
    saved = 1 if weight_bits == 1 or input_bits == 1 else 0
    return math.ceil(weight_bits + input_bits + math.log2(rows) - saved - 1e-12)


def counted(rows: int, weight_bits: int, input_bits: int, *overrides: str) -> xbarc.Program:
    """One column of the largest weight and one of the smallest: the sum is as large as can be, and every unit counts.

    The calibration sample has one row on at a time: what it shows of currents is a rows-th of what there can be.
    """
    weight = np.ones((rows, 2))
    weight[:, 0] = 2**weight_bits - 1
    serial = input_bits == 1
    bits = 4 if serial else input_bits
    sample = np.eye(rows, dtype=np.float32) * (2**bits - 1)
    how = ("weights.subtraction=digital", "weights.scale=layer", f"cell.levels={2**weight_bits}", "cell.g_min=0 S")
    shape = (f"tile.rows={rows}", "tile.columns=4", "dac.range=max", f"dac.bits={bits}")
    return product(weight, (*how, *shape, *(INPUTS["bits"] if serial else ()), *overrides), calibration=sample)


def at_bits(bits: int) -> Sequence[str]:
    return (f"adc.bits={bits}", "adc.range=fixed", "adc.fixed_lsb=1")


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(4, 100), weight_bits=st.integers(1, 4), input_bits=st.integers(1, 4), seed=st.integers(0, 2**16)
)
def test_a2_the_exact_number_of_bits_loses_nothing_and_one_less_loses_an_input(
    rows: int, weight_bits: int, input_bits: int, seed: int
) -> None:
    bits = exact_bits(rows, weight_bits, input_bits)
    assume(bits >= 3)
    program = counted(rows, weight_bits, input_bits, *at_bits(bits))
    found = layer_of(program).adc.range
    assert found is not None
    assert (found.lossless, found.lossless_bits) == (True, bits)
    assert bits <= sufficient_bits(rows, weight_bits, input_bits)
    highest = 15 if input_bits == 1 else 2**input_bits - 1
    rng = np.random.default_rng(seed)
    admissible = rng.integers(0, highest + 1, (20, rows)).astype(np.float32)
    worst = np.full((1, rows), highest, np.float32)
    weight = np.stack([np.full(rows, 2**weight_bits - 1), np.ones(rows)], axis=1)

    def outputs(made: xbarc.Program, x: np.ndarray) -> np.ndarray:
        return np.asarray(made.write().run(x)["y"], dtype=np.float64)

    for x in (admissible, worst):
        np.testing.assert_allclose(outputs(program, x), x @ weight, rtol=1e-6)
    fewer = counted(rows, weight_bits, input_bits, *at_bits(bits - 1))
    found = layer_of(fewer).adc.range
    assert found is not None
    assert (found.lossless, found.lossless_bits) == (False, bits)
    assert outputs(fewer, worst)[0, 0] < 0.999 * (worst @ weight)[0, 0]
    # What it was calibrated on does not show it.
    shown = np.eye(rows, dtype=np.float32) * highest
    np.testing.assert_allclose(outputs(fewer, shown), shown @ weight, rtol=1e-6)


def test_a2_the_published_formula_is_sufficient_and_not_minimal() -> None:
    assert (exact_bits(80, 2, 1), sufficient_bits(80, 2, 1)) == (8, 9)
    found = layer_of(counted(80, 2, 1)).adc.range
    assert found is not None
    assert found.lossless_bits == 8
    assert exact_bits(128, 2, 1) == sufficient_bits(128, 2, 1) == 9, "ISAAC, without its flipped columns"
    cases = [(rows, *bits) for rows in range(1, 129) for bits in np.ndindex(5, 5) if all(bits)]
    over = [sufficient_bits(*case) - exact_bits(*case) for case in cases]
    assert min(over) == 0
    assert 0.2 < np.count_nonzero(over) / len(over) < 0.4


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 30), levels=st.integers(2, 9), seed=st.integers(0, 2**16))
def test_a2_with_the_levels_that_there_are_the_range_of_currents_says_how_many_bits(
    rows: int, levels: int, seed: int
) -> None:
    """Pairs subtracted in the currents, codes of either sign: as far down as up, so ceil(log2(max - min + 1))."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(1 - levels, levels, (rows, 3)).astype(np.float64)
    weight[0, 0], weight[-1, -1] = levels - 1, 1
    sample = np.eye(rows, dtype=np.float32)
    overrides = (
        "weights.scale=layer",
        f"cell.levels={levels}",
        f"tile.rows={rows}",
        "tile.columns=4",
        "cell.g_min=0 S",
    )
    most = 7 * np.abs(weight).sum(axis=0)
    bits = math.ceil(math.log2(2 * most.max() + 1))
    signed = np.concatenate([sample, -sample]) * 7
    converters = ("dac.bits=4", "dac.range=max")
    program = product(weight, (*overrides, *converters, *at_bits(bits)), calibration=signed)
    found = layer_of(program).adc.range
    assert found is not None
    assert (found.lossless, found.lossless_bits) == (True, bits)
    column = int(np.argmax(most))
    worst = 7 * np.sign(weight[:, column]).astype(np.float32)[None]
    np.testing.assert_allclose(program.write().run(worst)["y"], worst @ weight, rtol=1e-6, atol=1e-4)
    if bits > 2:
        fewer = product(weight, (*overrides, *converters, *at_bits(bits - 1)), calibration=signed)
        assert fewer.write().run(worst)["y"][0, column] < (worst @ weight)[0, column] - 0.5


# The signal-to-noise ratio of a layer's output

B, K, N = 600, 64, 48
X = np.random.default_rng(1).normal(size=(B, K)).astype(np.float32)
WEIGHT = np.random.default_rng(2).normal(size=(K, N))
LSB = 37.3
VARIANTS = {
    "analog": (),
    "digital": ("weights.subtraction=digital",),
    "slices": ("cell.levels=16", "weights.slices=2"),
    "digits": ("input.mode=bit-serial", "input.digit_bits=4", "input.sign=phases", "adc.bits=16"),
}


def within_3(what: str, sample: np.ndarray, expected: float) -> None:
    """The mean of independent numbers, by their standard error."""
    error = sample.std(ddof=1) / math.sqrt(sample.size)
    assert abs(sample.mean() - expected) < 3 * error, f"{what}: {sample.mean()} +- {error}, expected {expected}"


def check_power(y: np.ndarray, exact: np.ndarray, variance: np.ndarray) -> None:
    """Errors of mean 0 and a variance, window by window; and the ratio of the layer in decibels, which both follow."""
    deviations = (y - exact) / np.sqrt(variance)
    within_3("mean", deviations.mean(axis=1), 0.0)
    within_3("variance", (deviations**2).mean(axis=1), 1.0)
    power = ((y - exact) ** 2).sum(axis=1)
    expected = np.broadcast_to(variance, y.shape).sum(axis=1)
    within_3("power over what is expected", power / expected, 1.0)
    ratios = [10 * math.log10((exact**2).sum() / each) for each in (power.sum(), expected.sum())]
    assert ratios[0] == pytest.approx(ratios[1], abs=0.2)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_signal_to_noise_ratio_behind_converters_is_that_of_their_rounding_and_noise(
    variant: str, noise: float
) -> None:
    """lsb^2 (1/12 + noise^2) a conversion, counted as its slice and digit count, one for each row block."""
    overrides = ("tile.rows=16", "adc.bits=12", *VARIANTS[variant], "adc.range=fixed", f"adc.fixed_lsb={LSB}")
    converted = product(WEIGHT, (*overrides, f"adc.noise_lsb={noise}"), calibration=X)
    unconverted = product(WEIGHT, ("tile.rows=16", *VARIANTS[variant], "adc.bits=unlimited"), calibration=X)
    y, exact = (made.write("generic", seed=1).run(X)["y"].astype(np.float64) for made in (converted, unconverted))
    layer = layer_of(converted)
    each = sum(weight**2 for weight in layer.accumulate.slice_weights) * (2 if layer.single_ended else 1)
    conversions = each * (K // 16) * sum(float(weight) ** 2 for weight in layer.digit_weights)
    variance = conversions * LSB**2 * (1 / 12 + noise**2) * layer.rescale.unit_scale**2
    check_power(y, exact, np.asarray(variance))


@pytest.mark.parametrize("kind", ["independent", "proportional"])
def test_the_signal_to_noise_ratio_of_fast_read_noise_follows_from_the_cells(kind: str) -> None:
    """Both cells of a pair, anew at every read: 2 m^2 sum x^2, or m^2 sum w^2 x^2, over the largest weight."""
    m = 0.03
    program = product(
        WEIGHT, ("weights.scale=layer", "adc.bits=unlimited", "cell.levels=65535", "dac.bits=14"), calibration=X
    )
    chip = program.write(f"generic:read_{kind}={m}", seed=1).with_read_noise("per-read")
    largest, exact = np.abs(WEIGHT).max(), program.write().run(X)["y"].astype(np.float64)
    squares = np.square(X, dtype=np.float64)
    both = 2 * np.full_like(WEIGHT, largest**2) if kind == "independent" else WEIGHT**2
    check_power(chip.run(X)["y"].astype(np.float64), exact, m**2 * (squares @ both))
