"""Electrochemical cells: the charge balance of their gate, drives, limits and relaxation."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xbarc.devices.switching.electrochemical import CurrentDrive, ElectrochemicalCell, VoltageDrive
from xbarc.errors import UsageError

CELL = ElectrochemicalCell()
#: V_OC from -0.5 V to 0.5 V over the range.
SLOPED = dataclasses.replace(CELL, v_oc_slope=0.5 / 10e-6)

cells = st.builds(
    ElectrochemicalCell,
    g_sym=st.floats(6e-6, 24e-6),
    kappa=st.floats(1e2, 1e5),
    r_e=st.floats(1e6, 1e10),
    v_oc_offset=st.floats(-0.5, 0.5),
    v_oc_slope=st.floats(0, 2e5),
    r_leak=st.floats(1e8, 1e12),
)
drives = st.builds(VoltageDrive, v_pulse=st.floats(0.6, 5), pulse_s=st.floats(1e-6, 1), bias=st.just(0.0))
shares = st.floats(0, 1)


@given(cell=cells, drive=drives, share=shares)
def test_voltage_pulses_move_the_charge_that_flows_against_v_oc(
    cell: ElectrochemicalCell, drive: VoltageDrive, share: float
) -> None:
    model, g = drive.model(cell), cell.g_min + share * (cell.g_max - cell.g_min)
    v_oc = cell.v_oc_offset + cell.v_oc_slope * (g - cell.g_sym)
    charge = drive.pulse_s / cell.r_e
    state, mean = model.state(np.array(g), g_min=cell.g_min, g_max=cell.g_max), model.mean_cells()
    tolerance: dict[str, Any] = {"rel": 1e-9, "abs": 1e-9 * model.step}
    assert state == pytest.approx(g - cell.g_sym, abs=1e-15)
    up, down = cell.kappa * charge * (drive.v_pulse - v_oc), cell.kappa * charge * (drive.v_pulse + v_oc)
    assert model.mean_step(state, mean, up=True) == pytest.approx(up, **tolerance)
    assert model.mean_step(state, mean, up=False) == pytest.approx(down, **tolerance)
    assert model.asymmetry(state, mean) == pytest.approx(-v_oc / drive.v_pulse, abs=1e-9)


@given(cell=cells, drive=drives)
def test_steps_end_where_v_oc_is_as_high_as_the_pulse(cell: ElectrochemicalCell, drive: VoltageDrive) -> None:
    model = drive.model(cell)
    lowest, highest = (float(end) + cell.g_sym for end in model.reach(model.mean_cells()))
    for end, bound, pulse in ((lowest, cell.g_min, -drive.v_pulse), (highest, cell.g_max, drive.v_pulse)):
        at_bound = float(cell.open_circuit_voltage(np.array(bound)))
        if abs(at_bound) < drive.v_pulse:
            assert end == pytest.approx(bound, rel=1e-12)
        elif at_bound * pulse > 0:
            assert float(cell.open_circuit_voltage(np.array(end))) == pytest.approx(pulse, rel=1e-6)


@given(cell=cells, drive=drives)
def test_steps_are_equal_at_the_symmetric_conductance(cell: ElectrochemicalCell, drive: VoltageDrive) -> None:
    assume(cell.v_oc_slope > 1e3)
    model, g = drive.model(cell), drive.symmetric_conductance(cell)
    assert model.asymmetry(np.array(g - cell.g_sym), model.mean_cells()) == pytest.approx(0, abs=1e-9)
    recentred = dataclasses.replace(drive, bias=cell.v_oc_offset)
    assert recentred.symmetric_conductance(cell) == cell.g_sym
    assert recentred.model(cell).step_up == recentred.model(cell).step_down


def test_without_v_oc_a_voltage_drive_is_the_current_drive_of_the_same_current() -> None:
    """The very same model, number for number."""
    assert VoltageDrive().model(CELL) == CurrentDrive().model(CELL)
    assert VoltageDrive().model(SLOPED) != CurrentDrive().model(SLOPED) == CurrentDrive().model(CELL)
    assert math.isnan(VoltageDrive().symmetric_conductance(CELL))


@given(share=shares, slopes=st.lists(st.floats(0, 1e5), min_size=2, max_size=2))
def test_the_lower_v_oc_is_the_nearer_are_steps_to_those_of_a_current(share: float, slopes: list[float]) -> None:
    g = np.array(5e-6 + share * 20e-6)
    constant = CurrentDrive().model(CELL).step

    def distance(slope: float, up: bool) -> float:
        model = VoltageDrive().model(dataclasses.replace(CELL, v_oc_slope=slope))
        return abs(float(model.mean_step(g - CELL.g_sym, model.mean_cells(), up=up)) - constant)

    for up in (True, False):
        assert distance(min(slopes), up) <= distance(max(slopes), up) + 1e-12 * constant


def test_the_default_cell_takes_a_thousand_pulses_of_a_picojoule_tens() -> None:
    """1 V over 1 GOhm for 10 ms is 10 pC and 10 pJ; at 2 kS/C, 20 nS of 20 uS."""
    model = CurrentDrive().model(CELL)
    assert model.step == pytest.approx(20e-9, rel=1e-12)
    assert model.steps == pytest.approx(1000, rel=1e-12)
    assert CurrentDrive().pulse_energy_j(CELL) == pytest.approx(10e-12, rel=1e-12)
    assert VoltageDrive().pulse_energy_j(CELL) == pytest.approx(10e-12, rel=1e-12)


@given(cell=cells, share=shares, times=st.floats(0, 3))
def test_a_gate_that_is_not_isolated_relaxes_as_its_charge_flows(
    cell: ElectrochemicalCell, share: float, times: float
) -> None:
    """Against a thousand steps of dG/dt = -kappa V_OC / r_leak by the midpoint rule, stopped at the bounds."""
    g0 = cell.g_min + share * (cell.g_max - cell.g_min)
    rate = cell.kappa / cell.r_leak
    t_s = times / (rate * max(cell.v_oc_slope, 1e4))
    g, step = g0, t_s / 1000
    for _ in range(1000):
        half = g - rate * float(cell.open_circuit_voltage(np.array(g))) * step / 2
        g -= rate * float(cell.open_circuit_voltage(np.array(half))) * step
        g = min(max(g, cell.g_min), cell.g_max)
    assert float(cell.relaxed(np.array(g0), t_s)) == pytest.approx(g, rel=1e-4)


def test_an_isolated_gate_holds_and_another_loses_1_of_e_in_a_time_constant() -> None:
    g = np.array([5e-6, 20e-6])
    assert CELL.time_constant_s == math.inf
    np.testing.assert_array_equal(SLOPED.relaxed(g, 1e9), g)
    leaking = dataclasses.replace(SLOPED, r_leak=1e12)
    assert leaking.time_constant_s == pytest.approx(1e12 / (2e3 * 5e4))
    kept = (leaking.relaxed(g, leaking.time_constant_s) - 15e-6) / (g - 15e-6)
    np.testing.assert_allclose(kept, math.exp(-1), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ElectrochemicalCell(g_sym=5e-6),
            "g_min = 5e-06 S, g_sym = 5e-06 S and g_max = 2.5e-05 S of an electrochemical cell are not in this order",
        ),
        (lambda: ElectrochemicalCell(kappa=0.0), "kappa = 0 of an electrochemical cell is not above 0"),
        (lambda: ElectrochemicalCell(r_leak=-1.0), "r_leak = -1 of an electrochemical cell is not above 0"),
        (
            lambda: ElectrochemicalCell(v_oc_slope=-1.0),
            "v_oc_slope = -1 V/S of an electrochemical cell drives no charge back",
        ),
        (lambda: VoltageDrive(v_pulse=0.0), "v_pulse = 0 of pulses is not above 0"),
        (lambda: CurrentDrive(pulse_s=math.nan), "pulse_s = nan of pulses is not above 0"),
        (
            lambda: VoltageDrive(bias=-0.5).model(dataclasses.replace(CELL, v_oc_offset=0.6)),
            "pulses of 1 V do not overcome the open-circuit voltage of 1.1 V at g_sym",
        ),
    ],
)
def test_cells_and_drives_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        make()
    assert refused.value.what == message
    assert refused.value.fix
