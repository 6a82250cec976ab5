"""Phase-change memory of the Hermes chip, one or two devices a polarity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances, Exponents
from xbarc.devices.laws import one_over_f_fast_share, one_over_f_span, polynomial, power_law_drift
from xbarc.devices.parameters import ParametricDevice, choice, parameter

_T_READ_S: Final = 512e-9
_LOWEST_X: Final = 1e-7  # so that ln x is finite; the limits bind long before


@dataclass(frozen=True, slots=True)
class _Piecewise:
    """A function of x: ``slope * ln x + offset`` within limits below ``x_switch``, a polynomial from there on.

    Attributes:
        polynomial: its coefficients, constant first.
    """

    x_switch: float
    slope: float
    offset: float
    limits: tuple[float, float]
    polynomial: tuple[float, ...]

    def __call__(self, x: Conductances) -> Conductances:
        low = np.clip(self.slope * np.log(np.maximum(x, _LOWEST_X)) + self.offset, *self.limits)
        found: Conductances = np.where(x < self.x_switch, low, polynomial(self.polynomial, x))
        return found


@dataclass(frozen=True, slots=True)
class _Fit:
    """The coefficients for cells of one or of two devices; x is the conductance over ``g_max``.

    Attributes:
        g_max: the range of the fit, in siemens.
        t0_s: when the programming error holds.
        programming: standard deviation in uS, a polynomial of x, constant first.
        nu_sigma: standard deviation of the drift exponent.
        q: read noise over the conductance, before the factor of time.
    """

    g_max: float
    t0_s: float
    programming: tuple[float, ...]
    nu_sigma: _Piecewise
    q: _Piecewise


# All with the digits of aihwkit (inference/noise/hermes.py). One function of the mean exponent serves both.
_NU_MEAN: Final = _Piecewise(0.0945, -0.0387, -0.0182, (0.072, 0.13), (0.0736, -0.0126, -0.0436))
_FITS: Final[Mapping[int, _Fit]] = MappingProxyType(
    {
        1: _Fit(
            g_max=10.35e-6,
            t0_s=200.0,
            programming=(0.15781817, 2.32443916, -2.16310839, 0.68841818),
            nu_sigma=_Piecewise(0.3039, -0.0120, -0.0023, (0.0124, 0.04), (0.0104, 0.0116, -0.0165)),
            q=_Piecewise(0.1591, -0.0078, 0.0038, (0.0179, 0.04), (0.0088, 0.0768, -0.1352, 0.0664)),
        ),
        2: _Fit(
            g_max=20.7e-6,
            t0_s=300.0,
            programming=(0.16603222, 4.71806468, -8.48101252, 4.68961419),
            nu_sigma=_Piecewise(0.3055, -0.0117, -0.0057, (0.0091, 0.04), (0.0073, 0.0093, -0.0118)),
            q=_Piecewise(0.16, -0.0117, -0.0069, (0.015, 0.04), (0.0123, 0.0211, -0.0280, 0.0069)),
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmHermesDevice(ParametricDevice):
    """Phase-change memory of a 14 nm chip of 64 cores: programming error, drift and 1/f read noise.

    A cell is one device or two in parallel; with two, the conductances are those of both together.

    Not modelled: what ``pcm`` does not model; which of two devices holds what.
    """

    name: ClassVar[str] = "pcm-hermes"
    description: ClassVar[str] = "phase-change memory of the Hermes chip, one or two devices a polarity"
    sources: ClassVar[tuple[str, ...]] = (
        "M. Le Gallo et al., A 64-core mixed-signal in-memory compute chip based on phase-change memory for deep "
        "neural network inference, Nature Electronics 6 (2023)",
        "R. Khaddam-Aljameh et al., HERMES-Core, IEEE Journal of Solid-State Circuits 57 (2022)",
        "A. Vasilopoulos et al., IEEE Transactions on Electron Devices (2023)",
        "aihwkit, inference/noise/hermes.py (coefficients)",
    )
    t_max_s: ClassVar[float] = 10 * 365 * 86400.0  # as of pcm

    devices: float = choice(2.0, "phase-change devices of a cell", 1.0)
    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)
    drift_scale: float = parameter(1.0, "factor on the drift exponents", high=100)
    read_scale: float = parameter(1.0, "factor on the standard deviation of the read noise", high=100)

    @property
    def t0_s(self) -> float:
        """300 s for two devices, 200 s for one."""
        return self._fit.t0_s

    @property
    def g_max_reference(self) -> float:
        """20.7 uS for two devices, 10.35 uS for one."""
        return self._fit.g_max

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """A cubic over the target: 0.17 to 1.09 uS for two devices at 20.7 uS."""
        sigma = np.maximum(polynomial(self._fit.programming, g_target / g_max), 0.0)
        return self.programming_scale * 1e-6 * g_max / self._fit.g_max * sigma

    def drift_exponent(self, g_target: Conductances, g_max: float) -> tuple[Exponents, Exponents]:
        """From 0.13 +- 0.04 for an empty cell."""
        x = g_target / g_max
        return self.drift_scale * _NU_MEAN(x), self.drift_scale * self._fit.nu_sigma(x)

    def drift(self, g_programmed: Conductances, nu: Exponents, *, t_s: float) -> Conductances:
        """A power law of the time since the last pulse."""
        return power_law_drift(g_programmed, nu, t_s=t_s, t0_s=self.t0_s)

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """1/f noise from two read pulses to all the time since the last pulse, relative to the drifted conductance."""
        # The fit ends at g_max: a cell that was programmed beyond is taken as one at g_max.
        q = self._fit.q(np.minimum(g_programmed / g_max, 1.0))
        span = one_over_f_span(self.t0_s + t_s, t_read_s=_T_READ_S)
        return self.read_scale * math.sqrt(span) * g_drifted * q

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """What of the 1/f noise lies above the frequency of inferences."""
        return one_over_f_fast_share(self.t0_s + t_s, t_read_s=_T_READ_S, t_inference_s=t_inference_s)

    @property
    def _fit(self) -> _Fit:
        return _FITS[int(self.devices)]
