"""Resistive memory with interfacial vacancies: programming error, and a current that bends with the voltage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from xbarc.devices.device import Conductances
from xbarc.devices.laws import polynomial
from xbarc.devices.measured import MeasuredDevice
from xbarc.devices.parameters import parameter
from xbarc.errors import UsageError

# With the digits of CrossSim's RRAMMilo (coefficients in the order in which its code uses them).
_G_MAX_REFERENCE: Final = 225e-6
_LOWEST: Final = 50e-6
_PROGRAMMING: Final = (4.782321, -0.009107)  # sigma in uS over uS, constant first
# I = G V + N2 V^2 + N3 V^3; N2 in A/V^2 and N3 in A/V^3 are polynomials of log10 of the siemens, constant first.
_N2: Final = (7.063e-3, 5.711e-3, 1.541e-3, 1.388e-4)
_N3: Final = (1.2968e-3, 6.7919e-4, 8.871e-5)
_V_MAX: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReramMiloDevice(MeasuredDevice):
    """Cells from 50 to 225 uS, an on/off ratio of 4.5, with an error that is large beside that range.

    Not modelled: drift and read noise, of which the source has none, so it speaks of no later time. The nonlinear
    :meth:`current` is not used when a program runs: there a cell is linear, as for all devices.
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

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """A straight line: 4.3 uS at 50 uS, 2.7 uS at 225 uS."""
        g = self.within(g_target, g_max) * (_G_MAX_REFERENCE * 1e6)
        return (self.programming_scale * 1e-6 * g_max / _G_MAX_REFERENCE) * polynomial(_PROGRAMMING, g)

    def current(self, g: Conductances, v: npt.NDArray[np.floating[Any]], *, g_max: float) -> Conductances:
        """Amperes through cells of conductance ``g`` at ``v`` volts, of any shapes that go together.

        It was fitted from 62.5 to 110 uS, with one point assumed linear at 225 uS.

        Raises:
            UsageError: a voltage beyond 0.5 V either way.
        """
        if np.any(np.abs(v) > _V_MAX):
            raise UsageError(
                f"the current of a cell of {self.name!r} is not known at {float(np.max(np.abs(v))):g} V",
                fix=f"stay within {_V_MAX} V",
            )
        g = self.within(g, g_max) * _G_MAX_REFERENCE
        exponent = np.log10(g)
        current = g * v + polynomial(_N2, exponent) * v**2 + polynomial(_N3, exponent) * v**3
        return current * (g_max / _G_MAX_REFERENCE)
