"""The curves of a device as a picture (SVG): errors over the conductance, the conductance over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xbarc.hardware.quantities import rounded
from xbarc.report.device_curves import DeviceCurves
from xbarc.report.svg import COLOURS, Frame, picture, text
from xbarc.units import format_duration

_WIDTH, _HEIGHT, _MARGIN = 360, 240, 56  # of one plot, in points
_LEFT = Frame(_MARGIN, _MARGIN, _WIDTH, _HEIGHT)
_RIGHT = Frame(3 * _MARGIN + _WIDTH, _MARGIN, _WIDTH, _HEIGHT)


def curves_svg(curves: DeviceCurves, *, title: str) -> str:
    """Two plots side by side; bands are one standard deviation either way."""
    largest = float(max(curves.programming.max(), 1e-30))
    left = [
        *_axes(_LEFT, "target", "programming error", [(0.0, "0"), (1.0, rounded(curves.g_max, "S"))], largest),
        _LEFT.line(curves.targets / curves.g_max, curves.programming / largest, COLOURS[0]),
    ]
    top = float((curves.mean + curves.deviation).max())
    places = np.linspace(0, 1, max(len(curves.times_s), 2))[: len(curves.times_s)]
    ticks = [(float(x), format_duration(t_s) if t_s else "0") for x, t_s in zip(places, curves.times_s, strict=True)]
    right = _axes(_RIGHT, "time (steps not to scale)", "conductance", ticks, top)
    for mean, deviation, colour in zip(curves.mean, curves.deviation, COLOURS, strict=False):
        low, high = np.maximum(mean - deviation, 0.0) / top, (mean + deviation) / top
        band = np.concatenate([places, places[::-1]]), np.concatenate([high, low[::-1]])
        right += [_RIGHT.area(*band, colour), _RIGHT.line(places, mean / top, colour)]
    return picture(2 * (_WIDTH + 2 * _MARGIN), _HEIGHT + 2 * _MARGIN, [*left, *right], title=title)


def _axes(frame: Frame, x_name: str, y_name: str, ticks: Sequence[tuple[float, str]], top: float) -> list[str]:
    bottom = frame.top + frame.height
    return [
        frame.axes(),
        *(text(frame.left + frame.width * x, bottom + 16, tick, "middle") for x, tick in ticks),
        text(frame.left - 6, bottom, "0", "end"),
        text(frame.left - 6, frame.top + 4, rounded(top, "S"), "end"),
        text(frame.left + frame.width / 2, bottom + 36, x_name, "middle"),
        text(frame.left, frame.top - 12, y_name, "start"),
    ]
