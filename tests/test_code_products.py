"""Products in integers against the same in floating point and in Python's own integers: exact, whatever the layout."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from chips import cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node
from networks import run as execute

import xbarc
from xbarc.ir.executor import ReadIndex
from xbarc.ir.layer import Layer, layers
from xbarc.runtime import code_product, read_kernels
from xbarc.runtime.code_product import MOST_DIGITS, SAFE_BITS, CodeProduct, digit_bits, digits_of
from xbarc.runtime.layer_plan import LayerNoise, layer_plan
from xbarc.runtime.layer_run import run_layer

#: The largest number that a matrix of most digits holds, either way round.
LARGEST = 63 * (1 + 128 + 128**2)
#: Of digits on this processor.
BITS = sorted({SAFE_BITS, digit_bits()})

VARIANTS = {
    "pairs": (),
    "unsigned ADC": ("weights.subtraction=digital",),
    "g_min": ("cell.g_min=1 uS", "weights.subtraction=digital"),
    "offset": ("weights.encoding=offset-digital", "weights.subtraction=digital"),
    "reference column": ("weights.encoding=offset",),
    "slices": ("weights.slices=2", "cell.levels=16"),
    "digits": ("input.mode=bit-serial",),
    "slices and digits": ("weights.slices=4", "cell.levels=4", "input.mode=bit-serial", "input.digit_bits=2"),
    "errors": ("adc.gain_sigma=0.02", "adc.offset_sigma=0.7", "adc.inl_sigma=0.4"),
    "narrow tiles": ("tile.rows=20", "tile.columns=12"),
}


def run(layer: Layer, x: np.ndarray, *, integers: bool, noise: LayerNoise | None = None, threads: int = 1) -> bytes:
    plan = dataclasses.replace(layer_plan(layer, noise=noise, integers=integers), convolution=())
    assert (plan.zero is not None) == integers
    with ThreadPoolExecutor(threads) as pool:
        return run_layer(plan, x, pool, threads).tobytes()


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 20), st.integers(1, 3), st.integers(1, 30))
def test_products_of_bytes_are_those_of_integers(
    data: st.DataObject, rows: int, columns: int, count: int, windows: int
) -> None:
    largest = data.draw(st.sampled_from([1, 63, 64, 255, 8127, 8256, LARGEST]))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    matrices = [draw.integers(-largest, largest + 1, (rows, columns)) for _ in range(count)]
    bits = data.draw(st.sampled_from(BITS))
    held, codes = CodeProduct(matrices, bits=bits), draw.integers(0, 256, (windows, rows)).astype(np.uint8)
    sums = np.empty((windows, held.columns), dtype=np.int32)
    held.bind(codes, sums)()
    digits = sums.reshape(windows, count, columns, held.digits).astype(object)
    for number, matrix in enumerate(matrices):
        found = sum(digits[:, number, :, digit] * 2 ** (bits * digit) for digit in range(held.digits))
        assert np.array_equal(found, codes.astype(object) @ matrix.astype(object))


@given(st.integers(-(64 * 16513), 63 * 16513))
def test_the_number_of_digits_is_the_least(number: int) -> None:
    digits = digits_of(np.array([[number]]))
    ones = sum(128**place for place in range(digits))
    assert -64 * ones <= number <= 63 * ones
    if digits > 1:
        assert not -64 * (ones // 128) <= number <= 63 * (ones // 128)
    assert digits <= MOST_DIGITS


def test_digits_are_whole_bytes_only_where_no_sum_saturates(monkeypatch: pytest.MonkeyPatch) -> None:
    class Saturating:
        """A processor that adds products in pairs, in 16 bits."""

        def __init__(self, weights: np.ndarray) -> None:
            self._weights = weights.astype(np.int64)

        def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            terms = feeds["codes"].astype(np.int64)[:, :, None] * self._weights
            pairs = terms[:, : terms.shape[1] // 2 * 2].reshape(len(terms), -1, 2, terms.shape[2]).sum(axis=2)
            rest = terms[:, terms.shape[1] // 2 * 2 :].sum(axis=1)
            return [(np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1) + rest).astype(np.int32)]

    monkeypatch.setattr(code_product, "_session", Saturating)
    assert digit_bits.__wrapped__() == SAFE_BITS
    codes, digits = np.full((1, 64), 255, np.uint8), np.full((64, 1), -64, np.int8)  # of seven bits nothing does
    assert Saturating(digits).run(None, {"codes": codes})[0] == 64 * 255 * -64


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("signed", [False, True])
def test_both_ways_give_the_same_bits(variant: str, signed: bool) -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(37, 50)).astype(np.float32)
    x = x if signed else np.abs(x)
    program = product(draw.normal(size=(50, 30)), VARIANTS[variant], calibration=x)
    for (layer,) in (layers(program.graph), cells_of(program, program.write("pcm", seed=2))[0]):
        assert run(layer, x, integers=True) == run(layer, x, integers=False)
        assert run(layer, x, integers=True, threads=3) == run(layer, x[:20], integers=True) + run(
            layer, x[20:], integers=True
        )


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_windows_of_any_geometry_are_gathered_the_same(data: st.DataObject, rank: int) -> None:
    """Kernels, strides, dilations, padding, groups: bytes with channels last against numbers with channels first."""
    sizes = st.integers(1, 3)
    kernel, strides, dilations = (data.draw(st.lists(sizes, min_size=rank, max_size=rank)) for _ in range(3))
    pads = data.draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    groups, a, b = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    spatial = data.draw(st.lists(st.integers(7, 9 if rank < 3 else 7), min_size=rank, max_size=rank))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = draw.normal(size=(3, groups * a, *spatial)).astype(np.float32)
    weight = draw.normal(size=(groups * b, a, *kernel)).astype(np.float32)
    conv = node(
        "Conv", ["x", "w"], "y", strides=strides, dilations=dilations, pads=pads, group=groups, kernel_shape=kernel
    )
    model = network([conv], {"x": ("N", groups * a, *spatial)}, {"w": weight})
    cut = data.draw(st.sampled_from([(), ("tile.rows=10", "tile.columns=4")]))
    program = xbarc.compile(
        model, overrides=cut, calibration=x, split=data.draw(st.sampled_from(["greedy", "positions"]))
    )
    (layer,) = layers(program.graph)
    assert run(layer, x, integers=True) == run(layer, x, integers=False)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("rows", [1, 65536])
def test_the_largest_sums_do_not_overflow(rows: int, bits: int) -> None:
    """Of the longest columns, the largest codes and the largest numbers of most digits, either way round."""
    codes = np.full((3, rows), 255, np.uint8)
    matrix = np.tile([LARGEST, -LARGEST, -64 * 16513, 63, -64], (rows, 1))
    held = CodeProduct([matrix], bits=bits)
    sums = np.empty((3, held.columns), dtype=np.int32)
    held.bind(codes, sums)()
    currents, expected = np.empty((3, 5)), 255 * rows * matrix[0].astype(np.float64)
    read_kernels.combine_digits(sums, held.digits, bits, np.zeros(5, np.int64), np.float64(1.0), currents)
    assert np.array_equal(currents, np.tile(expected, (3, 1)))
    # as what codes with a sign are above the byte of 0: the current itself fits where its terms do not
    small = np.tile(np.array([63, 64], np.int32), (rows, 1))
    held = CodeProduct([small], bits=bits)
    sums = np.empty((3, held.columns), dtype=np.int32)
    held.bind(np.full((3, rows), 129, np.uint8), sums)()
    offset = (128 * small.sum(axis=0, dtype=np.int64)).astype(np.int32)
    few = np.empty((3, 2), np.float32)
    read_kernels.combine_digits(sums, held.digits, bits, offset, np.float32(1.0), few)
    assert np.array_equal(few, np.tile(rows * small[0], (3, 1)))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "errors"])
def test_whoever_looks_at_currents_sees_the_same(variant: str) -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(size=(300, 50)).astype(np.float32)
    program = product(draw.normal(size=(50, 30)), VARIANTS[variant], calibration=x)
    (layer,), _ = cells_of(program, program.write("pcm", seed=2))

    def seen(*, integers: bool) -> dict[ReadIndex, np.ndarray]:
        found: dict[ReadIndex, list[np.ndarray]] = {}
        plan = layer_plan(layer, convert_outputs=False, integers=integers)
        with ThreadPoolExecutor(1) as pool:
            run_layer(plan, x, pool, 1, visit=lambda read, currents: found.setdefault(read, []).append(currents.copy()))
        return {read: np.concatenate(parts) for read, parts in found.items()}

    bytewise, floating = seen(integers=True), seen(integers=False)
    assert bytewise.keys() == floating.keys()
    assert all(np.array_equal(bytewise[read], floating[read]) for read in floating)


@pytest.mark.parametrize("bits", [8, 9])
@pytest.mark.parametrize("overrides", [(), ("input.mode=bit-serial",), ("tile.rows=20",)])
@pytest.mark.parametrize("device", ["ideal", "pcm"])
def test_what_is_no_number_makes_none(bits: int, overrides: tuple[str, ...], device: str) -> None:
    """Inside a network, since inputs of a network are numbers: of the windows and the groups that it is in, as in the
    model of the chip. Codes of 9 bits are multiplied in floating point."""
    draw = np.random.default_rng(5)
    x = draw.uniform(0.1, 3, (5, 6, 9, 8)).astype(np.float32)
    layer = node("Conv", ["l", "w"], "y", group=3, pads=[1, 0, 1, 0])
    weight = draw.normal(size=(6, 2, 3, 3)).astype(np.float32)
    model = network([node("Log", ["x"], "l"), layer], {"x": ("N", 6, 9, 8)}, {"w": weight})
    program = xbarc.compile(model, overrides=(f"dac.bits={bits}", *overrides), calibration=x)
    x[2, 3, 0, 0] = x[4, 0, 4, 4] = -1
    chip = program.write(device, seed=1).with_read_noise("frozen")
    found = chip.run({"x": x})["y"]
    assert 0 < np.isnan(found).sum() < found.size / 2
    assert np.array_equal(found, execute(chip.model(), {"x": x})[0], equal_nan=True)


def test_padding_alone_makes_windows_too() -> None:
    weight = np.ones((3, 2, 2, 2), np.float32)
    model = network([node("Conv", ["x", "w"], "y", pads=[1] * 4)], {"x": ("N", 2, "h", "v")}, {"w": weight})
    program = xbarc.compile(model, calibration=np.ones((2, 2, 4, 4), np.float32))
    found = program.write("ideal").run({"x": np.zeros((2, 2, 0, 4), np.float32)})["y"]
    assert np.array_equal(found, np.zeros((2, 3, 1, 5)))


@pytest.mark.parametrize("variant", ["pairs", "g_min", "reference column", "slices", "digits"])
@pytest.mark.parametrize("signed", [False, True])
def test_noise_has_the_variance_of_the_cells(variant: str, signed: bool) -> None:
    """The same deviates either way, times roots of variances that differ by at most one step a cell, of which there are
    62 up to the largest of a column; and hardly at all over a column, since what is left of a cell goes to the next."""
    draw = np.random.default_rng(3)
    x = draw.normal(size=(40, 200)).astype(np.float32)
    x = x if signed else np.abs(x)
    unlimited = ("adc.bits=unlimited",)
    program = product(draw.normal(size=(200, 30)), (*VARIANTS[variant], *unlimited), calibration=x)
    chip = program.write("pcm", seed=2).with_read_noise("per-read")
    (layer,), noise = cells_of(program, chip)

    def noisy(*, integers: bool) -> np.ndarray:
        quiet, loud = (
            np.frombuffer(run(layer, x, integers=integers, noise=drawn), np.float32).astype(np.float64)
            for drawn in (None, noise[layer.name])
        )
        return loud - quiet

    exact, stepped = noisy(integers=False), noisy(integers=True)
    assert np.abs(exact).max() > 0
    assert np.abs(stepped - exact).max() < 0.02 * np.abs(exact).max()
    assert stepped.std() == pytest.approx(exact.std(), rel=2e-3)
