"""Repairs of written chips with a calibration sample: what they restore, and what they do not depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from chips import bits, cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Case, Draw, convolutions, finite_hardware, gemms, matmuls, network, node, open_session

import xbarc
from xbarc.api import repairs
from xbarc.api.repairs import LEAST_WINDOWS, _Pairs
from xbarc.errors import DataError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import layers

RNG = np.random.default_rng(1)
WEIGHT = RNG.normal(size=(60, 30))
SAMPLE, OTHERS = RNG.normal(size=(2, 200, 60)).astype(np.float32)

#: Gain and offset errors, and nothing else.
ERRORS = ("adc.bits=12", "adc.range=full-scale", "adc.gain_sigma=0.1", "adc.offset_sigma=40")


def two_layers(batch: int | str = "N", outputs: Sequence[str] = ("h", "y")) -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    constants = {"v": rng.normal(size=(60, 40)), "w": rng.normal(size=(40, 20)), "b": rng.normal(size=20)}
    nodes = [node("MatMul", ["x", "v"], "h"), node("Relu", ["h"], "r"), node("Gemm", ["r", "w", "b"], "y")]
    arrays = {name: array.astype(np.float32) for name, array in constants.items()}
    return network(nodes, {"x": (batch, 60)}, arrays, outputs=outputs)


def lstm(steps: int, size: int) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    shapes = {"W": (1, 4 * size, 6), "R": (1, 4 * size, size), "B": (1, 8 * size)}
    constants = {name: (0.5 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        node("Transpose", ["x"], "turned", perm=[1, 0, 2]),
        node("LSTM", ["turned", "W", "R", "B"], "Y", "last", hidden_size=size),
        node("Squeeze", ["last", "zero"], "y"),
    ]
    return network(nodes, {"x": ("N", steps, 6)}, constants | {"zero": np.array([0])})


def affine(chip: xbarc.Chip) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: (entry.scale, entry.offset) for name, entry in chip.corrections.affine.items()}


def test_gain_and_offset_of_each_column_are_undone() -> None:
    """Then only the rounding of both conversions is left, that of the chip as far as its gain spreads it."""
    program = product(WEIGHT, ERRORS, calibration=SAMPLE)
    chip = program.write("generic", seed=1)
    ((layer,), _) = cells_of(program, chip)
    assert layer.adc.errors is not None
    assert layer.rescale.scale is not None
    ideal, broken, mended = (look.run(OTHERS)["y"] for look in (program.write(), chip, chip.recalibrated(SAMPLE)))
    step = layer.rescale.scale
    gain, offset = layer.adc.errors.gain[0, 0, 0], layer.adc.errors.offset[0, 0, 0]
    assert np.all(np.abs(mended - ideal).max(axis=0) < (0.5 + 0.5 / gain + 0.3) * step)
    assert np.abs(broken - ideal).max() > 50 * step.max()
    scales, offsets = affine(chip.recalibrated(SAMPLE))["y"]
    np.testing.assert_allclose(scales, 1 / gain, rtol=3e-3)
    np.testing.assert_allclose(offsets, -offset / gain * step, atol=0.3 * step.max())


def nearest(actual: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """The best scale and offset of one column, by the normal equations' solver of another library."""
    ((scale, offset), *_) = np.linalg.lstsq(np.stack([actual, np.ones_like(actual)], axis=1), wanted, rcond=None)
    return scale, offset


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), min_size=1, max_size=6), st.floats(-1e3, 1e3))
def test_a_fit_in_pieces_is_the_fit_of_all(seed: int, sizes: list[int], far: float) -> None:
    """Means far from zero beside the spread too; columns that do not vary on either side have an offset alone."""
    rng = np.random.default_rng(seed)
    count = sum(sizes) + 2
    actual = far + rng.normal(size=(count, 5))
    wanted = actual * rng.normal(size=5) + rng.normal(size=(count, 5)) + rng.normal(size=5)
    actual[:, 3], wanted[:, 4] = far, 2.5
    pairs = _Pairs(5)
    for start, size in zip(np.cumsum([0, *sizes]), [*sizes, 2], strict=True):
        pairs.add(actual[start : start + size], wanted[start : start + size])
    found = pairs.fit("y")
    assert pairs.count == count
    for column in range(3):
        scale, offset = nearest(actual[:, column] - far, wanted[:, column])
        assert found.scale[column] == pytest.approx(scale, rel=1e-6, abs=1e-9)
        assert found.offset[column] + scale * far == pytest.approx(offset, rel=1e-6, abs=1e-6)
    assert found.scale[3:].tolist() == [1, 1]
    np.testing.assert_allclose(found.offset[3:], (wanted - actual).mean(axis=0)[3:], rtol=0, atol=1e-9)


def test_each_layer_is_fitted_with_the_earlier_ones_corrected() -> None:
    """The first to what it gives; the second, fed by the corrected first, leaves errors that no further scale or offset
    makes less: they have no mean, and nothing in common with its outputs."""
    program = xbarc.compile(two_layers(), calibration=SAMPLE)
    chip = program.write("pcm:programming_scale=3", seed=2).at("1d").with_read_noise("frozen")
    mended = chip.recalibrated(SAMPLE)
    ideal, broken, found = (look.run(SAMPLE) for look in (program.write(), chip, mended))
    first = [nearest(*pair) for pair in zip(broken["h"].T.astype(float), ideal["h"].T.astype(float), strict=True)]
    np.testing.assert_allclose(np.array(affine(mended)["h"]).T, first, rtol=1e-6)
    for name in ("h", "y"):
        errors, outputs = (array.astype(np.float64) for array in (found[name] - ideal[name], found[name]))
        size = np.abs(outputs).mean(axis=0)
        np.testing.assert_allclose(errors.mean(axis=0), 0, atol=1e-6 * size.max())
        np.testing.assert_allclose((errors * outputs).mean(axis=0), 0, atol=1e-6 * (size**2).max())
        assert np.square(errors).mean() < 0.7 * np.square(broken[name] - ideal[name]).mean()


@pytest.mark.parametrize("policy", ["full-scale", "unit", "percentile", "mse"])
@pytest.mark.parametrize("layout", [(), ("weights.subtraction=digital", "cell.g_min=1 uS")], ids=["analog", "digital"])
def test_ranges_are_those_of_the_chips_own_currents(policy: str, layout: tuple[str, ...]) -> None:
    """Counted out from its cells: bins of the compiler's histogram are 1/4096 of the largest current at most."""
    program = product(WEIGHT, [f"adc.range={policy}", *layout], calibration=SAMPLE)
    chip = program.write("pcm", seed=3).at("1y").with_read_noise("frozen")
    ((layer,), _) = cells_of(program, chip)
    assert layer.dac.codes is not None
    assert layer.adc.codes is not None
    sides = layer.read.levels[0, :, 0].astype(np.float64) + layer.read.pedestal
    matrices = list(sides) if layer.single_ended else [sides[0] - sides[1]]
    codes = np.clip(np.rint(SAMPLE / np.float32(layer.dac.scale)), layer.dac.codes.low, layer.dac.codes.high)
    currents = np.abs(np.concatenate([codes.astype(np.float64) @ matrix for matrix in matrices]))
    reach = max(layer.dac.codes.high * np.abs(matrix).sum(axis=0).max() for matrix in matrices)
    high, found = layer.adc.codes.high, chip.retuned(SAMPLE).corrections.ranges["y"]

    def error(limit: float) -> float:
        return float(np.square(np.minimum(np.rint(currents / limit * high), high) * limit / high - currents).mean())

    if policy == "full-scale":
        assert found.lsb == pytest.approx(reach / high, rel=1e-6)
    elif policy == "unit":
        assert found.lsb == 2 ** np.ceil(np.log2(reach / high))
    elif policy == "percentile":
        share = program.hardware.adc.percentile
        assert found.lsb * high == pytest.approx(
            np.percentile(currents, share, method="inverted_cdf"), abs=currents.max() / 2000
        )
    else:
        best = min(map(error, currents.max() * np.arange(1, 257) / 256))
        assert error(found.lsb * high) <= 1.02 * best
    assert found.basis.endswith(", on the chip")
    before = layer.adc.range
    assert before is not None
    assert found.lsb < 0.8 * before.lsb or policy == "unit"


def test_layers_are_tuned_with_their_inputs_on_the_ideal_device() -> None:
    """A year of drift leaves half of what the first layer gives; the second is tuned for what a repaired one will."""
    program = xbarc.compile(two_layers(), overrides=["adc.range=percentile", "adc.percentile=100"], calibration=SAMPLE)
    chip = program.write("pcm", seed=2).at("1y").with_read_noise("frozen")
    first, second = cells_of(program, chip)[0]
    found = chip.retuned(SAMPLE)
    hidden = np.maximum(program.write().run(SAMPLE)["h"], 0)
    for layer, x in ((first, SAMPLE), (second, hidden)):
        assert layer.dac.codes is not None
        assert layer.adc.codes is not None
        codes = np.clip(np.rint(x / np.float32(layer.dac.scale)), layer.dac.codes.low, layer.dac.codes.high)
        currents = codes.astype(np.float64) @ (layer.read.levels[0, 0, 0] - layer.read.levels[0, 1, 0])
        largest = found.corrections.ranges[layer.name].lsb * layer.adc.codes.high
        assert largest == pytest.approx(np.abs(currents).max(), rel=1e-6)
    mended, recalibrated = found.recalibrated(SAMPLE), chip.recalibrated(SAMPLE)
    ideal, fine, coarse = (look.run(OTHERS)["y"] for look in (program.write(), mended, recalibrated))
    assert np.square(fine - ideal).mean() < 1.05 * np.square(coarse - ideal).mean()


def test_retuning_helps_where_currents_are_small() -> None:
    """Half the current, half the steps: outputs err less against those of an ADC without steps."""
    program = product(WEIGHT, ["adc.bits=6", "adc.range=mse"], calibration=SAMPLE)
    free = product(WEIGHT, ["adc.bits=unlimited"], calibration=SAMPLE)
    device = "generic:nu_mean=0.05,t0_s=20"
    exact, coarse, fine = (
        look.at("1y").compensated().run(OTHERS)["y"]
        for look in (
            free.write(device, seed=1),
            program.write(device, seed=1),
            program.write(device, seed=1).at("1y").retuned(SAMPLE),
        )
    )
    assert np.square(fine - exact).mean() < 0.6 * np.square(coarse - exact).mean()


PRODUCTS = st.one_of(convolutions(), gemms(), matmuls())


def check_same_bits(chip: xbarc.Chip, feeds: dict[str, np.ndarray]) -> None:
    """As onnxruntime, and as the program that the model is when it is loaded."""
    assert not chip.noisy
    model = chip.model()
    onnx.checker.check_model(model, full_check=True)
    ours = list(chip.run(feeds).values())
    theirs = [open_session(model, optimized=optimized).run(None, feeds) for optimized in (False, True)]
    for others in (*theirs, list(xbarc.load(model).write().run(feeds).values())):
        for mine, other in zip(ours, others, strict=True):
            assert (other.shape, other.tobytes()) == (mine.shape, mine.tobytes())


@st.composite
def repaired(draw: Draw, chip: xbarc.Chip, sample: Any) -> xbarc.Chip:
    if draw(st.booleans()):
        chip = chip.retuned(sample)
    if draw(st.booleans()):
        chip = chip.recalibrated(sample)
    return chip.compensated(draw(st.sampled_from(["off", "layer", "column"]))).at(draw(st.sampled_from(["0", "1d"])))


@settings(max_examples=20)
@given(st.data(), PRODUCTS, finite_hardware())
def test_onnxruntime_computes_what_repaired_chips_compute(data: st.DataObject, case: Case, hardware: Hardware) -> None:
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds])
    chip = program.write("pcm", seed=5).at("1h").with_read_noise("frozen")
    with mock.patch.object(repairs, "LEAST_WINDOWS", 1):  # a bad fit is as good here
        found = data.draw(repaired(chip, [case.feeds]))
    check_same_bits(found, case.feeds)


def test_onnxruntime_computes_a_repaired_network(models_dir: Path) -> None:
    with np.load(models_dir / "digits_calibration.npz") as data:
        sample = data["input"][:64]
    errors = ["adc.gain_sigma=0.05", "adc.offset_sigma=1", "weights.encoding=offset", "weights.subtraction=digital"]
    for overrides in ([], errors):
        program = xbarc.compile(models_dir / "digits_cnn.onnx", calibration=sample, overrides=overrides)
        chip = program.write("pcm", seed=5).at("1d").with_read_noise("frozen").compensated("column")
        check_same_bits(chip.retuned(sample).recalibrated(sample), {"input": sample[:9]})


def test_repairs_depend_on_neither_threads_nor_how_the_sample_comes() -> None:
    model, outputs = two_layers(), []
    for threads, sample in (
        (1, SAMPLE),
        (2, SAMPLE),
        (2, {"x": SAMPLE.astype(np.float64)}),
        (1, [SAMPLE[:7], SAMPLE[7:150], SAMPLE[150:]]),
    ):
        program = xbarc.compile(model, overrides=["adc.noise_lsb=0.5"], calibration=SAMPLE)
        chip = program.write("pcm", seed=4, threads=threads).at("1d").retuned(sample).recalibrated(sample)
        assert chip.noisy
        outputs.append(bits(chip.run(OTHERS)))
    assert all(found == outputs[0] for found in outputs)


def test_reads_for_repairs_have_noise_of_their_own() -> None:
    """A sample that is read for a repair is not read again with the same noise: errors are not fitted away."""
    program = product(np.zeros((30, 8)), calibration=SAMPLE[:, :30])
    chip = program.write("generic:read_independent=0.2", seed=1).with_read_noise("per-read")
    sample = SAMPLE[:LEAST_WINDOWS, :30]
    ideal, broken, mended = (look.run(sample)["y"] for look in (program.write(), chip, chip.recalibrated(sample)))
    assert np.abs(ideal).max() == 0
    assert np.abs(mended.mean(axis=0)).max() > 0.1 * np.abs(broken).max()


def test_a_model_of_a_fixed_batch_is_repaired_as_one_of_any() -> None:
    fixed, free = (
        xbarc.compile(two_layers(batch), calibration=SAMPLE)
        .write("pcm", seed=6)
        .at("1d")
        .retuned(SAMPLE)
        .recalibrated(SAMPLE)
        for batch in (4, "N")
    )
    ranges = [{name: entry.lsb for name, entry in chip.corrections.ranges.items()} for chip in (fixed, free)]
    assert ranges[0] == ranges[1]
    for name, found in affine(free).items():
        np.testing.assert_allclose(affine(fixed)[name], found, rtol=1e-9)
    with pytest.raises(DataError, match="198 samples, and the model takes exactly 4 at once"):
        fixed.recalibrated(SAMPLE[:198])


def test_layers_in_a_loop_are_fitted_over_all_steps() -> None:
    """Two samples of many steps are enough; the chip then gives nearly what the ideal device does."""
    program = xbarc.compile(
        lstm(steps=40, size=5), overrides=ERRORS, calibration=RNG.normal(size=(32, 40, 6)).astype(np.float32)
    )
    chip = program.write("generic", seed=1)
    sample = np.random.default_rng(4).normal(size=(2, 40, 6)).astype(np.float32)
    mended = chip.retuned(sample).recalibrated(sample)
    assert set(affine(mended)) == {layer.name for layer in layers(program.graph)}
    fresh = np.random.default_rng(5).normal(size=(20, 40, 6)).astype(np.float32)
    ideal, broken, found = (look.run(fresh)["y"] for look in (program.write(), chip, mended))
    assert np.abs(found - ideal).max() < 0.05 * np.abs(broken - ideal).max()
    check_same_bits(mended, {"x": fresh})


def test_layers_that_share_cells_have_corrections_of_their_own() -> None:
    nodes = [node("MatMul", ["x", "w"], "h"), node("Tanh", ["h"], "t"), node("MatMul", ["t", "w"], "y")]
    weight = np.random.default_rng(6).normal(size=(12, 12)).astype(np.float32)
    sample = SAMPLE[:, :12]
    program = xbarc.compile(network(nodes, {"x": ("N", 12)}, {"w": weight}, outputs=["h", "y"]), calibration=sample)
    chip = program.write("pcm", seed=7).at("1d").with_read_noise("frozen")
    mended = chip.retuned(sample).recalibrated(sample)
    first, second = layers(mended._cells[0])
    assert first.read.levels is second.read.levels
    assert first.adc.range != second.adc.range
    assert not np.allclose(affine(mended)["h"], affine(mended)["y"])
    ideal, found = (look.run(sample) for look in (program.write(), mended))
    for name in ("h", "y"):
        np.testing.assert_allclose((found[name] - ideal[name]).mean(axis=0), 0, atol=1e-5)
    check_same_bits(mended, {"x": sample})


def test_a_branch_that_the_sample_does_not_take_stays_as_it_is() -> None:
    branches = {
        name: onnx.helper.make_graph(
            [node("MatMul", ["x", weight], name)], name, [], [onnx.helper.make_tensor_value_info(name, 1, None)]
        )
        for name, weight in (("one", "v"), ("two", "w"))
    }
    nodes = [
        node("ReduceMax", ["x"], "top", keepdims=0),
        node("Greater", ["top", "zero"], "condition"),
        node("If", ["condition"], "y", then_branch=branches["one"], else_branch=branches["two"]),
    ]
    weights = {name: WEIGHT.astype(np.float32) for name in ("v", "w")}
    model = network(nodes, {"x": (40, 60)}, {**weights, "zero": np.array(0, np.float32)}, output_ranks={"y": 2})
    sample = np.abs(SAMPLE[:40])
    chip = xbarc.compile(model, calibration=sample).write("pcm", seed=1).at("1d")
    assert list(chip.recalibrated(sample).corrections.affine) == ["one"]
    assert set(chip.retuned(sample).corrections.ranges) == {"one", "two"}


def test_corrections_last_until_they_are_made_anew() -> None:
    program = xbarc.compile(two_layers(), calibration=SAMPLE)
    chip = program.write("pcm", seed=8).with_read_noise("frozen")
    mended = chip.retuned(SAMPLE).recalibrated(SAMPLE)
    assert mended.at("1y").corrections is mended.corrections
    assert (mended.at("1y").corrections.retuned_s, mended.at("1y").corrections.recalibrated_s) == (0.0, 0.0)
    assert mended.words == "chip 8 at 0 s, retuned, recalibrated"
    later = mended.at("1y")
    again, afresh = later.recalibrated(SAMPLE), chip.retuned(SAMPLE).at("1y").recalibrated(SAMPLE)
    assert bits(again.run(OTHERS)) == bits(afresh.run(OTHERS)) != bits(later.run(OTHERS))
    assert again.corrections.recalibrated_s == 365 * 86400.0
    assert bits(mended.at("1y").retuned(SAMPLE).run(OTHERS)) == bits(chip.at("1y").retuned(SAMPLE).run(OTHERS))
    model = xbarc.load(later.model())
    assert model.facts["chip"]["recalibrated_s"] == 0.0
    assert model.facts["chip"]["time_s"] == 365 * 86400.0


def test_files_hold_cells_and_no_corrections(tmp_path: Path) -> None:
    program = xbarc.compile(two_layers(), calibration=SAMPLE)
    chip = program.write("pcm", seed=8)
    chip.retuned(SAMPLE).recalibrated(SAMPLE).save(tmp_path / "chip.npz")
    assert bits(program.load_chip(tmp_path / "chip.npz").run(OTHERS)) == bits(chip.run(OTHERS))


def test_samples_that_are_too_small(models_dir: Path) -> None:
    """Convolutions have many windows a sample; the dense layer at the end has one."""
    with np.load(models_dir / "digits_calibration.npz") as data:
        sample = data["input"]
    program = xbarc.compile(models_dir / "digits_cnn.onnx", calibration=sample)
    chip = program.write("pcm", seed=1)
    with pytest.raises(DataError, match="too small: a layer needs at least 32 windows to be recalibrated") as refusal:
        chip.recalibrated(sample[:31])
    assert refusal.value.where == f"layer {program.report().layers[-1].name!r} got 31"
    assert chip.recalibrated(sample[:32]).corrections.recalibrated_s == 0.0
    assert chip.retuned(sample[:1]).corrections.retuned_s == 0.0


UNLIMITED = ("dac.bits=unlimited", "adc.bits=unlimited")


@pytest.mark.parametrize(("overrides", "repair"), [(UNLIMITED, "recalibrated"), (("dac.bits=unlimited",), "retuned")])
def test_values_that_are_not_finite(overrides: tuple[str, ...], repair: str) -> None:
    nodes = [node("Div", ["x", "x"], "d"), node("MatMul", ["d", "w"], "y")]
    model = network(nodes, {"x": ("N", 5)}, {"w": np.ones((5, 3), np.float32)})
    ones = np.ones((40, 5), np.float32)
    chip = xbarc.compile(model, overrides=overrides, calibration=ones).write("pcm")
    with pytest.raises(DataError, match="the calibration sample makes values that are not finite"):
        getattr(chip, repair)(np.zeros((40, 5), np.float32))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda program: program.write().retuned(SAMPLE), "the ideal device has nothing to repair"),
        (lambda program: program.write().recalibrated(SAMPLE), "the ideal device has nothing to repair"),
        (lambda program: program.write("pcm").compensated("row"), "compensation cannot be 'row'"),
        (
            lambda program: program.series("pcm", seeds=[0], repairs=["polish"], sample=SAMPLE),
            "there is no repair 'polish'",
        ),
        (
            lambda program: program.series("pcm", seeds=[0], repairs=["retune"]),
            "repairs measure on a calibration sample, and none is given",
        ),
        (
            lambda program: program.series("pcm", seeds=[0], sample=SAMPLE),
            "a sample or a time for repairs, and no repair",
        ),
    ],
)
def test_what_cannot_be_repaired(act: Callable[[xbarc.Program], object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        act(product(WEIGHT, calibration=SAMPLE))


def test_a_sample_must_be_read_more_than_once() -> None:
    chip = product(WEIGHT, calibration=SAMPLE).write("pcm")
    with pytest.raises(DataError, match="the calibration sample is an iterator"):
        chip.recalibrated(iter([SAMPLE]))
