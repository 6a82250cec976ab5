"""The generic device: errors of stated size, for studies of what a network bears."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.devices.device import Conductances, Exponents
from xbarc.devices.laws import power_law_drift
from xbarc.devices.parameters import ParametricDevice, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericDevice(ParametricDevice):
    """Normal errors of a size that is independent of the state of the cell, proportional to it, or the sum of both.

    The two kinds are those that simulators of arrays commonly offer (CrossSim names them state-independent and
    state-proportional); which one a technology is near decides how well differential cells bear it (Xiao 2022). Every
    parameter is 0 by default, which is the ideal device: a size is the user's to give.

    Not modelled: any real technology; 1/f noise: all read noise is white, independent from one array read to the next.
    """

    name: ClassVar[str] = "generic"
    description: ClassVar[str] = (
        "errors of given size, independent of the conductance or proportional to it; none unless given"
    )
    sources: ClassVar[tuple[str, ...]] = (
        "T. P. Xiao et al., On the accuracy of analog neural network inference accelerators, IEEE Circuits and Systems "
        "Magazine 22(4):26-48 (2022), arXiv 2109.01262 (state-independent and state-proportional errors)",
    )
    t_max_s: ClassVar[float] = math.inf
    g_max_reference: ClassVar[float | None] = None

    programming_independent: float = parameter(0.0, "standard deviation of the programming error, over g_max")
    programming_proportional: float = parameter(0.0, "standard deviation of the programming error, over the target")
    nu_mean: float = parameter(0.0, "mean of the drift exponent")
    nu_sigma: float = parameter(0.0, "standard deviation of the drift exponent")
    t0_s: float = parameter(1.0, "seconds after programming from which drift counts", low=1e-6, high=1e9)
    read_independent: float = parameter(0.0, "standard deviation of the read noise, over g_max")
    read_proportional: float = parameter(0.0, "standard deviation of the read noise, over the conductance")

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """``programming_independent * g_max + programming_proportional * g_target``."""
        return self.programming_independent * g_max + self.programming_proportional * g_target

    def drift_exponent(self, g_target: Conductances, g_max: float) -> tuple[Exponents, Exponents]:
        """``nu_mean`` and ``nu_sigma``, in every state."""
        return np.full_like(g_target, self.nu_mean), np.full_like(g_target, self.nu_sigma)

    def drift(self, g_programmed: Conductances, nu: Exponents, *, t_s: float) -> Conductances:
        """A power law of the time since programming."""
        return power_law_drift(g_programmed, nu, t_s=t_s, t0_s=self.t0_s)

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """``read_independent * g_max + read_proportional * g_drifted``, at every time."""
        return self.read_independent * g_max + self.read_proportional * g_drifted

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """All of it: white noise."""
        return 1.0
