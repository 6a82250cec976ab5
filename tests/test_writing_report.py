"""The report of a write, against a hand-made write of six cells."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from xbarc.report.writing import write_report
from xbarc.runtime.programming import WriteCosts
from xbarc.runtime.write_verify import WrittenCells

#: Six cells: two accepted at once, two after pulses, two never; errors in siemens.
ERRORS = np.array([[1e-7, -1e-7, 2e-7], [0.0, -3e-6, 4e-6]])
WRITTEN = WrittenCells(
    target=np.full((2, 3), 1e-5),
    conductance=1e-5 + ERRORS,
    band=np.full((2, 3), 2.5e-7),
    faulty=np.array([[False, False, False], [False, False, True]]),
    accepted=np.array([[True, True, True], [True, False, False]]),
    cycles=np.array([[1, 1, 3], [2, 4, 4]]),
    pulses_up=np.array([[0, 0, 10], [0, 30, 0]]),
    pulses_down=np.array([[0, 0, 2], [5, 0, 40]]),
    lowest=np.array([[1e-6, 1e-6, 1e-6], [1e-6, 2e-6, 1.4e-5]]),
    highest=np.array([[2e-5, 3e-5, 3e-5], [3e-5, 3e-5, 1.4e-5]]),
    reachable=np.array([[True, True, True], [True, True, False]]),
    asymmetry=np.array([[0.0, 0.1, -0.1], [0.2, -0.6, 0.0]]),
)


def test_a_report_counts_what_was_done() -> None:
    report = write_report(WRITTEN)
    assert report.cells == 6
    assert report.accepted == pytest.approx(4 / 6)
    assert report.out_of_reach == pytest.approx(1 / 6)
    assert (report.pulses_up, report.pulses_down) == (40, 47)
    assert report.pulses_a_cell == pytest.approx(87 / 6)
    assert report.cycles_mean == pytest.approx(15 / 6)
    assert report.cycles_p50 == 2.5
    assert report.cycles_most == 4
    assert report.cycles_counts == (2, 1, 1, 2)
    assert report.faulty == 1
    assert report.asymmetry_mean == pytest.approx(-0.08)
    assert report.asymmetry_rms == pytest.approx(math.sqrt(0.42 / 5))
    assert report.asymmetry_largest == pytest.approx(0.6)
    assert 1e-6 < report.reach_low < 2e-6 < 2e-5 < report.reach_high < 3e-5
    stuck = write_report(dataclasses.replace(WRITTEN, faulty=np.ones((2, 3), dtype=bool)))
    assert (stuck.faulty, stuck.asymmetry_largest) == (6, pytest.approx(0.6))


def test_residuals_are_of_all_cells_and_of_the_accepted() -> None:
    report = write_report(WRITTEN)
    assert report.residual.mean == pytest.approx(1.2e-6 / 6)
    assert report.residual.rms == pytest.approx(math.sqrt((1e-14 + 1e-14 + 4e-14 + 9e-12 + 16e-12) / 6))
    assert report.residual.p50 == pytest.approx(1.5e-7)
    assert report.residual.largest == pytest.approx(4e-6)
    assert sum(report.residual.counts) == 6
    assert (report.residual.edges[0], report.residual.edges[-1]) == pytest.approx((-4e-6, 4e-6))
    assert report.residual_accepted is not None
    assert report.residual_accepted.rms == pytest.approx(math.sqrt(6e-14 / 4))
    assert sum(report.residual_accepted.counts) == 4
    never = dataclasses.replace(WRITTEN, accepted=np.zeros((2, 3), dtype=bool))
    assert write_report(never).residual_accepted is None
    exact = dataclasses.replace(WRITTEN, conductance=WRITTEN.target)
    assert write_report(exact).residual.largest == 0
    assert sum(write_report(exact).residual.counts) == 6


def test_what_is_known_of_costs_is_added_up() -> None:
    report = write_report(WRITTEN, WriteCosts(pulse_s=1e-3, read_s=1e-5, pulse_energy_j=2e-12, read_energy_j=3e-15))
    assert report.pulse_energy_j == pytest.approx(87 * 2e-12)
    assert report.read_energy_j == pytest.approx(15 * 3e-15)
    assert report.each_in_turn_s == pytest.approx(87e-3 + 15e-5)
    assert report.all_at_once_s == pytest.approx(40e-3 + 4e-5)
    unknown = write_report(WRITTEN, WriteCosts(pulse_s=1e-3))
    costs = (unknown.pulse_energy_j, unknown.read_energy_j, unknown.each_in_turn_s, unknown.all_at_once_s)
    assert costs == (None, None, None, None)


def test_a_report_is_plain_json_data() -> None:
    report = write_report(WRITTEN, WriteCosts(pulse_s=1e-3, read_s=1e-5))
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["schema"] == 1
    assert data["cycles_counts"] == [2, 1, 1, 2]
    assert data["residual"]["rms"] == report.residual.rms
    assert data["pulses_a_cell"] == report.pulses_a_cell
    assert set(data) == {"schema", "pulses_a_cell"} | {field.name for field in dataclasses.fields(report)}
