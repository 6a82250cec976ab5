"""The grid of written levels: every sum of a read is exact, and no noise of the size of PCM's is lost on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chips import G_MAX, cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Case, convolutions, finite_hardware, gemms, matmuls

import xbarc
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers

#: The least programming error of PCM, that of an empty cell.
LEAST_SIGMA = 0.26348e-6 / 25e-6


def worst_sums(layer: Layer) -> tuple[float, int]:
    """The largest magnitude that a part of any sum of a read can have, in grid steps, and its limit."""
    codes, levels = layer.applied, np.moveaxis(layer.read.levels.astype(np.float64), -2, 0) / layer.read.grid
    assert np.array_equal(levels, np.rint(levels))
    partition = layer.read.partition
    if layer.single_ended:
        difference = levels  # columns are converted each by itself
    elif partition.reference_column:
        difference = levels[..., partition.data_columns] - levels[..., partition.reference_columns]
    else:
        difference = levels[:, :, 0] - levels[:, :, 1]
    worst = 0.0
    for rows in (levels, difference):
        # Every row driven by the code that takes it furthest up, or down: the others of a part are 0.
        highest = np.maximum(rows * codes.high, rows * codes.low).sum(axis=0)
        lowest = np.minimum(rows * codes.high, rows * codes.low).sum(axis=0)
        worst = max(worst, highest.max(), -lowest.min())
    return worst, 2**53 if layer.read.double else 2**24


@settings(max_examples=100)
@given(
    st.one_of(convolutions(), gemms(), matmuls()),
    finite_hardware(),
    st.sampled_from(
        ["pcm", "generic", "generic:programming_independent=1", "pcm:stuck_at_gmax=1", "pcm:drift_scale=9"]
    ),
    st.sampled_from([0.0, 3600.0]),
)
def test_sums_of_reads_are_exact(case: Case, hardware: Hardware, device: str, time: float) -> None:
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds])
    ((layer,), _) = cells_of(program, program.write(device, seed=1).at(time))
    worst, limit = worst_sums(layer)
    assert worst <= limit
    assert np.log2(layer.read.grid) % 1 == 0
    # Neither the levels nor the noise of the least that PCM has show it.
    span = hardware.cell.levels - 1
    assert layer.read.grid <= min(0.5, LEAST_SIGMA * span / 10)


@pytest.mark.parametrize("folder", ["models", "shared"])
def test_the_default_hardware_snaps_far_below_the_noise(folder: str, request: pytest.FixtureRequest) -> None:
    """On trained networks, whose layers fill whole tiles: a tenth of the least sigma at most; float32 nearly always."""
    path: Path = request.getfixturevalue("models_dir" if folder == "models" else "shared_dir")
    found = sorted((path if folder == "models" else path / "models").glob("*.onnx"))
    assert found
    in_double = 0
    for model in found:
        program = xbarc.compile(model)
        found_layers, _ = cells_of(program, program.write("pcm", seed=1).with_read_noise("frozen").at("1d"))
        for layer in found_layers:
            worst, limit = worst_sums(layer)
            assert worst <= limit
            assert layer.read.grid * G_MAX / 255 <= 0.26348e-6 / 10
            in_double += layer.read.double
    assert in_double <= 2
    assert folder == "shared" or in_double == 0


@pytest.mark.parametrize("size", ["much", "a little"])
def test_a_block_too_large_for_float32_is_read_in_float64(size: str) -> None:
    """Rather than on a coarse grid: large codes, or cells half full, which would need half a level. What the grid of
    float64 holds are the levels themselves where there is no error."""
    rng = np.random.default_rng(0)
    weight, x = rng.uniform(-1, 1, size=(256, 2)), rng.normal(size=(20, 256))
    if size == "a little":
        weight, x = np.full((256, 2), 0.5), np.abs(x)
        weight[0] = 1
    program = product(weight, ["dac.bits=14" if size == "much" else "dac.bits=8", "cell.g_min=3.3 uS"], calibration=x)
    for device in ("pcm", "generic"):
        ((layer,), _) = cells_of(program, program.write(device, seed=1))
        assert layer.read.double
        worst, limit = worst_sums(layer)
        assert 2**24 < worst <= limit
    assert np.array_equal(layer.read.levels, layers(program.graph)[0].read.levels)


def test_rows_that_are_never_driven_hold_nothing() -> None:
    """Of the last block: their errors would only make the grid coarser."""
    program = product(np.ones((10, 3)), ["tile.rows=7"])
    ((layer,), _) = cells_of(program, program.write("pcm", seed=1))
    assert not layer.read.levels[:, :, 1, 3:].any()
    assert layer.read.levels[0, 0, 1, :3].all()
