"""Quantities and durations as text: ``"25 uS"``, ``"1 day"`` in files and on the screen, SI floats everywhere else."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

# Power of ten of each SI prefix. Both code points that look like a mu are read; the plain letter u is written.
_PREFIXES: Final = MappingProxyType(
    {"f": -15, "p": -12, "n": -9, "u": -6, "\u00b5": -6, "\u03bc": -6, "m": -3, "": 0}
    | {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
)
_WRITTEN_PREFIXES: Final = MappingProxyType(
    {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
)

# Sizes of memories come in powers of 1024, and squares of prefixed lengths in squares of the prefix.
_BYTE: Final = "B"
_BINARY_PREFIXES: Final = MappingProxyType({"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40})
_SQUARE: Final = "m2"

# At most four digits of exponent: more is no float anyway, and int() refuses very long digit strings.
_NUMBER: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,4}))?")

# Seconds of what durations are counted in beside the second; a year has 365 days.
_CALENDAR: Final = MappingProxyType(
    dict.fromkeys(("y", "year", "years"), 365 * 86400)
    | dict.fromkeys(("d", "day", "days"), 86400)
    | dict.fromkeys(("h", "hour", "hours"), 3600)
    | dict.fromkeys(("min", "minute", "minutes"), 60)
)
_WRITTEN_CALENDAR: Final = (("year", "years"), ("day", "days"), ("h", "h"), ("min", "min"))


def parse_quantity(text: str, unit: str) -> float:
    """Read a number with its unit, such as ``"25 uS"`` for the unit ``"S"``, as an SI float (here 2.5e-05).

    The number is decimal; the unit may carry one of the SI prefixes f p n u (or µ) m k M G T P, bytes (``B``) also one
    of Ki Mi Gi Ti. The prefix of a square (``m2``) is squared with it: 1 mm2 is 1e-6 m2. The result is the float
    nearest to the value written.

    Raises:
        ValueError: the text is no number with this unit, or is too large for a float. The message holds the text and
            what was expected.
    """
    number = _NUMBER.match(text.strip())
    if number is None:
        raise ValueError(f'"{text}" does not start with a number, expected a number and the unit {unit}')
    mantissa, exponent = number.groups()
    given = number.string[number.end() :].strip()
    if not given:
        raise ValueError(f'"{text}" has no unit, expected {unit}')
    prefix = given.removesuffix(unit)
    if not given.endswith(unit):
        raise ValueError(f'"{text}" has the unit "{given}", expected {unit}')
    if unit == _BYTE and prefix in _BINARY_PREFIXES:
        prefix, factor = "", _BINARY_PREFIXES[prefix]
    else:
        factor = 1
    if prefix not in _PREFIXES:
        raise ValueError(
            f'"{text}" has the prefix "{prefix}", expected one of f p n u m k M G T P or none before {unit}'
        )
    # One decimal text, one rounding: multiplying by 1e-06 would round twice and break the round trip. A power of two
    # does not round.
    power = _PREFIXES[prefix] * (2 if unit == _SQUARE else 1)
    value = float(f"{mantissa}e{int(exponent or 0) + power}") * factor
    if math.isinf(value):
        raise ValueError(f'"{text}" is too large, expected a number below 1.8e308')
    return value


def format_quantity(value: float, unit: str) -> str:
    """Write an SI value with the prefix that leaves one to three digits before the point: ``"25 uS"``.

    Areas (``m2``) get the prefix that leaves them above 0.001, below 1 m2 at most mm2: ``"0.372 mm2"``. Bytes (``B``)
    are written in Ki to Ti where that is whole. ``parse_quantity(format_quantity(value, unit), unit)`` is ``value``
    again, exactly. Values beyond the prefixes f to P are written without one, in powers of ten (``"1e-20 S"``).

    Raises:
        ValueError: the value is infinite or not a number.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} {unit} cannot be written as a quantity: expected a finite number")
    if value == 0:
        return f"0 {unit}"
    if unit == _BYTE:
        for prefix, size in _BINARY_PREFIXES.items():
            if value % size == 0 and abs(value) < 1024 * size:
                return f"{value / size:.0f} {prefix}{unit}"
    exact = Decimal(repr(float(value)))
    dimension, leading = (2, 3) if unit == _SQUARE else (1, 0)
    power = 3 * ((exact.adjusted() + leading) // (3 * dimension))
    if unit == _SQUARE and exact.adjusted() < 0:
        power = min(power, -3)  # chips are large in mm2, not small in m2
    if power not in _WRITTEN_PREFIXES:
        return f"{float(value)!r} {unit}"
    digits = format(exact.scaleb(-power * dimension), "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits} {_WRITTEN_PREFIXES[power]}{unit}"


def parse_duration(text: str) -> float:
    """Read a duration, such as ``"250 ns"``, ``"1h"`` or ``"2 years"``, as seconds.

    Units are the second with the prefixes f p n u (or µ) m or none, min, h, d (day, days) and y (year, years); a year
    has 365 days. ``"0"`` needs no unit. The result is the float nearest to the decimal value written.

    Raises:
        ValueError: the text is no duration, is negative, or is too large for a float. The message holds the text and
            what was expected.
    """
    expected = "a number and one of ns, us, ms, s, min, h, d and y"
    number = _NUMBER.match(text.strip())
    if number is None:
        raise ValueError(f'"{text}" does not start with a number, expected {expected}')
    mantissa, exponent = number.groups()
    unit = number.string[number.end() :].strip()
    value = Fraction(Decimal(mantissa)) * Fraction(10) ** int(exponent or 0)
    if not unit and value:
        raise ValueError(f'"{text}" has no unit, expected {expected}')
    if unit in _CALENDAR:
        value *= _CALENDAR[unit]
    elif unit:
        power = _PREFIXES.get(unit.removesuffix("s"), 1) if unit.endswith("s") else 1
        if power > 0:
            raise ValueError(f'"{text}" has the unit "{unit}", expected {expected}')
        value *= Fraction(10) ** power
    if value < 0:
        raise ValueError(f'"{text}" is negative, expected at least 0 s')
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f'"{text}" is too large, expected less than 1.8e308 s') from None


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that counts them whole, from years to minutes: ``"1 year"``, ``"90 min"``.

    What no such unit counts whole, or only in millions, is written in seconds, below 1 s with the prefix of
    :func:`format_quantity`. ``parse_duration(format_duration(seconds))`` is ``seconds`` again, exactly.

    Raises:
        ValueError: the value is negative, infinite or not a number.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{seconds} s cannot be written as a duration: expected a finite number of at least 0")
    for one, many in _WRITTEN_CALENDAR:
        count, rest = divmod(seconds, _CALENDAR[one])
        if rest == 0 and 1 <= count < 1e6:
            return f"{count:.0f} {one if count == 1 else many}"
    if seconds < 1:
        return format_quantity(seconds, "s")
    # No prefix from here on: "1 ks" is read with less ease than "1000 s", and "1 Ms" as a millisecond.
    return f"{repr(float(seconds)).removesuffix('.0')} s"
