"""Errors of converters on written chips: gain, offset and nonlinearity of ADCs, effective bits, levels of DACs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from chips import Comparisons, bits, cells_of, product
from networks import network, node, open_session
from places import cells_of as places_of

import xbarc
from xbarc.errors import HardwareError
from xbarc.hardware.load import load_hardware
from xbarc.ir.layer import Layer, layers
from xbarc.report.evaluation_page import evaluation_page

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 40)).astype(np.float32)
WEIGHT = RNG.normal(size=(40, 22))
CUT = ("tile.rows=16", "tile.columns=12")
GAIN, OFFSET, OWN = "adc.gain_sigma=0.05", "adc.offset_sigma=1", "adc.inl_sigma=0.7"
CURVE, LEVELS = "adc.inl=[0, 0.5, -0.5, 0]", "dac.inl=[0, 0.4, 0]"
ALL = (GAIN, OFFSET, OWN, CURVE, LEVELS, "adc.columns_per_adc=4")
DIGITAL = "weights.subtraction=digital"
VARIANTS = {
    "differential": (),
    "digital": (DIGITAL, "cell.g_min=2 uS"),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "adjacent, digital": ("tile.polarity=adjacent-columns", DIGITAL),
    "paired": ("tile.polarity=paired-tiles", DIGITAL),
    "offset": ("weights.encoding=offset", "cell.g_min=2 uS"),
    "offset, digital": ("weights.encoding=offset", DIGITAL, "cell.g_min=2 uS"),
    "offset-digital": ("weights.encoding=offset-digital", DIGITAL),
    "flipped": ("weights.encoding=biased-flip", DIGITAL, "cell.levels=4", "weights.slices=4", "input.mode=bit-serial"),
    "digits": ("input.mode=bit-serial", "input.digit_bits=3"),
    "phases": ("input.mode=bit-serial", "input.digit_bits=2", "input.sign=phases"),
}


def compiled(*overrides: str, weight: np.ndarray = WEIGHT) -> xbarc.Program:
    return product(weight, (*CUT, *overrides), calibration=X[:, : len(weight)])


def errors_of(program: xbarc.Program, chip: xbarc.Chip) -> Layer:
    return cells_of(program, chip)[0][0]


# What the errors do to codes, against numpy in float64


@dataclass(frozen=True)
class Twin:
    """The arithmetic of a chip's layer by its definition."""

    layer: Layer

    def applied(self, codes: np.ndarray) -> np.ndarray:
        """What the DACs drive: piecewise linear over the magnitude, mirrored."""
        assert self.layer.applied is not None
        largest = max(self.layer.applied.high, -self.layer.applied.low)
        return codes + np.sign(codes) * np.interp(np.abs(codes) / largest, [0, 0.5, 1], [0, 0.4, 0])

    def converted(self, currents: np.ndarray, slice_: int, polarity: int, place: int) -> np.ndarray:
        """Codes before rounding; ``(windows, columns)``."""
        adc = self.layer.adc
        assert adc.errors is not None
        assert adc.errors.inl is not None
        at = (slice_, polarity, place)
        code = currents / adc.range.lsb * adc.errors.gain[at] + adc.errors.offset[at]
        ends = np.linspace(adc.codes.low, adc.codes.high, adc.errors.inl.shape[3])
        curves = zip(code.T, adc.errors.inl[at].T, strict=True)
        return code + np.stack([np.interp(column, ends, curve) for column, curve in curves], axis=1)

    def sums(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(windows, columns)`` sums of output codes, and how near a code was to being rounded the other way."""
        layer, partition = self.layer, self.layer.read.partition
        total, nearest = np.zeros((len(codes), partition.columns)), np.full((len(codes), partition.columns), 0.5)
        for place in range(partition.stacked):
            rows = partition.rows_of(0, place)
            driven = self.applied(codes[:, rows.start : rows.stop])
            for slice_, weight in enumerate(layer.accumulate.slice_weights):
                held = layer.read.levels[slice_, :, place, : len(rows)].astype(np.float64)
                if layer.single_ended:
                    held = held + layer.read.pedestal
                    both = [self.converted(driven @ cells, slice_, side, place) for side, cells in enumerate(held)]
                else:
                    both = [self.converted(driven @ (held[0] - held[1]), slice_, 0, place)]
                for sign, code in zip((1, -1), both, strict=False):
                    total += weight * sign * np.clip(np.rint(code), layer.adc.codes.low, layer.adc.codes.high)
                    nearest = np.minimum(nearest, np.abs(code - np.floor(code) - 0.5))
        return total, nearest


@pytest.mark.parametrize("variant", ["differential", "digital", "adjacent", "adjacent, digital", "paired"])
def test_codes_are_those_of_the_definition(variant: str) -> None:
    """Every sum of codes, but where one was as near to the next as the grid of applied levels can tell."""
    program = compiled(*ALL, *VARIANTS[variant])
    chip = program.write("pcm", seed=3).with_read_noise("frozen").at("1h")
    twin = Twin(errors_of(program, chip))
    codes = np.clip(np.rint(X / np.float32(twin.layer.dac.scale)), -127, 127).astype(np.float64)
    found = chip.run(X)["y"] / twin.layer.rescale.scale
    expected, nearest = twin.sums(codes)
    clear = nearest > 0.02
    assert clear.mean() > 0.7
    assert np.abs(found - expected)[clear].max() < 1e-3
    assert np.abs(found - expected).max() < 6.5  # one code a conversion
    plain = program.write().run(X)["y"] / twin.layer.rescale.scale
    assert np.abs(plain - expected).mean() > 0.5


@pytest.mark.parametrize("variant", VARIANTS)
def test_onnxruntime_computes_the_same_bits(variant: str) -> None:
    """Of all errors together and of each kind alone, also where the model is read back as a program."""
    for chosen in (ALL, (GAIN,), (OFFSET, "adc.columns_per_adc=5"), (OWN,), (CURVE,), (LEVELS,)):
        program = compiled(*chosen, *VARIANTS[variant])
        chip = program.write("pcm:stuck_at_gmin=0.01,dead_rows=0.02", seed=3).with_read_noise("frozen").at("1h")
        model, y = chip.model(), chip.run(X)["y"]
        onnx.checker.check_model(model, full_check=True)
        for optimized in (False, True):
            assert open_session(model, optimized=optimized).run(None, {"x": X})[0].tobytes() == y.tobytes()
        assert xbarc.load(model).write().run(X)["y"].tobytes() == y.tobytes()


@pytest.mark.parametrize("variant", ["differential", "offset, digital", "digits"])
def test_neither_batches_nor_threads_change_a_bit(variant: str) -> None:
    """Also where applied levels are no integers, and cells and converters make noise."""
    program = compiled(*ALL, "adc.enob=7", *VARIANTS[variant])
    chip = program.write("pcm", seed=3, threads=1).with_read_noise("per-read")
    assert chip.noisy
    expected = chip.run(X)["y"]
    parts = [chip.run(X[start : start + 7], first_sample=start)["y"] for start in range(0, len(X), 7)]
    assert np.concatenate(parts).tobytes() == expected.tobytes()
    again = program.write("pcm", seed=3, threads=2).with_read_noise("per-read")
    assert again.run(X)["y"].tobytes() == expected.tobytes()


def test_no_errors_change_no_bit() -> None:
    none = ("adc.gain_sigma=0", "adc.offset_sigma=0", "adc.inl_sigma=0", "adc.inl=[0, 0]", "dac.inl=[0, 0, 0]")
    for variant in ("differential", "offset, digital", "digits"):
        for quiet in (none, (*none, "adc.enob=8"), none[:3]):
            plain, said = compiled(*VARIANTS[variant]), compiled(*quiet, *VARIANTS[variant])
            one, other = (each.write("pcm", seed=3).at("1d") for each in (plain, said))
            assert bits(one.run(X)) == bits(other.run(X))
            assert errors_of(said, other).dac.applied is None
            assert (
                compiled(*ALL, *VARIANTS[variant]).write().run(X)["y"].tobytes() == plain.write().run(X)["y"].tobytes()
            )
    assert errors_of(plain, one).adc.errors is None


def test_an_evaluation_says_which_errors_converters_have() -> None:
    for chosen, words in (((), ()), ((GAIN,), ("ADCs: each has",)), ((LEVELS,), ("products are taken in float64",))):
        program = compiled(*chosen)
        evaluation = program.write().evaluate({"x": X}, chips=[program.write("pcm", seed=1)], metric="mse")
        (chip,) = evaluation.to_json()["chips"]
        assert (chip["adc_errors"], chip["dac_errors"]) == (GAIN in chosen, LEVELS in chosen)
        notes = [note for table in evaluation_page(evaluation, title="it") for note in table.notes]
        for phrase in ("ADCs: each has", "products are taken in float64"):
            assert any(phrase in note for note in notes) == (phrase in words)


# Which converter has which errors

FINE = ("adc.bits=20", "adc.range=fixed", "adc.fixed_lsb=1", "dac.range=max")


def measured(program: xbarc.Program, chip: xbarc.Chip, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of each column of a layer of one row block, by a straight line through its codes."""
    layer = next(layer for layer in layers(program.graph) if layer.name == name)
    codes = np.clip(np.rint(x / np.float32(layer.dac.scale)), layer.dac.codes.low, layer.dac.codes.high)
    levels = layer.read.levels[0, :, 0, : x.shape[1]].astype(np.float64)
    found = np.rint(chip.run(x)[name] / layer.rescale.scale.astype(np.float64))
    currents = codes.astype(np.float64) @ (levels[0] - levels[1])
    return tuple(np.array([np.polyfit(*pair, 1) for pair in zip(currents.T, found.T, strict=True)]).T)


def adc_of(program: xbarc.Program, name: str, share: int) -> list[tuple[int, int]]:
    """Tile and converter of each column of a layer, by the places of its positive cells."""
    layer = next(layer for layer in layers(program.graph) if layer.name == name)
    found = {}
    for (tile, _, column, _), (_, _, polarity, _, row, at) in places_of(layer, program.hardware):
        if polarity == row == 0:
            found[at] = tile, column // share
    return [found[column] for column in sorted(found)]


@pytest.mark.parametrize("share", [1, 4, 5])
@pytest.mark.parametrize("layout", [(), ("tile.polarity=adjacent-columns",)])
def test_columns_that_share_a_converter_share_its_errors(share: int, layout: Sequence[str]) -> None:
    """Measured from outside. Gains and offsets of different converters have their standard deviations: four
    comparisons with a joint confidence of 99 %."""
    weight, sharing = RNG.normal(size=(16, 300)), () if share == 1 else (f"adc.columns_per_adc={share}",)
    x = RNG.normal(size=(60, 16)).astype(np.float32)
    overrides = ("tile.rows=16", "tile.columns=20", *FINE, *layout, *sharing)
    program = product(weight, (*overrides, "adc.gain_sigma=0.03", "adc.offset_sigma=40"), calibration=x)
    gains, offsets = measured(program, program.write("generic", seed=2), "y", x)
    by_adc: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for place, *errors in zip(adc_of(program, "y", share), gains - 1, offsets, strict=True):
        by_adc.setdefault(place, []).append(tuple(errors))
    if share > 1 and not layout:
        assert max(map(len, by_adc.values())) == share
    for same in by_adc.values():
        assert np.ptp(np.array(same), axis=0) == pytest.approx([0, 0], abs=0.6)
    own = np.array([same[0] for same in by_adc.values()])
    compared = Comparisons(freedom=len(own) - 1)
    for name, sample, sigma in zip(("gain", "offset"), own.T, (0.03, 40), strict=True):
        compared.mean(name, sample, 0.0)
        compared.spread(name, sample, sigma)
    compared.check(4)


def test_errors_stay_with_the_silicon() -> None:
    """Two layers packed in one tile, and another network on the same chip: a converter errs alike for all."""
    constants = {"v": RNG.normal(size=(16, 9)), "w": RNG.normal(size=(16, 14))}
    nodes = [node("MatMul", ["x", "v"], "a"), node("MatMul", ["x", "w"], "b")]
    shape = ("tile.rows=40", "tile.columns=24", "adc.columns_per_adc=6", *FINE)
    overrides = (*shape, "adc.gain_sigma=0.05", "adc.offset_sigma=40")
    x = RNG.normal(size=(60, 16)).astype(np.float32)
    arrays = {name: array.astype(np.float32) for name, array in constants.items()}
    model = network(nodes, {"x": ("N", 16)}, arrays, outputs=("a", "b"))
    packed = xbarc.compile(model, overrides=overrides, calibration=x, pack="network")
    alone = product(RNG.normal(size=(16, 24)), overrides, calibration=x)
    errors: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for program, names in ((packed, "ab"), (alone, "y")):
        chip = program.write("generic", seed=7)
        for name in names:
            gains, offsets = measured(program, chip, name, x)
            for place, *found in zip(adc_of(program, name, 6), gains, offsets, strict=True):
                errors.setdefault(place, []).append(tuple(found))
    assert {tile for tile, _ in errors} == {0}
    assert sum(map(len, errors.values())) == 9 + 14 + 24
    for same in errors.values():
        assert np.ptp(np.array(same), axis=0) == pytest.approx([0, 0], abs=0.6)
    assert np.ptp([same[0][0] for same in errors.values()]) > 0.01


def test_a_seed_has_one_set_of_errors_at_all_times() -> None:
    program = compiled(*ALL)
    first = errors_of(program, program.write("pcm", seed=1)).adc.errors
    later = errors_of(program, program.write("pcm", seed=1).at("1y")).adc.errors
    other = errors_of(program, program.write("pcm", seed=2)).adc.errors
    for name in ("gain", "offset", "inl"):
        assert np.array_equal(getattr(first, name), getattr(later, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


# Sizes


def test_a_converters_own_curve_has_its_root_mean_square_and_no_gain_or_offset_of_the_ends() -> None:
    """Over codes and 4,000 converters, mean and mean square: a joint confidence of 99 %."""
    weight = RNG.normal(size=(4, 4000))
    program = product(weight, ("tile.rows=4", "tile.columns=500", "adc.inl_sigma=0.7"))
    errors = errors_of(program, program.write("generic", seed=3)).adc.errors
    curves = errors.inl[0, 0, 0].astype(np.float64)
    assert np.abs(curves[[0, -1]]).max() < 1e-6
    assert np.abs(np.diff(curves, axis=0)).max() < 0.7  # smooth
    inner = curves[:-1]
    power, compared = np.mean(inner**2, axis=0), Comparisons()
    compared.add("power", power.mean(), 0.49, power.std() / math.sqrt(4000))
    compared.add("mean", inner.mean(), 0, inner.mean(axis=0).std() / math.sqrt(4000))
    compared.check(2)


def test_a_given_curve_is_followed_from_the_lowest_code_to_the_highest() -> None:
    """Codes of one column over currents that sweep its range: the curve that was given, rounded."""
    curve = (0.0, 3.0, -2.0, 4.0, 0.0)
    overrides = ("adc.bits=8", "adc.range=fixed", "adc.fixed_lsb=127", "dac.range=max", f"adc.inl={list(curve)}")
    x = np.linspace(-1, 1, 255, dtype=np.float32)[:, None]
    program = product(np.ones((1, 3)), overrides, calibration=x)
    ((layer,), _) = cells_of(program, program.write("generic"))
    found = np.rint(program.write("generic").run(x)["y"] / layer.rescale.scale)
    ideal = np.rint(np.rint(x / np.float32(layer.dac.scale)) * 255) / 127
    expected = ideal + np.interp(ideal, np.linspace(-127, 127, 5), curve)
    assert np.abs(found - np.clip(expected, -127, 127)).max() <= 0.501
    assert np.abs(found - ideal).max() > 3


@pytest.mark.parametrize("enob", [9.0, 7.5, 6.0])
def test_effective_bits_are_those_of_the_errors_that_are_made(enob: float) -> None:
    """Rounding and noise together are as large as the rounding of so many bits: ``lsb^2 4^(bits - enob) / 12``, over
    48,000 conversions within 3 standard errors."""
    reads, rows = 2000, 24
    overrides = ("tile.rows=24", "tile.columns=24", "adc.bits=9", "adc.range=full-scale", f"adc.enob={enob}")
    x = RNG.normal(size=(reads, rows)).astype(np.float32)
    program = product(RNG.normal(size=(rows, 24)), overrides, calibration=x)
    chip = program.write("generic", seed=3)
    ((layer,), _) = cells_of(program, chip)
    codes = np.clip(np.rint(x / np.float32(layer.dac.scale)), -127, 127)
    levels = layer.read.levels[0, :, 0, :rows].astype(np.float64)
    currents = codes @ (levels[0] - levels[1]) / layer.adc.range.lsb
    error = np.rint(chip.run(x)["y"] / layer.rescale.scale.astype(np.float64)) - currents
    power = error.ravel() ** 2
    assert abs(power.mean() - 4 ** (9 - enob) / 12) < 3 * power.std() / math.sqrt(power.size)
    assert chip.noisy == (enob < 9)


def test_noise_adds_to_that_of_effective_bits() -> None:
    adc = load_hardware("generic-pcm", ["adc.enob=6.5", "adc.noise_lsb=0.7"]).adc
    assert adc.conversion_noise_lsb == pytest.approx(math.sqrt(0.49 + (8 - 1) / 12))
    assert load_hardware("generic-pcm", ["adc.noise_lsb=0.7"]).adc.conversion_noise_lsb == 0.7


@pytest.mark.parametrize("mode", [(), ("input.mode=bit-serial", "input.digit_bits=2")])
def test_levels_that_are_applied_are_those_that_are_given(mode: Sequence[str]) -> None:
    """One weight: the output follows the curve of the DAC, digit by digit where digits are applied."""
    overrides = ("dac.bits=5", "dac.range=max", "adc.bits=unlimited", "dac.inl=[0, 0.25, -0.5, 0.125]", *mode)
    x = np.arange(-15, 16, dtype=np.float32)[:, None]
    program = product(np.ones((1, 2)), overrides, calibration=x)
    chip = program.write("generic", seed=1)
    given = (0, 0.25, -0.5, 0.125)
    if mode:
        table = np.arange(4) + np.array(given)
        digits = [(np.arange(-15, 16) % 16) // 4**place % 4 for place in range(2)]
        expected = table[digits[0]] + 4 * table[digits[1]] - 16 * (np.arange(-15, 16) < 0) * table[1]
    else:
        expected = x[:, 0] + np.sign(x[:, 0]) * np.interp(np.abs(x[:, 0]), [0, 5, 10, 15], given)
    assert chip.run(x)["y"][:, 0] == pytest.approx(expected, abs=1 / 512 + 1e-4)
    assert errors_of(program, chip).read.double


BAD = {
    "adc.bits=unlimited adc.gain_sigma=0.1": "adc.gain_sigma is that of a converter with codes",
    "adc.bits=unlimited adc.enob=6": "adc.enob is that of a converter with codes",
    "adc.enob=8.5": "adc.enob = 8.5 is more than adc.bits = 8",
    "dac.bits=unlimited adc.range=percentile dac.inl=[0,1]": "dac.inl counts input codes",
    "dac.inl=[0.5,1]": "dac.inl begins with 0.5, and the code 0 applies no voltage",
    "adc.inl=[1]": "adc.inl cannot be [1]",
    'adc.inl=["a","b"]': 'adc.inl[0] cannot be "a"',
    "adc.gain_sigma=-1": "adc.gain_sigma cannot be -1",
    "adc.enob=0": "adc.enob cannot be 0",
}


@pytest.mark.parametrize("given", BAD)
def test_what_cannot_be_is_refused(given: str) -> None:
    with pytest.raises(HardwareError) as refused:
        load_hardware("generic-pcm", given.split())
    assert BAD[given] in refused.value.what
    assert refused.value.fix
