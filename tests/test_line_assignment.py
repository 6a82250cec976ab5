"""Lines of blocks laid around faulty cells, against every way there is to lay them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.runtime.line_assignment import Assignment, Patch, assign_lines


def patch(
    seed: int,
    *,
    cells: int,
    block: tuple[int, int],
    tile: tuple[int, int],
    rate: float = 0.3,
    movable: np.ndarray | None = None,
) -> Patch:
    """A block of whole levels on a tile with faults that hold 0, 15 or, where dead, -1."""
    rng = np.random.default_rng(seed)
    faults = rng.choice([0.0, 15.0, -1.0, np.nan], size=(cells, *tile), p=[rate / 3] * 3 + [1 - rate])
    counts = rng.integers(1, 4, block[1]).astype(np.float64)
    stays = np.ones(block[1], dtype=bool) if movable is None else movable
    return Patch(rng.integers(0, 16, (cells, *block)), faults, counts, stays)


def error(found: Patch, rows: Sequence[int], columns: Sequence[int], swapped: Sequence[bool]) -> float:
    """The summed squared error, weight by weight, from its definition."""
    total = 0.0
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        change, signs = 0.0, (1.0, -1.0)
        for place, sign in zip(range(len(found.targets)), signs, strict=False):
            held = found.held[place, row, column]
            meant = found.targets[1 - place if swapped[j] else place, i, j]
            change += sign * (0.0 if np.isnan(held) else held - meant)
        total += change**2 * found.counts[j]
    return total


def ways(found: Patch) -> Iterator[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """Every way to lay the columns of a block."""
    cells, _, count = found.targets.shape
    for columns in itertools.permutations(range(found.held.shape[2]), count):
        if all(column == j for j, column in enumerate(columns) if not found.movable[j]):
            for swapped in itertools.product((False, True) if cells == 2 else (False,), repeat=count):
                yield columns, swapped


def total(patches: Sequence[Patch], laid: Assignment) -> float:
    return sum(error(each, laid.rows.tolist(), *way) for each, way in zip(patches, columns_of(laid), strict=True))


def columns_of(laid: Assignment) -> Iterator[tuple[list[int], list[bool]]]:
    for columns, swapped in zip(laid.columns, laid.swapped, strict=True):
        yield columns.tolist(), swapped.tolist()


def as_compiled(patches: Sequence[Patch]) -> float:
    return sum(
        error(each, range(each.targets.shape[1]), range(width), [False] * width)
        for each in patches
        for width in [each.targets.shape[2]]
    )


@given(st.integers(0, 2**32), st.sampled_from([1, 2]), st.sampled_from([0, 1]))
@settings(max_examples=25, deadline=None)
def test_no_way_is_better_than_the_best_and_what_is_found_is_never_worse_than_as_compiled(
    seed: int, cells: int, spare: int
) -> None:
    """Over all orders of 3 rows and 2 columns on a tile with or without a spare line of each, and all polarities."""
    found = patch(seed, cells=cells, block=(3, 2), tile=(3 + spare, 2 + spare))
    laid = assign_lines([found])
    best = min(error(found, rows, *way) for rows in itertools.permutations(range(3 + spare), 3) for way in ways(found))
    assert laid.before == pytest.approx(as_compiled([found]))
    assert laid.after == pytest.approx(total([found], laid))
    assert best <= laid.after + 1e-9
    assert laid.after <= laid.before
    assert len(set(laid.rows.tolist())) == 3
    assert len(set(laid.columns[0].tolist())) == 2


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_rows_of_several_blocks_are_the_best_where_columns_stay(seed: int) -> None:
    stay = np.zeros(2, dtype=bool)
    several = [patch(seed + k, cells=1, block=(4, 2), tile=(5, 2), movable=stay) for k in range(2)]
    laid = assign_lines(several)
    every = [
        sum(error(each, rows, (0, 1), (False, False)) for each in several)
        for rows in itertools.permutations(range(5), 4)
    ]
    assert total(several, laid) == pytest.approx(min(every))
    assert all(columns.tolist() == [0, 1] for columns in laid.columns)


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=25, deadline=None)
def test_columns_and_polarities_are_the_best_where_rows_stay(seed: int, one_stays: bool) -> None:
    movable = np.array([True, not one_stays, True])
    found = patch(seed, cells=2, block=(1, 3), tile=(1, 4), movable=movable)
    if one_stays:
        found = Patch(found.targets[:1], found.held[:1], found.counts, movable)
    laid = assign_lines([found])
    assert total([found], laid) == pytest.approx(min(error(found, [0], *way) for way in ways(found)))


def test_the_lightest_row_lies_on_the_dead_one() -> None:
    weights = np.array([[9, 8], [0, 1], [7, 7]])
    held = np.full((2, 3, 2), np.nan)
    held[:, 2] = 0.0
    laid = assign_lines([Patch(np.stack([weights, np.zeros_like(weights)]), held, np.ones(2), np.ones(2, dtype=bool))])
    assert laid.rows[1] == 2
    assert (laid.before, laid.after) == (98.0, 1.0)


def test_lines_stay_where_nothing_is_faulty() -> None:
    sound = patch(0, cells=2, block=(5, 4), tile=(8, 8), rate=0.0)
    laid = assign_lines([sound, sound])
    assert laid.rows.tolist() == [0, 1, 2, 3, 4]
    assert list(columns_of(laid)) == [([0, 1, 2, 3], [False] * 4)] * 2
    assert laid.before == laid.after == 0.0


@given(st.integers(0, 2**32), st.floats(0.001, 0.9))
@settings(max_examples=15, deadline=None)
def test_larger_blocks_are_never_worse_and_the_same_again(seed: int, rate: float) -> None:
    several = [patch(seed + k, cells=k + 1, block=(12, 9), tile=(14, 11), rate=rate) for k in range(2)]
    one, two = assign_lines(several), assign_lines(several)
    assert one.after == pytest.approx(total(several, one))
    assert one.after <= one.before
    assert one.rows.tolist() == two.rows.tolist()
    assert list(columns_of(one)) == list(columns_of(two))
