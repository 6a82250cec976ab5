"""Figures of trends (SVG): a frame for each network, accuracy along the axis, pale where 95 % intervals are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from trend_points import Curve, Trend

from xbarc.report.svg import COLOURS, Frame, picture, text

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 250, 150, 46, 62, 64
_ACROSS = 3
_LINE_OF_LEGEND = 16
_DASHES = ("", "6 3", "2 2")


def trend_svg(trend: Trend) -> str:
    """The curves of a trend, and what its lines mean; thin grey: the network in floating point."""
    networks = list(trend.float)
    series = list(trend.drawn) or list(dict.fromkeys(curve.series for curve in trend.curves))
    across, down = min(len(networks), _ACROSS), -(-len(networks) // _ACROSS)
    width = _LEFT + across * (_WIDTH + _LEFT)
    legend = _TOP + down * (_HEIGHT + _GAP) + 6
    parts: list[str] = []
    for number, network in enumerate(networks):
        row, column = divmod(number, _ACROSS)
        frame = Frame(_LEFT + column * (_WIDTH + _LEFT), _TOP + row * (_HEIGHT + _GAP), _WIDTH, _HEIGHT)
        curves = [curve for curve in trend.curves if curve.network == network and curve.series in series]
        parts += _panel(frame, trend, network, [(curve, series.index(curve.series)) for curve in curves])
    for number, name in enumerate(series):
        y = legend + _LINE_OF_LEGEND * number
        colour, dashes = _style(number)
        parts.append(Frame(_LEFT, y - 4, 30, 1).line([0, 1], [0, 0], colour, dashes=dashes))
        parts.append(text(_LEFT + 38, y, name, "start"))
    return picture(width, legend + _LINE_OF_LEGEND * len(series), parts, title=trend.title)


def _panel(frame: Frame, trend: Trend, network: str, curves: list[tuple[Curve, int]]) -> Iterator[str]:
    bottom = frame.top + frame.height
    yield text(frame.left + frame.width / 2, frame.top - 12, network, "middle")
    yield frame.axes()
    yield from (text(frame.left - 5, bottom - frame.height * y + 4, f"{100 * y:.0f} %", "end") for y in (0.0, 0.5, 1.0))
    places = _places(len(trend.ticks))
    yield from (
        text(frame.left + frame.width * x, bottom + 14, tick, "middle")
        for x, tick in zip(places, trend.ticks, strict=True)
    )
    yield text(frame.left + frame.width / 2, bottom + 30, trend.axis, "middle")
    yield frame.line([0, 1], [trend.float[network]] * 2, "#aaaaaa")
    for curve, number in curves:
        low, high = (np.array([found.interval[side] for found in curve.points]) for side in (0, 1))
        colour, dashes = _style(number)
        yield frame.area(np.concatenate([places, places[::-1]]), np.concatenate([high, low[::-1]]), colour)
        yield frame.line(places, curve.means, colour, dashes=dashes)


def _style(number: int) -> tuple[str, str]:
    """Colour and dashes of a series: with more series than colours they begin again, in other dashes."""
    return COLOURS[number % len(COLOURS)], _DASHES[number // len(COLOURS) % len(_DASHES)]


def _places(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count
