"""What currents the cells of a layer can give, and how fine a converter must be to lose none."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xbarc.ir.layer import Layer
from xbarc.ir.operators import CodeRange


def current_bounds(layer: Layer) -> tuple[float, float]:
    """The smallest and the largest current that any column of any block can give, over all admissible input codes."""
    codes = layer.applied or CodeRange(-1, 1)
    lowest = highest = 0.0
    for cells, columns in _blocks(layer):
        for positive, negative in _column_sums(layer, cells, columns):
            highest = max(highest, float((positive * codes.high - negative * codes.low).max()))
            lowest = min(lowest, float((positive * codes.low - negative * codes.high).min()))
    return lowest, highest


def current_step(layer: Layer) -> int | None:
    """The largest number that every current of every column is a whole multiple of, for whatever input codes.

    0 where there are no currents; ``None`` where they are no whole numbers: ``g_min`` adds a fraction of a unit, or
    codes or levels are not quantised.
    """
    if layer.unquantised or not layer.read.pedestal.is_integer():
        return None
    step = 0
    for cells, columns in _blocks(layer):
        if layer.single_ended:
            terms = cells.astype(np.int64) + int(layer.read.pedestal)
        else:
            terms = _differences(layer, cells, columns)
        step = math.gcd(step, int(np.gcd.reduce(terms.reshape(-1), initial=0)))
        if step == 1:
            break
    return step


def lossless_bits(step: int | None, bounds: tuple[float, float], *, signed: bool) -> int | None:
    """The fewest bits of an ADC with a code for each current, where one code stands for ``step``.

    ``None`` where ``step`` is.
    """
    if step is None:
        return None
    reach = int(max(bounds[1], -bounds[0])) // (step or 1)
    return max(reach.bit_length() + int(signed), 1)


def is_lossless(step: int | None, bounds: tuple[float, float], *, codes: CodeRange, lsb: float) -> bool:
    """Whether each current is a whole number of codes, none of them beyond the range."""
    if step is None or not (step / lsb).is_integer():
        return False
    return codes.low * lsb <= bounds[0] and bounds[1] <= codes.high * lsb


def _blocks(layer: Layer) -> Iterator[tuple[np.ndarray, int]]:
    """The cells of each slice and row block of a diagonal, ``(P, rows, C)``, and how many columns hold weights.

    Without what pads short diagonals; reference columns are in place.
    """
    partition = layer.read.partition
    for slice_levels in layer.read.levels:
        for place in range(partition.stacked):
            diagonal, row_block = divmod(place, partition.row_blocks)
            cells = slice_levels[:, place, : partition.rows_in(diagonal, row_block)]
            columns = partition.columns * partition.groups_in(diagonal)
            if columns < partition.diagonal_columns:  # such a diagonal is one block, its reference column the last
                kept = [*range(columns), *([-1] if partition.reference_column else [])]
                cells = cells[..., kept]
            yield cells, columns


def _column_sums(layer: Layer, cells: np.ndarray, columns: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each current of a block, the sums of its positive and of its negative terms a column, for input code 1."""
    if layer.single_ended:
        for plane in cells:
            total = plane.sum(axis=0, dtype=np.uint64 if plane.dtype.kind == "u" else np.float64).astype(np.float64)
            yield total + len(plane) * layer.read.pedestal, np.zeros_like(total)
        return
    terms = _differences(layer, cells, columns)
    positive = np.maximum(terms, 0).sum(axis=0, dtype=np.float64)
    negative = np.maximum(-terms, 0).sum(axis=0, dtype=np.float64)
    yield positive, negative


def _differences(layer: Layer, cells: np.ndarray, columns: int) -> np.ndarray:
    """What an input code 1 at each row adds to each column, subtracted: ``(rows, C)`` int32 or float64."""
    partition = layer.read.partition
    wide: np.ndarray = cells.astype(np.int32 if cells.dtype.kind == "u" else np.float64)
    if partition.reference_column:
        short = columns < partition.diagonal_columns
        references = [columns] * columns if short else partition.reference_columns
        wide = wide[..., partition.data_columns[:columns]] - wide[..., references]
    terms: np.ndarray = wide[0] - wide[1] if len(wide) == 2 else wide[0]
    return terms
