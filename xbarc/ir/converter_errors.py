"""What is wrong with the converters of a written chip, layer by layer.

Letters in shapes as in :mod:`xbarc.ir.operators`; ``P`` are the polarities that are converted apart, and ``C`` the
columns that are converted: without reference columns where these are subtracted in the currents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class AdcErrors:
    """Errors of the ADCs behind the columns of a layer, in output codes: ``v + inl(v)``, rounded and clipped then.

    ``v = current / lsb * gain + offset``; ``inl`` has its values at equal steps from the lowest code to the highest,
    with straight lines between, and goes on beyond as at the ends.

    Attributes:
        gain: ``(S, P, D, C)`` float32; 1 where there is no error.
        offset: ``(S, P, D, C)`` float32.
        inl: ``(S, P, D, K, C)`` float32, ``K`` values of each converter, at least 2; ``None``: there is none.
    """

    gain: np.ndarray
    offset: np.ndarray
    inl: np.ndarray | None


@dataclass(frozen=True, slots=True)
class AppliedLevels:
    """What the DACs of a layer apply, in input codes.

    Attributes:
        levels: float64, one for each code that a read can apply, the lowest first.
        low: the lowest code.
        grid: what the levels are whole multiples of, a power of two: sums of a read in float64 are exact on it.
    """

    levels: np.ndarray
    low: int
    grid: float
