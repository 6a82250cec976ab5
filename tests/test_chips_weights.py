"""Errors of the weights of whole matrices against another simulator's, aihwkit 1.2.0: size, time, compensation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from chips import FINE_GRID, G_MAX, Comparisons, cells_of, product

import xbarc
from xbarc.api.reading import Reading, read_chip
from xbarc.api.writing import Written
from xbarc.ir.layer import layers
from xbarc.runtime.cells import Cells

CHIPS = 16
STEPS = 65535

#: The other simulator's matrix, its conventions (one scale a matrix, 25 uS for the largest weight) and bins.
WEIGHT = np.random.default_rng(0).uniform(-1, 1, (256, 256)).astype(np.float32)
PEAK = float(np.abs(WEIGHT).max())
BINS = np.minimum((np.abs(WEIGHT) * 10).astype(int), 9)
HARDWARE = ("weights.scale=layer", f"cell.levels={STEPS + 1}", *FINE_GRID)


@pytest.fixture(scope="module")
def program(pcm_oracle: dict[str, Any]) -> xbarc.Program:
    assert pcm_oracle["weights"] == "numpy.random.default_rng(0).uniform(-1,1,(256,256)).astype(float32)"
    assert pcm_oracle["w_checksum"] == pytest.approx(WEIGHT.sum(dtype=np.float64), abs=1e-3)
    return product(WEIGHT, HARDWARE)


def moments(weight: np.ndarray) -> np.ndarray:
    """``(bins and all, 3)``: mean error, mean error towards larger magnitudes, mean square."""
    error = weight - WEIGHT
    parts = [number == BINS for number in range(10)] + [np.ones_like(BINS, dtype=bool)]
    terms = (error, error * np.sign(WEIGHT), error**2)
    return np.array([[term[part].mean() for term in terms] for part in parts])


def expected_moments(figures: Mapping[str, Any]) -> np.ndarray:
    """The same, as the other simulator saw it."""
    mean, signed, spread = (
        np.array([*figures["bins"][name], figures["all"][name]]) for name in ("err_mean", "serr_mean", "err_std")
    )
    return np.stack([mean, signed, spread**2 + mean**2], axis=1)


def compare(compared: Comparisons, what: str, drawn: list[np.ndarray], expected: np.ndarray, repetitions: int) -> None:
    """Means over chips; their spread gives the error of these, and of as many repetitions of the other simulator."""
    errors = np.std(drawn, axis=0, ddof=1) * np.sqrt(1 / len(drawn) + 1 / repetitions)
    for place, found in np.ndenumerate(np.mean(drawn, axis=0)):
        compared.add((what, *place), float(found), float(expected[place]), float(errors[place]))


def test_weight_errors_are_those_of_the_other_simulator(program: xbarc.Program, pcm_oracle: dict[str, Any]) -> None:
    """Right after programming and, read noise frozen, at four times: 165 comparisons, joint confidence of 99 %."""
    drawn: dict[str, list[np.ndarray]] = {}
    for seed in range(CHIPS):
        chip = program.write("pcm", seed=seed).with_read_noise("frozen")
        positive, negative = chip.written.cells["y"].programmed[0, :, 0].astype(np.float64)
        drawn.setdefault("programmed", []).append(moments((positive - negative) / G_MAX * PEAK))
        for time in ("1s", "1h", "1d", "1y"):
            ((layer,), _) = cells_of(program, chip.at(pcm_oracle["times_s"][time]))
            drawn.setdefault(time, []).append(moments(layer.signed_levels()[0, 0] / STEPS * PEAK))
    compared = Comparisons(freedom=CHIPS - 1)
    for time, found in drawn.items():
        figures = pcm_oracle["stats"]["tile" if time == "programmed" else "apply_noise"][time]
        compare(compared, time, found, expected_moments(figures), pcm_oracle["reps"])
    compared.check(165)


def test_compensated_weights_are_those_of_the_other_simulator(
    program: xbarc.Program, pcm_oracle: dict[str, Any]
) -> None:
    """It has them for its tile alone, which takes a programmed weight apart anew: all of it in one of its two cells,
    the largest at 25 uS. Cells like that, with the drift exponents as drawn, are read here, and compensated. Its factor
    counts from before any read noise, that of a chip from time 0. 170 comparisons with a joint confidence of 99 %."""
    drawn: dict[str, list[np.ndarray]] = {}
    factors: dict[str, list[float]] = {}
    (ideal,) = layers(program.graph)
    for seed in range(CHIPS):
        written = program.write("pcm", seed=seed).written
        positive, negative = written.cells["y"].programmed[0, :, 0] / G_MAX * PEAK
        peak = np.abs(positive - negative).max()
        sides = np.stack([np.maximum(positive - negative, 0), np.maximum(negative - positive, 0)])
        cells = Cells((sides * (G_MAX / peak))[None, :, None], written.cells["y"].nu, None)
        parted = Written(written.device, seed, {"y": cells})
        for time, t_s in pcm_oracle["times_s"].items():
            reading = Reading(t_s, read_noise="frozen", compensation="layer")
            (layer,) = layers(read_chip(program.graph, program.hardware, parted, reading)[0])
            factor = float(layer.rescale.unit_scale[0] / ideal.rescale.unit_scale[0])
            factors.setdefault(time, []).append(factor)
            weight = factor * layer.signed_levels()[0, 0] / STEPS * peak
            drawn.setdefault(time, []).append(moments(weight * pcm_oracle["alpha"]["0s"]["mean"]))
    compared = Comparisons(freedom=CHIPS - 1)
    for time, found in drawn.items():
        compare(compared, time, found, expected_moments(pcm_oracle["stats"]["tile_gdc"][time]), pcm_oracle["reps"])
        alpha = pcm_oracle["alpha"][time]
        error = alpha["std"] * np.sqrt(1 / CHIPS + 2 / pcm_oracle["reps"])
        compared.add((time, "factor"), np.mean(factors[time]), alpha["mean"] / pcm_oracle["alpha"]["0s"]["mean"], error)
    compared.check(170)
