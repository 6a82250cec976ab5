"""Cells of written chips: programming, drift and slow read noise against published figures and another simulator's."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from chips import FINE_GRID, G_MAX, Comparisons, cells_of, product

import xbarc

#: Target and sigma in uS: the polynomial of Nandakumar 2019 at these targets, to five digits.
GOLDEN = {0.0: 0.26348, 2.5: 0.44825, 6.25: 0.68141, 12.5: 0.95270, 18.75: 1.07736, 25.0: 1.05538}
#: Targets in uS are whole levels of a fortieth.
LEVELS = ("cell.levels=1001", *FINE_GRID)


def on_targets(targets: list[float]) -> tuple[xbarc.Program, np.ndarray]:
    """A program whose positive cells hold each target in as many rows of 256 columns, and the targets of its rows."""
    rows = np.repeat(targets, 256 // len(targets))
    return product(np.repeat(rows[:, None], 256, axis=1), LEVELS), rows


def rectified_moments(mean: float, sigma: float) -> tuple[float, float]:
    """Mean and standard deviation of max(mean + sigma xi, 0)."""
    normal = NormalDist()
    share, density = normal.cdf(mean / sigma), normal.pdf(mean / sigma)
    first = mean * share + sigma * density
    return first, math.sqrt((mean**2 + sigma**2) * share + mean * sigma * density - first**2)


def test_programmed_conductances_have_the_published_sigma_before_they_are_clipped_at_0() -> None:
    """Cells of 2.5 uS and more are more than 5 sigma from 0. Of empty cells half the errors are seen: sigma^2 is twice
    the mean square. Six comparisons with a joint confidence of 99 %, of 20,000 cells a target."""
    program, rows = on_targets(list(GOLDEN))
    compared = Comparisons()
    drawn = {target: [] for target in GOLDEN}
    for seed in range(2):
        chip = program.write("pcm", seed=seed)
        positive, negative = chip.written.cells["y"].programmed[0, :, 0].astype(np.float64) * 1e6
        for target in GOLDEN:
            drawn[target].append(positive[: len(rows)][rows == target].ravel())
        drawn[0.0].append(negative[: len(rows)].ravel())
    for target, sigma in GOLDEN.items():
        cells = np.concatenate(drawn[target])
        assert cells.size >= 20_000
        if target:
            compared.spread(target, cells, sigma)
        else:
            compared.mean(target, 2 * cells**2, sigma**2)
    compared.check(6)


def test_clipped_conductances_have_the_moments_of_a_rectified_normal_number() -> None:
    """Twelve comparisons with a joint confidence of 99 %."""
    program, rows = on_targets(list(GOLDEN))
    compared = Comparisons()
    programmed = [program.write("pcm", seed=seed).written.cells["y"].programmed[0, 0, 0] * 1e6 for seed in (2, 3)]
    cells = np.concatenate(programmed, axis=1, dtype=np.float64)
    for target, sigma in GOLDEN.items():
        mean, spread = rectified_moments(target, sigma)
        compared.mean(target, cells[: len(rows)][rows == target], mean)
        compared.spread(target, cells[: len(rows)][rows == target], spread)
    assert cells.min() == 0
    compared.check(12)


def test_programmed_drifted_and_read_cells_have_the_other_simulators_statistics(pcm_oracle: dict[str, Any]) -> None:
    """aihwkit 1.2.0, 200,000 cells a target, read noise frozen. 182 comparisons with a joint confidence of 99 %: means
    and deviations of 13 targets, programmed, of their exponents, and read at five times; 97,280 cells a target, drawn
    anew for each."""
    targets = [cell["g_target"] for cell in pcm_oracle["device"]]
    program, rows = on_targets(targets)
    drawn: dict[tuple[float, str], list[np.ndarray]] = {}

    def keep(what: str, cells: np.ndarray) -> None:
        for target in targets:
            drawn.setdefault((target, what), []).append(cells[: len(rows)][rows == target].ravel())

    for seed in range(20):
        chip = program.write("pcm", seed=seed).with_read_noise("frozen")
        keep("g_prog", chip.written.cells["y"].programmed[0, 0, 0] * 1e6)
        keep("nu", chip.written.cells["y"].nu[0, 0, 0])
        for time, t_s in pcm_oracle["times_s"].items():
            ((layer,), noise) = cells_of(program, chip.at(t_s))
            assert noise == {}
            keep(time, layer.read.levels[0, 0, 0] * (G_MAX * 1e6 / 1000))
    compared = Comparisons()
    for cell in pcm_oracle["device"]:
        expected = {what: (cell[f"{what}_mean"], cell[f"{what}_std"]) for what in ("g_prog", "nu")}
        expected |= {time: (cell["t"][time]["g_mean"], cell["t"][time]["g_std"]) for time in pcm_oracle["times_s"]}
        for what, (mean, spread) in expected.items():
            cells = np.concatenate(drawn[cell["g_target"], what], dtype=np.float64)
            assert cells.size == 97_280
            compared.mean((cell["g_target"], what), cells, mean, other=cell["n"])
            compared.spread((cell["g_target"], what), cells, spread, other=cell["n"])
    compared.check(182)


def test_a_chip_drifts_by_its_own_exponents_whenever_it_is_read() -> None:
    """Without read noise: g (1 + t / 20 s) ** -nu of the very cells that were written, at any times in any order."""
    program, rows = on_targets(list(GOLDEN))
    chip = program.write("pcm:read_scale=0", seed=5)
    cells = chip.written.cells["y"]
    for t_s in (31536000.0, 0.0, 1.0, 3600.0, 86400.0, 1.0):
        ((layer,), _) = cells_of(program, chip.at(t_s))
        drifted = cells.programmed * (1 + t_s / 20) ** -cells.nu.astype(np.float64)
        found = layer.read.levels * (G_MAX / 1000)
        assert layer.read.grid <= 2**-6
        half_a_step = 0.501 * layer.read.grid * G_MAX / 1000
        np.testing.assert_allclose(
            found[..., : len(rows), :], drifted[..., : len(rows), :], rtol=2e-6, atol=half_a_step
        )
