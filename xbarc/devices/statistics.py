"""What a device makes of targets over time, without drawing: mean and spread of many cells."""

from __future__ import annotations

import numpy as np

from xbarc.devices.device import Conductances, Device

#: Nodes of the quadrature over the normal deviates of programming, of drift, and of what is added to a drifted cell.
_NODES = 24


def cell_statistics(
    device: Device, g_target: Conductances, *, t_s: float, g_max: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation in siemens, over many cells, of what one read finds at a time.

    By Gauss-Hermite quadrature over the deviates, which the clipping at 0 leaves good to about 2 % of the deviation.
    All read noise is in it, slow and fast; stuck cells are not.

    Args:
        device: that the cells are of.
        g_target: ``(n,)``.
        t_s: seconds from the reference moment on.
        g_max: the highest target of the hardware.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    # Axes: targets, programming, drift, what is added.
    target = g_target.astype(np.float64)[:, None, None]
    shape = (len(g_target), _NODES, _NODES)
    deviates = np.broadcast_to(nodes[:, None], shape)
    programmed = device.programmed(np.broadcast_to(target, shape), deviates, g_max)
    nu_mean, nu_sigma = device.drift_exponent(target, g_max)
    drifted: Conductances = device.drift(
        programmed, np.broadcast_to(np.abs(nu_mean + nu_sigma * nodes), shape), t_s=t_s
    )
    relaxation = device.relaxation(np.broadcast_to(target, shape), t_s=t_s, g_max=g_max)
    spread: Conductances = np.zeros(shape)
    if relaxation is not None:
        drifted, spread = np.maximum(drifted + relaxation[0], 0.0), relaxation[1]
    spread = np.hypot(spread, device.read_sigma(programmed, drifted, t_s=t_s, g_max=g_max))
    found = np.maximum(drifted[..., None] + spread[..., None] * nodes, 0.0)
    joint = weights[:, None, None] * weights[:, None] * weights
    mean = (found * joint).sum(axis=(1, 2, 3))
    return mean, np.sqrt((np.square(found - mean[:, None, None, None]) * joint).sum(axis=(1, 2, 3)))
