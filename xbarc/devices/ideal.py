"""The ideal device: every cell holds exactly its target, for ever."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.devices.device import Conductances, Exponents


@dataclass(frozen=True, slots=True)
class IdealDevice:
    """No programming error, no drift, no read noise, no stuck cells.

    Not modelled: anything that a cell does. What remains of a chip is its quantisation and its converters' ranges.
    """

    name: ClassVar[str] = "ideal"
    description: ClassVar[str] = "every cell holds exactly its target: quantisation and converter ranges only"
    sources: ClassVar[tuple[str, ...]] = ()
    t0_s: ClassVar[float] = 0.0
    t_max_s: ClassVar[float] = math.inf
    g_max_reference: ClassVar[float | None] = None
    stuck_at_gmin: ClassVar[float] = 0.0
    stuck_at_gmax: ClassVar[float] = 0.0

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """Zero."""
        return np.zeros_like(g_target)

    def drift_exponent(self, g_target: Conductances, g_max: float) -> tuple[Exponents, Exponents]:
        """Zero and zero."""
        return np.zeros_like(g_target), np.zeros_like(g_target)

    def drift(self, g_programmed: Conductances, nu: Exponents, *, t_s: float) -> Conductances:
        """What was programmed."""
        return g_programmed

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """Zero."""
        return np.zeros_like(g_drifted)

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """Zero, of no variance."""
        return 0.0
