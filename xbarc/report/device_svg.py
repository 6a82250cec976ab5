"""The curves of a device as a picture (SVG): errors over the conductance, the conductance over time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

from xbarc.hardware.quantities import rounded
from xbarc.report.device_curves import DeviceCurves
from xbarc.units import format_duration

_WIDTH, _HEIGHT, _MARGIN = 360, 240, 56  # of one plot, in points
_COLOURS: Final = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")


def curves_svg(curves: DeviceCurves, *, title: str) -> str:
    """Two plots side by side; bands are one standard deviation either way."""
    largest = float(max(curves.programming.max(), 1e-30))
    left = [
        *_axes(0, "target", "programming error", [(0.0, "0"), (1.0, rounded(curves.g_max, "S"))], largest),
        _line(0, curves.targets / curves.g_max, curves.programming / largest, _COLOURS[0]),
    ]
    top = float((curves.mean + curves.deviation).max())
    places = np.linspace(0, 1, max(len(curves.times_s), 2))[: len(curves.times_s)]
    ticks = [(float(x), format_duration(t_s) if t_s else "0") for x, t_s in zip(places, curves.times_s, strict=True)]
    right = _axes(1, "time (steps not to scale)", "conductance", ticks, top)
    for mean, deviation, colour in zip(curves.mean, curves.deviation, _COLOURS, strict=False):
        low, high = np.maximum(mean - deviation, 0.0) / top, (mean + deviation) / top
        band = np.concatenate([places, places[::-1]]), np.concatenate([high, low[::-1]])
        right += [_area(1, *band, colour), _line(1, places, mean / top, colour)]
    width, height = 2 * (_WIDTH + 2 * _MARGIN), _HEIGHT + 2 * _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="11">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            _text(width / 2, 20, title, "middle"),
            *left,
            *right,
            "</svg>\n",
        ]
    )


def _points(panel: int, x: np.ndarray, y: np.ndarray) -> str:
    """Coordinates of shares of the plot's width and height."""
    left = panel * (_WIDTH + 2 * _MARGIN) + _MARGIN
    return " ".join(f"{left + _WIDTH * a:.1f},{_MARGIN + _HEIGHT * (1 - b):.1f}" for a, b in zip(x, y, strict=True))


def _line(panel: int, x: np.ndarray, y: np.ndarray, colour: str) -> str:
    return f'<polyline points="{_points(panel, x, y)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _area(panel: int, x: np.ndarray, y: np.ndarray, colour: str) -> str:
    return f'<polygon points="{_points(panel, x, y)}" fill="{colour}" fill-opacity="0.15"/>'


def _axes(panel: int, x_name: str, y_name: str, ticks: Sequence[tuple[float, str]], top: float) -> list[str]:
    left = panel * (_WIDTH + 2 * _MARGIN) + _MARGIN
    bottom = _MARGIN + _HEIGHT
    return [
        f'<path d="M{left} {_MARGIN} V{bottom} H{left + _WIDTH}" fill="none" stroke="black"/>',
        *(_text(left + _WIDTH * x, bottom + 16, tick, "middle") for x, tick in ticks),
        _text(left - 6, bottom, "0", "end"),
        _text(left - 6, _MARGIN + 4, rounded(top, "S"), "end"),
        _text(left + _WIDTH / 2, bottom + 36, x_name, "middle"),
        _text(left, _MARGIN - 12, y_name, "start"),
    ]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
