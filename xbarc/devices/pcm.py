"""Phase-change memory, by the statistics of a measured array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances, Exponents
from xbarc.devices.laws import one_over_f_fast_share, one_over_f_span, power_law_drift
from xbarc.devices.parameters import ParametricDevice, parameter

# All coefficients: Nandakumar 2019, with the digits of aihwkit 1.2.0 (PCMLikeNoiseModel). The headings are those of the
# chapter "Inference and PCM statistical model" of its documentation. x is g_target / g_max.

# Programming noise: sigma in siemens over a range of 25 uS, a polynomial of x, constant first.
_G_MAX_REFERENCE: Final = 25e-6
_PROGRAMMING: Final = (0.26348e-6, 1.9650e-6, -1.1731e-6)

# Drift: mean and standard deviation of the exponent are slope * ln x + offset, kept within their limits.
_NU_MEAN_SLOPE, _NU_MEAN_OFFSET, _NU_MEAN_LIMITS = -0.0155, 0.0244, (0.049, 0.1)
_NU_SIGMA_SLOPE, _NU_SIGMA_OFFSET, _NU_SIGMA_LIMITS = -0.0125, -0.0059, (0.008, 0.045)
_LOWEST_X: Final = 1e-7  # so that ln x is finite; both limits bind long before

# Read noise: the square root of the spectral density times f, over g, is Q = coefficient / x^exponent up to a limit.
_Q_COEFFICIENT: Final = 0.0088
_Q_EXPONENT: Final = 0.65
_Q_LIMIT: Final = 0.2
_LOWEST_POWER_OF_X: Final = 1e-3  # so that Q of an empty cell is finite; the limit binds long before
_T_READ_S: Final = 250e-9  # width of a read pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmDevice(ParametricDevice):
    """Phase-change memory: programming error, drift and 1/f read noise, each dependent on the state of the cell.

    A cell of target 0 is not free of error: it keeps what of its programming error is above 0.

    Q depends on the programmed conductance, as in aihwkit; the papers give it over the target.

    Not modelled: temperature; correlation of 1/f noise between one time of evaluation and another, or between reads;
    random telegraph noise beyond its share in the 1/f fit; correlation of a cell's programming error with its drift;
    tails of the programming error that are not normal; drift between the last pulse and ``t0_s``; loss of the
    amorphous phase by crystallisation; the cell's nonlinear current over voltage; different behaviour of cells along
    the array.
    """

    name: ClassVar[str] = "pcm"
    description: ClassVar[str] = "phase-change memory: programming error, drift and 1/f read noise of a measured array"
    sources: ClassVar[tuple[str, ...]] = (
        "S. R. Nandakumar et al., Phase-change memory models for deep learning training and inference, ICECS 2019, "
        "doi:10.1109/ICECS46596.2019.8964852",
        "V. Joshi et al., Accurate deep neural network inference using computational phase-change memory, Nature "
        "Communications 11, 2473 (2020)",
        "aihwkit 1.2.0, PCMLikeNoiseModel and the chapter on it in the documentation (coefficients)",
    )
    t0_s: ClassVar[float] = 20.0
    # The power law has no end of its own. Ten years is what phase-change memory retains data for at room temperature
    # (documentation of aihwkit, as above): beyond, other processes than drift decide.
    t_max_s: ClassVar[float] = 10 * 365 * 86400.0
    g_max_reference: ClassVar[float | None] = _G_MAX_REFERENCE

    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)
    drift_scale: float = parameter(1.0, "factor on the drift exponents", high=100)
    read_scale: float = parameter(1.0, "factor on the standard deviation of the read noise", high=100)

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """A parabola over the target: 0.26 uS for an empty cell, 1.08 uS at its top, for ``g_max`` of 25 uS."""
        constant, linear, square = _PROGRAMMING
        x = g_target / g_max
        return self.programming_scale * g_max / _G_MAX_REFERENCE * (constant + x * (linear + x * square))

    def drift_exponent(self, g_target: Conductances, g_max: float) -> tuple[Exponents, Exponents]:
        """0.1 +- 0.045 for an empty cell, 0.049 +- 0.008 for a full one."""
        ln_x = np.log(np.maximum(g_target / g_max, _LOWEST_X))
        mean = np.clip(_NU_MEAN_SLOPE * ln_x + _NU_MEAN_OFFSET, *_NU_MEAN_LIMITS)
        sigma = np.clip(_NU_SIGMA_SLOPE * ln_x + _NU_SIGMA_OFFSET, *_NU_SIGMA_LIMITS)
        return self.drift_scale * mean, self.drift_scale * sigma

    def drift(self, g_programmed: Conductances, nu: Exponents, *, t_s: float) -> Conductances:
        """A power law of the time since the last pulse."""
        return power_law_drift(g_programmed, nu, t_s=t_s, t0_s=self.t0_s)

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """1/f noise from two read pulses to all the time since the last pulse, relative to the drifted conductance."""
        power = np.maximum((g_programmed / g_max) ** _Q_EXPONENT, _LOWEST_POWER_OF_X)
        q = np.minimum(_Q_COEFFICIENT / power, _Q_LIMIT)
        span = one_over_f_span(self.t0_s + t_s, t_read_s=_T_READ_S)
        sigma: Conductances = self.read_scale * math.sqrt(span) * g_drifted * q
        return sigma

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """What of the 1/f noise lies above the frequency of inferences: 43 % at 0 for inferences of 1 ms."""
        return one_over_f_fast_share(self.t0_s + t_s, t_read_s=_T_READ_S, t_inference_s=t_inference_s)
