"""Laws that several kinds of cells obey: polynomials of the state, power-law drift, 1/f noise, uniform errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.floating[Any]]


def polynomial(coefficients: tuple[float, ...], x: _Floats) -> _Floats:
    """``sum coefficients[i] x^i``, constant first, in the precision of ``x``."""
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= x
        value += coefficient
    return value


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


def grown_sigma(now: _Floats, before: _Floats) -> _Floats:
    """``sqrt(now^2 - before^2)``: of what is to be added, independently, to a spread ``before`` for it to be ``now``.

    0 where it shrank.
    """
    grown: _Floats = np.sqrt(np.maximum(np.square(now) - np.square(before), 0.0))
    return grown


def centred_uniforms(xi: _Floats) -> _Floats:
    """Standard-normal numbers as numbers that are uniform from -1/2 to 1/2: the normal distribution's less 1/2.

    By the rational approximation 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions (1964), which is
    within 1e-7: numpy has no error function.
    """
    z = np.abs(xi) * math.sqrt(0.5)
    u = 1.0 / (1.0 + 0.3275911 * z)
    tail = u * polynomial((0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429), u) * np.exp(-z * z)
    uniforms: _Floats = np.copysign(0.5 - 0.5 * tail, xi)
    return uniforms
