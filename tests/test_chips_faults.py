"""Stuck cells: how many, where, and what they hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from chips import Comparisons, cells_of, product

import xbarc

LOW, HIGH = 0.03, 0.05
STUCK = f"stuck_at_gmin={LOW},stuck_at_gmax={HIGH}"
LAYOUTS = {
    "unit-cell": (),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "paired": ("tile.polarity=paired-tiles", "weights.subtraction=digital"),
    "offset": ("weights.encoding=offset",),
    "slices": ("weights.slices=2", "cell.levels=16"),
}
CUT = ("tile.rows=50", "tile.columns=30")


def held(program: xbarc.Program, chip: xbarc.Chip) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are stuck at the lower end of the range, and which at the upper end."""
    hardware, cells = program.hardware, chip.written.cells["y"]
    low, high = (np.float32(end) for end in (hardware.cell.g_min, hardware.cell.g_max))
    assert np.isin(cells.held[cells.stuck], [low, high]).all()
    return cells.held == low, cells.held == high


@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_many_cells_are_stuck_as_the_device_says(layout: str) -> None:
    """Counts are binomial, and neighbours of every kind are stuck independently: in a row, in a column, in the other
    polarity or slice, in the next tile. Joint confidence of 99 % for each layout."""
    weight = np.random.default_rng(0).normal(size=(200, 120))
    program = product(weight, (*CUT, *LAYOUTS[layout], "cell.g_min=1 uS"))
    low, high = held(program, program.write(f"pcm:{STUCK}", seed=2))
    compared = Comparisons()

    def compare(what: str, cells: np.ndarray, share: float) -> None:
        compared.add(what, cells.mean(), share, math.sqrt(share * (1 - share) / cells.size))

    compare("low", low, LOW)
    compare("high", high, HIGH)
    either, share = low | high, LOW + HIGH
    for axis, name in enumerate(("slice", "polarity", "tile", "row", "column")):
        if either.shape[axis] > 1:
            ahead, behind = np.delete(either, 0, axis), np.delete(either, -1, axis)
            compare(name, ahead & behind, share**2)
    compared.check(len(compared.deviations))
    assert len(compared.deviations) >= 5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("read_noise", ["split", "frozen", "per-read"])
def test_stuck_cells_hold_an_end_of_the_range_at_all_times(layout: str, read_noise: str) -> None:
    """Exactly, without any noise; the others drift."""
    weight = np.random.default_rng(0).normal(size=(100, 40))
    program = product(weight, (*CUT, *LAYOUTS[layout], "cell.g_min=1 uS"))
    chip = program.write(f"pcm:{STUCK}", seed=2).with_read_noise(read_noise)
    low, high = held(program, chip)
    others = []
    for time in ("1y", 0, "1h"):
        ((layer,), noise) = cells_of(program, chip.at(time))
        levels = layer.read.levels
        assert np.all(levels[low] == 0)
        assert np.all(levels[high] == program.hardware.cell.levels - 1)
        others.append(levels[~(low | high)].mean())
        if read_noise != "frozen":
            assert np.all(noise["y"].fast_variance[low | high] == 0)
            assert np.all(noise["y"].fast_variance[~(low | high) & (chip.written.cells["y"].programmed > 0)] > 0)
    after_a_year, at_once, after_an_hour = others
    assert after_a_year < after_an_hour < at_once


def test_all_cells_can_be_stuck() -> None:
    program = product(np.random.default_rng(0).normal(size=(30, 20)))
    (share,) = {float(np.mean(held(program, program.write("generic:stuck_at_gmin=1"))[0]))}
    assert share == 1
    low, high = held(program, program.write("generic:stuck_at_gmin=0.25,stuck_at_gmax=0.75"))
    assert np.all(low ^ high)
    assert program.write("generic").written.cells["y"].stuck is None


def test_faults_belong_to_places_on_tiles_whatever_stands_there() -> None:
    """Pairs in neighbouring columns find the faults that single cells in these columns find, other weights the same."""
    rng, device = np.random.default_rng(0), f"generic:{STUCK}"
    shape = ("tile.rows=50", "tile.columns=12")
    pairs = product(rng.normal(size=(150, 6)), (*shape, "tile.polarity=adjacent-columns")).write(device, seed=4)
    single = product(rng.normal(size=(150, 11)), (*shape, "weights.encoding=offset")).write(device, seed=4)
    physical = np.stack([*pairs.written.cells["y"].stuck[0]], axis=-1).reshape(3, 50, 12)
    assert np.array_equal(physical, single.written.cells["y"].stuck[0, 0])
    assert physical.any()
    other = product(rng.normal(size=(150, 11)), (*shape, "weights.encoding=offset"))
    assert np.array_equal(other.write(device, seed=4).written.cells["y"].stuck, single.written.cells["y"].stuck)
    assert not np.array_equal(other.write(device, seed=5).written.cells["y"].stuck, single.written.cells["y"].stuck)
