"""Durations as text: exact round trips, every unit, and what is said of texts that are none."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xbarc.units import format_duration, parse_duration

UNITS = {
    "fs": Fraction(1, 10**15),
    "ps": Fraction(1, 10**12),
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
    "y": Fraction(31536000),
    "minute": Fraction(60),
    "hour": Fraction(3600),
    "day": Fraction(86400),
    "year": Fraction(31536000),
    "minutes": Fraction(60),
    "hours": Fraction(3600),
    "days": Fraction(86400),
    "years": Fraction(31536000),
}


@given(seconds=st.floats(min_value=0, allow_infinity=False))
@example(seconds=-0.0)
@example(seconds=5e-324)
@example(seconds=1.7976931348623157e308)
@example(seconds=31536000 * 1e6)
@example(seconds=0.1)
@example(seconds=59.99999999999999)
def test_writing_and_reading_gives_the_same_float(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(count=st.integers(0, 10**7), unit=st.sampled_from([1, 60, 3600, 86400, 31536000]))
def test_whole_counts_are_written_and_read_exactly(count: int, unit: int) -> None:
    assert parse_duration(format_duration(count * unit)) == count * unit


@given(
    mantissa=st.decimals(min_value=0, max_value=9999, places=7),
    exponent=st.integers(-30, 30),
    unit=st.sampled_from(list(UNITS)),
    space=st.sampled_from(["", " ", "  "]),
)
def test_reading_is_the_nearest_float_of_the_decimal_value(
    mantissa: Decimal, exponent: int, unit: str, space: str
) -> None:
    exact = Fraction(mantissa) * Fraction(10) ** exponent * UNITS[unit]
    assert parse_duration(f"{mantissa:f}e{exponent}{space}{unit}") == float(exact)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0.0", 0.0),
        ("-0", 0.0),
        ("0 d", 0.0),
        ("1s", 1.0),
        ("20 s", 20.0),
        ("250 ns", 250e-9),
        ("1 ms", 1e-3),
        ("1.5min", 90.0),
        ("1h", 3600.0),
        ("0.1 h", 360.0),
        ("1d", 86400.0),
        (" 1 day ", 86400.0),
        ("30 days", 2592000.0),
        ("1y", 31536000.0),
        ("1 year", 31536000.0),
        ("1e3 s", 1000.0),
        ("1e-9999 s", 0.0),
    ],
)
def test_accepted_spellings(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (250e-9, "250 ns"),
        (1e-3, "1 ms"),
        (0.5, "500 ms"),
        (1, "1 s"),
        (20.0, "20 s"),
        (1234.5, "1234.5 s"),
        (60, "1 min"),
        (5400, "90 min"),
        (3600, "1 h"),
        (7200, "2 h"),
        (86400, "1 day"),
        (2592000, "30 days"),
        (31536000, "1 year"),
        (315360000, "10 years"),
        (1000000, "1000000 s"),
        (1e300, "1e+300 s"),
    ],
)
def test_written_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


EXPECTED = "expected a number and one of ns, us, ms, s, min, h, d and y"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f'"" does not start with a number, {EXPECTED}'),
        ("soon", f'"soon" does not start with a number, {EXPECTED}'),
        ("nan s", f'"nan s" does not start with a number, {EXPECTED}'),
        ("inf", f'"inf" does not start with a number, {EXPECTED}'),
        ("20", f'"20" has no unit, {EXPECTED}'),
        ("1 m", f'"1 m" has the unit "m", {EXPECTED}'),
        ("1 ks", f'"1 ks" has the unit "ks", {EXPECTED}'),
        ("1 Ms", f'"1 Ms" has the unit "Ms", {EXPECTED}'),
        ("1 S", f'"1 S" has the unit "S", {EXPECTED}'),
        ("1Y", f'"1Y" has the unit "Y", {EXPECTED}'),
        ("1 d 2 h", f'"1 d 2 h" has the unit "d 2 h", {EXPECTED}'),
        ("1,5 h", f'"1,5 h" has the unit ",5 h", {EXPECTED}'),
        ("0 x", f'"0 x" has the unit "x", {EXPECTED}'),
        ("-1 s", '"-1 s" is negative, expected at least 0 s'),
        ("-1e-30 y", '"-1e-30 y" is negative, expected at least 0 s'),
        ("1e308 min", '"1e308 min" is too large, expected less than 1.8e308 s'),
        ("1e9999 s", '"1e9999 s" is too large, expected less than 1.8e308 s'),
    ],
)
def test_what_is_no_duration_is_refused_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@given(text=st.text(max_size=20) | st.from_regex(r"-?[0-9.]{1,4}(e[0-9]{1,4})? ?[a-zµ]{0,3}", fullmatch=True))
def test_any_text_is_read_or_refused_with_the_text_in_the_message(text: str) -> None:
    try:
        seconds, message = parse_duration(text), None
    except ValueError as error:
        seconds, message = 0.0, str(error)
    assert math.isfinite(seconds)
    assert seconds >= 0
    assert message is None or message.startswith(f'"{text}" ')


@pytest.mark.parametrize("seconds", [-1.0, math.inf, -math.inf, math.nan])
def test_what_is_no_duration_is_not_written(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"cannot be written as a duration: expected a finite number of at least 0$"):
        format_duration(seconds)
