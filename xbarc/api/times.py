"""Times as people give them."""

from __future__ import annotations

from xbarc.errors import UsageError
from xbarc.units import parse_duration


def seconds_of(time: float | str) -> float:
    """Seconds of a number or of a text such as ``"1d"``.

    Raises:
        UsageError: it is neither a number nor a text that spells a duration.
    """
    fix = "write a time as in 0, 20s, 1h, 1d or 1y"
    try:
        return (parse_duration(time) if isinstance(time, str) else float(time)) + 0.0  # -0.0 is 0.0
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error), fix=fix) from None
    except TypeError:
        raise UsageError(f"the time is {time!r}", fix=fix) from None
