"""What currents the cells of a layer can give, and how fine a converter must be to lose none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarc.compiled import compiled
from xbarc.ir.layer import Layer
from xbarc.ir.operators import CodeRange


@dataclass(frozen=True, slots=True)
class Currents:
    """What each read can give at its columns, over all input codes or digits that it can be given.

    Letters in shapes: ``S`` slices, ``A`` sides that are converted apart (1 or 2), ``D`` blocks, ``I`` input digits.

    Attributes:
        lowest, highest: ``(S, A, D, I)`` float64, the ends of its currents; never above, never below 0.
        steps: ``(S, A, D)`` int64, the largest number that all its currents are whole multiples of, 0 where there are
            none; ``None`` where currents are no whole numbers: ``g_min`` adds a fraction of a unit, or codes or levels
            are not quantised.
    """

    lowest: np.ndarray
    highest: np.ndarray
    steps: np.ndarray | None

    @property
    def reach(self) -> float:
        """The largest magnitude of any current."""
        return max(float(self.highest.max(initial=0.0)), -float(self.lowest.min(initial=0.0)))

    @property
    def step(self) -> int | None:
        """As ``steps``, of all reads together."""
        return None if self.steps is None else int(np.gcd.reduce(self.steps.reshape(-1), initial=0))


def currents_of(layer: Layer) -> Currents:
    """The currents of a layer's reads, from the levels of its cells."""
    read = layer.read
    whole = layer.in_whole_units and read.pedestal.is_integer()
    slices, polarities, places = read.levels.shape[:3]
    sides = polarities if layer.single_ended else 1
    lowest, highest = np.zeros((2, slices, sides, places))
    steps = np.zeros((slices, sides, places), dtype=np.int64)
    codes = CodeRange(0, 1) if read.digits is not None else layer.applied or CodeRange(-1, 1)
    for number, place, cells, columns in _blocks(layer):
        for side, terms in enumerate(_terms(layer, cells, columns)):
            positive, negative = _column_sums(terms)
            highest[number, side, place] = (positive * codes.high - negative * codes.low).max(initial=0.0)
            lowest[number, side, place] = (positive * codes.low - negative * codes.high).min(initial=0.0)
            if whole:
                steps[number, side, place] = _common_divisor(terms)
    digits = np.ones(1) if read.digits is None else np.array([float(digit.high) for digit in read.digits.reads])
    return Currents(lowest[..., None] * digits, highest[..., None] * digits, steps if whole else None)


def lossless_bits(currents: Currents, *, signed: bool) -> np.ndarray | None:
    """The fewest bits of an ADC with a code for each current of a read, where one code stands for the read's step.

    ``(S, A, D, I)`` int64; ``None`` where steps are.
    """
    if currents.steps is None:
        return None
    reach = np.maximum(currents.highest, -currents.lowest)
    return _bits(reach, currents.steps[..., None], signed=signed)


def common_lossless_bits(currents: Currents, *, signed: bool) -> int | None:
    """As :func:`lossless_bits`, where all reads share one range, and so one step."""
    step = currents.step
    return None if step is None else int(_bits(np.array(currents.reach), np.array(step), signed=signed))


def lossless_reads(currents: Currents, *, codes: CodeRange, lsb: float) -> np.ndarray:
    """Whether each current of a read is a whole number of codes, none of them beyond the range: ``(S, A, D, I)``."""
    if currents.steps is None:
        return np.zeros(currents.highest.shape, dtype=bool)
    whole = np.fmod(currents.steps.astype(np.float64), lsb) == 0.0
    within = (codes.low * lsb <= currents.lowest) & (currents.highest <= codes.high * lsb)
    found: np.ndarray = within & whole[..., None]
    return found


def _bits(reach: np.ndarray, step: np.ndarray, *, signed: bool) -> np.ndarray:
    codes = np.floor_divide(reach, np.maximum(step, 1))
    found: np.ndarray = np.maximum(np.frexp(codes)[1] + int(signed), 1).astype(np.int64)
    return found


def _blocks(layer: Layer) -> Iterator[tuple[int, int, np.ndarray, int]]:
    """Slice and place of each block, its cells ``(P, rows, C)``, and how many columns hold weights.

    Without what pads short diagonals; reference columns are in place.
    """
    partition = layer.read.partition
    for number, slice_levels in enumerate(layer.read.levels):
        for place in range(partition.stacked):
            diagonal, row_block = divmod(place, partition.row_blocks)
            cells = slice_levels[:, place, : partition.rows_in(diagonal, row_block)]
            columns = partition.columns * partition.groups_in(diagonal)
            if columns < partition.diagonal_columns:  # such a diagonal is one block, its reference column the last
                kept = [*range(columns), *([-1] if partition.reference_column else [])]
                cells = cells[..., kept]
            yield number, place, cells, columns


def _terms(layer: Layer, cells: np.ndarray, columns: int) -> Iterator[np.ndarray]:
    """Of each side of a block, what an input code 1 at each row adds to each column: ``(rows, C)``."""
    partition = layer.read.partition
    dtype = np.int32 if cells.dtype.kind == "u" else np.float64
    if len(cells) == 2 and not layer.single_ended:
        yield np.subtract(cells[0], cells[1], dtype=dtype)
        return
    wide: np.ndarray = cells.astype(dtype)
    if layer.single_ended:
        yield from wide + layer.read.pedestal if layer.read.pedestal else wide
        return
    if partition.reference_column:
        short = columns < partition.diagonal_columns
        references = [columns] * columns if short else partition.reference_columns
        wide = wide[..., partition.data_columns[:columns]] - wide[..., references]
    yield wide[0]


@compiled
def _column_sums(terms):  # type: ignore[no-untyped-def]
    """Of each column of a two-dimensional array, the sums of its positive numbers and of those below 0, negated."""
    positive, negative = np.zeros(terms.shape[1]), np.zeros(terms.shape[1])
    for row in terms:
        for column in range(row.size):
            positive[column] += max(row[column], 0)
            negative[column] += max(-row[column], 0)
    return positive, negative


@compiled
def _common_divisor(terms):  # type: ignore[no-untyped-def]
    """The largest number that all of a two-dimensional array are whole multiples of; 0 where all are 0."""
    found = np.int64(0)
    for row in terms:
        for term in row:
            other = abs(np.int64(term))
            while other:
                found, other = other, found % other
            if found == 1:
                return found
    return found
