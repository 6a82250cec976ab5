"""How the codes of columns add up to a product, beyond the shift-and-add of slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarc.ir.partition import Partition


@dataclass(frozen=True, slots=True)
class Recombination:
    """``sum = sum over slices s of weight[s] * (sign * column code + reference * code of the reference column)``.

    Without one, a column counts once and its reference column, where there is one, minus once.

    Attributes:
        signs: ``(S, D, C)`` float64, 1 or -1; ``C`` runs over the columns of a diagonal that hold weights.
        references: ``(S, D, C)`` float64; zeros where there are no reference columns.
    """

    signs: np.ndarray
    references: np.ndarray


def flip_columns(levels: np.ndarray, partition: Partition, *, highest: float, zero_levels: np.ndarray) -> Recombination:
    """ISAAC's bias and flip: a column that holds more than half of what it could is stored as its complement.

    The reference column holds level 1, so that it reads the sum of the inputs: times ``highest``, it gives back what
    flipping took; times the level that stands for zero, it takes off the bias of the offset code (Shafiee et al., ISCA
    2016, section V).

    Args:
        levels: ``(S, 1, D, R, C)`` of an offset code; flipped in place.
        partition: with reference columns.
        highest: level of a cell.
        zero_levels: ``(S,)``, the levels that stand for zero.
    """
    data = np.array(partition.data_columns)
    slices, _, stacked = levels.shape[:3]
    signs = np.ones((slices, stacked, len(data)))
    references = np.broadcast_to(-zero_levels.astype(np.float64)[:, None, None], signs.shape).copy()
    for place in range(stacked):
        rows = partition.rows_in(*divmod(place, partition.row_blocks))
        for each in range(slices):
            block = levels[each, 0, place, :rows]
            full = block[:, data].sum(axis=0, dtype=np.float64)
            flipped = data[2.0 * full > rows * highest]
            block[:, flipped] = highest - block[:, flipped].astype(np.float64)
            chosen = np.isin(data, flipped)
            signs[each, place, chosen] = -1.0
            references[each, place, chosen] += highest
    return Recombination(signs, references)
