"""Resistive memory with interfacial vacancies: programming error, and a current that bends with the voltage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances, Volts
from xbarc.devices.laws import polynomial
from xbarc.devices.measured import MeasuredDevice
from xbarc.devices.parameters import choice, parameter

# With the digits of CrossSim's RRAMMilo (coefficients in the order in which its code uses them).
_G_MAX_REFERENCE: Final = 225e-6
_LOWEST: Final = 50e-6
_PROGRAMMING: Final = (4.782321, -0.009107)  # sigma in uS over uS, constant first
# I = G V + N2 V^2 + N3 V^3; N2 in A/V^2 and N3 in A/V^3 are polynomials of log10 of the siemens, constant first.
_N2: Final = (7.063e-3, 5.711e-3, 1.541e-3, 1.388e-4)
_N3: Final = (1.2968e-3, 6.7919e-4, 8.871e-5)
_V_MAX: Final = 0.5
#: Among so many slopes at 0 V, that of a cell is found by what it shows at the read voltage.
_SLOPES: Final = 4097


@dataclass(frozen=True, slots=True, kw_only=True)
class ReramMiloDevice(MeasuredDevice):
    """Cells from 50 to 225 uS, an on/off ratio of 4.5, with an error that is large beside that range.

    The current at ``v`` volts is ``G v + N2 v^2 + N3 v^3`` up to 0.5 V either way, with ``G`` the slope at 0 V and
    ``N2`` and ``N3`` functions of it. It was fitted from 62.5 to 110 uS, with one point assumed linear at 225 uS; below
    62.5 uS, where it bends most, the fit is continued. The conductance of a cell is what it shows at the read voltage,
    where it is verified. A cell beyond the range bends as the nearest within, in proportion.

    Not modelled: drift and read noise, of which the source has none, so it speaks of no later time; temperature.
    """

    name: ClassVar[str] = "reram-milo"
    description: ClassVar[str] = "resistive memory of small on/off ratio: programming error, nonlinear current"
    sources: ClassVar[tuple[str, ...]] = (
        "V. Milo et al., International Reliability Physics Symposium (2021), IEEE document 9405119",
        "CrossSim, RRAMMilo (coefficients)",
    )
    t0_s: ClassVar[float] = 0.0
    g_max_reference: ClassVar[float | None] = _G_MAX_REFERENCE
    lowest_measured: ClassVar[float] = _LOWEST / _G_MAX_REFERENCE

    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)
    linear: float = choice(0.0, "1: the current is in proportion to the voltage; 0: it bends as measured", 1.0)

    @property
    def v_max(self) -> float | None:
        """As far as the current was measured."""
        return None if self.linear else _V_MAX

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """A straight line: 4.3 uS at 50 uS, 2.7 uS at 225 uS."""
        g = self.within(g_target, g_max) * (_G_MAX_REFERENCE * 1e6)
        return (self.programming_scale * 1e-6 * g_max / _G_MAX_REFERENCE) * polynomial(_PROGRAMMING, g)

    def nonlinear_current(
        self, g: Conductances, v: Volts, *, v_read: float, g_max: float
    ) -> tuple[tuple[Conductances, Volts], ...]:
        """``N2 (v^2 - v v_read) + N3 (v^3 - v v_read^2)``: the law, less ``g v``."""
        if self.linear:
            return ()
        slopes = np.linspace(_LOWEST, _G_MAX_REFERENCE, _SLOPES)
        exponents = np.log10(slopes)
        second, third = polynomial(_N2, exponents) * v_read, polynomial(_N3, exponents) * v_read**2
        shown = slopes + second + third
        reference = np.asarray(g, dtype=np.float64) * (_G_MAX_REFERENCE / g_max)
        scale = g / np.clip(reference, shown[0], shown[-1])
        u = v / v_read
        return (
            (np.interp(reference, shown, second) * scale, v * (u - 1)),
            (np.interp(reference, shown, third) * scale, v * (u - 1) * (u + 1)),
        )
