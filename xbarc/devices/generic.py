"""The generic devices: errors of stated size and shape, for studies of what a network bears."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.devices.device import Conductances, Exponents
from xbarc.devices.laws import centred_uniforms, power_law_drift
from xbarc.devices.parameters import ParametricDevice, parameter

_XIAO = (
    "T. P. Xiao et al., On the accuracy of analog neural network inference accelerators, IEEE Circuits and Systems "
    "Magazine 22(4):26-48 (2022), arXiv 2109.01262 (state-independent and state-proportional errors)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Generic(ParametricDevice):
    """What the generic devices share: drift by a power law, and white read noise.

    Every parameter is 0 by default, which is the ideal device: a size is the user's to give.

    Not modelled: any real technology; 1/f noise: all read noise is independent from one array read to the next.
    """

    t_max_s: ClassVar[float] = math.inf
    g_max_reference: ClassVar[float | None] = None

    nu_mean: float = parameter(0.0, "mean of the drift exponent")
    nu_sigma: float = parameter(0.0, "standard deviation of the drift exponent")
    t0_s: float = parameter(1.0, "seconds after programming from which drift counts", low=1e-6, high=1e9)
    read_independent: float = parameter(0.0, "standard deviation of the read noise, over g_max")
    read_proportional: float = parameter(0.0, "standard deviation of the read noise, over the conductance")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericDevice(_Generic):
    """Normal errors that are independent of the state of the cell, proportional or inverse to it, or the sum of these.

    The kinds are those that simulators of arrays commonly offer (CrossSim names them state-independent and
    state-proportional); which one a technology is near decides how well differential cells bear it (Xiao 2022).

    Not modelled: as for all generic devices: any real technology; 1/f noise.
    """

    name: ClassVar[str] = "generic"
    description: ClassVar[str] = (
        "errors of given size, independent of the conductance, proportional or inverse to it; none unless given"
    )
    sources: ClassVar[tuple[str, ...]] = (_XIAO,)

    programming_independent: float = parameter(0.0, "standard deviation of the programming error, over g_max")
    programming_proportional: float = parameter(0.0, "standard deviation of the programming error, over the target")
    programming_inverse: float = parameter(
        0.0, "standard deviation of the programming error, over g_max, of a cell at g_max; x times as much at g_max / x"
    )

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """``programming_independent * g_max + programming_proportional * g_target`` and the inverse part."""
        sigma = self.programming_independent * g_max + self.programming_proportional * g_target
        return sigma + _inverse(self.programming_inverse, g_target, g_max) if self.programming_inverse else sigma


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericUniformDevice(_Generic):
    """Uniform errors by their **full width**, of the same three kinds: an error is within half of it, either way.

    A standard deviation is the full width over the root of 12.

    Not modelled: as for all generic devices: any real technology; 1/f noise.
    """

    name: ClassVar[str] = "generic-uniform"
    description: ClassVar[str] = "uniform errors of given full width, of the kinds of generic; none unless given"
    sources: ClassVar[tuple[str, ...]] = (_XIAO, "CrossSim, uniform errors (convention of the width)")

    width_independent: float = parameter(0.0, "full width of the programming error, over g_max")
    width_proportional: float = parameter(0.0, "full width of the programming error, over the target")
    width_inverse: float = parameter(
        0.0, "full width of the programming error, over g_max, of a cell at g_max; x times as much at g_max / x"
    )

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """The full width over the root of 12."""
        return self._width(g_target, g_max) / math.sqrt(12)

    def programmed(self, g_target: Conductances, xi: Conductances, g_max: float) -> Conductances:
        """Anywhere within half the width of the target, and not below 0."""
        g = self._width(g_target, g_max) * centred_uniforms(xi)
        return np.maximum(g + g_target, 0.0)

    def _width(self, g_target: Conductances, g_max: float) -> Conductances:
        width = self.width_independent * g_max + self.width_proportional * g_target
        return width + _inverse(self.width_inverse, g_target, g_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericLognormalDevice(_Generic):
    """A factor on each cell whose logarithm is normal: the **mean** of many cells is their target.

    ``g = g_target exp(s xi - s^2 / 2)``. (Others keep the median at the target, ``exp(s xi)``, and so make a cell
    larger by ``exp(s^2 / 2)`` on average.) An empty cell is free of error.

    Not modelled: as for all generic devices: any real technology; 1/f noise.
    """

    name: ClassVar[str] = "generic-lognormal"
    description: ClassVar[str] = "a lognormal factor on every cell, of mean 1; none unless given"
    sources: ClassVar[tuple[str, ...]] = ()

    log_sigma: float = parameter(0.0, "standard deviation s of the natural logarithm of a cell's factor", high=3.0)

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """``g_target sqrt(exp(s^2) - 1)``."""
        return math.sqrt(math.expm1(self.log_sigma**2)) * g_target

    def programmed(self, g_target: Conductances, xi: Conductances, g_max: float) -> Conductances:
        """``g_target exp(s xi - s^2 / 2)``."""
        g: Conductances = g_target * np.exp(self.log_sigma * xi - self.log_sigma**2 / 2)
        return g


def _inverse(size: float, g_target: Conductances, g_max: float) -> Conductances:
    """``size * g_max^2 / g_target``, at most ``g_max``; an empty cell has none."""
    x, smallest = g_target / g_max, np.finfo(np.float32).tiny
    sigma: Conductances = g_max * np.minimum(size / np.maximum(x, smallest), 1.0)
    return np.where(x > smallest, sigma, np.zeros_like(sigma))
