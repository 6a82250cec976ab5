"""The verdict that an ADC loses nothing, against every input that there is."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ENCODINGS, Draw, network, node

import xbarc
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers


def only(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


@st.composite
def tiny_hardware(draw: Draw) -> dict[str, object]:
    """Of few input codes, so that all inputs can be tried; pedestals of nothing, of whole units and of half of one."""
    encoding = draw(st.sampled_from(ENCODINGS))
    slices = draw(st.integers(2 if encoding == "twos-complement" else 1, 2))
    both = encoding in ("differential", "constant-sum", "offset")
    policy = draw(st.sampled_from(["unit", "full-scale", "mse", "fixed"]))
    lsb = {"fixed_lsb": draw(st.sampled_from([0.5, 1.0, 2.0, 3.0]))} if policy == "fixed" else {}
    return {
        "name": "tiny",
        "cell": {"g_min": draw(st.sampled_from(["0 S", "8 uS", "4 uS"])), "g_max": "24 uS", "levels": 3},
        "tile": {"rows": draw(st.integers(1, 4)), "columns": draw(st.integers(2, 5))},
        "weights": {
            "encoding": encoding,
            "slices": slices,
            "subtraction": draw(st.sampled_from(["analog", "digital"])) if both else "digital",
        },
        "dac": {"bits": 2},
        "adc": {"bits": draw(st.integers(2, 8)), "range": policy, **lsb},
        "input": {
            "mode": draw(st.sampled_from(["parallel", "bit-serial"])),
            "digit_bits": draw(st.integers(1, 2)),
            "sign": draw(st.sampled_from(["twos-complement", "phases"])),
        },
    }


@st.composite
def compiled(draw: Draw) -> tuple[Layer, dict[str, object], np.ndarray, np.ndarray]:
    """A layer, its hardware, weights ``(K, N)`` per group stacked, and its calibration sample."""
    groups, rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kernel = rng.integers(-3, 4, (groups * columns, rows, 1)).astype(np.float32)
    if draw(st.booleans()):
        kernel *= rng.random(kernel.shape) < 0.3
    sample = rng.standard_normal((5, groups * rows, 1)).astype(np.float32)
    sample = sample if draw(st.booleans()) else np.abs(sample)
    description = draw(tiny_hardware())
    return compile_layer(description, kernel, sample), description, kernel, sample


def compile_layer(description: dict[str, object], kernel: np.ndarray, sample: np.ndarray) -> Layer:
    inner = kernel.shape[1]
    model = network(
        [node("Conv", ["x", "w"], "y", group=sample.shape[1] // inner)], {"x": ["N", *sample.shape[1:]]}, {"w": kernel}
    )
    return only(xbarc.compile(model, hardware=Hardware.from_dict(description), calibration=sample))


def all_currents(layer: Layer) -> np.ndarray:
    """Every current that any column in use converts, for all codes or digits that its rows can be given."""
    applied, read, partition = layer.applied, layer.read, layer.read.partition
    assert applied is not None
    found = []
    for slice_levels in read.levels.astype(np.float64):
        for place in range(partition.stacked):
            diagonal, row_block = divmod(place, partition.row_blocks)
            rows = partition.rows_in(diagonal, row_block)
            given_codes = np.array(list(itertools.product(range(applied.low, applied.high + 1), repeat=rows)))
            count = partition.columns * partition.groups_in(diagonal)
            data = partition.data_columns[:count]
            cells = slice_levels[:, place, :rows]
            if read.subtraction == "digital":
                references = sorted(set(partition.reference_columns[:count]))
                columns = cells[..., data + references] + read.pedestal
                planes = list(columns)
            elif partition.reference_column:
                reference = partition.reference_columns[:count]
                planes = [cells[0][:, data] - cells[0][:, reference]]
            else:
                planes = [cells[0][:, data] - cells[1][:, data]]
            found += [(given_codes @ plane).ravel() for plane in planes]
    return np.unique(np.concatenate(found))


def comes_out(currents: np.ndarray, low: int, high: int, lsb: float) -> np.ndarray:
    """Which currents the codes of an ADC give back."""
    return np.clip(np.rint(currents / lsb), low, high) * lsb == currents


def ends(bits: int, *, signed: bool) -> tuple[int, int]:
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


@settings(max_examples=200, deadline=None)
@given(compiled())
def test_the_verdict_is_that_of_all_inputs(case: tuple[Layer, dict[str, object], np.ndarray, np.ndarray]) -> None:
    layer, description, kernel, sample = case
    found, codes = layer.adc.range, layer.adc.codes
    assert found is not None
    assert codes is not None
    currents = all_currents(layer)
    if not layer.read.pedestal.is_integer():
        assert (found.lossless, found.lossless_bits) == (False, None)
        return
    assert found.lossless == comes_out(currents, codes.low, codes.high, found.lsb).all()
    signed, bits = codes.low < 0, found.lossless_bits
    assert bits is not None
    assert not found.lossless or bits <= description["adc"]["bits"]  # type: ignore[index]
    steps = range(1, int(np.abs(currents).max()) + 2)
    assert any(comes_out(currents, *ends(bits, signed=signed), step).all() for step in steps)
    if bits > 1:  # with one bit less, whatever a code stands for, an input comes out wrong
        assert not any(comes_out(currents, *ends(bits - 1, signed=signed), step).all() for step in steps)
    if bits >= 2:
        step = max(step for step in steps if comes_out(currents, *ends(bits, signed=signed), step).all())
        enough = {**description, "adc": {"bits": bits, "range": "fixed", "fixed_lsb": float(step)}}
        again = compile_layer(enough, kernel, sample).adc.range
        assert again is not None
        assert again.lossless


def test_without_quantised_levels_or_with_unlimited_resolution_no_bits_are_named() -> None:
    kernel, sample = np.ones((2, 3, 1), np.float32), np.ones((4, 3, 1), np.float32)
    base = {"name": "base", "cell": {"g_min": "0 S", "g_max": "24 uS", "levels": 3}, "tile": {"rows": 4, "columns": 4}}
    kinds = [("unlimited", 4, 8), (3, "unlimited", 8), (3, 4, "unlimited"), (3, 4, 8)]
    named = []
    for levels, dac, adc in kinds:
        cell = {"g_min": "0 S", "g_max": "24 uS", "levels": levels}
        layer = compile_layer({**base, "cell": cell, "dac": {"bits": dac}, "adc": {"bits": adc}}, kernel, sample)
        assert layer.adc.range is not None
        named.append(layer.adc.range.lossless_bits)
    # Three cells at level 2, codes up to 15: currents of up to 90, in steps of 2, and a sign.
    assert named == [None, None, None, 7]
