"""Looks at chips where some effects count: against devices and hardware that have no others, and by formula."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from chips import bits, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.devices.parameters import ParametricDevice
from xbarc.errors import UsageError
from xbarc.ir.effects import EFFECTS, EVERYTHING, Effect, Effects
from xbarc.ir.layer import Layer, layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 40)).astype(np.float32)
WEIGHT = RNG.normal(size=(40, 22))
CUT = ("tile.rows=16", "tile.columns=12")
DIGITAL = "weights.subtraction=digital"
#: As cells and inputs are held and applied: everywhere the same numbers, without rounding.
VARIANTS = {
    "differential": (),
    "digital": (DIGITAL, "cell.g_min=2 uS"),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "offset": ("weights.encoding=offset", "cell.g_min=2 uS"),
    "offset, digital": ("weights.encoding=offset", DIGITAL, "cell.g_min=2 uS"),
    "offset-digital": ("weights.encoding=offset-digital", DIGITAL, "cell.g_min=1 uS"),
    "flipped": ("weights.encoding=biased-flip", DIGITAL, "cell.levels=4", "weights.slices=4", "input.mode=bit-serial"),
    "digits": ("input.mode=bit-serial", "input.digit_bits=3"),
    "phases": ("input.mode=bit-serial", "input.digit_bits=2", "input.sign=phases"),
    "unlimited": ("dac.bits=unlimited", "adc.bits=unlimited"),
}
#: All that a device and a hardware can be made to have, by effect.
CELLS: dict[Effect, str] = {
    "programming": "programming_independent=0.03",
    "drift": "nu_mean=0.05,nu_sigma=0.02",
    "read-noise": "read_proportional=0.02",
    "faults": "stuck_at_gmin=0.02,stuck_at_gmax=0.01,dead_rows=0.02",
}
HARDWARE: dict[Effect, tuple[str, ...]] = {
    "dac-errors": ("dac.inl=[0, 0.4, 0]",),
    "ir-drop": ("tile.row_wire=3 Ohm", "tile.column_wire=2 Ohm", "cell.g_max=1 mS"),
    "adc-errors": ("adc.gain_sigma=0.05", "adc.offset_sigma=1", "adc.inl_sigma=0.7"),
    "adc-noise": ("adc.noise_lsb=0.6",),
}
CODES: tuple[Effect, ...] = ("input-codes", "output-codes")
ALL_HARDWARE = tuple(key for keys in HARDWARE.values() for key in keys)
ALL_CELLS = "generic:" + ",".join(CELLS.values())


def compiled(*overrides: str, weight: np.ndarray = WEIGHT) -> xbarc.Program:
    return product(weight, (*CUT, *overrides), calibration=X[:, : len(weight)])


def only_layer(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


def held_weights(layer: Layer) -> np.ndarray:
    """What a layer's levels stand for, in units of its weights: ``(G, K, N)`` float64."""
    signed = np.tensordot(layer.accumulate.slice_weights, layer.signed_levels(), axes=1)
    columns = (layer.rescale.unit_scale / layer.dac.scale).reshape(signed.shape[0], 1, -1)
    return np.asarray(signed * columns, dtype=np.float64)


def assert_near(found: np.ndarray, expected: np.ndarray, within: float = 3e-6) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= within * np.abs(expected).max()


# Nothing, and everything


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_effects_only_weight_levels_are_left(variant: str) -> None:
    program = compiled(*VARIANTS[variant])
    chip = program.write(ALL_CELLS, seed=3).at("1d")
    expected = X.astype(np.float64) @ held_weights(only_layer(program))[0]
    assert_near(chip.with_effects(()).run(X)["y"], expected)
    if variant != "unlimited":  # cells that stay as they are found hold their levels to the last bit of float32
        assert np.array_equal(program.write().with_effects(()).run(X)["y"], chip.with_effects(()).run(X)["y"])
    # Beyond what the DACs cover too.
    assert_near(chip.with_effects(()).run(9 * X)["y"], 9 * expected)


def test_the_same_of_convolutions_by_onnxruntime() -> None:
    weight = RNG.normal(size=(6, 3, 3, 3)).astype(np.float32)
    bias = RNG.normal(size=6).astype(np.float32)
    images = RNG.normal(size=(5, 3, 9, 8)).astype(np.float32)

    def model(kernel: np.ndarray) -> onnx.ModelProto:
        convolution = node("Conv", ["x", "w", "b"], "y", pads=[1, 1, 1, 1])
        return network([convolution], {"x": ("N", 3, 9, 8)}, {"w": kernel, "b": bias})

    program = xbarc.compile(model(weight), overrides=CUT, calibration=images)
    held = held_weights(only_layer(program))[0].T.reshape(weight.shape).astype(np.float32)
    (expected,) = ort.InferenceSession(model(held).SerializeToString()).run(None, {"x": images})
    assert not np.allclose(held, weight, atol=1e-5)
    assert_near(program.write("pcm").with_effects(()).run(images)["y"], expected)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "unlimited"])
def test_what_a_chip_has_is_all_that_it_has(variant: str) -> None:
    """Bit for bit: so every effect is among those that are found."""
    program = compiled(*VARIANTS[variant], *ALL_HARDWARE)
    chip = program.write(ALL_CELLS, seed=3).at("1d")
    assert chip.effects == tuple(effect for effect in EFFECTS if effect != "cell-currents")
    assert bits(chip.with_effects(chip.effects).run(X)) == bits(chip.run(X))
    assert chip.with_effects(chip.effects).effects == chip.effects


def test_effects_are_those_that_there_are() -> None:
    program = compiled()
    assert program.write().effects == CODES
    assert program.write("generic").effects == CODES
    assert program.write("pcm").effects == ("input-codes", "programming", "read-noise", "output-codes")
    assert program.write("pcm").at("1s").effects[2] == "drift"
    assert program.write("pcm").with_effects(["drift", "faults"]).at("1s").effects == ("drift",)
    assert program.write("pcm").with_effects(layers=()).effects == ()
    assert compiled(*VARIANTS["unlimited"]).write("pcm").effects == ("programming", "read-noise")
    wired = compiled(*HARDWARE["ir-drop"]).write("generic")
    assert "ir-drop" in wired.effects
    assert wired.ir_drop
    assert "ir-drop" not in wired.with_ir_drop(False).effects
    assert not wired.with_effects(CODES).ir_drop
    assert wired.with_ir_drop(False).with_ir_drop().reading.effects == EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadingDevice(ParametricDevice):
    """Cells that spread about where they were: the mean of what is added is the number 0."""

    name: ClassVar[str] = "spreading"
    description: ClassVar[str] = "for tests"
    sources: ClassVar[tuple[str, ...]] = ("this file",)
    t0_s: ClassVar[float] = 1.0
    t_max_s: ClassVar[float] = math.inf
    g_max_reference: ClassVar[float | None] = None

    def relaxation(self, g_target: Any, *, t_s: float, g_max: float) -> Any:
        return 0.0, 1e-3 * t_s * g_target


def test_moments_of_a_relaxation_may_be_numbers() -> None:
    chip = compiled().write(SpreadingDevice())
    assert chip.effects == CODES
    assert chip.at("1s").effects == ("input-codes", "drift", "output-codes")


def test_what_a_closed_loop_leaves_is_programming_and_what_gates_lose_is_drift() -> None:
    leaky = "ecram-voltage:v_oc_slope=5e4,r_leak=1e12,step_spread=0.1,max_cycles=20"
    chip = compiled().write("generic:stuck_at_gmin=0.01", seed=3, programming=leaky)
    assert chip.effects == ("input-codes", "programming", "faults", "output-codes")
    later = chip.at("1h")
    assert later.effects == ("input-codes", "programming", "drift", "faults", "output-codes")
    assert bits(later.with_effects(later.effects).run(X)) == bits(later.run(X))
    assert bits(later.with_effects(set(EFFECTS) - {"drift"}).run(X)) == bits(chip.run(X))


def test_faults_that_were_heeded_are_all_that_there_is() -> None:
    program = compiled(*HARDWARE["adc-errors"], *HARDWARE["ir-drop"])
    chip = program.write(ALL_CELLS, seed=3, placement="fault-aware").at("1d")
    assert bits(chip.with_effects(chip.effects).run(X)) == bits(chip.run(X))
    clear = program.write().with_effects(())
    assert bits(chip.with_effects(()).run(X)) == bits(clear.run(X))


# One effect, and all but one


@pytest.mark.parametrize("effect", CELLS)
@pytest.mark.parametrize("read_noise", ["split", "per-read", "frozen"])
def test_an_effect_of_cells_is_that_of_a_device_with_no_other(effect: Effect, read_noise: str) -> None:
    program = compiled()
    chip = program.write(ALL_CELLS, seed=3).at("1d").with_read_noise(read_noise)
    alone = program.write(f"generic:{CELLS[effect]}", seed=3).at("1d").with_read_noise(read_noise)
    assert bits(chip.with_effects([effect, *CODES]).run(X)) == bits(alone.run(X))
    rest = ",".join(value for kind, value in CELLS.items() if kind != effect)
    without = program.write(f"generic:{rest}", seed=3).at("1d").with_read_noise(read_noise)
    assert bits(chip.with_effects(set(EFFECTS) - {effect}).run(X)) == bits(without.run(X))
    assert bits(alone.run(X)) != bits(without.run(X))


@pytest.mark.parametrize("effect", HARDWARE)
@pytest.mark.parametrize("variant", ["differential", "digital", "digits"])
def test_an_effect_of_hardware_is_that_of_one_with_no_other(effect: Effect, variant: str) -> None:
    scale = ("cell.g_max=1 mS",)
    chip = compiled(*VARIANTS[variant], *scale, *ALL_HARDWARE).write(ALL_CELLS, seed=3).at("1d")
    alone = compiled(*VARIANTS[variant], *scale, *HARDWARE[effect]).write("generic", seed=3)
    assert bits(chip.with_effects([effect, *CODES]).run(X)) == bits(alone.run(X))
    assert bits(chip.with_effects(CODES).run(X)) != bits(alone.run(X))
    rest = [key for kind, keys in HARDWARE.items() if kind != effect for key in keys]
    without = compiled(*VARIANTS[variant], *scale, *rest).write(ALL_CELLS, seed=3).at("1d")
    assert bits(chip.with_effects(set(EFFECTS) - {effect}).run(X)) == bits(without.run(X))


def test_linear_cells_are_those_that_a_device_calls_linear() -> None:
    program = compiled("cell.g_min=50 uS", "cell.g_max=225 uS", "tile.read_voltage=0.2 V")
    chip, linear = (program.write(f"reram-milo{options}", seed=3) for options in ("", ":linear=1"))
    assert "cell-currents" in chip.effects
    assert "cell-currents" not in linear.effects
    assert bits(chip.with_effects(set(EFFECTS) - {"cell-currents"}).run(X)) == bits(linear.run(X))
    assert bits(chip.run(X)) != bits(linear.run(X))


def test_codes_of_inputs_alone() -> None:
    program = compiled()
    layer, x = only_layer(program), 1.5 * X
    assert layer.dac.codes is not None
    codes = np.clip(np.rint(x / np.float32(layer.dac.scale)), layer.dac.codes.low, layer.dac.codes.high)
    expected = codes.astype(np.float64) * layer.dac.scale @ held_weights(layer)[0]
    assert_near(program.write("pcm").with_effects(["input-codes"]).run(x)["y"], expected)
    assert np.abs(expected - x.astype(np.float64) @ held_weights(layer)[0]).max() > 0.1


@pytest.mark.parametrize("kinds", [["output-codes"], ["adc-errors"], ["adc-errors", "output-codes"]])
def test_errors_and_codes_of_outputs_alone(kinds: Sequence[Effect]) -> None:
    """One block, so that currents are those of the whole matrix."""
    weight = WEIGHT[:16, :12]
    program = compiled(*HARDWARE["adc-errors"], weight=weight)
    chip = program.write("pcm", seed=3)
    layer, (errors,) = only_layer(program), (each.adc.errors for each in layers(chip._cells[0]))
    assert layer.adc.codes is not None
    assert layer.adc.range is not None
    assert errors is not None
    assert errors.inl is not None
    code = X[:, :16].astype(np.float64) / layer.dac.scale @ layer.signed_levels()[0, 0] / layer.adc.range.lsb
    if "adc-errors" in kinds:
        code = code * errors.gain[0, 0, 0] + errors.offset[0, 0, 0]
        ends = np.linspace(layer.adc.codes.low, layer.adc.codes.high, errors.inl.shape[3])
        curves = zip(code.T, errors.inl[0, 0, 0].T, strict=True)
        code = code + np.stack([np.interp(column, ends, curve) for column, curve in curves], axis=1)
    if "output-codes" in kinds:
        assert np.abs(code - np.rint(code) - 0.5).min() > 1e-6  # none that float32 might round the other way
        code = np.clip(np.rint(code), layer.adc.codes.low, layer.adc.codes.high)
    expected = code * layer.adc.range.lsb * layer.rescale.unit_scale
    assert_near(chip.with_effects(kinds).run(X[:, :16])["y"], expected)


def test_noise_of_conversions_is_as_large_without_codes() -> None:
    program = compiled(*HARDWARE["adc-noise"], weight=WEIGHT[:16, :12])
    layer = only_layer(program)
    assert layer.adc.range is not None
    chip, x = program.write("generic", seed=3), np.tile(X[:, :16], (20, 1))
    drawn = chip.with_effects(["adc-noise"]).run(x)["y"] - chip.with_effects(()).run(x)["y"]
    sigma = drawn / (layer.adc.range.lsb * layer.rescale.unit_scale)
    assert abs(sigma.std() / 0.6 - 1) < 5 / np.sqrt(2 * sigma.size)


@pytest.mark.parametrize("variant", ["differential", "digital", "digits", "phases"])
def test_what_rounding_takes_off_is_what_is_left_of_it(variant: str) -> None:
    """With other effects on: codes that are let through are all of the difference, whatever else there is."""
    program = compiled(*VARIANTS[variant])
    chip = program.write("generic:programming_independent=0.02", seed=3)
    (layer,) = layers(chip._cells[0])
    x = (RNG.integers(-40, 41, size=X.shape) * np.float64(layer.dac.scale)).astype(np.float32)
    whole, through = (chip.with_effects(["programming", *more]).run(x)["y"] for more in (["input-codes"], []))
    assert_near(whole, through)  # these inputs are whole codes already
    assert np.abs(chip.with_effects(["programming"]).run(X)["y"] - chip.run(X)["y"]).max() > 1e-3


def test_errors_of_small_independent_effects_add_up() -> None:
    program = compiled("adc.noise_lsb=0.3", weight=RNG.normal(size=(16, 12)))
    chip = program.write("generic:programming_independent=0.01,read_independent=0.01", seed=1).with_read_noise(
        "per-read"
    )
    x = RNG.normal(size=(3000, 16)).astype(np.float32)
    clear = chip.with_effects(()).run(x)["y"]
    kinds: list[Effect] = ["programming", "read-noise", "adc-noise"]
    powers = [np.mean(np.square(chip.with_effects([kind]).run(x)["y"] - clear)) for kind in kinds]
    together = np.mean(np.square(chip.with_effects(kinds).run(x)["y"] - clear))
    assert min(powers) > 0.02 * together
    assert abs(together / sum(powers) - 1) < 0.03


# Layers


@functools.cache
def two_layers() -> xbarc.Program:
    first, second = (RNG.normal(size=shape).astype(np.float32) for shape in ((40, 22), (22, 7)))
    nodes = [node("MatMul", ["x", "a"], "first"), node("Relu", ["first"], "r"), node("MatMul", ["r", "b"], "y")]
    model = network(nodes, {"x": ("N", 40)}, {"a": first, "b": second})
    return xbarc.compile(model, overrides=(*CUT, *ALL_HARDWARE), calibration=X)


def test_effects_may_count_in_some_layers_alone() -> None:
    chip = two_layers().write(ALL_CELLS, seed=3).at("1d")
    feeds = {"x": X}
    everything, nothing, first, second = (
        look.layer_outputs(feeds)
        for look in (chip, chip.with_effects(()), chip.with_effects(layers=["first"]), chip.with_effects(layers=["y"]))
    )
    assert np.array_equal(first[0], everything[0])
    assert np.array_equal(second[0], nothing[0])
    assert not np.array_equal(everything[0], nothing[0])
    assert not np.array_equal(first[1], everything[1])
    assert not np.array_equal(second[1], nothing[1])
    # What follows is exact: the second layer's product of what the first made.
    held = held_weights(layers(chip.setting.graph)[1])[0]
    assert_near(first[1].reshape(-1, 7), np.maximum(first[0].reshape(-1, 22).astype(np.float64), 0) @ held)


def test_layers_that_share_cells_are_looked_at_by_themselves() -> None:
    shared = RNG.normal(size=(20, 20)).astype(np.float32)
    nodes = [node("MatMul", ["x", "w"], "one"), node("MatMul", ["one", "w"], "y")]
    model = network(nodes, {"x": ("N", 20)}, {"w": shared})
    program = xbarc.compile(model, overrides=(*CUT, *HARDWARE["ir-drop"]), calibration=X[:, :20])
    assert len({layer.read.matrix for layer in layers(program.graph)}) == 1
    chip, feeds = program.write(ALL_CELLS, seed=3), {"x": X[:, :20]}
    for alone, place in (("one", 0), ("y", 1)):
        looks = chip, chip.with_effects(()), chip.with_effects(layers=[alone])
        everything, nothing, seen = ([layer.read.levels for layer in layers(look._cells[0])] for look in looks)
        assert np.array_equal(seen[place], everything[place])
        assert np.array_equal(seen[1 - place], nothing[1 - place])
        assert not np.array_equal(everything[place], nothing[place])
    assert np.array_equal(*(look.layer_outputs(feeds)[0] for look in (chip, chip.with_effects(layers=["one"]))))


@settings(max_examples=15, deadline=None)
@given(
    kinds=st.sets(st.sampled_from(EFFECTS)),
    names=st.none() | st.sets(st.sampled_from(["first", "y"])),
    cut=st.integers(1, 149),
)
def test_looks_depend_on_neither_batch_nor_threads(kinds: set[Effect], names: set[str] | None, cut: int) -> None:
    one, two = (
        two_layers().write(ALL_CELLS, seed=3, threads=threads).at("1d").with_effects(kinds, layers=names)
        for threads in (1, 3)
    )
    whole = one.run(X)["y"]
    assert np.array_equal(whole, two.run(X)["y"])
    parts = [one.run(X[:cut])["y"], one.run(X[cut:], first_sample=cut)["y"]]
    assert np.array_equal(whole, np.concatenate(parts))


# Words, and what is refused


def test_effects_have_words() -> None:
    assert EVERYTHING.text is None
    assert EVERYTHING.switched("ir-drop", on=False).text == "all but ir-drop"
    assert Effects(frozenset({"drift", "programming"})).text == "programming, drift"
    assert Effects(frozenset()).text == "none"
    assert Effects(layers=frozenset({"b", "a"})).text == "all; in a, b"
    assert Effects(frozenset({"drift"}), frozenset()).text == "drift; in no layer"
    chip = compiled().write("pcm").with_effects(["drift"])
    assert chip.condition.effects == "drift"
    assert compiled().write("pcm").condition.effects is None


def test_a_model_of_a_look_has_its_effects() -> None:
    program = compiled(*HARDWARE["adc-errors"])
    chip = program.write(ALL_CELLS, seed=3).at("1d").with_read_noise("frozen").with_effects([*CODES, "programming"])
    session = ort.InferenceSession(chip.model().SerializeToString())
    assert np.array_equal(session.run(None, {"x": X})[0], chip.run(X)["y"])
    for kinds in (["input-codes"], ["output-codes"], ()):
        with pytest.raises(UsageError, match="an ONNX model of a chip has the codes of its converters"):
            chip.with_effects(kinds).model()


def test_unknown_effects_and_layers_are_refused() -> None:
    chip = compiled().write("pcm")
    with pytest.raises(UsageError, match="there is no effect 'noise'"):
        chip.with_effects(["drift", "noise"])
    with pytest.raises(UsageError, match="no layer on tiles is called 'z'"):
        chip.with_effects(layers=["y", "z"])
    with pytest.raises(UsageError, match="there is no effect 'noise'"):
        chip.with_effects("noise")
    assert chip.with_effects("drift", layers="y").reading == chip.with_effects(["drift"], layers=["y"]).reading
