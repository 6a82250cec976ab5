"""Weights as cell levels, and the whole arithmetic of a layer, against slow programs written from the definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, arrays, finite_hardware, network, node
from onnx import numpy_helper

import xbarc
from xbarc.errors import HardwareError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers

HALF = 0.5 + 1e-9  # of a step, and what float64 rounds


@dataclass(frozen=True)
class Dense:
    """A dense layer and inputs for it."""

    weight: np.ndarray
    bias: np.ndarray | None
    x: np.ndarray

    def model(self) -> onnx.ModelProto:
        constants = {"w": self.weight} | ({} if self.bias is None else {"b": self.bias})
        return network([node("Gemm", ["x", *constants], "y")], {"x": ("N", self.weight.shape[0])}, constants)


@st.composite
def dense_layers(draw: Draw) -> Dense:
    rows, columns = draw(st.integers(1, 45)), draw(st.integers(1, 16))
    bias = draw(arrays((columns,))) if draw(st.booleans()) else None
    x = draw(arrays((draw(st.integers(1, 6)), rows)))
    return Dense(draw(arrays((rows, columns), weights=True)), bias, x)


@st.composite
def grouped_weights(draw: Draw) -> np.ndarray:
    """``(groups, rows, columns)``, small against some tiles and large against others."""
    return draw(arrays([draw(st.integers(1, top)) for top in (6, 12, 8)], weights=True))


def grouped_model(weight: np.ndarray) -> onnx.ModelProto:
    """Groups as a convolution of one window: channels are rows."""
    groups, rows, columns = weight.shape
    kernel = weight.transpose(0, 2, 1).reshape(groups * columns, rows, 1)
    return network([node("Conv", ["x", "w"], "y", group=groups)], {"x": ("N", groups * rows, 1)}, {"w": kernel})


# Definitions


def digits_of(number: int, hardware: Hardware) -> list[int]:
    """The levels of the cells that hold a magnitude together, most significant first."""
    base, places = int(hardware.cell.levels), range(hardware.weights.slices)
    return [number // base**place % base for place in reversed(places)]


def middle_of(hardware: Hardware) -> int:
    """The offset: what the cells of a reference column hold."""
    largest = int(hardware.cell.levels) ** hardware.weights.slices - 1
    return (largest + 1) // 2 if hardware.weights.encoding == "offset" else 0


def scales_of(weight: np.ndarray, hardware: Hardware) -> np.ndarray:
    """Weight units per step, ``(groups, columns)``: the largest of a column, or of the layer, takes the last level."""
    steps = int(hardware.cell.levels) ** hardware.weights.slices - 1 - middle_of(hardware)
    peaks = np.abs(weight.astype(np.float64)).max(axis=1)
    if hardware.weights.scale == "layer":
        peaks = np.full_like(peaks, peaks.max())
    return np.where(peaks == 0.0, 1.0, peaks) / steps


def columns_of_a_tile(hardware: Hardware) -> int:
    """Weights that a row of a tile holds."""
    if hardware.weights.encoding == "offset":
        return hardware.tile.columns - 1
    return hardware.tile.columns // (2 if hardware.tile.polarity == "adjacent-columns" else 1)


def differences(levels: np.ndarray, hardware: Hardware, width: int) -> np.ndarray:
    """Each cell of a stack ``[slices, polarities, row blocks, rows, columns]`` less its opposite.

    Opposite is the cell of the other polarity, or the one in the reference column that ends a column block of
    ``width``; what is left of column blocks stands end to end.
    """
    cells = levels.astype(int)
    if hardware.weights.encoding == "differential":
        return cells[:, 0] - cells[:, 1]
    blocks = [cells[:, 0, :, :, start : start + width + 1] for start in range(0, cells.shape[-1], width + 1)]
    return np.concatenate([block[..., :-1] - block[..., -1:] for block in blocks], axis=-1)


def decode(levels: np.ndarray, hardware: Hardware, groups: int, rows: int, columns: int) -> np.ndarray:
    """The signed digits of a layer, ``(slices, groups, rows, columns)``; other cells must hold zero."""
    high, wide = hardware.tile.rows, columns_of_a_tile(hardware)
    whole = rows <= high and columns <= wide
    together = min(high // rows, wide // columns, groups) if whole else 1
    height, width = (rows * together, columns * together) if whole else (min(rows, high), min(columns, wide))
    row_blocks = math.ceil(rows * together / height)
    left = differences(levels, hardware, width)
    signed = np.zeros((len(levels), groups, rows, columns), dtype=int)
    for group, row, column in np.ndindex(groups, rows, columns):
        diagonal, place = divmod(group, together)
        block, cell_row = divmod(place * rows + row, height)
        cell = (slice(None), diagonal * row_blocks + block, cell_row, place * columns + column)
        signed[:, group, row, column], left[cell] = left[cell], 0
    assert np.count_nonzero(left) == 0
    return signed


def decoded_weight(signed: np.ndarray, hardware: Hardware, scales: np.ndarray) -> np.ndarray:
    """``(groups, rows, columns)`` from signed digits."""
    powers = [int(hardware.cell.levels) ** place for place in reversed(range(hardware.weights.slices))]
    return np.tensordot(powers, signed, 1) * scales[:, None, :]


def code_range(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


@dataclass(frozen=True)
class Read:
    """One array read: the two sides that are subtracted, ``(rows, columns)`` levels each, and what its code counts."""

    rows: slice
    plus: np.ndarray
    minus: np.ndarray
    factor: int


def reads_of(weight: np.ndarray, hardware: Hardware) -> list[Read]:
    """The reads of a dense layer: one for each row block and slice."""
    middle = middle_of(hardware)
    whole = np.rint(weight.astype(np.float64) / scales_of(weight[None], hardware)).astype(int)
    found = []
    for start in range(0, len(weight), hardware.tile.rows):
        rows = slice(start, min(start + hardware.tile.rows, len(weight)))
        for place in range(hardware.weights.slices):
            if middle:
                plus, minus = whole[rows] + middle, np.full_like(whole[rows], middle)
            else:
                plus, minus = np.maximum(whole[rows], 0), np.maximum(-whole[rows], 0)
            digit = np.vectorize(lambda number, place=place: digits_of(number, hardware)[place], otypes=[int])
            factor = int(hardware.cell.levels) ** (hardware.weights.slices - 1 - place)
            found.append(Read(rows, digit(plus), digit(minus), factor))
    return found


def pedestal_of(hardware: Hardware) -> float:
    """Units of current that ``g_min`` adds for each input code."""
    return hardware.cell.g_min / (hardware.cell.g_max - hardware.cell.g_min) * (int(hardware.cell.levels) - 1)


def run_slowly(dense: Dense, hardware: Hardware, *, signed: bool, dac_scale: np.float32, lsb: np.float32) -> np.ndarray:
    """A dense layer from its definition: DAC, reads, ADC, accumulation in integers, rescaling in float32."""
    low, high = code_range(int(hardware.dac.bits), signed=signed)
    codes = np.clip(np.rint(dense.x / dac_scale), low, high).astype(int)
    analog = hardware.weights.subtraction == "analog"
    reads = reads_of(dense.weight, hardware)
    # The currents of a column are exact in float32 up to 2^24, and taken in float64 beyond.
    sides = [(read.plus, read.minus) if middle_of(hardware) else (read.plus + read.minus,) for read in reads]
    largest = max(int(side.sum(axis=0).max()) for pair in sides for side in pair) * high
    real = np.float32 if largest <= 2**24 else np.float64

    def convert(current: np.ndarray) -> np.ndarray:
        if hardware.adc.bits == "unlimited":
            return current.astype(int)
        ends = code_range(hardware.adc.bits, signed=analog or signed)
        return np.clip(np.rint(current / real(lsb)), *ends).astype(int)

    total = np.zeros((len(dense.x), dense.weight.shape[1]), dtype=int)
    for read in reads:
        given = codes[:, read.rows]
        plus, minus = given @ read.plus, given @ read.minus
        if analog:
            code = convert((plus - minus).astype(real))
        else:
            extra = 0 if hardware.adc.bits == "unlimited" else given.sum(axis=1, keepdims=True).astype(real)
            extra = extra * real(pedestal_of(hardware))
            code = convert(plus.astype(real) + extra) - convert(minus.astype(real) + extra)
        total += read.factor * code
    step = 1.0 if hardware.adc.bits == "unlimited" else float(lsb)
    scale = scales_of(dense.weight[None], hardware)[0] * float(dac_scale) * step
    y = total.astype(np.float32) * scale.astype(np.float32)
    return y if dense.bias is None else y + dense.bias


def stored(program: xbarc.Program, name: str) -> np.ndarray:
    """A tensor of the only layer, as the artefact holds it."""
    (found,) = (each for each in program.model().graph.initializer if each.name.endswith(f".{name}"))
    return numpy_helper.to_array(found)


def only_layer(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


# Properties


@settings(max_examples=60)
@given(grouped_weights(), finite_hardware(whole_codes=True))
def test_levels_decode_to_the_weights_within_half_a_step(weight: np.ndarray, hardware: Hardware) -> None:
    groups, rows, columns = weight.shape
    program = xbarc.compile(grouped_model(weight), hardware=hardware)
    levels = stored(program, "levels")
    assert levels.min() >= 0
    assert levels.max() <= int(hardware.cell.levels) - 1
    signed = decode(levels, hardware, groups, rows, columns)
    scales = scales_of(weight, hardware)
    assert np.all(np.abs(decoded_weight(signed, hardware, scales) - weight) <= HALF * scales[:, None, :])
    assert np.array_equal(only_layer(program).signed_levels(), signed)
    if hardware.weights.encoding == "differential":
        assert np.count_nonzero(levels.prod(axis=1)) == 0  # one cell of a pair holds the weight, the other nothing


def test_unlimited_levels_hold_the_weights_themselves() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)
    layer = only_layer(xbarc.compile(grouped_model(weight), hardware="exact"))
    peaks = np.abs(weight.astype(np.float64)).max(axis=1, keepdims=True)
    assert np.allclose(layer.signed_levels()[0] * peaks, weight, rtol=1e-12, atol=0)
    assert layer.read.levels.min() >= 0.0
    assert layer.read.levels.max() == 1.0


@settings(max_examples=120)
@given(dense_layers(), finite_hardware(whole_codes=True))
def test_a_dense_layer_computes_what_its_definition_says(dense: Dense, hardware: Hardware) -> None:
    program = xbarc.compile(dense.model(), hardware=hardware, calibration=dense.x)
    expected = run_slowly(
        dense,
        hardware,
        signed=bool((dense.x < 0).any()),
        dac_scale=stored(program, "dac_scale").flat[0],
        lsb=stored(program, "adc_lsb").flat[0],
    )
    assert program.write().run(dense.x)["y"].tobytes() == expected.tobytes()


@settings(max_examples=60)
@given(dense_layers(), finite_hardware(whole_codes=True))
def test_converter_ranges_are_what_their_policies_say(dense: Dense, hardware: Hardware) -> None:
    layer = only_layer(xbarc.compile(dense.model(), hardware=hardware, calibration=dense.x))
    signed = bool((dense.x < 0).any())
    low, high = code_range(int(hardware.dac.bits), signed=signed)
    peak = float(np.abs(dense.x).max()) or 1.0
    if hardware.dac.range == "max":
        assert layer.dac.scale == np.float32(peak / high)
    assert layer.dac.scale <= np.float32(peak / high)
    if hardware.adc.bits == "unlimited" or layer.adc.range is None:
        return
    analog = hardware.weights.subtraction == "analog"
    ends = code_range(hardware.adc.bits, signed=analog or signed)
    currents, terms = [], set()
    for read in reads_of(dense.weight, hardware):
        extra = 0.0 if analog else pedestal_of(hardware)
        for side in [read.plus - read.minus] if analog else [read.plus + extra, read.minus + extra]:
            terms.update(side.ravel().tolist())
            currents.append((np.maximum(side, 0) * high + np.minimum(side, 0) * low).sum(axis=0).max())
            currents.append((np.maximum(side, 0) * low + np.minimum(side, 0) * high).sum(axis=0).min())
    reach = float(np.abs(currents).max())
    lsb = layer.adc.range.lsb
    match hardware.adc.range:
        case "unit":
            assert lsb == 2.0 ** max(0, math.ceil(math.log2(max(reach, 1.0) / ends[1])))
        case "full-scale":
            assert lsb == pytest.approx(reach / ends[1] or 1.0, rel=1e-6)
        case "fixed":
            assert lsb == np.float32(hardware.adc.fixed_lsb)
        case _:
            assert 1.0 <= lsb <= max(reach / ends[1] * (1 + 1e-6), 1.0)
    holds = ends[0] * lsb <= min(currents) and max(currents) <= ends[1] * lsb
    whole = all(float(term).is_integer() and float(term / lsb).is_integer() for term in terms)
    assert layer.adc.range.lossless == (holds and whole)


def test_the_range_of_an_adc_counts_the_pedestal_of_used_rows_alone() -> None:
    """A short last block has rows that no input reaches."""
    weight = np.array([[0.01], [0.01], [0.01], [0.01], [1.0]], np.float32)
    x = np.ones((1, 5), np.float32)
    program = xbarc.compile(
        Dense(weight, None, x).model(),
        overrides=[
            *("tile.rows=4", "cell.levels=11", "cell.g_min=10 uS", "cell.g_max=20 uS", "dac.bits=2"),
            *("adc.range=full-scale", "adc.bits=8", "weights.subtraction=digital"),
        ],
        calibration=x,
    )
    # 10 units of pedestal a row and code; 4 rows and no level, or 1 row at level 10. Codes reach 3, ADC codes 255.
    assert only_layer(program).adc.range.lsb == np.float32(4 * 10 * 3 / 255)


def test_an_offset_code_without_a_positive_weight_is_refused() -> None:
    values = Hardware.from_dict(
        {
            "name": "three levels",
            "cell": {"g_min": "0 S", "g_max": "25 uS", "levels": 3},
            "tile": {"rows": 4, "columns": 4},
            "weights": {"encoding": "offset"},
            "dac": {"bits": 4},
            "adc": {"bits": 4},
        }
    ).to_dict()
    values["cell"] = {"g_min": "0 S", "g_max": "25 uS", "levels": 2}
    with pytest.raises(HardwareError, match=r"cell\.levels"):
        Hardware.from_dict(values)
