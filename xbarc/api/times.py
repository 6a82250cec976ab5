"""Times as people give them."""

from __future__ import annotations

from xbarc.errors import UsageError
from xbarc.units import parse_duration


def seconds_of(time: float | str) -> float:
    """Seconds of a number or of a text such as ``"1d"``.

    Raises:
        UsageError: the text is no duration.
    """
    if not isinstance(time, str):
        return float(time)
    try:
        return parse_duration(time)
    except ValueError as error:
        raise UsageError(str(error), fix="write a time as in 0, 20s, 1h, 1d or 1y") from None
