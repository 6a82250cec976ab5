"""Pieces of pictures (SVG): frames with lines and areas in them, and words. Lengths are in points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final

#: Told apart by people who do not tell red from green, too.
COLOURS: Final = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle of the picture, in which things stand at shares of its width, from the left, and height, from below.

    Attributes:
        left, top: of its corner.
        width, height: of it.
    """

    left: float
    top: float
    width: float
    height: float

    def axes(self) -> str:
        """Its left and lower edges."""
        return (
            f'<path d="M{self.left} {self.top} V{self.top + self.height} H{self.left + self.width}" fill="none" '
            f'stroke="black"/>'
        )

    def line(self, x: Iterable[float], y: Iterable[float], colour: str, *, dashes: str = "") -> str:
        """Straight from point to point; ``dashes`` are lengths drawn and left out in turn."""
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return f'<polyline points="{self._points(x, y)}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}/>'

    def area(self, x: Iterable[float], y: Iterable[float], colour: str) -> str:
        """What the points go around, pale."""
        return f'<polygon points="{self._points(x, y)}" fill="{colour}" fill-opacity="0.15"/>'

    def _points(self, x: Iterable[float], y: Iterable[float]) -> str:
        bottom = self.top + self.height
        pairs = zip(x, y, strict=True)
        return " ".join(f"{self.left + self.width * a:.1f},{bottom - self.height * b:.1f}" for a, b in pairs)


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Words whose ``start``, ``middle`` or ``end`` is at a place of the picture."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def picture(width: float, height: float, parts: Iterable[str], *, title: str) -> str:
    """A whole file, with its title in the middle of the top."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="11">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            text(width / 2, 20, title, "middle"),
            *parts,
            "</svg>\n",
        ]
    )
