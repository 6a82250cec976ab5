"""The noise of cells in integers: its variances against sums of squares, and whole reads against reads step by step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from chips import cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.ir.layer import Layer, layers
from xbarc.runtime.cell_noise import UNSEEN_DEVIATION, UNSEEN_VARIANCE, CellNoise, NoiseReads, cell_noise
from xbarc.runtime.code_product import Buffers
from xbarc.runtime.layer_plan import LayerNoise, layer_plan
from xbarc.runtime.layer_run import Place, run_layer


def variances_of(noise: CellNoise, codes: np.ndarray, zero: int, *, lines: int = 1) -> list[np.ndarray]:
    reads = NoiseReads(noise, codes, lines, Buffers())
    reads.multiply(zero)
    return [reads.variance(read, slice(0, len(codes))).copy() for read in range(len(noise.steps))]


def drawn(data: st.DataObject, rows: int, columns: int, windows: int, zero: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    return draw.gamma(2.0, size=(rows, columns)), draw.integers(0, 256 - (zero > 0), (windows, rows)).astype(np.uint8)


def exactly(variance: np.ndarray, codes: np.ndarray, zero: int) -> np.ndarray:
    found: np.ndarray = np.square(codes.astype(np.float64) - zero) @ variance
    return found


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 300), st.integers(1, 20), st.sampled_from([0, 128]))
def test_two_bytes_of_a_square_are_exact_but_for_the_steps_of_cells(
    data: st.DataObject, rows: int, columns: int, zero: int
) -> None:
    variance, codes = drawn(data, rows, columns, 9, zero)
    noise = cell_noise([variance], [], largest=max(255 - zero, zero), lsb=None)
    assert noise is not None
    if noise.product is None:
        return
    assert noise.gain == 0
    (found,) = variances_of(noise, codes, zero)
    # what a cell lacks of a whole step the next one has: the error is that of one step between neighbouring squares
    squares = np.square(codes.astype(np.float64) - zero)
    between = np.abs(np.diff(squares, axis=1, append=0.0)).sum(axis=1, keepdims=True) / 2
    bound = between * variance.max(axis=0) / 62
    assert np.all(np.abs(found - exactly(variance, codes, zero)) <= bound * (1 + 1e-6) + 1e-6 * found)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(2, 60), st.integers(1, 20), st.integers(1, 15))
def test_squares_of_digits_fit_one_byte_exactly(data: st.DataObject, rows: int, columns: int, largest: int) -> None:
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    # variances that are whole steps: nothing is rounded anywhere
    steps = draw.integers(0, 62, (rows, columns)).astype(np.float64)
    steps[0] = 62
    codes = draw.integers(0, largest + 1, (9, rows)).astype(np.uint8)
    noise = cell_noise([0.25 * steps], [], largest=largest, lsb=1e-3)
    assert noise is not None
    assert noise.gain == 256
    (found,) = variances_of(noise, codes, 0)
    assert np.array_equal(found, exactly(0.25 * steps, codes, 0))


@pytest.mark.parametrize("zero", [0, 128])
def test_a_rounded_square_is_off_by_less_than_is_said_and_to_neither_side(zero: int) -> None:
    draw = np.random.default_rng(5)
    steps = draw.integers(1, 62, (144, 256)).astype(np.float64)
    steps[0] = 62
    largest = max(255 - zero, zero)
    unit = 256 if zero == 0 else 128
    lsb = np.sqrt(unit / 6**0.5 * np.sqrt(np.square(steps).sum(axis=0)).max() / UNSEEN_VARIANCE)
    split = cell_noise([steps], [], largest=largest, lsb=lsb * 0.999)
    noise = cell_noise([steps], [], largest=largest, lsb=lsb * 1.001)
    assert split is not None
    assert noise is not None
    assert split.gain == 0
    assert noise.gain == 256 // unit
    # windows of small codes too, whose squares are less than a unit
    scale = draw.uniform(0, 1, (4_000, 1))
    codes = (zero + np.rint(scale * draw.integers(-zero, 256 - zero - (zero > 0), (4_000, 144)))).astype(np.uint8)
    (found,) = variances_of(noise, codes, zero)
    off = (found - exactly(steps, codes, zero)) / lsb**2
    assert np.sqrt(np.square(off).mean()) <= UNSEEN_VARIANCE
    # the rounding of a row is the same in every window: a column may lean to a side, all columns do not
    assert np.abs(off.mean()) <= 3 * UNSEEN_VARIANCE / np.sqrt(256)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 60), st.integers(1, 20), st.integers(1, 3), st.sampled_from([0, 128]))
def test_cells_that_are_alike_need_no_product(
    data: st.DataObject, rows: int, columns: int, count: int, zero: int
) -> None:
    variance, codes = drawn(data, rows, columns, 8, zero)
    alike = [np.tile(variance[:1] * (1 + number), (rows, 1)) for number in range(count)]
    noise = cell_noise(alike, [], largest=max(255 - zero, zero), lsb=None)
    assert noise is not None
    assert noise.product is None
    for found, one in zip(variances_of(noise, codes, zero, lines=4 if count == 1 else 1), alike, strict=True):
        np.testing.assert_allclose(found, exactly(one, codes, zero), rtol=1e-6)


def test_noise_that_no_converter_can_tell_is_left_out() -> None:
    variance = np.random.default_rng(3).gamma(2.0, size=(50, 7))
    worst = np.sqrt(variance.sum(axis=0).max()) * 255
    assert cell_noise([variance], [], largest=255, lsb=worst / UNSEEN_DEVIATION * 1.001) is None
    assert cell_noise([variance], [], largest=255, lsb=worst / UNSEEN_DEVIATION * 0.999) is not None
    assert cell_noise([variance], [], largest=255, lsb=None) is not None
    assert cell_noise([0 * variance], [], largest=255, lsb=None) is None


DEVICES = {
    "pcm": "pcm",
    "cells alike": "generic:read_independent=0.01",
    "quiet cells": "generic:programming_proportional=0.02",
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("adc.noise_lsb=0.7",),
        ("weights.slices=2", "cell.levels=16"),
        ("weights.subtraction=digital",),
        ("input.mode=bit-serial", "input.digit_bits=2"),
        ("tile.rows=20", "tile.columns=12"),
    ],
)
@pytest.mark.parametrize("columns", [5, 16, 30, 130])
def test_a_whole_read_is_what_its_steps_make(device: str, overrides: tuple[str, ...], columns: int) -> None:
    draw = np.random.default_rng(columns)
    x = draw.normal(size=(150, 70)).astype(np.float32)
    program = product(draw.normal(size=(70, columns)), overrides, calibration=x)
    chip = program.write(DEVICES[device], seed=2)
    (layer,), noise = cells_of(program, chip)
    for one, own in ((layer, noise.get(layer.name)), (layers(program.graph)[0], None)):
        whole, seen = outputs(one, x, own, watched=False), outputs(one, x, own, watched=True)
        assert whole.tobytes() == seen.tobytes()
        assert outputs(one, x[40:], own, watched=False, threads=3, first=40).tobytes() == whole[40:].tobytes()


def outputs(
    layer: Layer, x: np.ndarray, noise: LayerNoise | None, *, watched: bool, threads: int = 1, first: int = 0
) -> np.ndarray:
    """Whoever looks at currents makes reads go step by step."""
    seen: list[int] = []
    with ThreadPoolExecutor(threads) as pool:
        result = run_layer(
            layer_plan(layer, noise=noise),
            x,
            pool,
            threads,
            visit=(lambda _, currents: seen.append(currents.size)) if watched else None,
            place=Place(first),
        )
    assert bool(seen) == watched
    return result
