"""What the currents of cells are beyond conductance times voltage, on a written chip whose cells are no resistors.

Letters in shapes as in :mod:`xbarc.ir.operators`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class NonlinearCurrents:
    """Of the cells of a layer: ``sum_t cells[t] * curves[t][code - low]``, added to level times applied level.

    All are on grids, powers of two, on which every sum of a read is exact in float64.

    Attributes:
        cells: ``(T, S, P, D, R, C)`` float32, in conductance steps.
        curves: ``(T, codes)`` float64, in input codes: one number for each code that a read can apply, the lowest
            first.
        low: the lowest code.
    """

    cells: np.ndarray
    curves: np.ndarray
    low: int
