"""Resistive memory with a conductive metal oxide: verified writes, then a relaxation in the logarithm of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances
from xbarc.devices.laws import one_over_f_fast_share, one_over_f_span
from xbarc.devices.measured import MeasuredDevice
from xbarc.devices.parameters import choice, parameter

# All in uS, with the digits of aihwkit (inference/noise/reram.py). Conductances from 9 to 88.2 uS.
_G_MAX_REFERENCE: Final = 88.2e-6
_LOWEST: Final = 9e-6
# Programming error by the accepted deviation from the target: (per uS of the target, constant).
_PROGRAMMING: Final[Mapping[float, tuple[float, float]]] = MappingProxyType(
    {0.002: (0.00106879, 0.00081107), 0.02: (0.01129027418, 0.0112185391)}
)
# Relaxation with ln of the seconds since programming: mean, and standard deviation with its value after 1 s.
_MEAN_SLOPE: Final = -0.08900206
_SIGMA_SLOPE, _SIGMA_AFTER_1_S = 0.04201137, 0.41183342
_READ: Final = 0.0277316483  # times log10 of the conductance, times the root of the logarithm of time
_T_READ_S: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ReramCmoDevice(MeasuredDevice):
    """A filamentary cell of HfOx under a conductive metal oxide, written by write-and-verify, then relaxing.

    Time 0 is 1 s after programming; by then the cell has relaxed already, so its error at time 0 is far above the
    accepted one. ``programming_sigma`` is what verification leaves. The same relaxation is added to every conductance.

    Only 0.002 and 0.02 have data as accepted deviation. (One simulator offers 0.2 and 2 per cent and takes 0.02 for
    neither, so its default is silently the finer one.)

    Not modelled: the ends of the range, to which some simulators clip what they draw; stopping of the relaxation; its
    dependence on the conductance, which the source finds to be none. The law is the source's up to 10 years.
    """

    name: ClassVar[str] = "reram-cmo"
    description: ClassVar[str] = "resistive memory (CMO/HfOx): verified writes, relaxation, 1/f read noise"
    sources: ClassVar[tuple[str, ...]] = (
        "D. F. Falcone et al., All-in-one analog AI accelerator: on-chip training and inference with conductive-metal-"
        "oxide/HfOx ReRAM devices, arXiv 2502.04524 (2025)",
        "Lombardo et al., Device Research Conference (2024)",
        "aihwkit, inference/noise/reram.py (coefficients)",
    )
    t0_s: ClassVar[float] = 1.0
    g_max_reference: ClassVar[float | None] = _G_MAX_REFERENCE
    last_time_s: ClassVar[float] = 10 * 365 * 86400.0
    lowest_measured: ClassVar[float] = _LOWEST / _G_MAX_REFERENCE

    acceptance: float = choice(0.002, "accepted relative deviation of a verified write", 0.02)
    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)
    drift_scale: float = parameter(1.0, "factor on the relaxation, mean and standard deviation", high=100)
    read_scale: float = parameter(1.0, "factor on the standard deviation of the read noise", high=100)

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """A straight line over the target."""
        slope, constant = _PROGRAMMING[self.acceptance]
        return (self.programming_scale * _unit(g_max)) * (slope * self._g(g_target, g_max) + constant)

    def relaxation(
        self, g_target: Conductances, *, t_s: float, g_max: float
    ) -> tuple[Conductances, Conductances] | None:
        """The mean falls, the spread grows with the logarithm of the time since programming, for every target alike."""
        log_time = math.log(self.t0_s + self.until(t_s))
        unit = self.drift_scale * _unit(g_max)
        sigma = _SIGMA_SLOPE * log_time + _SIGMA_AFTER_1_S
        return np.full_like(g_target, unit * _MEAN_SLOPE * log_time), np.full_like(g_target, unit * sigma)

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """With the logarithm of the conductance in uS, and the root of that of the time."""
        span = one_over_f_span(self.t0_s + self.until(t_s), t_read_s=_T_READ_S)
        sigma: Conductances = np.log10(self._g(g_drifted, g_max))
        return (self.read_scale * _unit(g_max) * _READ * math.sqrt(span)) * sigma

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """What of the 1/f noise lies above the frequency of inferences."""
        return one_over_f_fast_share(self.t0_s + self.until(t_s), t_read_s=_T_READ_S, t_inference_s=t_inference_s)

    def _g(self, g: Conductances, g_max: float) -> Conductances:
        """Conductances in uS on the range of the source."""
        return self.within(g, g_max) * (_G_MAX_REFERENCE * 1e6)


def _unit(g_max: float) -> float:
    """One uS of the source in siemens on this range."""
    return 1e-6 * g_max / _G_MAX_REFERENCE
