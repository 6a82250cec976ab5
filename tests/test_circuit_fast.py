"""The fast solve of a tile: never further off than it says, and never further than it was allowed."""

from __future__ import annotations

import numpy as np
import pytest
from circuits import LARGEST_S, Case, cases
from hypothesis import given
from hypothesis import strategies as st

from xbarc.errors import UsageError
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.fast import solve_fast
from xbarc.runtime.circuit.wiring import Wiring


def within(case: Case, tolerance: float) -> bool:
    """Whether a solve keeps its promise, of currents that the sparse solve finds."""
    fast = solve_fast(*case, tolerance=tolerance)
    exact = solve_exact(*case).currents
    full_scale = (np.abs(case.voltages) @ case.conductances).reshape(-1, *exact.shape[1:])
    if case.conductances.ndim == 3:
        full_scale = np.moveaxis(np.abs(case.voltages) @ case.conductances, -2, 0)
    largest = full_scale.reshape(len(exact), -1).max(axis=1)
    np.testing.assert_allclose(fast.full_scale, largest, rtol=1e-12)
    allowed = tolerance * largest.reshape(-1, *[1] * (exact.ndim - 1)) * (1 + 1e-12)
    return bool((np.abs(fast.currents - exact) <= fast.bounds).all() and (fast.bounds <= allowed).all())


@given(cases(longest=40), st.sampled_from((0.5, 1e-2, 1e-4, 1e-6, 1e-9)))
def test_errors_stay_within_the_bound_and_the_bound_within_the_tolerance(case: Case, tolerance: float) -> None:
    assert within(case, tolerance)


@pytest.mark.parametrize("ratio", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("pattern", ["full", "sparse", "one row on"])
def test_the_bound_on_larger_tiles(ratio: float, pattern: str) -> None:
    """With a segment of ``ratio`` times the resistance of the best cell."""
    draws = np.random.default_rng(5)
    cells, voltages = draws.uniform(0, LARGEST_S, (70, 90)), draws.uniform(0, 0.2, (2, 70))
    if pattern == "sparse":
        cells[draws.random(cells.shape) < 0.9] = 0
    elif pattern == "one row on":
        voltages[:, 1:] = 0
    ohm = ratio / LARGEST_S
    assert within(Case(cells, voltages, Wiring(row_wire_ohm=ohm, column_wire_ohm=ohm)), 1e-4)


@pytest.mark.parametrize("ohm", [0.1, 1e3, 1e6])
@pytest.mark.parametrize("wires", ["rows", "columns", "both", "ends"])
def test_the_bound_where_wires_resist_as_much_as_cells_and_more(ohm: float, wires: str) -> None:
    cells = np.random.default_rng(6).uniform(0, LARGEST_S, (12, 10))
    ohms = (ohm * (wires in ("rows", "both")), ohm * (wires in ("columns", "both")), ohm * (wires == "ends"))
    wiring = Wiring(row_wire_ohm=ohms[0], column_wire_ohm=ohms[1], source_ohm=ohms[2], sense_ohm=ohms[2])
    assert within(Case(cells, np.random.default_rng(7).normal(size=(3, 12)), wiring), 1e-4)
    assert within(Case(cells, np.random.default_rng(8).normal(size=(3, 12)), wiring), 1e-8)


def test_each_iteration_is_bounded() -> None:
    """Tolerances in small steps stop after every number of iterations that there is."""
    draws = np.random.default_rng(9)
    case = Case(
        draws.uniform(0, LARGEST_S, (50, 50)),
        draws.uniform(0, 0.2, (1, 50)),
        Wiring(row_wire_ohm=10.0, column_wire_ohm=20.0, source_ohm=100.0, sense_ohm=50.0),
    )
    exact = solve_exact(*case).currents
    seen = {}
    for power in np.arange(0.25, 9, 0.25):
        fast = solve_fast(*case, tolerance=10.0**-power)
        assert (np.abs(fast.currents - exact) <= fast.bounds).all()
        seen[int(fast.iterations[0])] = float(fast.bounds.max())
    counts = sorted(seen)
    assert counts == list(range(counts[0], counts[-1] + 1))
    assert counts[-1] > 12
    assert [seen[count] for count in counts] == sorted(seen.values(), reverse=True)


def test_more_vectors_and_threads_change_nothing() -> None:
    draws = np.random.default_rng(10)
    cells, voltages = draws.uniform(0, LARGEST_S, (2, 30, 20)), draws.uniform(-0.2, 0.2, (5, 30))
    wiring = Wiring(row_wire_ohm=2.0, column_wire_ohm=3.0, source_ohm=100.0)
    together = solve_fast(cells, voltages, wiring, threads=2)
    alone = [solve_fast(cells, voltages[[k]], wiring) for k in range(5)]
    assert together.currents.shape == together.bounds.shape == (5, 2, 20)
    np.testing.assert_array_equal(together.currents, np.concatenate([one.currents for one in alone]))
    np.testing.assert_array_equal(together.bounds, np.concatenate([one.bounds for one in alone]))


@pytest.mark.parametrize("power", [-700, 700])
def test_voltages_whose_squares_leave_the_range_of_numbers(power: int) -> None:
    cells = np.random.default_rng(11).uniform(0, LARGEST_S, (20, 20))
    voltages = np.random.default_rng(12).uniform(0, 1, (1, 20))
    wiring = Wiring(row_wire_ohm=5.0, column_wire_ohm=5.0)
    usual = solve_fast(cells, voltages, wiring)
    scaled = solve_fast(cells, voltages * 2.0**power, wiring)
    np.testing.assert_array_equal(scaled.currents, usual.currents * 2.0**power)
    np.testing.assert_array_equal(scaled.bounds, usual.bounds * 2.0**power)


@pytest.mark.parametrize("tolerance", [0.0, -1e-4, 1e-10, 1.0, np.nan])
def test_tolerances_that_cannot_be_promised(tolerance: float) -> None:
    wiring = Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0)
    with pytest.raises(UsageError, match=r"a tolerance of .* of full scale cannot be promised"):
        solve_fast(np.ones((2, 2)) * 1e-6, np.ones((1, 2)), wiring, tolerance=tolerance)


def test_wires_that_take_too_many_iterations() -> None:
    cells = np.random.default_rng(13).uniform(0, LARGEST_S, (60, 60))
    wiring = Wiring(row_wire_ohm=1e7, column_wire_ohm=1e7)
    with pytest.raises(
        UsageError, match="1000 iterations leave the currents further from their values than 1e-09 of full scale"
    ):
        solve_fast(cells, np.ones((1, 60)), wiring, tolerance=1e-9)
