"""Write-and-verify: a twin in plain loops, moments of single pulses, and what must hold for any write."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.devices.switching.electrochemical import CurrentDrive, ElectrochemicalCell, VoltageDrive
from xbarc.devices.switching.model import ExponentialStep, LinearStep, SwitchingModel
from xbarc.devices.switching.presets import SWITCHING
from xbarc.errors import UsageError
from xbarc.random import normals
from xbarc.runtime.write_verify import Procedure, Site, WrittenCells, draw_cells, write_cells_verified

G_MIN, G_MAX = 5e-6, 25e-6
PLAIN = LinearStep(step_up=0.02, step_down=0.02, low=-1.0, high=1.0)


def write(
    target: np.ndarray, model: SwitchingModel, procedure: Procedure, site: Site | None = None, **more: Any
) -> WrittenCells:
    return write_cells_verified(target, model, procedure, g_min=G_MIN, g_max=G_MAX, site=site or Site(), **more)


def targets(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(G_MIN, G_MAX, (rows, columns))


def same(one: WrittenCells, other: WrittenCells, part: Any = ...) -> None:
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name)[part], getattr(other, field.name), field.name)


def mean_shape(model: SwitchingModel, w: float, slope: float, up: bool) -> float:
    if isinstance(model, ExponentialStep):
        z = slope * w + model.offset
        part = (
            model.amplitude_up * math.exp(model.exponent_up * z)
            if up
            else model.amplitude_down * math.exp(-model.exponent_down * z)
        )
        return max(1 - part, 0.0)
    return 1 - slope * w


def twin(g: float, model: SwitchingModel, plan: Procedure, site: Site, place: tuple[int, int], read_s: float) -> Any:
    """One cell, written by itself: its conductance, whether it was accepted, its cycles and pulses."""
    row, column = place

    def number(kind: str, word: int = 0) -> float:
        first_row = (word << 32) + site.first_row + row
        drawn = normals(
            site.key(kind), (1, 1), first_row=first_row, first_column=site.first_column + column, plane=site.plane
        )
        return float(drawn[0, 0])

    cell = model.cells((), lambda quantity: np.array(number(f"switching {quantity}")))
    mean = model.mean_cells()
    span = model.high - model.low
    wanted = model.low + span * ((g - G_MIN) / (G_MAX - G_MIN))
    scale = span / (G_MAX - G_MIN)
    band = max(plan.band * (G_MAX - G_MIN), plan.band_of_target * g) * scale
    reference = float(cell.reference)
    start = model.low + span * ((G_MIN + plan.start * (G_MAX - G_MIN) - G_MIN) / (G_MAX - G_MIN))
    w = min(max(start + reference, float(cell.low)), float(cell.high))
    noise = model.write_noise * model.step
    shown_noise = noise * number("write noise")
    pulses = {True: 0, False: 0}
    for cycle in range(plan.max_cycles):
        shown = w - reference + shown_noise
        read = shown + read_s * scale * number("verify", cycle << 16)
        error = wanted - read
        if abs(error) <= band or cycle + 1 == plan.max_cycles:
            g_found = G_MIN + (G_MAX - G_MIN) * ((shown - model.low) / span)
            return max(g_found, 0.0), abs(error) <= band, cycle + 1, pulses[True], pulses[False]
        up = error > 0
        expected = float(mean.up if up else mean.down)
        expected *= mean_shape(model, read, float(mean.slope_up if up else mean.slope_down), up)
        count = plan.max_pulses
        if expected * plan.max_pulses > abs(error):
            count = max(round(abs(error) / expected), 1)
        pulses[up] += count
        step, slope = (float(cell.up), float(cell.slope_up)) if up else (-float(cell.down), float(cell.slope_down))
        for pulse in range(count):
            spread = model.cycle_spread * number("pulses", (cycle << 16) + pulse)
            part = mean_shape(model, w, slope, up)
            w += step * (part + spread) if model.additive else step * part * (1 + spread)
            w = min(max(w, float(cell.low)), float(cell.high))
        shown_noise = noise * number("write noise", (cycle + 1) << 16)
    raise AssertionError("unreachable")


@pytest.mark.parametrize("name", SWITCHING)
def test_every_model_is_written_as_a_plain_loop_writes_it(name: str) -> None:
    """From odd places, with errors of reads: bit for bit but for the exponential function."""
    model, site = SWITCHING[name], Site(seed=3, matrix="fc", plane=5, first_row=2**20 - 1, first_column=6)
    plan = Procedure(band=0.01, band_of_target=0.02, max_cycles=6, max_pulses=90, start=0.4)
    target = targets(2, 6)
    found = write(target, model, plan, site, read_sigma=5e-8)
    expected = np.array(
        [[twin(target[row, column], model, plan, site, (row, column), 5e-8) for column in range(6)] for row in range(2)]
    )
    np.testing.assert_allclose(found.conductance, expected[..., 0], rtol=1e-9 if name == "reram-es" else 0)
    for place, counted in enumerate((found.accepted, found.cycles, found.pulses_up, found.pulses_down)):
        np.testing.assert_array_equal(counted, expected[..., place + 1])


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("start", [0.2, 0.9])
@pytest.mark.parametrize("up", [True, False])
def test_single_pulses_have_their_moments(additive: bool, start: float, up: bool) -> None:
    """One pulse from a state, of 100,000 cells: mean and variance within 3 standard errors of those of the formula.

    ``step = dw (1 + a xi_1 +- b xi_2)``, times ``f (1 + c xi)`` or ``f + c xi``: independent factors.
    """
    a, b, c = 0.2, 0.1, 0.5
    model = LinearStep(
        step_up=0.01,
        step_down=0.01,
        low=-1.0,
        high=1.0,
        gamma_up=0.6,
        gamma_down=0.3,
        step_spread=a,
        up_down_spread=b,
        cycle_spread=c,
        additive=additive,
    )
    found = write(
        np.full((250, 400), G_MAX if up else G_MIN), model, Procedure(band=0, max_cycles=2, max_pulses=1, start=start)
    )
    moved = (model.state(found.conductance, g_min=G_MIN, g_max=G_MAX) - (2 * start - 1)) * (1 if up else -1)
    state = 2 * start - 1
    f = 1 - 0.6 * state if up else 1 + 0.3 * state
    size, size_variance = 0.01, 1e-4 * (a * a + b * b)
    part_variance = c * c if additive else (f * c) ** 2
    variance = size**2 * part_variance + f**2 * size_variance + size_variance * part_variance
    error = moved - size * f
    count = moved.size
    assert abs(error.mean()) < 3 * math.sqrt(variance / count)
    spread = np.square(error)
    assert abs(spread.mean() - variance) < 3 * float(spread.std()) / math.sqrt(count)


def test_cells_differ_by_their_spreads() -> None:
    """100,000 cells of the array of optimised material: lognormal steps, normal bounds, their references."""
    model = SWITCHING["reram-array-om"]
    cells = draw_cells(model, (250, 400), Site(seed=1))
    gain = np.log(np.maximum((cells.up + cells.down) / 2 / 0.0949, 1e-6))  # up and down differ by the tilt alone
    for values, mean, sigma in (
        (gain, 0.0, 0.7829),
        ((cells.up - cells.down) / 2 / 0.0949, 0.0, 0.01),
        (
            cells.reference
            - draw_cells(dataclasses.replace(model, reference_spread=0.0), (250, 400), Site(seed=1)).reference,
            0.0,
            0.05,
        ),
    ):
        assert values.mean() == pytest.approx(mean, abs=3 * sigma / math.sqrt(1e5))
        assert values.std() == pytest.approx(sigma, abs=3 * sigma / math.sqrt(2e5))
    assert np.median(cells.high) == pytest.approx(1.0, abs=3 * 1.2533 * 0.3499 / math.sqrt(1e5))
    assert np.median(cells.low) == pytest.approx(-1.0, abs=3 * 1.2533 * 0.5695 / math.sqrt(1e5))


def test_write_noise_is_what_reads_find_besides_the_state() -> None:
    """Never pulsed: 100,000 cells about their start."""
    model = dataclasses.replace(PLAIN, write_noise=2.0)
    found = write(np.full((250, 400), 15e-6), model, Procedure(band=1.0, start=0.5))
    error = (found.conductance - 15e-6) / (0.04 / 2 * 20e-6)
    assert found.accepted.all()
    assert error.mean() == pytest.approx(0, abs=3 / math.sqrt(1e5))
    assert error.std() == pytest.approx(1, abs=3 / math.sqrt(2e5))


models = st.sampled_from([SWITCHING[name] for name in ("ecram-li", "reram-array-om", "reram-es", "capacitor")])


@given(model=models, row=st.integers(0, 6), column=st.integers(0, 9), seed=st.integers(0, 2**64 - 1))
def test_parts_of_an_array_are_written_as_the_whole_is(model: SwitchingModel, row: int, column: int, seed: int) -> None:
    site, plan = Site(seed=seed, matrix="m", first_row=3, first_column=5), Procedure(max_cycles=4, max_pulses=50)
    whole, target = write(targets(7, 10), model, plan, site), targets(7, 10)
    moved = dataclasses.replace(site, first_row=3 + row, first_column=5 + column)
    same(whole, write(target[row:, column:], model, plan, moved), np.s_[row:, column:])


def test_threads_do_not_change_a_write() -> None:
    model, target = SWITCHING["ecram-li"], targets(64, 64)
    whole = write(target, model, Procedure())

    def part(row: int) -> WrittenCells:
        return write(target[row : row + 8], model, Procedure(), Site(first_row=row))

    with ThreadPoolExecutor(4) as pool:
        for row, found in zip(range(0, 64, 8), pool.map(part, range(0, 64, 8)), strict=True):
            same(whole, found, np.s_[row : row + 8])


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"matrix": "b"}, {"plane": 1}, {"first_row": 100}, {"first_column": 100}]
)
def test_other_places_draw_other_numbers(other: dict[str, Any]) -> None:
    target = np.full((16, 16), 15e-6)
    one, two = (write(target, SWITCHING["ecram-li"], Procedure(), site) for site in (Site(), Site(**other)))
    errors = [found.conductance.ravel() - 15e-6 for found in (one, two)]
    assert abs(np.corrcoef(errors)[0, 1]) < 5 / 16
    assert not np.array_equal(*errors)


@given(
    model=models.filter(lambda model: not model.write_noise),
    bands=st.tuples(st.floats(0.001, 0.1), st.floats(0.001, 0.1)).map(sorted),
    seed=st.integers(0, 1000),
)
def test_a_tighter_band_leaves_no_larger_residual_where_both_are_met(
    model: SwitchingModel, bands: list[float], seed: int
) -> None:
    """Cell by cell, where reads have no errors: the tighter write goes on from where the looser one ends."""
    target = targets(8, 8, seed)
    tight, loose = (write(target, model, Procedure(band=band, max_cycles=30), Site(seed=seed)) for band in bands)
    both = tight.accepted & loose.accepted
    assert (loose.accepted >= tight.accepted).all()
    residuals = [np.abs(found.conductance - target)[both] for found in (tight, loose)]
    assert (residuals[0] <= residuals[1]).all()
    assert (residuals[0] <= bands[0] * (G_MAX - G_MIN) * (1 + 1e-9)).all()
    assert (tight.cycles >= loose.cycles).all()


@given(slopes=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)).map(sorted), seed=st.integers(0, 1000))
def test_more_asymmetry_takes_no_fewer_pulses_from_the_symmetric_state(slopes: list[float], seed: int) -> None:
    """From there every step that leads on is the smaller one; pulses one by one, in a band of one step and a half."""
    target = targets(4, 4, seed)
    plan = Procedure(band=0.0015, max_cycles=5000, max_pulses=1, start=0.5)
    less, more = (
        write(target, VoltageDrive().model(ElectrochemicalCell(v_oc_slope=slope / 10e-6)), plan) for slope in slopes
    )
    pulses = [found.pulses_up + found.pulses_down for found in (less, more)]
    assert less.accepted.all()
    assert more.accepted.all()
    assert (pulses[1] >= pulses[0]).all()


def test_without_v_oc_a_voltage_drive_writes_what_constant_steps_write() -> None:
    """Bit for bit, with errors of reads and spreads of both kinds."""
    cell = ElectrochemicalCell(step_spread=0.1, cycle_spread=0.3)
    numbers = {name: getattr(CurrentDrive().model(cell), name) for name in ("step_up", "step_down", "low", "high")}
    assert numbers == pytest.approx({"step_up": 2e-8, "step_down": 2e-8, "low": -1e-5, "high": 1e-5})
    constant = LinearStep(**numbers, step_spread=0.1, cycle_spread=0.3)
    found = [
        write(targets(32, 32), model, Procedure(), read_sigma=2e-8)
        for model in (constant, CurrentDrive().model(cell), VoltageDrive().model(cell))
    ]
    same(found[0], found[1])
    same(found[0], found[2])


def test_the_residual_of_a_drive_falls_as_its_v_oc_does() -> None:
    """Four pulses are too few to learn how much steps have shrunk: the flatter V_OC, the nearer the write ends."""
    plan = Procedure(band=0.001, max_cycles=2)

    def rms(drive: CurrentDrive | VoltageDrive, gamma: float) -> float:
        cell = ElectrochemicalCell(v_oc_slope=gamma / 10e-6, cycle_spread=0.3)
        found = write(targets(32, 32), drive.model(cell), plan)
        return float(np.sqrt(np.square(found.conductance - found.target).mean()))

    found = [rms(CurrentDrive(), 0.9), *(rms(VoltageDrive(), gamma) for gamma in (0.0, 0.1, 0.5, 0.9))]
    assert found[0] == found[1]
    assert found[1:] == sorted(found[1:])


def test_targets_out_of_reach_are_known_and_never_met() -> None:
    """Cells that end at half of the range on either side, of V_OC of twice the pulse at the bounds."""
    model = VoltageDrive().model(ElectrochemicalCell(v_oc_slope=2.0 / 10e-6))
    target = np.linspace(G_MIN, G_MAX, 42)[None]
    found = write(target, model, Procedure(band=0.001, max_cycles=50, start=0.5))
    off = np.abs(target - 15e-6)
    np.testing.assert_array_equal(found.reachable, off < 5e-6)
    assert not found.accepted[off > 5.1e-6].any()
    assert found.accepted[off < 4.8e-6].all()
    np.testing.assert_allclose(found.asymmetry, np.clip((15e-6 - target) / 5e-6, -1, 1), atol=1e-9)


@pytest.mark.parametrize("margin", [0.1, 0.25])
def test_a_margin_uses_the_middle_of_what_cells_can_hold(margin: float) -> None:
    """As writing the same cells in a wider range does, of which the targets are a part; and more targets are met."""
    model, wider = SWITCHING["ecram-li"], margin / (1 - 2 * margin) * (G_MAX - G_MIN)
    target, plan = targets(16, 16), Procedure(band=0.005, start=0.3, margin=margin)
    found = write(target, model, plan)
    ends = {"g_min": 0.0, "g_max": G_MAX - G_MIN + 2 * wider}
    scale = (G_MAX - G_MIN) / ends["g_max"]
    shifted = Procedure(band=0.005 * scale, start=(wider / (G_MAX - G_MIN) + 0.3) * scale)
    other = write_cells_verified(target - G_MIN + wider, model, shifted, **ends)
    np.testing.assert_allclose(found.conductance, other.conductance + G_MIN - wider, rtol=1e-6)
    np.testing.assert_array_equal(found.cycles, other.cycles)
    assert found.reachable.all()
    assert not write(target, model, dataclasses.replace(plan, margin=0.0)).reachable.all()


def test_a_write_ends_with_a_read() -> None:
    """One cycle reads and leaves; of two, the second finds what the first one's pulses did."""
    target = np.full((1, 3), 15e-6)
    assert write(target, PLAIN, Procedure(max_cycles=1)).pulses_up.tolist() == [[0, 0, 0]]
    found = write(target, PLAIN, Procedure(max_cycles=2))
    assert found.pulses_up.tolist() == [[50, 50, 50]]
    assert found.cycles.tolist() == [[2, 2, 2]]
    assert found.accepted.all()
    np.testing.assert_allclose(found.conductance, target)


@settings(max_examples=20)
@given(share=st.floats(0, 0.3), read=st.floats(0, 0.02))
def test_what_is_accepted_was_read_within_the_band(share: float, read: float) -> None:
    """The band follows the target where that is more; errors of reads let some cells end outside it."""
    plan = Procedure(band=0.002, band_of_target=share, max_cycles=20)
    found = write(targets(8, 8), SWITCHING["ecram-li"], plan, read_sigma=read * (G_MAX - G_MIN))
    np.testing.assert_allclose(found.band, np.maximum(0.002 * 20e-6, share * found.target))
    off = np.abs(found.conductance - found.target) - found.band
    assert (off[found.accepted] <= 7 * read * (G_MAX - G_MIN) + 1e-15).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Procedure(max_cycles=0), "max_cycles = 0 of a write"),
        (lambda: Procedure(max_pulses=2**16 + 1), "max_pulses = 65537 of a write"),
        (lambda: Procedure(band=math.nan), "band = nan of a write"),
        (lambda: Procedure(start=1.5), "start = 1.5 of a write"),
        (lambda: Procedure(margin=0.5), "margin = 0.5 of a write"),
        (
            lambda: write(np.zeros(3), PLAIN, Procedure()),
            "the targets of a write are no matrix of finite numbers: (3,)",
        ),
        (
            lambda: write(np.array([[np.nan]]), PLAIN, Procedure()),
            "the targets of a write are no matrix of finite numbers: (1, 1)",
        ),
        (
            lambda: write_cells_verified(np.zeros((1, 1)), PLAIN, Procedure(), g_min=2e-6, g_max=1e-6),
            "a write from 2e-06 S to 1e-06 S has no range",
        ),
        (
            lambda: write(np.zeros((1, 1)), PLAIN, Procedure(), read_sigma=-1e-9),
            "reads of a write deviate by less than nothing",
        ),
    ],
)
def test_writes_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        make()
    assert refused.value.what == message
    assert refused.value.fix
