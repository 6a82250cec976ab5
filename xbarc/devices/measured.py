"""Devices whose data end somewhere: what lies beyond is refused unless it is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.devices.device import Conductances
from xbarc.devices.parameters import ParametricDevice, choice

EXTRAPOLATE = "1: what lies beyond the data, in conductance or time, is as the nearest that has data; 0: it is refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDevice(ParametricDevice):
    """What devices inherit that have data from some conductance on, up to some time.

    Their formulas take conductances through :meth:`within` and times through :meth:`until`.
    """

    last_time_s: ClassVar[float] = 0.0
    """The last time with data, from the reference moment on."""
    lowest_measured: ClassVar[float] = 0.0
    """The lowest conductance with data, over ``g_max``."""

    extrapolate: float = choice(0.0, EXTRAPOLATE, 1.0)

    @property
    def t_max_s(self) -> float:
        """The last time with data, or none."""
        return math.inf if self.extrapolate else self.last_time_s

    @property
    def lowest_share(self) -> float:
        """The lowest conductance with data, or 0."""
        return 0.0 if self.extrapolate else self.lowest_measured

    def within(self, g: Conductances, g_max: float) -> Conductances:
        """Conductances over ``g_max``, kept within the data."""
        x: Conductances = np.clip(g / g_max, self.lowest_measured, 1.0)
        return x

    def until(self, t_s: float) -> float:
        """A time kept within the data."""
        return min(t_s, self.last_time_s)
