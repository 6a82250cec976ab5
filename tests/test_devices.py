"""Devices: published values, the split of read noise, what holds for all, and another simulator's statistics."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xbarc.devices.catalogue import device_text
from xbarc.devices.device import Device, ReadNoise, fast_read_sigma, slow_read_sigma
from xbarc.devices.ecram import EcramLiDevice, EcramMoDevice
from xbarc.devices.generic import GenericDevice, GenericLognormalDevice, GenericUniformDevice
from xbarc.devices.ideal import IdealDevice
from xbarc.devices.laws import one_over_f_fast_share, one_over_f_span
from xbarc.devices.pcm import PcmDevice
from xbarc.devices.pcm_hermes import PcmHermesDevice
from xbarc.devices.pcm_joshi import PcmJoshiDevice
from xbarc.devices.reram_cmo import ReramCmoDevice
from xbarc.devices.reram_milo import ReramMiloDevice
from xbarc.devices.reram_wan import ReramWanDevice
from xbarc.devices.sonos import SonosDevice
from xbarc.errors import UsageError

G_MAX = 25e-6  # siemens
HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0
PCM = PcmDevice()
BUSY = GenericDevice(
    programming_independent=0.02,
    programming_proportional=0.05,
    nu_mean=0.03,
    nu_sigma=0.01,
    t0_s=20.0,
    read_independent=0.01,
    read_proportional=0.03,
    stuck_at_gmin=0.001,
)
ALL = [
    IdealDevice(),
    PCM,
    GenericDevice(),
    BUSY,
    PcmHermesDevice(devices=1),
    PcmHermesDevice(devices=2),
    # Asked for any time and conductance, which most have no data of.
    PcmJoshiDevice(extrapolate=1),
    ReramWanDevice(extrapolate=1),
    ReramCmoDevice(extrapolate=1),
    ReramCmoDevice(acceptance=0.02, extrapolate=1),
    ReramMiloDevice(extrapolate=1),
    SonosDevice(extrapolate=1),
    SonosDevice(i_max_na=3200, extrapolate=1),
    EcramLiDevice(extrapolate=1),
    EcramMoDevice(extrapolate=1),
    GenericDevice(programming_inverse=0.01),
    GenericUniformDevice(width_independent=0.1, width_proportional=0.2, width_inverse=0.03, nu_mean=0.05),
    GenericLognormalDevice(log_sigma=0.2, read_proportional=0.01),
]

#: Where the published figures of pcm-hermes change from one formula to another, not without a small step.
HERMES_JUMPS = np.array([0.0945, 0.3039, 0.3055, 0.1591, 0.16])

devices = st.sampled_from(ALL)
conventions: st.SearchStrategy[ReadNoise] = st.sampled_from(["split", "per-read", "frozen"])
# Times from 0 or a nanosecond to ten years; inferences from a nanosecond to a year, shorter and longer than both ends.
times = st.just(0.0) | st.floats(-9, math.log10(PCM.t_max_s)).map(lambda power: min(10**power, PCM.t_max_s))
inferences = st.floats(-9, 7.5).map(lambda power: 10**power)
shares = hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), elements=st.floats(0, 1))


def array(*siemens: float) -> np.ndarray:
    return np.array(siemens)


# Published values, to their digits. Conductances and sigmas in uS.


@pytest.mark.parametrize(
    ("target", "sigma", "nu_mean", "nu_sigma", "q"),
    [
        (0, 0.26348, 0.1, 0.045, 0.2),
        (2.5, 0.44825, 0.06009, 0.02288, 0.03931),
        (6.25, 0.68141, 0.049, 0.01143, 0.02167),
        (12.5, 0.95270, 0.049, 0.008, 0.01381),
        (18.75, 1.07736, 0.049, 0.008, 0.01061),
        (25, 1.05538, 0.049, 0.008, 0.0088),
    ],
)
def test_pcm_has_its_published_moments(target: float, sigma: float, nu_mean: float, nu_sigma: float, q: float) -> None:
    g = array(target * 1e-6)
    digits = 6e-6  # half of the last of five digits, and a little
    assert PCM.programming_sigma(g, G_MAX)[0] == pytest.approx(sigma * 1e-6, abs=digits * 1e-6)
    mean, deviation = PCM.drift_exponent(g, G_MAX)
    assert mean[0] == pytest.approx(nu_mean, abs=digits)
    assert deviation[0] == pytest.approx(nu_sigma, abs=digits)
    read = PCM.read_sigma(g, array(1e-6), t_s=0.0, g_max=G_MAX)[0]
    assert read / 1e-6 / math.sqrt(math.log((20 + 250e-9) / 500e-9)) == pytest.approx(q, abs=digits)


@pytest.mark.parametrize(("t_s", "factor"), [(0.0, 4.1838), (HOUR, 4.7648), (DAY, 5.0868), (YEAR, 5.6370)])
def test_pcm_reads_with_its_published_time_factor(t_s: float, factor: float) -> None:
    full = array(G_MAX)
    assert PCM.read_sigma(full, full, t_s=t_s, g_max=G_MAX)[0] == pytest.approx(0.0088 * factor * G_MAX, rel=2e-5)


@pytest.mark.parametrize(
    ("nu", "t_s", "factor"),
    [(nu, t_s, factor) for nu, factors in [(0.049, (1, 0.7751, 0.6635, 0.4969)), (0.1, (1, 0.5946, 0.4330, 0.2400))]
     for t_s, factor in zip((0.0, HOUR, DAY, YEAR), factors, strict=True)],
)  # fmt: skip
def test_pcm_drifts_by_its_published_factor(nu: float, t_s: float, factor: float) -> None:
    assert PCM.drift(array(10e-6), array(nu), t_s=t_s)[0] == pytest.approx(factor * 10e-6, abs=5e-5 * 10e-6)


def test_pcm_agrees_with_an_independent_fit() -> None:
    """Joshi 2020 fits the same technology anew, 27.36 s after programming: within 0.03 uS on the whole range."""
    g = np.linspace(0, 25, 101)
    joshi = -0.00178767 * g**2 + 0.07585724 * g + 0.28638599
    np.testing.assert_allclose(PCM.programming_sigma(g * 1e-6, G_MAX) * 1e6, joshi, rtol=0, atol=0.03)


def test_an_empty_pcm_cell_is_not_free_of_error() -> None:
    """Half of its error is clipped; the mean of what is left is sigma / sqrt(2 pi), 0.105 uS."""
    sigma = float(PCM.programming_sigma(array(0.0), G_MAX)[0])
    assert rectified_moments(0.0, sigma)[0] == pytest.approx(0.105e-6, abs=0.5e-9)


def test_pcm_figures_are_of_the_size_of_pcm() -> None:
    """In siemens and seconds: a slip of a thousand in either anywhere fails here."""
    g = np.linspace(0, G_MAX, 11)
    assert np.all((PCM.programming_sigma(g, G_MAX) > 2e-7) & (PCM.programming_sigma(g, G_MAX) < 1.2e-6))
    assert 0.5e-6 < PCM.read_sigma(array(G_MAX), array(G_MAX), t_s=DAY, g_max=G_MAX)[0] < 1.5e-6
    assert 20e-6 < PCM.drift(array(G_MAX), array(0.05), t_s=60.0)[0] < 24e-6
    assert (PCM.t0_s, PCM.g_max_reference) == (20.0, 25e-6)


# The split of read noise.


def test_of_1_ms_at_the_reference_moment_7_6_of_17_5_is_fast() -> None:
    g, unit = array(G_MAX), 0.0088 * G_MAX
    figures = {"g_drifted": g, "t_s": 0.0, "g_max": G_MAX, "t_inference_s": 1e-3}
    slow = slow_read_sigma(PCM, g, **figures)[0]
    fast = fast_read_sigma(PCM, g, **figures)[0]
    assert (fast / unit) ** 2 == pytest.approx(math.log(1e-3 / 500e-9), rel=1e-12)
    assert [round((sigma / unit) ** 2, 1) for sigma in (fast, slow, math.hypot(slow, fast))] == [7.6, 9.9, 17.5]


@pytest.mark.parametrize("t_inference_s", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("since_programming_s", [20.0, DAY])
def test_both_parts_are_integrals_of_1_over_f(t_inference_s: float, since_programming_s: float) -> None:
    """Summed over the frequencies by the trapezoid rule instead of a logarithm."""
    lowest, middle, highest = 1 / (since_programming_s + 250e-9), 1 / t_inference_s, 1 / 500e-9
    slow, fast = (
        np.trapezoid(1 / (f := np.geomspace(low, high, 20001)), f)
        for low, high in ((lowest, middle), (middle, highest))
    )
    share = one_over_f_fast_share(since_programming_s, t_read_s=250e-9, t_inference_s=t_inference_s)
    assert one_over_f_span(since_programming_s, t_read_s=250e-9) == pytest.approx(slow + fast, rel=1e-6)
    assert share == pytest.approx(fast / (slow + fast), rel=1e-6)


def test_beyond_its_ends_the_noise_is_all_slow_or_all_fast() -> None:
    assert one_over_f_fast_share(1e-4, t_read_s=250e-9, t_inference_s=1e-3) == 1  # longer than all time there was
    assert PCM.fast_share(t_s=0.0, t_inference_s=DAY) == 1
    assert PCM.fast_share(t_s=0.0, t_inference_s=20.0) == pytest.approx(1, abs=1e-8)
    assert PCM.fast_share(t_s=0.0, t_inference_s=500e-9) == 0  # two read pulses
    assert PCM.fast_share(t_s=0.0, t_inference_s=1e-9) == 0


@given(device=devices, x=shares, t_s=times, t_inference_s=inferences, read_noise=conventions)
def test_the_variances_of_both_parts_add_up(
    device: Device, x: np.ndarray, t_s: float, t_inference_s: float, read_noise: ReadNoise
) -> None:
    programmed, drifted = x * G_MAX, 0.8 * x * G_MAX
    figures = {"g_drifted": drifted, "t_s": t_s, "g_max": G_MAX, "t_inference_s": t_inference_s}
    slow = slow_read_sigma(device, programmed, **figures, read_noise=read_noise)
    fast = fast_read_sigma(device, programmed, **figures, read_noise=read_noise)
    total = device.read_sigma(programmed, drifted, t_s=t_s, g_max=G_MAX)
    assert slow.shape == fast.shape == x.shape
    assert np.all(slow >= 0)
    assert np.all(fast >= 0)
    np.testing.assert_allclose(slow**2 + fast**2, total**2, rtol=1e-12, atol=0)
    if read_noise != "split":
        assert np.array_equal(slow if read_noise == "frozen" else fast, total)


@given(t_s=times, shorter=inferences, longer=inferences)
def test_more_is_fast_in_a_longer_inference_and_less_at_a_later_time(t_s: float, shorter: float, longer: float) -> None:
    shorter, longer = sorted([shorter, longer])
    assert PCM.fast_share(t_s=t_s, t_inference_s=shorter) <= PCM.fast_share(t_s=t_s, t_inference_s=longer)
    assert PCM.fast_share(t_s=t_s, t_inference_s=1e-3) <= PCM.fast_share(t_s=0.0, t_inference_s=1e-3)


@pytest.mark.parametrize("t_inference_s", [0.0, -1e-3, math.nan])
@pytest.mark.parametrize("read_noise", ["split", "per-read", "frozen"])
def test_an_inference_takes_time(t_inference_s: float, read_noise: ReadNoise) -> None:
    g = array(G_MAX)
    for part in (slow_read_sigma, fast_read_sigma):
        with pytest.raises(UsageError, match="has no duration"):
            part(PCM, g, g_drifted=g, t_s=0.0, g_max=G_MAX, t_inference_s=t_inference_s, read_noise=read_noise)


# What holds for every device.


@given(device=devices, x=shares, t_s=times, g_max=st.floats(1e-9, 1e-3), factor=st.floats(1e-3, 1e3))
def test_another_unit_of_conductance_changes_nothing(
    device: Device, x: np.ndarray, t_s: float, g_max: float, factor: float
) -> None:
    """Every conductance scales with the range: a coefficient left in uS would not."""
    assume(np.all(np.abs(x[..., None] - HERMES_JUMPS) > 1e-9))
    g, other = x * g_max, x * g_max * factor
    np.testing.assert_allclose(
        device.programming_sigma(other, g_max * factor),
        factor * device.programming_sigma(g, g_max),
        rtol=1e-9,
        atol=1e-300,
    )
    np.testing.assert_allclose(
        device.read_sigma(other, other, t_s=t_s, g_max=g_max * factor),
        factor * device.read_sigma(g, g, t_s=t_s, g_max=g_max),
        rtol=1e-9,
        atol=1e-300,  # what is subnormal has fewer digits
    )
    xi = np.full_like(g, -0.7)
    np.testing.assert_allclose(
        device.programmed(other, xi, g_max * factor),
        factor * device.programmed(g, xi, g_max),
        rtol=1e-8,
        atol=1e-12 * factor * g_max,
    )
    for one, another in zip(
        device.relaxation(g, t_s=t_s, g_max=g_max) or (),
        device.relaxation(other, t_s=t_s, g_max=g_max * factor) or (),
        strict=True,
    ):
        np.testing.assert_allclose(another, factor * one, rtol=1e-6, atol=1e-9 * factor * g_max)
    for moment, same in zip(device.drift_exponent(other, g_max * factor), device.drift_exponent(g, g_max), strict=True):
        np.testing.assert_allclose(moment, same, rtol=1e-9, atol=1e-12)


@given(device=devices, x=shares, t_s=times)
@example(device=PCM, x=np.zeros((2, 3)), t_s=PCM.t_max_s)
def test_moments_are_finite_not_negative_and_shaped_as_the_cells(device: Device, x: np.ndarray, t_s: float) -> None:
    g = x * G_MAX
    mean, sigma = device.drift_exponent(g, G_MAX)
    drifted = device.drift(g, mean, t_s=t_s)
    found = (
        device.programming_sigma(g, G_MAX),
        mean,
        sigma,
        drifted,
        device.read_sigma(g, drifted, t_s=t_s, g_max=G_MAX),
    )
    for moments in found:
        assert moments.shape == g.shape
        assert np.all(np.isfinite(moments) & (moments >= 0))
    for xi in (-4.0, 0.0, 4.0):
        programmed = device.programmed(g, np.full_like(g, xi), G_MAX)
        assert programmed.shape == g.shape
        assert np.all(np.isfinite(programmed) & (programmed >= 0))
    relaxation = device.relaxation(g, t_s=t_s, g_max=G_MAX)
    if relaxation is not None:
        assert relaxation[0].shape == relaxation[1].shape == g.shape
        assert np.all(np.isfinite(relaxation[0]) & np.isfinite(relaxation[1]) & (relaxation[1] >= 0))


@pytest.mark.parametrize("device", ALL, ids=device_text)
def test_the_stated_deviation_is_that_of_what_is_programmed(device: Device) -> None:
    """By Gauss-Hermite quadrature over the deviate, where half the range is too far from 0 to be clipped."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    target = np.full_like(nodes, 0.8 * G_MAX)
    programmed = device.programmed(target, nodes, G_MAX)
    mean = float(np.average(programmed, weights=weights))
    spread = math.sqrt(np.average((programmed - mean) ** 2, weights=weights))
    assert mean == pytest.approx(0.8 * G_MAX, rel=1e-6)
    assert spread == pytest.approx(float(device.programming_sigma(target, G_MAX)[0]), rel=1e-3, abs=1e-15)


@pytest.mark.parametrize("device", ALL, ids=device_text)
def test_single_precision_stays_single(device: Device) -> None:
    g = np.linspace(0, G_MAX, 8, dtype=np.float32)
    mean, sigma = device.drift_exponent(g, G_MAX)
    drifted = device.drift(g, mean, t_s=DAY)
    figures = {"g_drifted": drifted, "t_s": DAY, "g_max": G_MAX, "t_inference_s": 1e-3}
    parts = (slow_read_sigma(device, g, **figures), fast_read_sigma(device, g, **figures))
    programmed = device.programmed(g, np.ones_like(g), G_MAX)
    relaxation = device.relaxation(g, t_s=DAY, g_max=G_MAX) or ()
    found = (device.programming_sigma(g, G_MAX), programmed, mean, sigma, drifted, *parts, *relaxation)
    assert {moments.dtype for moments in found} == {np.dtype(np.float32)}
    exact = device.read_sigma(g.astype(float), drifted.astype(float), t_s=DAY, g_max=G_MAX)
    np.testing.assert_allclose(np.hypot(*parts), exact, rtol=1e-5)


@given(device=devices, x=shares, earlier=times, later=times, nu=st.floats(0, 0.3))
def test_drift_starts_at_what_was_programmed_and_only_falls(
    device: Device, x: np.ndarray, earlier: float, later: float, nu: float
) -> None:
    g, exponents = x * G_MAX, np.full_like(x, nu)
    earlier, later = sorted([earlier, later])
    assert np.array_equal(device.drift(g, exponents, t_s=0.0), g)
    assert np.all(device.drift(g, exponents, t_s=later) <= device.drift(g, exponents, t_s=earlier))


def test_pcm_moments_are_monotonic_where_the_published_ones_are() -> None:
    g = np.linspace(0, G_MAX, 1001)
    mean, sigma = PCM.drift_exponent(g, G_MAX)
    assert np.all(np.diff(mean) <= 0)
    assert np.all(np.diff(sigma) <= 0)
    assert np.all(np.diff(PCM.programming_sigma(g[g < 0.83 * G_MAX], G_MAX)) > 0)
    relative = PCM.read_sigma(g, np.ones_like(g), t_s=0.0, g_max=G_MAX)
    assert np.all(np.diff(relative) <= 0)
    assert np.all(np.diff([PCM.read_sigma(g, g, t_s=t_s, g_max=G_MAX)[-1] for t_s in (0.0, 1.0, HOUR, DAY, YEAR)]) > 0)


@pytest.mark.parametrize("device", [IdealDevice(), GenericDevice()], ids=device_text)
def test_the_ideal_device_and_a_generic_one_without_sizes_do_nothing(device: Device) -> None:
    g = np.linspace(0, G_MAX, 5)
    mean, sigma = device.drift_exponent(g, G_MAX)
    nothing = (device.programming_sigma(g, G_MAX), mean, sigma, device.read_sigma(g, g, t_s=DAY, g_max=G_MAX))
    assert not np.any(nothing)
    assert np.array_equal(device.drift(g, mean, t_s=YEAR), g)
    assert (device.stuck_at_gmin, device.stuck_at_gmax) == (0, 0)


def test_the_generic_device_does_what_it_is_told() -> None:
    g = array(0.0, 10e-6)
    np.testing.assert_allclose(BUSY.programming_sigma(g, G_MAX), [0.5e-6, 1.0e-6])
    np.testing.assert_allclose(BUSY.read_sigma(g * 2, g, t_s=DAY, g_max=G_MAX), [0.25e-6, 0.55e-6])
    np.testing.assert_allclose(BUSY.drift_exponent(g, G_MAX), [[0.03, 0.03], [0.01, 0.01]])
    np.testing.assert_allclose(BUSY.drift(g, array(0.03, 0.03), t_s=180.0), g * 10**-0.03)
    figures = {"g_drifted": g, "t_s": DAY, "g_max": G_MAX, "t_inference_s": 1e-3}
    assert not np.any(slow_read_sigma(BUSY, g, **figures)), "white noise has no slow part"


# The statistics of another simulator: aihwkit 1.2.0, 200,000 cells at each target.


def normal_cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def rectified_moments(mean: float, sigma: float) -> tuple[float, float]:
    """Mean and standard deviation of max(mean + sigma xi, 0)."""
    below, density = normal_cdf(mean / sigma), math.exp(-((mean / sigma) ** 2) / 2) / math.sqrt(2 * math.pi)
    first = mean * below + sigma * density
    return first, math.sqrt((mean**2 + sigma**2) * below + mean * sigma * density - first**2)


def folded_moments(mean: float, sigma: float) -> tuple[float, float]:
    """Mean and standard deviation of |mean + sigma xi|: both halves of it are rectified."""
    first = rectified_moments(mean, sigma)[0] + rectified_moments(-mean, sigma)[0]
    return first, math.sqrt(mean**2 + sigma**2 - first**2)


def mean_decay(log_time: float, mean: float, sigma: float) -> float:
    """Mean of exp(-log_time |mean + sigma xi|)."""
    growth = log_time**2 * sigma**2 / 2
    return math.exp(growth - log_time * mean) * normal_cdf(mean / sigma - log_time * sigma) + math.exp(
        growth + log_time * mean
    ) * normal_cdf(-mean / sigma - log_time * sigma)


@pytest.fixture(scope="module")
def oracle(shared_dir: Path) -> dict[str, Any]:
    path = shared_dir / "oracles" / "pcm_stats.json"
    if not path.is_file():
        pytest.skip(f"needs the reference figures {path}, and there are none")
    figures: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return figures


def test_closed_forms_meet_the_other_simulators_means_within_3_standard_errors(oracle: dict[str, Any]) -> None:
    """Programmed conductances (clipped at 0), exponents (folded at 0), and drifted conductances from 2.5 uS on, where
    read noise is not clipped. A single figure of a right model is within with 99.73 % confidence; of these 102, which
    are the same at every run, all are."""
    deviations = {}
    for cell in oracle["device"]:
        g, n = array(cell["g_target"] * 1e-6), cell["n"]
        nu_mean, nu_sigma = (float(moment[0]) for moment in PCM.drift_exponent(g, G_MAX))
        programmed = rectified_moments(float(g[0]) * 1e6, float(PCM.programming_sigma(g, G_MAX)[0]) * 1e6)
        for name, (mean, sigma) in {"g_prog": programmed, "nu": folded_moments(nu_mean, nu_sigma)}.items():
            deviations[cell["g_target"], name, "mean"] = (cell[f"{name}_mean"] - mean) / (sigma / math.sqrt(n))
            # The standard error of a normal sample's deviation; that of a clipped one is larger.
            deviations[cell["g_target"], name, "std"] = (cell[f"{name}_std"] - sigma) / (sigma / math.sqrt(2 * n))
        for time, t_s in oracle["times_s"].items() if cell["g_target"] >= 2.5 else ():
            mean = programmed[0] * mean_decay(math.log(1 + t_s / 20), nu_mean, nu_sigma)
            found = cell["t"][time]
            deviations[cell["g_target"], time, "mean"] = (found["g_mean"] - mean) / (found["g_std"] / math.sqrt(n))
    assert len(deviations) == 102
    assert {what: deviation for what, deviation in deviations.items() if abs(deviation) > 3} == {}


def test_drawn_cells_have_the_other_simulators_statistics(oracle: dict[str, Any]) -> None:
    """All of its figures by drawing as it draws: read noise anew at each time, frozen. 182 comparisons, each within
    4.03 standard errors of the difference of two samples: a right model passes with at least 99 % confidence for any
    seed (Bonferroni), and a programming sigma that is off by 1 % fails."""
    random = np.random.default_rng(20)
    n, deviations = 200_000, {}

    def compare(what: tuple[object, ...], drawn: np.ndarray, mean: float, std: float, other_n: int) -> None:
        centred, error = drawn - drawn.mean(), math.sqrt(1 / n + 1 / other_n)
        variance = float(np.mean(centred**2))
        spread = math.sqrt((float(np.mean(centred**4)) - variance**2) / (4 * variance))
        deviations[*what, "mean"] = (float(drawn.mean()) - mean) / (math.sqrt(variance) * error)
        deviations[*what, "std"] = (math.sqrt(variance) - std) / (spread * error)

    for cell in oracle["device"]:
        target = np.full(n, cell["g_target"] * 1e-6)
        programmed = np.maximum(target + PCM.programming_sigma(target, G_MAX) * random.standard_normal(n), 0)
        nu_mean, nu_sigma = PCM.drift_exponent(target, G_MAX)
        nu = np.abs(nu_mean + nu_sigma * random.standard_normal(n))
        compare((cell["g_target"], "g"), programmed * 1e6, cell["g_prog_mean"], cell["g_prog_std"], cell["n"])
        compare((cell["g_target"], "nu"), nu, cell["nu_mean"], cell["nu_std"], cell["n"])
        for time, t_s in oracle["times_s"].items():
            drifted = PCM.drift(programmed, nu, t_s=t_s)
            figures = {"g_drifted": drifted, "t_s": t_s, "g_max": G_MAX, "t_inference_s": 1e-3}
            sigma = slow_read_sigma(PCM, programmed, **figures, read_noise="frozen")
            read = np.maximum(drifted + sigma * random.standard_normal(n), 0)
            found = cell["t"][time]
            compare((cell["g_target"], time), read * 1e6, found["g_mean"], found["g_std"], cell["n"])
    assert len(deviations) == 182
    assert {what: deviation for what, deviation in deviations.items() if abs(deviation) > 4.03} == {}
