"""Which rows and columns of tiles the lines of blocks are laid on, so that faulty cells do the least harm.

Letters in shapes: ``P`` cells a weight, ``R`` rows and ``C`` columns of a block, ``A`` rows and ``B`` columns of a tile
that they may lie on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

#: Each round assigns columns, and then rows. Most of the gain comes in the first two.
_ROUNDS: Final = 8
#: What is not less by more than rounding is as good.
_LESS: Final = 1 - 1e-9
#: Terms of a weight's squared error, for a pair: 1, t+, t-, t+^2, t-^2, t+ t-. With the two exchanged:
_EXCHANGED: Final = (0, 2, 1, 4, 3, 5)


@dataclass(frozen=True, slots=True)
class Patch:
    """A block, and the cells that it may lie on.

    Attributes:
        targets: ``(P, R, C)`` what its cells are to hold, in levels. The weight is the first less the second.
        held: ``(P, A, B)`` what the cells of a tile hold for ever; NaN where they hold what is written. As compiled,
            row ``i`` lies on row ``i``, and column ``j`` on column ``j``.
        counts: ``(C,)`` what the squared error of a weight of each column counts.
        movable: ``(C,)`` whether a column may lie elsewhere; where others may not lie is not among ``B``, or theirs.
    """

    targets: np.ndarray
    held: np.ndarray
    counts: np.ndarray
    movable: np.ndarray


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where the lines of blocks lie that share their rows.

    Attributes:
        rows: ``(R,)`` of ``A``, each at most once.
        columns: of each block ``(C,)`` of ``B``, likewise.
        swapped: of each block ``(C,)``, whether the cells of its pairs lie in each other's place.
        before, after: summed squared error, in levels times ``counts``, as compiled and so.
    """

    rows: np.ndarray
    columns: tuple[np.ndarray, ...]
    swapped: tuple[np.ndarray, ...]
    before: float
    after: float


def assign_lines(patches: Sequence[Patch], *, rounds: int = _ROUNDS) -> Assignment:
    """Lay blocks so that faulty cells change their weights little.

    The error is the sum over weights that meet a faulty cell of ``(held - target)^2``, of a pair's difference as a
    whole. With the columns where they are, the best rows are a linear assignment, and with the rows where they are the
    best columns, each in the better of the two polarities. The two take turns until neither helps. What comes out is
    never worse than as compiled, and the best for either kind of line by itself, though not always for both.

    Args:
        patches: blocks that are driven by the same rows; at least one.
        rounds: at most.
    """
    blocks = [_Block(patch) for patch in patches]
    heights = patches[0].targets.shape[1], patches[0].held.shape[1]
    rows = np.arange(heights[0])
    before = sum(block.error(rows) for block in blocks)
    after = before
    for _ in range(rounds):
        started = after
        for block in blocks:
            block.lay_columns(rows)
        cost = np.sum([block.row_errors() for block in blocks], axis=0)
        rows = _better(rows, cost)
        after = float(cost[np.arange(len(rows)), rows].sum())
        if not after < started * _LESS:
            break
    columns, swapped = (tuple(getattr(block, name) for block in blocks) for name in ("columns", "swapped"))
    return Assignment(rows, columns, swapped, before, after)


class _Block:
    """A block on its way, where its columns lie now."""

    def __init__(self, patch: Patch) -> None:
        cells, self._height, count = patch.targets.shape
        _, self._rows, self._columns = patch.held.shape
        self.columns, self.swapped = np.arange(count), np.zeros(count, dtype=bool)
        self._movable = np.flatnonzero(patch.movable)
        # A column that stays bars its place to the others.
        self._places = np.setdiff1d(np.arange(self._columns), np.flatnonzero(~patch.movable))
        #: The faulty sites, and the coefficients of the terms of an error there: ``(terms, sites)``.
        faulty = ~np.isnan(patch.held)
        self._at_row, self._at_column = np.nonzero(faulty.any(axis=0))
        broken = faulty[:, self._at_row, self._at_column].astype(np.float64)
        held = np.where(broken > 0, patch.held[:, self._at_row, self._at_column], 0.0).astype(np.float64)
        self._paired = cells == 2
        self._coefficients = _pair_coefficients(held, broken) if self._paired else _coefficients(held[0], broken[0])
        #: The terms of each weight: ``(terms, C, R)``, and ``(terms, R, C)``.
        target = patch.targets.astype(np.float64)
        one = np.ones_like(target[0])
        terms = (one, *target, *np.square(target), *((target[0] * target[1],) if self._paired else ()))
        self._by_row = np.stack(terms) * patch.counts
        self._by_column = np.ascontiguousarray(self._by_row.transpose(0, 2, 1))

    def error(self, rows: np.ndarray) -> float:
        """Summed squared error with the rows on some of a tile, and the columns where they are."""
        return float(self.row_errors()[np.arange(len(rows)), rows].sum())

    def row_errors(self) -> np.ndarray:
        """The error that each row has on each row of the tile, ``(R, A)``."""
        count = len(self.columns)
        across = np.full(self._columns, -1)
        across[self.columns] = np.arange(count)
        column = across[self._at_column]
        met = column >= 0
        column, row = column[met], self._at_row[met]
        coefficients = self._coefficients[:, met]
        if self._paired:
            coefficients = np.where(self.swapped[column], coefficients[_EXCHANGED, :], coefficients)
        return _errors(coefficients, row, column, self._by_column, lines=self._rows)

    def lay_columns(self, rows: np.ndarray) -> None:
        """Lay the columns where they do the least harm, with the rows where they are."""
        down = np.full(self._rows, -1)
        down[rows] = np.arange(len(rows))
        row = down[self._at_row]
        met = row >= 0
        row, column, coefficients = row[met], self._at_column[met], self._coefficients[:, met]
        each = [_errors(coefficients, column, row, self._by_row, lines=self._columns)]
        if self._paired:
            each.append(_errors(coefficients[_EXCHANGED, :], column, row, self._by_row, lines=self._columns))
        cost = np.stack(each)
        index = np.arange(len(self.columns))
        now = cost[self.swapped.astype(np.intp), index, self.columns].sum()
        least = cost.min(axis=0)
        columns = self.columns.copy()
        chosen = linear_sum_assignment(least[np.ix_(self._movable, self._places)])[1]
        columns[self._movable] = self._places[chosen]
        if least[index, columns].sum() < now * _LESS:
            self.columns, self.swapped = columns, cost.argmin(axis=0)[index, columns].astype(bool)


def _coefficients(held: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Of ``(held - target)^2`` where a cell is faulty: of 1, target, target^2."""
    return np.stack([np.square(held), -2 * held, broken])


def _pair_coefficients(held: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Of ``(h+ - h- - f+ t+ + f- t-)^2``: ``f`` is 1 for a faulty cell, else 0, and ``h`` is 0 then; ``(2, sites)``."""
    change = held[0] - held[1]
    first, second = broken
    crossed = [-2 * change * first, 2 * change * second, first, second, -2 * first * second]
    return np.stack([np.square(change), *crossed])


def _errors(
    coefficients: np.ndarray, line: np.ndarray, across: np.ndarray, terms: np.ndarray, *, lines: int
) -> np.ndarray:
    """What each line of a block would add to the error on each line of the tile, ``(lines of the block, lines)``.

    Args:
        coefficients: ``(terms, sites)`` of the faulty sites.
        line: of the tile, that each is on, ``(sites,)``.
        across: which of the block's crossing lines meets it there.
        terms: ``(terms, crossing lines, lines of the block)``.
        lines: of the tile.
    """
    count, crossing, _ = terms.shape
    places = (np.arange(count)[:, None] * crossing + across).ravel()
    shape = (lines, count * crossing)
    met = csr_array((coefficients.ravel(), (np.tile(line, count), places)), shape=shape)
    found: np.ndarray = (met @ terms.reshape(count * crossing, -1)).T
    return found


def _better(lines: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """The best lines, or those that there are where no others are better."""
    index = np.arange(len(lines))
    found: np.ndarray = linear_sum_assignment(cost)[1]
    return found if cost[index, found].sum() < cost[index, lines].sum() * _LESS else lines
