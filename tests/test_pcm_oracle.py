"""Where another simulator of phase-change memory, aihwkit 1.2.0, is flawed: the flaw reproduced, and its size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import DAY, G_MAX, HOUR, YEAR, Comparisons

from xbarc.devices.pcm import PcmDevice

ROOT = Path(__file__).resolve().parents[1]
PCM = PcmDevice()
TIMES = {"0s": 0.0, "1s": 1.0, "1h": HOUR, "1d": DAY, "1y": YEAR}
#: The other simulator's matrix, and its bins of magnitudes.
WEIGHT = np.random.default_rng(0).uniform(-1, 1, (256, 256)).astype(np.float32).astype(float)
PEAK = np.abs(WEIGHT).max()
BINS = np.minimum((np.abs(WEIGHT) * 10).astype(int), 9)
CHIPS = 24


def drawn(random: np.random.Generator, *, split_anew: bool) -> dict[str, np.ndarray]:
    """Weights of one chip at each time, read noise frozen: of the two cells as they were programmed; or, with
    ``split_anew``, of their difference, all of it in one cell, the largest at 25 uS again."""
    target = np.stack([np.maximum(WEIGHT, 0), np.maximum(-WEIGHT, 0)]) * (G_MAX / PEAK)
    programmed = PCM.programmed(target, random.standard_normal(target.shape), G_MAX)
    nu_mean, nu_sigma = PCM.drift_exponent(target, G_MAX)
    unit = PEAK / G_MAX
    if split_anew:
        net = programmed[0] - programmed[1]
        unit *= np.abs(net).max() / G_MAX
        programmed = np.stack([np.maximum(net, 0), np.maximum(-net, 0)]) * (G_MAX / np.abs(net).max())
    nu = np.abs(nu_mean + nu_sigma * random.standard_normal(target.shape))
    found = {}
    for name, t_s in TIMES.items():
        drifted = PCM.drift(programmed, nu, t_s=t_s)
        read = PCM.read_sigma(programmed, drifted, t_s=t_s, g_max=G_MAX)
        cells = np.maximum(drifted + read * random.standard_normal(target.shape), 0)
        found[name] = (cells[0] - cells[1]) * unit
    return found


def squares(weight: np.ndarray) -> np.ndarray:
    """``(bins and all,)``: mean squares of the errors."""
    error = (weight - WEIGHT) ** 2
    return np.array([*(error[number == BINS].mean() for number in range(10)), error.mean()])


def published(figures: dict[str, Any]) -> np.ndarray:
    """The same, as the other simulator saw it."""
    spread, mean = (np.array([*figures["bins"][name], figures["all"][name]]) for name in ("err_std", "err_mean"))
    return spread**2 + mean**2


@pytest.mark.parametrize(("flow", "split_anew"), [("apply_noise", False), ("tile", True)])
def test_splitting_a_programmed_weight_anew_is_all_that_its_two_flows_differ_in(
    flow: str, split_anew: bool, pcm_oracle: dict[str, Any]
) -> None:
    """Mean squares of errors by magnitude at each time; 55 comparisons a flow (44 where it has no time 0), with a joint
    confidence of 99 %. With one flow's rule in the other's place the test fails."""
    compared = Comparisons(freedom=CHIPS - 1)
    chips = [drawn(np.random.default_rng([5, seed]), split_anew=split_anew) for seed in range(CHIPS)]
    times = [time for time in TIMES if time in pcm_oracle["stats"][flow]]
    for time in times:
        figures = np.array([squares(chip[time]) for chip in chips])
        errors = figures.std(axis=0, ddof=1) * math.sqrt(1 / CHIPS + 1 / pcm_oracle["reps"])
        expected = published(pcm_oracle["stats"][flow][time])
        for place, (found, wanted, error) in enumerate(zip(figures.mean(axis=0), expected, errors, strict=True)):
            compared.add((time, place), found, wanted, error)
    compared.check(11 * len(times))


def test_the_documented_sizes_of_the_flaw_are_its_figures(pcm_oracle: dict[str, Any]) -> None:
    """The table of docs/devices.md: standard deviations of all errors of weights, in per cent of the largest one, by
    both flows."""
    rows = {}
    for line in (ROOT / "docs" / "devices.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ("1 s", "1 h", "1 day", "1 year"):
            rows[cells[0]] = [float(cell) for cell in cells[1:]]
    for name, time in {"1 s": "1s", "1 h": "1h", "1 day": "1d", "1 year": "1y"}.items():
        flows = (pcm_oracle["stats"][flow][time]["all"]["err_std"] for flow in ("apply_noise", "tile"))
        assert rows[name] == pytest.approx([100 * value for value in flows], abs=6e-3)
