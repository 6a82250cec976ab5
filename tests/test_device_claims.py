"""What errors of cells do to a layer's output, by formula, against chips: each figure within 3 standard errors.

A right formula is within with 99.7 % confidence at any seed; the seeds are fixed. In all, K = 64 inputs and N = 48
columns; weights w are over the largest, so g = |w| g_max in a cell of a pair, and y counts (largest weight) x input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from chips import G_MAX
from networks import network, node

import xbarc
from xbarc.devices.catalogue import find_device
from xbarc.devices.statistics import cell_statistics
from xbarc.units import parse_duration

K, N, CHIPS = 64, 48, 120
X = np.random.default_rng(1).normal(size=K).astype(np.float32)
#: As trained weights are: many small, few large.
PEAKY = np.random.default_rng(2).laplace(size=(K, N))
PEAKY /= np.abs(PEAKY).max()
#: Far from 0, so that no cell above g_min is clipped.
FAR = np.sign(PEAKY) * np.random.default_rng(3).uniform(0.5, 1.0, (K, N))
FAR /= np.abs(FAR).max()

OFFSET = ("weights.encoding=offset-digital", "weights.subtraction=digital", "cell.levels=65535")


def layer(weight: np.ndarray, *overrides: str) -> xbarc.Program:
    """One product on hardware that rounds nothing but the levels of single cells."""
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("B", K)}, {"w": weight.astype(np.float32)})
    return xbarc.compile(model, hardware="exact", overrides=["weights.scale=layer", *overrides])


def outputs(program: xbarc.Program, device: str, *, time: str = "0", chips: int = CHIPS) -> np.ndarray:
    """``(chips, N)``."""
    looks = (program.write(device, seed=seed, threads=1).at(time) for seed in range(chips))
    return np.stack([look.with_read_noise("frozen").run(X[None])["y"][0] for look in looks]).astype(np.float64)


def within_3(what: str, sample: np.ndarray, expected: float) -> None:
    """The mean of independent numbers."""
    error = sample.std(ddof=1) / math.sqrt(sample.size)
    assert abs(sample.mean() - expected) < 3 * error, f"{what}: {sample.mean()} +- {error}, expected {expected}"


def check(y: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> None:
    """Columns are independent, and so are chips: all deviations together, each over what it should be."""
    deviations = (y - mean) / np.sqrt(variance)
    within_3("mean", deviations, 0.0)
    within_3("variance", deviations**2, 1.0)
    # One figure a layer, too: the power of its errors.
    within_3("power", ((y - mean) ** 2).sum(axis=1), variance.sum())


@pytest.mark.parametrize("m", [0.02, 0.1])
def test_a3_proportional_errors_of_a_pair_are_those_of_its_weight(m: float) -> None:
    """var y = m^2 sum w^2 x^2: cells at 0 contribute nothing."""
    y = outputs(layer(PEAKY), f"generic:programming_proportional={m}")
    check(y, X @ PEAKY, m**2 * (X**2 @ PEAKY**2))


def test_a3_proportional_errors_of_an_offset_are_those_of_the_offset() -> None:
    """var y = m^2 sum (w + 1)^2 x^2: all cells are around the middle, whatever the weight."""
    m, program = 0.02, layer(PEAKY, *OFFSET)
    variance = m**2 * (X**2 @ (PEAKY + 1) ** 2)
    check(outputs(program, f"generic:programming_proportional={m}"), program.write().run(X[None])["y"][0], variance)
    assert variance.mean() > 20 * m**2 * (X**2 @ PEAKY**2).mean(), "much more than a pair's, for peaky weights"


def test_a4_independent_errors_of_an_offset_are_twice_those_of_a_pair_in_variance() -> None:
    """2 m^2 |x|^2 and 4 m^2 |x|^2 where nothing is clipped: with g_min at a fifth of g_max, of which m is a share, so
    that a unit of weight is 4/5 of g_max."""
    m, above_zero = 0.02, "cell.g_min=5 uS"
    power = float(np.square(X, dtype=np.float64).sum()) * m**2 / 0.8**2
    pair, offset = (
        layer(FAR, above_zero),
        layer(FAR, above_zero, *OFFSET),
    )
    for program, factor in ((pair, 2), (offset, 4)):
        y = outputs(program, f"generic:programming_independent={m}")
        check(y, program.write().run(X[None])["y"][0].astype(np.float64), np.full(N, factor * power))


def test_a4_the_clip_at_zero_halves_the_error_of_empty_cells_and_biases_them() -> None:
    """With g_min = 0 the empty cell of each pair keeps what is above 0 of a normal error: a mean of m / sqrt(2 pi), and
    m^2 (1/2 - 1 / 2 pi) of variance."""
    m = 0.02
    clipped = m**2 * (0.5 - 0.5 / math.pi)
    y = outputs(layer(FAR), f"generic:programming_independent={m}")
    mean = X @ (FAR - np.sign(FAR) * m / math.sqrt(2 * math.pi))
    check(y, mean, np.full(N, np.square(X, dtype=np.float64).sum() * (m**2 + clipped)))


def decay(log_time: float, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Mean of exp(-log_time |mean + sigma xi|)."""
    phi = np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2)
    growth = log_time**2 * sigma**2 / 2
    return np.exp(growth - log_time * mean) * phi(mean / sigma - log_time * sigma) + np.exp(
        growth + log_time * mean
    ) * phi(-mean / sigma - log_time * sigma)


@pytest.mark.parametrize("time", ["1d", "1y"])
def test_a5_compensation_restores_the_size_and_leaves_the_spread_of_drift(time: str) -> None:
    """Drift alone. Each weight keeps a share of mean D1 and mean square D2, known from its target; compensation divides
    by the share that the sum of all keeps. So the residual of a column has the mean sum x w (a D1 - 1) and the variance
    a^2 sum x^2 w^2 (D2 - D1^2)."""
    log_time = math.log1p(parse_duration(time) / 20)
    device = find_device("pcm")
    moments = device.drift_exponent(np.abs(PEAKY) * G_MAX, G_MAX)
    first, second = decay(log_time, *moments), decay(2 * log_time, *moments)
    a = np.abs(PEAKY).sum() / (np.abs(PEAKY) * first).sum()
    program = layer(PEAKY)
    looks = [
        program.write("pcm:programming_scale=0,read_scale=0", seed=seed, threads=1).at(time) for seed in range(CHIPS)
    ]
    plain, compensated = (
        np.stack([look.compensated(on).run(X[None])["y"][0] for look in looks]).astype(np.float64)
        for on in (False, True)
    )
    check(plain, X @ (PEAKY * first), X**2 @ (PEAKY**2 * (second - first**2)))
    check(compensated, X @ (PEAKY * a * first), a**2 * (X**2 @ (PEAKY**2 * (second - first**2))))
    # Small weights drift more: the few large ones, which make most of the output, come out a little too large.
    sizes = [np.abs(y).mean() / np.abs(X @ PEAKY).mean() for y in (plain, compensated)]
    assert sizes[1] == pytest.approx(1, abs=0.05)
    assert sizes[0] == pytest.approx(sizes[1] / a, rel=1e-3)


@pytest.mark.parametrize("both", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_a7_stuck_cells_shrink_the_expected_output_in_proportion_to_their_rate(both: Sequence[float]) -> None:
    """A stuck pair is worth nothing on average, whichever end its cells are stuck at: E y = (1 - rate) sum w x. The
    variance follows from each cell's own."""
    program, exact = layer(PEAKY), X @ PEAKY
    for rate in (0.005, 0.02, 0.08):
        low, high = (share * rate for share in both)
        y = outputs(program, f"generic:stuck_at_gmin={low},stuck_at_gmax={high}")
        slope = (y - exact) @ exact / (exact @ exact)
        within_3(f"shift at {rate}", slope, -rate)
        variance = np.zeros((K, N))
        for cell in (np.maximum(PEAKY, 0), np.maximum(-PEAKY, 0)):
            mean = (1 - rate) * cell + high
            variance += (1 - rate) * cell**2 + high - mean**2
        within_3(f"power at {rate}", ((y - (1 - rate) * exact) ** 2).sum(axis=1), float((X**2 @ variance).sum()))


@pytest.mark.parametrize(
    ("device", "time"),
    [("pcm", "0"), ("pcm", "1d"), ("pcm-hermes", "1y"), ("reram-wan", "1d"), ("sonos", "5d"), ("pcm-joshi", "0")],
)
def test_the_signal_to_noise_ratio_of_a_layer_follows_from_the_moments_of_its_cells(device: str, time: str) -> None:
    """For published devices, all effects at once: mean and variance of each cell by quadrature, of the output by
    summing them up."""
    found, t_s = find_device(device), parse_duration(time)
    mean, variance = np.zeros((K, N)), np.zeros((K, N))
    grid = np.linspace(0, 1, 101) ** 2  # finer near 0, where cells are clipped
    means, spreads = (moment / G_MAX for moment in cell_statistics(found, grid * G_MAX, t_s=t_s, g_max=G_MAX))
    for sign in (1.0, -1.0):
        target = np.maximum(sign * PEAKY, 0)
        mean += sign * np.interp(target, grid, means)
        variance += np.interp(target, grid, spreads**2)
    y = outputs(layer(PEAKY), device, time=time)
    check(y, X @ mean, X**2 @ variance)
    exact = X @ PEAKY
    power = float(((X @ mean - exact) ** 2 + X**2 @ variance).sum())
    ratio = 10 * math.log10(float((exact**2).sum()) / power)
    measured = 10 * math.log10(float((exact**2).sum()) / float(((y - exact) ** 2).sum(axis=1).mean()))
    assert measured == pytest.approx(ratio, abs=0.3)
