"""Devices, parameters, seeds and times that cannot be: one clear message each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from chips import product

import xbarc
from xbarc.errors import UsageError, XbarcError


@pytest.fixture(scope="module")
def program() -> xbarc.Program:
    return product(np.random.default_rng(0).normal(size=(4, 3)))


@pytest.fixture(scope="module")
def chip(program: xbarc.Program) -> xbarc.Chip:
    return program.write("pcm", seed=1)


def check(caught: pytest.ExceptionInfo[XbarcError]) -> None:
    """It says what to do; it is one thing that is wrong; and it is the user's doing."""
    assert caught.value.fix
    assert "\n" not in caught.value.what
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("device", ["ideal", "pcm"])
@pytest.mark.parametrize("seed", [-1, 1.0, 7.5, True, 2**64, "7", None, math.nan, np.float64(3), np.array([1])])
def test_a_seed_is_an_integer_of_64_bits(program: xbarc.Program, device: str, seed: object) -> None:
    with pytest.raises(UsageError, match="the seed is") as caught:
        program.write(device, seed=seed)
    check(caught)
    assert "2**64 - 1" in str(caught.value.fix)


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int64(5), np.uint64(2**64 - 1)])
def test_every_integer_of_64_bits_is_a_seed(program: xbarc.Program, seed: int) -> None:
    assert program.write("pcm", seed=seed).written.seed == int(seed)


@pytest.mark.parametrize(
    ("device", "message", "fix"),
    [
        ("pmc", "there is no device 'pmc'", "did you mean 'pcm'"),
        ("PCM", "there is no device 'PCM'", "did you mean"),
        ("generik", "there is no device 'generik'", "did you mean 'generic'"),
        ("", "there is no device ''", "Devices: ideal, pcm, generic"),
        ("pcm:drift_scale=-0.1", "drift_scale = -0.1 is out of range", "0 to 100"),
        ("pcm:drift_scale=101", "drift_scale = 101.0 is out of range", "0 to 100"),
        ("pcm:read_scale=nan", "read_scale = nan is out of range", "0 to 100"),
        ("pcm:read_scale=much", "read_scale = 'much' is not a number", "0 to 100"),
        ("pcm:stuck_at_gmin=1.5", "stuck_at_gmin = 1.5 is out of range", "0 to 1"),
        ("generic:stuck_at_gmin=0.6,stuck_at_gmax=0.6", "add up to more than 1", "shares"),
        ("generic:t0_s=0", "t0_s = 0.0 is out of range", "1e-06 to 1e"),
        ("pcm:drift=1", "there is no parameter 'drift'", "did you mean 'drift_scale'"),
        ("ideal:drift_scale=1", "the device 'ideal' has no parameters", "write ideal alone"),
        ("pcm:drift_scale", "'drift_scale' is not name=value", "drift_scale|programming_scale|stuck_at_gmin"),
        ("pcm:drift_scale=1,drift_scale=2", "drift_scale is given twice", "once"),
    ],
)
def test_devices_and_parameters_are_checked(program: xbarc.Program, device: str, message: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        program.write(device, seed=1)
    check(caught)
    assert message in caught.value.what
    assert any(part in str(caught.value.fix) for part in fix.split("|"))


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (-1, "the time -1.0 s is not a time after programming"),
        (-1e-9, "the time -1e-09 s is not a time after programming"),
        (math.nan, "the time nan s is not a time"),
        (math.inf, "the time inf s is not a time"),
        (None, "the time is None"),
        ([1, 2], r"the time is \[1, 2\]"),
        ("-1h", '"-1h" is negative'),
        ("soon", '"soon" does not start with a number'),
        ("", '"" does not start with a number'),
        ("3600", '"3600" has no unit'),
        ("1 fortnight", "fortnight"),
        ("11y", "the time 11 years is beyond what the device 'pcm' has data for"),
        (11 * 31536000, "the time 11 years is beyond"),
    ],
)
def test_a_time_is_one_that_the_device_knows_of(chip: xbarc.Chip, time: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        chip.at(time)
    check(caught)


def test_the_last_time_that_a_device_knows_of_is_a_time(program: xbarc.Program, chip: xbarc.Chip) -> None:
    x = np.ones((1, 4), np.float32)
    assert np.all(np.isfinite(chip.at("10y").run(x)["y"]))
    assert np.all(np.isfinite(program.write("generic:nu_mean=0.05").at("1000000y").run(x)["y"]))


def test_conventions_of_read_noise_are_checked(chip: xbarc.Chip) -> None:
    with pytest.raises(UsageError, match="unknown read noise 'sometimes'") as caught:
        chip.with_read_noise("sometimes")
    check(caught)
    for inference in (0, -1.0, math.nan, "0 s"):
        with pytest.raises(UsageError, match="has no duration") as caught:
            chip.with_inference_time(inference)
        check(caught)


@pytest.mark.parametrize("place", [{"first_sample": -1}, {"repeat": 2**31}, {"repeat": 0.5}])
def test_places_out_of_the_stream_are_refused(place: dict[str, int], chip: xbarc.Chip) -> None:
    with pytest.raises(UsageError, match=next(iter(place))):
        chip.run(np.zeros((1, 4), np.float32), **place)
