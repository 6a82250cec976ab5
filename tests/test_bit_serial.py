"""Bit-serial input: digits give their code back, and the same numbers come out whatever way codes are applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node, run

import xbarc
from xbarc.errors import HardwareError
from xbarc.ir.digits import Digits
from xbarc.ir.layer import layers


@pytest.mark.parametrize("sign", [None, "twos-complement", "phases"])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("bits", [1, 4, 7, 8])
def test_digits_give_their_code_back(bits: int, width: int, sign: str | None) -> None:
    digits = Digits(bits, width, sign)  # type: ignore[arg-type]
    codes = np.arange(0 if sign is None else -(2**bits) + 1, 2**bits)
    found = digits.split(codes)
    assert found.min() >= 0
    assert found.max() <= digits.high <= 2**width - 1
    np.testing.assert_array_equal(np.tensordot([digit.weight for digit in digits.reads], found, axes=1), codes)


def test_reads_are_counted() -> None:
    """An 8-bit unsigned code has eight bits; a signed one seven and its sign, or seven twice."""
    assert len(Digits(8, 1, None).reads) == 8
    assert len(Digits(7, 1, "twos-complement").reads) == 8
    assert len(Digits(7, 1, "phases").reads) == 14
    assert len(Digits(7, 2, "twos-complement").reads) == 5


@settings(max_examples=40)
@given(
    width=st.integers(1, 8),
    sign=st.sampled_from(["twos-complement", "phases"]),
    encoding=st.sampled_from(["differential", "offset"]),
    subtraction=st.sampled_from(["analog", "digital"]),
    bits=st.integers(2, 9),
    negative=st.booleans(),
)
def test_without_loss_in_converters_digits_change_nothing(
    width: int, sign: str, encoding: str, subtraction: str, bits: int, negative: bool
) -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((20, 5)).astype(np.float32)
    x = generator.standard_normal((16, 20)).astype(np.float32)
    x = x if negative else np.abs(x)
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 20]}, {"w": weight})
    common = [
        f"dac.bits={bits}",
        f"weights.encoding={encoding}",
        f"weights.subtraction={subtraction}",
        "cell.g_min=0 S",
        "tile.rows=8",
        "adc.bits=24",
        "adc.range=unit",
    ]
    serial = ["input.mode=bit-serial", f"input.digit_bits={width}", f"input.sign={sign}"]
    whole = xbarc.compile(model, overrides=common, calibration=x).write().run(x)["y"]
    program = xbarc.compile(model, overrides=[*common, *serial], calibration=x)
    np.testing.assert_array_equal(program.write().run(x)["y"], whole)
    np.testing.assert_array_equal(run(program.model(), {"x": x})[0], whole)
    assert xbarc.load(program.model()).text() == program.text()
    (layer,) = layers(program.graph)
    assert layer.adc.range is not None
    assert layer.adc.range.lossless


def test_every_read_has_noise_of_its_own(models_dir: Path) -> None:
    data = np.load(models_dir / "digits_calibration.npz")["input"]
    program = xbarc.compile(
        models_dir / "digits_mlp.onnx", calibration={"input": data}, overrides=["input.mode=bit-serial"]
    )
    chip = program.write("pcm", seed=1)
    whole = chip.run(data[:9])
    parts = [chip.run(data[place : place + 3], first_sample=place) for place in (0, 3, 6)]
    for name, array in whole.items():
        np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts]))
    frozen = program.write("pcm", seed=1).with_read_noise("frozen")
    stored = run(frozen.model(), {"input": data[:9]})
    np.testing.assert_array_equal(next(iter(frozen.run(data[:9]).values())), stored[0])


def test_digits_need_codes() -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 2]}, {"w": np.ones((2, 2), np.float32)})
    with pytest.raises(HardwareError, match="takes the digits of a code"):
        xbarc.compile(model, hardware="exact", overrides=["input.mode=bit-serial"])
