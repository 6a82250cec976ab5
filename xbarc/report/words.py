"""Numbers as people read them: three digits and a prefix, percentages that do not round to what they are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_PREFIXES: Final = (("", 0), (" k", 3), (" M", 6), (" G", 9), (" T", 12))
UNKNOWN: Final = "unknown"
#: Layers that a sentence names.
NAMES_SHOWN: Final = 6


def amount(number: int | None) -> str:
    """A count with three digits: ``12.5 M`` for 12,501,632; ``unknown`` for ``None``."""
    if number is None:
        return UNKNOWN
    rounded = float(f"{number:.3g}")  # before the prefix is chosen: 999,999 is 1 M
    prefix, power = max((entry for entry in _PREFIXES if rounded >= 10 ** entry[1]), default=_PREFIXES[0], key=_power)
    return f"{rounded / 10**power:.4g}{prefix}"


def exact(number: int) -> str:
    """A count with all its digits: ``4,096``."""
    return f"{number:,}"


def several(number: int, one: str) -> str:
    """A count of things: ``1 tile``, ``4,096 tiles``."""
    return f"{exact(number)} {one}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """A share with one decimal, or two digits where it is small; 0 % and 100 % only where that is exact."""
    if share is None:
        return UNKNOWN
    hundredfold = 100 * share
    if hundredfold == 0:
        return "0 %"
    if hundredfold < 0.001:
        return "< 0.001 %"
    if hundredfold < 0.1:
        return f"{hundredfold:.2g} %"
    if 99.95 <= hundredfold < 100:
        return "> 99.9 %"
    return "100 %" if hundredfold == 100 else f"{hundredfold:.1f} %"


def number(value: float) -> str:
    """A measured number with four digits."""
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def rate(a_second: float) -> str:
    """How often something happens in a second."""
    return amount(round(a_second)) if a_second >= 100 else number(a_second)


def matrix(*, groups: int, rows: int, columns: int) -> str:
    """``144 x 32``; of groups ``64 x (9 x 1)``."""
    return f"{groups} x ({rows} x {columns})" if groups > 1 else f"{rows} x {columns}"


def counted(kinds: dict[str, int]) -> str:
    """``9 Relu, 3 Add``, the most frequent first."""
    return ", ".join(
        f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda entry: (-entry[1], entry[0]))
    )


def shortened(names: Sequence[str]) -> str:
    """The first names of layers, and how many more there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more layers"


def _power(entry: tuple[str, int]) -> int:
    return entry[1]
