"""Closed loops as text and as objects: texts come back, and what cannot be is refused for a stated reason."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbarc.devices.switching.electrochemical import CurrentDrive, DrivenCell, ElectrochemicalCell, VoltageDrive
from xbarc.devices.switching.model import LinearStep
from xbarc.devices.switching.presets import SWITCHING
from xbarc.errors import UsageError
from xbarc.runtime.programming import (
    WRITE_VERIFY,
    WriteCosts,
    WriteVerify,
    find_write_verify,
    stored_write_verify,
    write_verify_text,
)
from xbarc.runtime.write_verify import Procedure

shares = st.floats(0.0, 0.49)
procedures = st.builds(
    Procedure,
    band=shares,
    max_cycles=st.integers(1, 60000),
    max_pulses=st.integers(1, 60000),
    start=shares,
    margin=shares,
)
costs = st.none() | st.floats(0.0, 1e3)
presets = st.sampled_from(sorted(SWITCHING)).flatmap(
    lambda name: st.builds(dataclasses.replace, st.just(SWITCHING[name]), cycle_spread=shares, step_spread=shares)
)
cells = st.builds(ElectrochemicalCell, v_oc_slope=st.floats(0, 1e5), r_leak=st.floats(1e3) | st.just(math.inf))
drives = st.builds(CurrentDrive, current_a=st.floats(1e-12, 1e-3)) | st.builds(
    VoltageDrive, v_pulse=st.floats(1.0, 5.0)
)


@given(presets, procedures, st.none() | shares, st.builds(WriteCosts, pulse_s=costs, read_energy_j=costs))
def test_a_loop_of_a_published_model_is_its_text(
    model: LinearStep, procedure: Procedure, read_sigma: float | None, costs: WriteCosts
) -> None:
    plan = WriteVerify(model=model, procedure=procedure, read_sigma=read_sigma, costs=costs)
    assert find_write_verify(write_verify_text(plan)) == plan
    assert stored_write_verify(plan) == write_verify_text(plan)
    assert plan.every_cost == costs
    assert not plan.relaxes


@given(cells, drives, procedures, costs)
def test_a_loop_of_a_driven_cell_is_its_text(
    cell: ElectrochemicalCell, drive: CurrentDrive | VoltageDrive, procedure: Procedure, read_s: float | None
) -> None:
    plan = WriteVerify(model=DrivenCell(cell=cell, drive=drive), procedure=procedure, costs=WriteCosts(read_s=read_s))
    assert find_write_verify(write_verify_text(plan)) == plan
    assert plan.every_cost.pulse_s == drive.pulse_s
    assert plan.every_cost.pulse_energy_j == drive.pulse_energy_j(cell)
    assert plan.every_cost.read_s == read_s
    assert plan.relaxes is math.isfinite(cell.r_leak)


def test_texts_name_what_differs_alone() -> None:
    for name, plan in WRITE_VERIFY.items():
        assert write_verify_text(plan) == name
        assert find_write_verify(f" {name} ") == plan
        assert plan.procedure.margin == 0.1
    plan = find_write_verify("ecram-voltage: v_oc_slope = 1e4, band=0.01,max_cycles=7")
    assert isinstance(plan.model, DrivenCell)
    assert plan.model.cell.v_oc_slope == 1e4
    assert (plan.procedure.band, plan.procedure.max_cycles) == (0.01, 7)
    assert write_verify_text(plan) == "ecram-voltage:v_oc_slope=10000.0,band=0.01,max_cycles=7"


REFUSED = {
    "ecram": "there is no switching model 'ecram'",
    "ecram-li:bnad=1": "there is no parameter 'bnad'",
    "ecram-current:v_pulse=1": "there is no parameter 'v_pulse'",
    "ecram-li:description=x": "there is no parameter 'description'",
    "ecram-li:": "'' is not name=value",
    "ecram-li:band": "'band' is not name=value",
    "ecram-li:band=wide": "band = 'wide' is not a number",
    "ecram-li:max_cycles=2.5": "max_cycles = '2.5' is not a whole number",
    "ecram-li:band=0.1,band=0.2": "band is given twice",
    "ecram-li:band=nan": "band = nan of a write",
    "ecram-li:step_up=nan": "step_up = nan of a switching model is not finite",
    "ecram-li:margin=0.5": "margin = 0.5 of a write",
    "ecram-li:read_sigma=2": "read_sigma = 2.0 is no deviation of verifying reads",
    "ecram-li:read_sigma=nan": "read_sigma = nan is no deviation of verifying reads",
    "ecram-li:pulse_s=-1": "pulse_s = -1.0 is no cost of a write",
    "ecram-voltage:read_energy_j=inf": "read_energy_j = inf is no cost of a write",
    "ecram-voltage:v_oc_offset=2": "pulses of 1 V do not overcome the open-circuit voltage of 2 V",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_loop_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(REFUSED[text])) as caught:
        find_write_verify(text)
    assert caught.value.fix


def test_a_refusal_knows_what_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        find_write_verify("ecram-l")
    assert caught.value.fix.startswith("did you mean 'ecram-li'?")
    with pytest.raises(UsageError) as caught:
        find_write_verify("ecram-voltage:vpulse=2")
    assert caught.value.fix.startswith("did you mean 'v_pulse'?")


def test_a_model_without_a_name_has_a_text_of_its_own_and_is_not_stored() -> None:
    plans = [WriteVerify(model=LinearStep(step_up=step, step_down=0.1, low=-1, high=1)) for step in (0.1, 0.2)]
    assert len({write_verify_text(plan) for plan in plans}) == 2
    with pytest.raises(UsageError, match="the model that the chip was written with cannot be found again by a name"):
        stored_write_verify(plans[0])


def test_a_drive_says_itself_what_pulses_take() -> None:
    model = DrivenCell(cell=ElectrochemicalCell(), drive=CurrentDrive())
    with pytest.raises(UsageError, match="what pulses of a drive take follows from the drive"):
        WriteVerify(model=model, costs=WriteCosts(pulse_s=0.0))


@given(st.floats(0.0, 0.4), st.floats(1e3, 2e5), st.floats(1.0, 1e7), st.floats(0.0, 25e-6))
def test_cells_relax_as_the_differential_equation_says(margin: float, slope: float, t_s: float, g: float) -> None:
    """``dG/dt = -kappa V_OC / r_leak`` in the cell's own siemens, that the hardware's range is a part of."""
    cell = ElectrochemicalCell(v_oc_slope=slope, v_oc_offset=0.03, r_leak=1e12)
    plan = WriteVerify(model=DrivenCell(cell=cell, drive=VoltageDrive()), procedure=Procedure(margin=margin))
    (found,) = plan.relaxed(np.array([g]), t_s, g_min=0.0, g_max=25e-6)
    width = 25e-6 / (1 - 2 * margin)  # that the cell's range stands for
    own = 5e-6 + 20e-6 * (g + margin * width) / width
    resting = cell.g_sym - 0.03 / slope
    left = resting + (own - resting) * math.exp(-t_s * 2e3 * slope / 1e12)
    left = min(max(left, cell.g_min), cell.g_max)
    assert found == pytest.approx(max((left - 5e-6) / 20e-6 * width - margin * width, 0.0), rel=1e-9, abs=1e-15)


def test_isolated_gates_lose_nothing() -> None:
    g = np.linspace(0, 25e-6, 7, dtype=np.float32)
    for name in ("ecram-li", "ecram-current:v_oc_slope=1e4"):
        assert find_write_verify(name).relaxed(g, 1e9, g_min=0.0, g_max=25e-6) is g
