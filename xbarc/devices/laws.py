"""Laws that several kinds of cells obey: power-law drift and 1/f noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.floating[Any]]


def power_law_drift(g_programmed: _Floats, nu: _Floats, *, t_s: float, t0_s: float) -> _Floats:
    """``g_programmed * ((t0_s + t_s) / t0_s) ** -nu``: exactly ``g_programmed`` at ``t_s = 0``."""
    drifted: _Floats = g_programmed * np.exp(-math.log1p(t_s / t0_s) * nu)
    return drifted


def one_over_f_span(t_s: float, *, t_read_s: float) -> float:
    """Variance at ``t_s`` seconds after programming of noise with the spectral density ``1 / f``.

    The integral of ``1 / f`` from ``1 / (t_s + t_read_s)``, the slowest that has shown, to ``1 / (2 t_read_s)``, the
    fastest that a read pulse of ``t_read_s`` lets through. ``t_s`` must be above ``t_read_s``.
    """
    return math.log((t_s + t_read_s) / (2 * t_read_s))


def one_over_f_fast_share(t_s: float, *, t_read_s: float, t_inference_s: float) -> float:
    """Share of :func:`one_over_f_span` that lies above the frequency ``1 / t_inference_s``.

    1 where the inference is longer than all the time since programming: there is nothing slower yet. 0 where it is
    shorter than two read pulses: nothing that it sees changes within it.
    """
    span = one_over_f_span(t_s, t_read_s=t_read_s)
    fast = math.log(t_inference_s / (2 * t_read_s))
    return min(max(fast / span, 0.0), 1.0)
