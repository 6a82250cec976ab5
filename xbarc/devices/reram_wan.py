"""Resistive memory of the NeuRRAM chip: a spread that grows after programming."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances
from xbarc.devices.laws import grown_sigma, polynomial
from xbarc.devices.measured import MeasuredDevice
from xbarc.devices.parameters import parameter

# Standard deviation in uS around the target, over a range of 40 uS, by seconds since programming: polynomials of
# g_target / g_max, constant first. With the digits of aihwkit (inference/noise/reram.py).
_G_MAX_REFERENCE: Final = 40e-6
_DAY_S: Final = 86400.0
_SIGMA: Final = (
    (1.0, (0.348, 16.030, -43.853, 45.393, -16.815)),
    (_DAY_S, (0.701, 22.086, -50.773, 47.095, -16.458)),
    (2 * _DAY_S, (0.782, 20.274, -43.507, 37.062, -11.934)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReramWanDevice(MeasuredDevice):
    """Filamentary memory (HfOx) by its spread around the target 1 s, 1 day and 2 days after programming.

    Time 0 is the first second. What the spread grows by is added to what was programmed, one deviate a cell for all
    times; the spread at a time between the three is interpolated linearly in the logarithm of the time since
    programming, which no measurement says. 2 days are the end. (Other simulators draw a cell anew around its target at
    each of the three times. One of them leaves the spread at its 40 uS for any range; here it scales with ``g_max``.)

    The figure has been fitted twice: the fit of CrossSim is 0.7 uS higher for an empty cell, and within 0.6 uS of this
    one elsewhere.

    Not modelled: any shift of the mean; how cells move between the times; read noise by conductance and frequency: it
    is white and the same for
    every cell, 1 % of ``g_max`` a difference of two.
    """

    name: ClassVar[str] = "reram-wan"
    description: ClassVar[str] = "resistive memory: a spread that grows from 1 s over 1 day to 2 days"
    sources: ClassVar[tuple[str, ...]] = (
        "W. Wan et al., A compute-in-memory chip based on resistive random-access memory, Nature 608, 504-512 (2022)",
        "aihwkit, inference/noise/reram.py (coefficients)",
    )
    t0_s: ClassVar[float] = 1.0
    g_max_reference: ClassVar[float | None] = _G_MAX_REFERENCE
    last_time_s: ClassVar[float] = 2 * _DAY_S

    programming_scale: float = parameter(1.0, "factor on the spread 1 s after programming", high=100)
    drift_scale: float = parameter(1.0, "factor on what the spread grows by", high=100)
    read_independent: float = parameter(0.0071, "standard deviation of the read noise, over g_max")

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """0.35 uS for an empty cell, 2.3 uS at its top, for ``g_max`` of 40 uS."""
        return self.programming_scale * self.spread(g_target, t_s=0.0, g_max=g_max)

    def relaxation(
        self, g_target: Conductances, *, t_s: float, g_max: float
    ) -> tuple[Conductances, Conductances] | None:
        """No mean, and what makes the spread that of the time."""
        if t_s == 0.0:
            return None
        before, now = (self.spread(g_target, t_s=time_s, g_max=g_max) for time_s in (0.0, t_s))
        return np.zeros_like(g_target), self.drift_scale * grown_sigma(now, before)

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """The same for every cell."""
        return np.full_like(g_drifted, self.read_independent * g_max)

    def spread(self, g_target: Conductances, *, t_s: float, g_max: float) -> Conductances:
        """Standard deviation around the target at ``t_s``, by the published fits: without factors."""
        x = self.within(g_target, g_max)
        since_s = min(self.t0_s + self.until(t_s), _SIGMA[-1][0])  # 2 days from time 0 on are 1 s more
        later = next(number for number in (1, 2) if since_s <= _SIGMA[number][0])
        (first_s, first), (second_s, second) = _SIGMA[later - 1 : later + 1]
        share = math.log(since_s / first_s) / math.log(second_s / first_s)
        sigma = (1 - share) * polynomial(first, x) + share * polynomial(second, x)
        return 1e-6 * g_max / _G_MAX_REFERENCE * sigma
