"""A device as curves: errors over the conductance, and the conductance over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.devices.device import Device
from xbarc.devices.statistics import cell_statistics
from xbarc.hardware.quantities import rounded
from xbarc.report.page import Column, Page, Table, numbers
from xbarc.units import format_duration

_MINUTE, _HOUR, _DAY, _YEAR = 60.0, 3600.0, 86400.0, 365 * 86400.0
_TIMES_S = (0.0, 1.0, _MINUTE, _HOUR, _DAY, 7 * _DAY, 30 * _DAY, _YEAR, 10 * _YEAR)
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class DeviceCurves:
    """What a device does to cells, in siemens.

    Attributes:
        g_max: the highest target.
        targets: ``(n,)`` from the lowest target that the device has to the highest.
        programming: standard deviation of the programming error of each.
        times_s: ``(m,)`` from the reference moment on, as far as the device speaks of.
        lines: a few of the targets.
        mean: ``(lines, m)`` of many cells.
        deviation: from cell to cell and read to read, of that shape.
    """

    g_max: float
    targets: np.ndarray
    programming: np.ndarray
    times_s: tuple[float, ...]
    lines: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def to_json(self) -> dict[str, object]:
        """Plain data: siemens and seconds."""
        return {
            "g_max": self.g_max,
            "programming": {"target": self.targets.tolist(), "sigma": self.programming.tolist()},
            "over_time": {
                "t": list(self.times_s),
                "target": self.lines.tolist(),
                "mean": self.mean.tolist(),
                "deviation": self.deviation.tolist(),
            },
        }


def device_curves(device: Device, *, g_max: float, points: int = 17) -> DeviceCurves:
    """The curves of a device on a range up to ``g_max`` siemens, its errors at so many targets."""
    low = device.lowest_share * g_max
    targets = np.linspace(low, g_max, points)
    lines = np.unique(np.maximum(np.array(_SHARES) * g_max, low))
    times = [t_s for t_s in _TIMES_S if t_s <= device.t_max_s]
    if math.isfinite(device.t_max_s) and times[-1] < device.t_max_s:
        times.append(device.t_max_s)
    found = [cell_statistics(device, lines, t_s=t_s, g_max=g_max) for t_s in times]
    return DeviceCurves(
        g_max=g_max,
        targets=targets,
        programming=device.programming_sigma(targets, g_max),
        times_s=tuple(times),
        lines=lines,
        mean=np.array([mean for mean, _ in found]).T,
        deviation=np.array([deviation for _, deviation in found]).T,
    )


def curves_page(device: Device, curves: DeviceCurves) -> Page:
    """The programming error as bars, and the conductance over time as numbers."""
    rows = tuple(
        (rounded(float(g), "S"), rounded(float(sigma), "S"), bar)
        for g, sigma, bar in zip(curves.targets, curves.programming, bars(curves.programming), strict=True)
    )
    errors = Table("Programming error", (*numbers("target", "deviation"), Column("")), rows)
    columns = numbers("time", *(rounded(float(g), "S") for g in curves.lines))
    over_time = tuple(
        (
            format_duration(t_s) if t_s else "0",
            *(
                f"{rounded(float(mean), 'S')} +- {float(deviation) * 1e6:.3g}"
                for mean, deviation in zip(curves.mean[:, place], curves.deviation[:, place], strict=True)
            ),
        )
        for place, t_s in enumerate(curves.times_s)
    )
    since = f"{format_duration(device.t0_s)} after programming" if device.t0_s else "when it is programmed"
    notes = (f"mean of many cells, +- their standard deviation in uS, read noise included; time 0 is {since}",)
    return [errors, Table("Conductance by target over time", columns, over_time, notes=notes)]


def bars(values: Sequence[float] | np.ndarray, *, width: int = 40) -> list[str]:
    """Bars of at most ``width`` signs, in proportion to the largest."""
    largest = max(values)
    return ["#" * round(width * float(value) / largest) if largest > 0 else "" for value in values]
