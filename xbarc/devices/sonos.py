"""Charge-trapping flash (SONOS): errors, and a charge that is lost within days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances
from xbarc.devices.laws import grown_sigma, polynomial
from xbarc.devices.measured import EXTRAPOLATE
from xbarc.devices.parameters import ParametricDevice, choice, parameter

# Currents in nA, times in days; with the digits of CrossSim's SONOS model of 40 nm cells.
# sigma = A (1 - exp(-I / B)), by day: (A, B).
_SIGMA: Final = (
    (19.88665, 176.3115),
    (25.59102, 186.85544),
    (28.72753, 193.56834),
    (31.04318, 198.90332),
    (33.76214, 204.77023),
    (34.57909, 207.34309),
)
_READ_SIGMA: Final = (12.58037, 215.36557)
# Mean change of the current from day 1 to day 5: polynomials of the current, a row for each power from 0 on.
_MEAN_BY_POWER: Final = (
    (1.72684e-1, 2.50712e-1, -1.75300e-2, 4.03338e-2, 3.19927e-1),
    (5.72552e-2, 6.62195e-2, 9.76883e-2, 1.03111e-1, 1.06596e-1),
    (-6.85715e-4, -6.83218e-4, -9.63791e-4, -1.04740e-3, -1.04054e-3),
    (3.50271e-6, 2.99442e-6, 4.55551e-6, 4.83961e-6, 4.50290e-6),
    (-9.37682e-9, -6.78255e-9, -1.22391e-8, -1.28132e-8, -1.10352e-8),
    (1.40575e-11, 7.70482e-12, 1.93786e-11, 1.99484e-11, 1.56477e-11),
    (-1.19803e-14, -3.04983e-15, -1.85899e-14, -1.85139e-14, -1.27592e-14),
    (5.41293e-18, -2.15919e-18, 1.07659e-17, 1.00008e-17, 5.45513e-18),
    (-8.85448e-22, 2.94617e-21, -3.58211e-21, -2.84944e-21, -7.26841e-22),
    (-1.66869e-25, -1.23359e-24, 5.96785e-25, 3.01008e-25, -2.43893e-25),
    (5.95180e-29, 1.85329e-28, -3.30410e-29, 1.18747e-29, 7.14608e-29),
)
_MEAN: Final = tuple(zip(*_MEAN_BY_POWER, strict=True))
_DAY_S: Final = 86400.0
_LAST_DAY: Final = len(_MEAN)
_I_MAX_PROGRAMMED: Final = 3200.0  # nA: the range of the programming error
_I_MAX_LATER: Final = 1800.0  # nA: the range of all that comes later


@dataclass(frozen=True, slots=True, kw_only=True)
class SonosDevice(ParametricDevice):
    """Cells of charge-trapping flash in a 40 nm process, by the statistics of 128 K of them.

    The model is one of currents: ``g_max`` carries ``i_max_na``, at whatever voltage that takes. An empty cell is
    nearly free of error. Between whole days, mean and spread are interpolated linearly in time. The mean is that of the
    current aimed at, and what the spread grows by is added to what was programmed, one deviate a cell for all times.

    Not modelled: how cells move between the days; read noise by frequency: it is white; temperature.
    """

    name: ClassVar[str] = "sonos"
    description: ClassVar[str] = "charge-trapping flash: an error that vanishes with the current, retention over 5 days"
    sources: ClassVar[tuple[str, ...]] = (
        "V. Agrawal et al., International Electron Devices Meeting (2022), 21.7",
        "CrossSim, SONOS (coefficients)",
    )
    t0_s: ClassVar[float] = 0.0
    g_max_reference: ClassVar[float | None] = None

    i_max_na: float = parameter(1600.0, "current in nA of a cell at g_max", low=1.0, high=_I_MAX_PROGRAMMED)
    extrapolate: float = choice(0.0, EXTRAPOLATE, 1.0)
    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)
    drift_scale: float = parameter(1.0, "factor on the mean change and on what the spread grows by", high=100)
    read_scale: float = parameter(1.0, "factor on the standard deviation of the read noise", high=100)

    @property
    def t_max_s(self) -> float:
        """5 days; none for currents of 1800 nA and more, of which only the programming error is known."""
        if self.extrapolate:
            return float("inf")
        return _LAST_DAY * _DAY_S if self.i_max_na < _I_MAX_LATER else 0.0

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """It rises with the current and levels off at 20 nA."""
        return self.programming_scale * self._spread(g_target, 0.0, g_max)

    def relaxation(
        self, g_target: Conductances, *, t_s: float, g_max: float
    ) -> tuple[Conductances, Conductances] | None:
        """Small currents rise, large ones fall, by up to 3 % in 5 days; what makes the spread that of the time."""
        if t_s == 0.0:
            return None
        day = min(t_s / _DAY_S, float(_LAST_DAY))
        first = min(int(day), _LAST_DAY - 1)
        # Large terms of both signs: not in single precision.
        current = np.minimum(g_target.astype(np.float64) * (self.i_max_na / g_max), _I_MAX_LATER)
        before = np.zeros_like(current) if first == 0 else polynomial(_MEAN[first - 1], current)
        mean = (before + (day - first) * (polynomial(_MEAN[first], current) - before)).astype(g_target.dtype)
        grown = grown_sigma(self._spread(g_target, day, g_max), self._spread(g_target, 0.0, g_max))
        return self.drift_scale * (g_max / self.i_max_na) * mean, self.drift_scale * grown

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """It rises with the current and levels off at 13 nA, at every time."""
        return self.read_scale * self._saturating(_READ_SIGMA, g_drifted, g_max)

    def _spread(self, g: Conductances, day: float, g_max: float) -> Conductances:
        """Standard deviation around the mean so many days after programming, by the published fits."""
        first = min(int(day), _LAST_DAY - 1)
        before, after = (self._saturating(fit, g, g_max) for fit in _SIGMA[first : first + 2])
        return before + (day - first) * (after - before)

    def _saturating(self, fit: tuple[float, float], g: Conductances, g_max: float) -> Conductances:
        level, scale = fit
        sigma: Conductances = -np.expm1(g * (-self.i_max_na / (scale * g_max)))
        return sigma * (level * g_max / self.i_max_na)
