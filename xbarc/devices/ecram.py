"""Electrochemical memory once it is written: the error that is left. Writing itself is a matter of switching models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.devices.device import Conductances
from xbarc.devices.laws import centred_uniforms
from xbarc.devices.measured import MeasuredDevice
from xbarc.devices.parameters import parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class _EcramDevice(MeasuredDevice):
    """A cell that was written until it was within a fraction of a pulse's step of its target.

    The error is uniform, ``accepted_steps`` steps wide. The step is that of a cell in the middle; near the ends of the
    range steps are smaller, and so is the error of a real cell.

    Not modelled: read noise and loss over time, for which the source of the switching figures has none: it speaks of no
    later time. How many pulses it takes to come so near, with the spread of the steps.
    """

    t0_s: ClassVar[float] = 0.0
    g_max_reference: ClassVar[float | None] = None
    step: ClassVar[float]
    """What one pulse changes, over the range from ``g_min`` to ``g_max``."""

    accepted_steps: float = parameter(
        1.0, "full width of the accepted error, in steps of one pulse", low=0.0, high=1000.0
    )

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """Of a uniform error: its width over the root of 12, for every target."""
        return np.full_like(g_target, self.accepted_steps * self.step * g_max / math.sqrt(12))

    def programmed(self, g_target: Conductances, xi: Conductances, g_max: float) -> Conductances:
        """Anywhere within the accepted error."""
        g = g_target + (self.accepted_steps * self.step * g_max) * centred_uniforms(xi)
        return np.maximum(g, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EcramLiDevice(_EcramDevice):
    """Lithium-based electrochemical memory: 1000 steps over the range."""

    name: ClassVar[str] = "ecram-li"
    description: ClassVar[str] = "electrochemical memory (lithium), written to within one of its 1000 steps"
    sources: ClassVar[tuple[str, ...]] = (
        "J. Tang et al., International Electron Devices Meeting (2018)",
        "aihwkit, presets/devices.py, EcRam (dw_min 0.002 over a range of -0.8276 to 1.1724)",
    )
    step: ClassVar[float] = 0.002 / (1.1724 + 0.8276)


@dataclass(frozen=True, slots=True, kw_only=True)
class EcramMoDevice(_EcramDevice):
    """Metal-oxide electrochemical memory: 7090 steps over the range."""

    name: ClassVar[str] = "ecram-mo"
    description: ClassVar[str] = "electrochemical memory (metal oxide), written to within one of its 7090 steps"
    sources: ClassVar[tuple[str, ...]] = (
        "S. Kim et al., International Electron Devices Meeting (2019)",
        "aihwkit, presets/devices.py, EcRamMO (dw_min 2.8214e-4 over a range of -0.8286 to 1.1714)",
    )
    step: ClassVar[float] = 2.8214e-4 / (1.1714 + 0.8286)
