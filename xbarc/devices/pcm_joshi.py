"""Phase-change memory, by another fit of its programming error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.devices.device import Conductances
from xbarc.devices.measured import MeasuredDevice
from xbarc.devices.parameters import parameter

# Standard deviation in uS of a cell of g uS: a polynomial, constant first. With the digits of CrossSim's PCMJoshi.
_G_MAX_REFERENCE: Final = 25e-6
_PROGRAMMING: Final = (0.28638599, 0.07585724, -0.00178767)


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmJoshiDevice(MeasuredDevice):
    """Phase-change memory as ``pcm``, by the parabola that Joshi 2020 fits through its own array: programming error.

    It differs from that of ``pcm`` by at most 0.03 uS over the whole range.

    Not modelled: drift and read noise, which the fit leaves to the model of ``pcm``; so it speaks of no later time.
    The fit suggests an on/off ratio of 100; the hardware sets it.
    """

    name: ClassVar[str] = "pcm-joshi"
    description: ClassVar[str] = "phase-change memory: programming error alone, by an independent fit"
    sources: ClassVar[tuple[str, ...]] = (
        "V. Joshi et al., Accurate deep neural network inference using computational phase-change memory, Nature "
        "Communications 11, 2473 (2020)",
        "CrossSim, PCMJoshi (coefficients)",
    )
    t0_s: ClassVar[float] = 27.36
    g_max_reference: ClassVar[float | None] = _G_MAX_REFERENCE

    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """A parabola: 0.29 uS for an empty cell, 1.09 uS at its top, for ``g_max`` of 25 uS."""
        constant, linear, square = _PROGRAMMING
        g = g_target * (_G_MAX_REFERENCE * 1e6 / g_max)
        sigma = np.maximum(constant + g * (linear + g * square), 0.0)
        return self.programming_scale * 1e-6 * g_max / _G_MAX_REFERENCE * sigma
