"""What a cell does where its device does not say otherwise: it holds its target, for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.floating[Any]]


class PlainDevice:
    """The behaviour that devices inherit and override: see :class:`xbarc.devices.device.Device` for each method.

    No error, no drift, no read noise, a current in proportion to the voltage. Programming errors are normal and clipped
    at 0: a device that has such errors overrides their standard deviation alone.
    """

    __slots__ = ()

    @property
    def lowest_share(self) -> float:
        """Any conductance from 0 on can be programmed."""
        return 0.0

    @property
    def v_max(self) -> float | None:
        """None: cells are resistors."""
        return None

    def programming_sigma(self, g_target: _Floats, g_max: float) -> _Floats:
        """Zero."""
        return np.zeros_like(g_target)

    def programmed(self, g_target: _Floats, xi: _Floats, g_max: float) -> _Floats:
        """``max(g_target + programming_sigma(g_target, g_max) * xi, 0)``."""
        g: _Floats = np.maximum(xi * self.programming_sigma(g_target, g_max) + g_target, 0.0)
        return g

    def drift_exponent(self, g_target: _Floats, g_max: float) -> tuple[_Floats, _Floats]:
        """Zero and zero."""
        return np.zeros_like(g_target), np.zeros_like(g_target)

    def drift(self, g_programmed: _Floats, nu: _Floats, *, t_s: float) -> _Floats:
        """What was programmed."""
        return g_programmed

    def relaxation(self, g_target: _Floats, *, t_s: float, g_max: float) -> tuple[_Floats, _Floats] | None:
        """None."""
        return None

    def read_sigma(self, g_programmed: _Floats, g_drifted: _Floats, *, t_s: float, g_max: float) -> _Floats:
        """Zero."""
        return np.zeros_like(g_drifted)

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """All of it: white noise, where there is any."""
        return 1.0

    def nonlinear_current(
        self, g: _Floats, v: _Floats, *, v_read: float, g_max: float
    ) -> tuple[tuple[_Floats, _Floats], ...]:
        """None: cells are resistors."""
        return ()
