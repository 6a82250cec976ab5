"""The circuit of a tile: the sparse solve and the effective conductances, against laws, closed forms and others.

Its claims are together known as A 6: golden columns, another solver, superposition, reciprocity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from circuits import LARGEST_S, Case, cases, wirings
from hypothesis import given
from hypothesis import strategies as st

from xbarc.errors import HardwareError, UsageError
from xbarc.runtime.circuit.effective import effective_conductances
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.fast import solve_fast
from xbarc.runtime.circuit.wiring import Wiring

CLOSE = 1e-9


def effective_currents(case: Case) -> np.ndarray:
    """``(vectors, columns)`` or ``(vectors, planes, columns)``."""
    return np.moveaxis(case.voltages @ effective_conductances(case.conductances, case.wiring), -2, 0)


def kirchhoff(case: Case) -> float:
    """Largest sum of currents at any node, over the largest current; wires without resistance carry any."""
    wiring = case.wiring
    solution = solve_exact(case.conductances, case.voltages, wiring)
    rows, columns = case.conductances.shape[-2:]
    cells = case.conductances.reshape(-1, rows, columns)
    on_rows = solution.row_volts[:, np.newaxis]
    on_columns = solution.column_volts.reshape(len(case.voltages), -1, rows, columns)
    through = cells * (on_rows - on_columns)
    before = np.concatenate([case.voltages[:, :, np.newaxis], solution.row_volts], axis=2)
    after = np.concatenate([on_columns, np.zeros_like(on_columns[:, :, :1])], axis=2)
    row_ohm, column_ohm = np.full(columns, wiring.row_wire_ohm), np.full((rows, 1), wiring.column_wire_ohm)
    row_ohm[0] += wiring.source_ohm
    column_ohm[-1] += wiring.sense_ohm
    # What a segment carries is what all cells beyond it carry.
    along_rows = np.cumsum(through.sum(axis=1)[:, :, ::-1], axis=2)[:, :, ::-1]
    along_columns = np.cumsum(through, axis=2)
    assert np.allclose(solution.currents.reshape(along_columns[:, :, -1].shape), along_columns[:, :, -1], atol=1e-18)
    lost = np.abs(-np.diff(before, axis=2) - row_ohm * along_rows).max()
    return float(max(lost, np.abs(-np.diff(after, axis=2) - column_ohm * along_columns).max()))


@given(cases())
def test_the_exact_solution_obeys_ohm_and_kirchhoff(case: Case) -> None:
    """Of every segment, the voltage lost is its resistance times what the cells beyond it carry: to 1e-10 of 0.2 V."""
    assert kirchhoff(case) < 2e-11


@given(cases())
def test_effective_conductances_give_the_exact_currents(case: Case) -> None:
    exact = solve_exact(case.conductances, case.voltages, case.wiring).currents
    assert np.abs(effective_currents(case) - exact).max() <= CLOSE * case.scale


@pytest.mark.parametrize("shape", [(130, 7), (5, 131), (33, 64), (2, 19, 40), (9, 6, 5), (1, 1, 1)])
def test_effective_conductances_of_tiles_that_pieces_do_not_fill(shape: tuple[int, ...]) -> None:
    draws = np.random.default_rng(sum(shape))
    wiring = Wiring(row_wire_ohm=2.0, column_wire_ohm=3.0, source_ohm=100.0, sense_ohm=50.0)
    case = Case(draws.uniform(0, LARGEST_S, shape), draws.uniform(-1, 1, (3, shape[-2])), wiring)
    exact = solve_exact(case.conductances, case.voltages, wiring).currents
    assert np.abs(effective_currents(case) - exact).max() <= 1e-11 * case.scale


@pytest.mark.parametrize("size", [64, 128])
def test_another_solver_finds_the_same_currents(size: int, shared_dir: Path) -> None:
    """badcrossbar 1.1.0, of 10 vectors currents, of the first one the potentials of all nodes."""
    path = shared_dir / "oracles" / f"irdrop_{size}.npz"
    if not path.is_file():
        pytest.skip(f"needs the solved circuit {path}, and there is none")
    with np.load(path) as oracle:
        known = {name: oracle[name] for name in oracle.files}
    ohm = float(known["r_i"])
    case = Case(known["G"], known["V"].T, Wiring(row_wire_ohm=ohm, column_wire_ohm=ohm))
    solution = solve_exact(*case)
    np.testing.assert_allclose(solution.currents, known["I"], rtol=CLOSE)
    np.testing.assert_allclose(solution.row_volts[0], known["V_word"], rtol=CLOSE)
    np.testing.assert_allclose(solution.column_volts[0], known["V_bit"], rtol=CLOSE)
    np.testing.assert_allclose(effective_currents(case), known["I"], rtol=CLOSE)
    fast = solve_fast(*case)
    assert (np.abs(fast.currents - known["I"]) <= fast.bounds).all()
    assert (fast.bounds <= 1e-4 * fast.full_scale[:, np.newaxis]).all()


@pytest.mark.parametrize(
    ("cells", "siemens", "ohm", "ratio"),
    [
        (128, 25e-6, 1.0, 0.88141),
        (256, 25e-6, 1.0, 0.66770),
        (512, 25e-6, 1.0, 0.38503),
        (512, 5e-6, 0.35, 0.87041),
        (512, 100e-6, 1.0, 0.19432),
        (1024, 25e-6, 1.0, 0.19481),
    ],
)
def test_one_column_of_equal_cells(cells: int, siemens: float, ohm: float, ratio: float) -> None:
    """The current over that without wires, nearly ``tanh(x) / x`` with ``x = cells * sqrt(ohm * siemens)``."""
    column, ones = np.full((cells, 1), siemens), np.ones((1, cells))
    wiring = Wiring(row_wire_ohm=0.0, column_wire_ohm=ohm)
    ideal = cells * siemens
    assert solve_exact(column, ones, wiring).currents[0, 0] / ideal == pytest.approx(ratio, abs=5e-6)
    assert effective_conductances(column, wiring).sum() / ideal == pytest.approx(ratio, abs=5e-6)
    assert solve_fast(column, ones, wiring, tolerance=1e-6).currents[0, 0] / ideal == pytest.approx(ratio, abs=6e-6)
    x = cells * np.sqrt(ohm * siemens)
    assert ratio == pytest.approx(np.tanh(x) / x, rel=6e-3)


@given(cases(), st.floats(-3, 3), st.floats(-3, 3))
def test_superposition(case: Case, one: float, other: float) -> None:
    first, second = case.voltages[:1], case.voltages[-1:]
    together = solve_exact(case.conductances, one * first + other * second, case.wiring).currents
    apart = [solve_exact(case.conductances, part, case.wiring).currents for part in (first, second)]
    assert np.abs(together - one * apart[0] - other * apart[1]).max() <= 1e-11 * case.scale


def turned(conductances: np.ndarray) -> np.ndarray:
    """The tile whose rows are its columns, with the driven ends where the sensed ones were."""
    return conductances[::-1, ::-1].T


@given(st.integers(1, 12), st.integers(1, 12), wirings(), st.integers(0, 2**32 - 1))
def test_reciprocity(rows: int, columns: int, wiring: Wiring, seed: int) -> None:
    """A volt at a row's driver sends into a column's virtual ground what a volt there sends into the driver."""
    cells = np.random.default_rng(seed).uniform(0, LARGEST_S, (rows, columns))
    exchanged = Wiring(
        row_wire_ohm=wiring.column_wire_ohm,
        column_wire_ohm=wiring.row_wire_ohm,
        source_ohm=wiring.sense_ohm,
        sense_ohm=wiring.source_ohm,
    )
    forward = solve_exact(cells, np.eye(rows), wiring).currents
    backward = solve_exact(turned(cells), np.eye(columns), exchanged).currents
    np.testing.assert_allclose(turned(backward), forward, rtol=1e-10, atol=1e-18)
    assert np.abs(effective_conductances(cells, wiring) - forward).max() <= CLOSE * LARGEST_S


@given(cases())
def test_without_resistance_currents_are_the_product(case: Case) -> None:
    wiring = Wiring(row_wire_ohm=0.0, column_wire_ohm=0.0)
    product = np.moveaxis(case.voltages @ case.conductances, -2, 0)
    assert np.abs(solve_exact(case.conductances, case.voltages, wiring).currents - product).max() <= 1e-15 * case.scale
    assert np.abs(effective_conductances(case.conductances, wiring) - case.conductances).max() <= 1e-15 * LARGEST_S
    fast = solve_fast(case.conductances, case.voltages, wiring)
    assert np.abs(fast.currents - product).max() <= 1e-14 * case.scale


@pytest.mark.parametrize("power", [0, 2, 4])
def test_the_drop_vanishes_with_the_resistance_and_in_proportion(power: int) -> None:
    cells = np.random.default_rng(1).uniform(0, LARGEST_S, (20, 30))
    ohm = 10.0**-power
    wiring = Wiring(row_wire_ohm=ohm, column_wire_ohm=ohm)
    lost = cells.sum() - effective_conductances(cells, wiring).sum()
    # To first order each of the two sums of currents squared, once along the rows and once along the columns.
    along_rows = np.cumsum(cells[:, ::-1], axis=1)
    along_columns = np.cumsum(cells, axis=0)
    first_order = ohm * ((along_rows**2).sum() + (along_columns**2).sum())
    assert lost / first_order == pytest.approx(1.0, rel=0.1 * ohm + 1e-6)


@given(cases())
def test_ideal_rows_feed_planes_and_columns_that_do_not_know_of_each_other(case: Case) -> None:
    wiring = Wiring(row_wire_ohm=0.0, column_wire_ohm=case.wiring.column_wire_ohm, sense_ohm=case.wiring.sense_ohm)
    together = effective_conductances(case.conductances, wiring)
    columns = case.conductances.reshape(-1, *case.conductances.shape[-2:])
    alone = [[effective_conductances(plane[:, [n]], wiring)[:, 0] for n in range(plane.shape[1])] for plane in columns]
    assert np.abs(together - np.swapaxes(alone, 1, 2).reshape(together.shape)).max() <= 1e-12 * LARGEST_S


def test_planes_load_the_same_row_wire() -> None:
    """A pair of cells at a site draws what one cell of their sum draws, where columns lose nothing."""
    pair = np.random.default_rng(2).uniform(0, LARGEST_S, (2, 12, 9))
    wiring = Wiring(row_wire_ohm=5.0, column_wire_ohm=0.0, source_ohm=20.0)
    together = effective_conductances(pair.sum(axis=0), wiring)
    np.testing.assert_allclose(effective_conductances(pair, wiring).sum(axis=0), together, rtol=1e-12)
    apart = effective_conductances(pair[0], wiring)
    assert (effective_conductances(pair, wiring)[0] < apart).all()


def test_more_resistance_never_raises_the_current_of_a_positive_tile() -> None:
    cells = np.random.default_rng(3).uniform(0, LARGEST_S, (16, 16))
    names = ("row_wire_ohm", "column_wire_ohm", "source_ohm", "sense_ohm")
    base = dict.fromkeys(names, 1.0)
    before = effective_conductances(cells, Wiring(**base)).sum()
    for name in names:
        assert effective_conductances(cells, Wiring(**(base | {name: 2.0}))).sum() < before


def test_one_cell_in_series() -> None:
    wiring = Wiring(row_wire_ohm=10.0, column_wire_ohm=20.0, source_ohm=300.0, sense_ohm=4000.0)
    current = 0.2 / (1e4 + 4330.0)
    assert solve_exact(np.array([[1e-4]]), np.array([[0.2]]), wiring).currents[0, 0] == pytest.approx(current)
    assert effective_conductances(np.array([[1e-4]]), wiring)[0, 0] * 0.2 == pytest.approx(current)


def test_ends_of_far_more_resistance_than_segments_cost_no_digits() -> None:
    """Wires almost without resistance are as wires without: where a nodal system loses itself, pieces do not."""
    cells = np.random.default_rng(4).uniform(0, LARGEST_S, (9, 7))
    almost = Wiring(row_wire_ohm=1e-9, column_wire_ohm=1e-9, source_ohm=1e4, sense_ohm=1e4)
    none = Wiring(row_wire_ohm=0.0, column_wire_ohm=0.0, source_ohm=1e4, sense_ohm=1e4)
    exact = solve_exact(cells, np.eye(9), none).currents
    np.testing.assert_allclose(effective_conductances(cells, almost), exact, rtol=1e-10)
    np.testing.assert_allclose(effective_conductances(cells, none), exact, rtol=1e-12)


def test_no_vectors_no_currents() -> None:
    wiring = Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0)
    assert solve_exact(np.ones((3, 2)) * 1e-6, np.empty((0, 3)), wiring).currents.shape == (0, 2)
    assert solve_fast(np.ones((3, 2)) * 1e-6, np.empty((0, 3)), wiring).currents.shape == (0, 2)


@pytest.mark.parametrize("name", ["row_wire_ohm", "column_wire_ohm", "source_ohm", "sense_ohm"])
@pytest.mark.parametrize("ohm", [-1.0, np.inf, np.nan])
def test_wires_that_are_none(name: str, ohm: float) -> None:
    given: dict[str, Any] = {"row_wire_ohm": 1.0, "column_wire_ohm": 1.0, name: ohm}
    with pytest.raises(HardwareError, match=rf"{name} = .* is not the resistance of a wire"):
        Wiring(**given)


@pytest.mark.parametrize(
    "solve", [solve_exact, solve_fast, lambda cells, _, wiring: effective_conductances(cells, wiring)]
)
def test_tiles_and_inputs_that_are_none(solve: Any) -> None:
    wiring = Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0)
    volts = np.ones((1, 2))
    for cells in (np.ones(2), np.ones((0, 2)), np.ones((1, 1, 2, 2))):
        with pytest.raises(UsageError, match=r"conductances of the shape \(.*\) are no tile"):
            solve(cells, volts, wiring)
    for cell in (-1e-6, np.nan, np.inf):
        with pytest.raises(UsageError, match=r"conductances from .* to .* S are no cells"):
            solve(np.array([[1e-6, cell], [0, 0]]), volts, wiring)
    with pytest.raises(
        HardwareError, match=r"2000 ohm in the wires of a tile whose best cell has 1 ohm leaves no current"
    ):
        solve(np.ones((2, 2)), volts, Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0, sense_ohm=2000.0))


@pytest.mark.parametrize("solve", [solve_exact, solve_fast])
def test_voltages_that_drive_no_row(solve: Any) -> None:
    cells, wiring = np.full((2, 3), 1e-6), Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0)
    for volts in (np.ones(2), np.ones((1, 3))):
        with pytest.raises(UsageError, match=r"voltages of the shape \(.*\) do not drive a tile of 2 rows"):
            solve(cells, volts, wiring)
    with pytest.raises(UsageError, match="a row cannot be driven with a voltage that is no finite number"):
        solve(cells, np.array([[1.0, np.nan]]), wiring)
