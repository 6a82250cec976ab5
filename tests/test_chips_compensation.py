"""Global drift compensation: what it restores, exactly where drift is one factor, on average where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from chips import FINE_GRID, cells_of, product
from networks import network, node

import xbarc
from xbarc.devices.catalogue import find_device

#: Every kind of read: compensation acts behind all of them.
HARDWARE = {
    "default": (),
    "digital": ("weights.subtraction=digital", "cell.g_min=1 uS"),
    "offset": ("weights.encoding=offset",),
    "slices": ("weights.slices=2", "cell.levels=16"),
    "small tiles": ("tile.rows=20", "tile.columns=10"),
}
UNIFORM = "generic:nu_mean=0.05,t0_s=20"


def matrix_and_inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 30)), rng.normal(size=(200, 60)).astype(np.float32)


@pytest.mark.parametrize("name", HARDWARE)
@pytest.mark.parametrize("adc_bits", ["unlimited", 14])
def test_uniform_drift_is_undone(name: str, adc_bits: int | str) -> None:
    """Where every cell loses the same share of its conductance, outputs are restored: to the grid of the levels, which
    is fine here, and within half a step of each conversion; compensation makes these steps longer."""
    weight, x = matrix_and_inputs()
    adc = [f"adc.bits={adc_bits}", *([] if adc_bits == "unlimited" else ["adc.range=full-scale"])]
    program = product(weight, [*FINE_GRID, *HARDWARE[name], *adc], calibration=x)
    chip = program.write(UNIFORM, seed=1)
    later = chip.at("1y")
    before, drifted, restored = (look.run(x)["y"] for look in (chip, later, later.compensated()))
    ((layer,), _) = cells_of(program, chip)
    growth = (1 + 31536000 / 20) ** 0.05
    conversions = (
        layer.read.partition.row_blocks * (2 if layer.single_ended else 1) * layer.accumulate.slice_weights.sum()
    )
    step = 0.0 if adc_bits == "unlimited" else float(layer.rescale.scale.max())
    tolerance = 0.5 * conversions * step * (1 + growth) + 1e-4 * np.abs(before).max()
    np.testing.assert_allclose(restored, before, rtol=0, atol=tolerance)
    np.testing.assert_allclose(drifted, before / growth, rtol=0, atol=tolerance)
    assert np.abs(drifted - before).max() > 10 * tolerance


def test_the_factor_is_the_inverse_of_the_drift() -> None:
    program = product(*matrix_and_inputs()[:1])
    chip = program.write(UNIFORM, seed=1)
    for seconds in (0.0, 1.0, 3600.0, 31536000.0):
        scales = [cells_of(program, look)[0][0].rescale.scale for look in (chip, chip.at(seconds).compensated())]
        assert scales[1] / scales[0] == pytest.approx((1 + seconds / 20) ** 0.05, rel=2e-4)


def test_at_the_reference_moment_nothing_changes() -> None:
    weight, x = matrix_and_inputs()
    chip = product(weight, ["adc.noise_lsb=0.5"], calibration=x).write("pcm", seed=1)
    assert chip.compensated().run(x)["y"].tobytes() == chip.run(x)["y"].tobytes()
    assert chip.at("1h").compensated().compensated(False).run(x)["y"].tobytes() == chip.at("1h").run(x)["y"].tobytes()


def test_biases_are_not_rescaled() -> None:
    """Only what cells hold drifts: with all weights zero and no errors, the output is the bias, compensated or not."""
    bias = np.arange(3, dtype=np.float32)
    constants = {"w": np.zeros((5, 3), np.float32), "b": bias}
    program = xbarc.compile(network([node("Gemm", ["x", "w", "b"], "y")], {"x": ("N", 5)}, constants))
    chip = program.write(UNIFORM).at("1y").compensated()
    assert np.array_equal(chip.run(np.ones((2, 5), np.float32))["y"], [bias, bias])


@pytest.mark.parametrize("name", ["default", "digital", "slices", "small tiles"])
def test_the_factor_of_a_column_is_by_how_much_its_own_weights_shrank(name: str) -> None:
    """From the conductances as they were programmed and the exponent of each cell: to the grid that levels lie on."""
    weight, _ = matrix_and_inputs()
    program = product(weight * np.linspace(0.2, 1, 30), [*FINE_GRID, *HARDWARE[name], "weights.scale=layer"])
    chip = program.write("pcm:read_scale=0", seed=2)
    assert chip.written is not None
    cells = chip.written.cells["y"]
    sizes = []
    for seconds in (0.0, 86400.0):
        drifted = cells.programmed.astype(np.float64) * (1 + seconds / 20) ** -cells.nu.astype(np.float64)
        ((layer,), _) = cells_of(program, chip)
        signed = layer.accumulate.slice_weights @ layer.signed_levels(drifted.astype(np.float32)).reshape(-1, 60 * 30)
        sizes.append(np.abs(signed.reshape(60, 30)).mean(axis=0))
    scales = [
        cells_of(program, chip.at(86400.0).compensated(on))[0][0].rescale.unit_scale
        for on in (False, "layer", "column")
    ]
    np.testing.assert_allclose(scales[2] / scales[0], sizes[0] / sizes[1], rtol=1e-3)
    np.testing.assert_allclose(scales[1] / scales[0], sizes[0].sum() / sizes[1].sum(), rtol=1e-3)
    assert np.ptp(sizes[0] / sizes[1]) > 0.02


def test_compensation_by_column_restores_columns_of_small_weights_too() -> None:
    """Weights of one magnitude a column, drift alone: where inputs are their signs, a column gives its size. Small
    weights drift more. One factor for all leaves the columns of the smaller ones short by their own mean share against
    the mean of all; one for each restores every one."""
    sizes, rows, seconds = np.array([0.15, 0.4, 1.0]), 250, 31536000.0
    signs = np.sign(np.random.default_rng(3).normal(size=(rows, 3)))
    program = product(signs * sizes, ["weights.scale=layer", "adc.bits=unlimited"])
    device = find_device("pcm")
    mean, sigma = device.drift_exponent(sizes * 25e-6, 25e-6)
    nu = np.abs(np.random.default_rng(4).normal(size=(200_000, 3)) * sigma + mean)
    kept = ((1 + seconds / 20) ** -nu).mean(axis=0)
    found: dict[Literal["layer", "column"], list[np.ndarray]] = {"layer": [], "column": []}
    x = signs.T.astype(np.float32)
    for seed in range(12):
        chip = program.write("pcm:programming_scale=0,read_scale=0", seed=seed)
        whole = np.diag(chip.run(x)["y"])
        for on, outputs in found.items():
            outputs.append(np.diag(chip.at(seconds).compensated(on).run(x)["y"]) / whole)
    ours = {on: np.mean(outputs, axis=0) for on, outputs in found.items()}
    np.testing.assert_allclose(ours["column"], 1, atol=0.01)
    np.testing.assert_allclose(ours["layer"], kept * sizes.sum() / (kept @ sizes), atol=0.01)
    assert ours["layer"][0] < 0.97


@pytest.mark.parametrize("time", ["1h", "1d", "1y"])
def test_the_mean_magnitude_of_pcm_weights_is_restored_layer_by_layer(models_dir: Path, time: str) -> None:
    """That of the chip at time 0, read noise and all: to the rounding of the factor to float32."""
    program = xbarc.compile(models_dir / "digits_cnn.onnx", calibration=models_dir / "digits_calibration.npz")
    chip = program.write("pcm", seed=3)

    def mean_weights(look: xbarc.Chip) -> np.ndarray:
        return np.array(
            [np.abs(layer.signed_levels()[0] * layer.rescale.scale[0]).mean() for layer in cells_of(program, look)[0]]
        )

    before, after = mean_weights(chip), mean_weights(chip.at(time))
    assert np.all(after < 0.85 * before)
    np.testing.assert_allclose(mean_weights(chip.at(time).compensated()), before, rtol=1e-6)


def test_compensation_helps(models_dir: Path) -> None:
    """A year later, outputs are nearer to those at time 0 with compensation than without, on each of five chips."""
    with np.load(models_dir / "digits_test.npz") as data:
        x = data["input"][:100]
    program = xbarc.compile(models_dir / "digits_mlp.onnx", calibration=models_dir / "digits_calibration.npz")
    for seed in range(5):
        chip = program.write("pcm", seed=seed)
        looks = (chip, chip.at("1y"), chip.at("1y").compensated())
        start, without, with_it = (next(iter(look.run(x).values())) for look in looks)
        assert np.square(with_it - start).mean() < 0.5 * np.square(without - start).mean()
