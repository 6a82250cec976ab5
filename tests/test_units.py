"""Quantities as text: exact round trips, every prefix, and what is said of texts that are none."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xbarc.units import format_quantity, parse_quantity

PREFIXES = {"f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0}
PREFIXES |= {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15}


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    unit=st.sampled_from(["S", "s", "J", "V", "Hz", "m", "m2", "B", "W", "S/s"]),
)
@example(value=2.5e-5, unit="S")
@example(value=5e-324, unit="S")
@example(value=1.7976931348623157e308, unit="S")
@example(value=999.9999999999999e-6, unit="S")
def test_writing_and_reading_gives_the_same_float(value: float, unit: str) -> None:
    assert parse_quantity(format_quantity(value, unit), unit) == value


@given(
    mantissa=st.decimals(min_value=-9999, max_value=9999, places=7),
    prefix=st.sampled_from(list(PREFIXES)),
    unit=st.just("S"),
)
def test_reading_is_the_nearest_float_of_the_decimal_value(mantissa: object, prefix: str, unit: str) -> None:
    exact = Fraction(str(mantissa)) * Fraction(10) ** PREFIXES[prefix]
    assert parse_quantity(f"{mantissa} {prefix}{unit}", unit) == float(exact)


@given(value=st.floats(min_value=1e-15, max_value=9.99e17))
def test_one_to_three_digits_stand_before_the_point(value: float) -> None:
    number, _ = format_quantity(value, "S").split(" ")
    assert 1 <= float(number) < 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.5e-5, "25 uS"),
        (0.0, "0 S"),
        (-0.0, "0 S"),
        (1e-15, "1 fS"),
        (1.0, "1 S"),
        (100.0, "100 S"),
        (1000.0, "1 kS"),
        (1.5e9, "1.5 GS"),
        (-3e-3, "-3 mS"),
        (1e-20, "1e-20 S"),
        (1e12, "1 TS"),
        (4e15, "4 PS"),
        (1e18, "1e+18 S"),
    ],
)
def test_written_form(value: float, text: str) -> None:
    assert format_quantity(value, "S") == text


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("0.372 mm2", "m2", 0.372e-6),
        ("0.166 um2", "m2", 0.166e-12),
        ("85.4 mm2", "m2", 85.4e-6),
        ("2542 mm2", "m2", 2542e-6),
        ("2 m2", "m2", 2.0),
        ("64 KiB", "B", 65536.0),
        ("256 B", "B", 256.0),
        ("1.5 kB", "B", 1500.0),
        ("3 MiB", "B", 3 * 2.0**20),
        ("1.667 pJ", "J", 1.667e-12),
        ("1.2 GS/s", "S/s", 1.2e9),
    ],
)
def test_squares_and_bytes_are_read_and_written(text: str, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == value
    assert format_quantity(value, unit) == text


def test_halves_of_binary_prefixes_are_read() -> None:
    assert parse_quantity("1.5 KiB", "B") == 1536.0
    with pytest.raises(ValueError, match="prefix"):
        parse_quantity("1 KiS", "S")


@pytest.mark.parametrize(
    "text", ["25 uS", "25uS", " 25  uS ", "+25 uS", "25. uS", "2.5e1 uS", "2.5E+01 uS", "25e-6S", ".025 mS"]
)
def test_accepted_spellings(text: str) -> None:
    assert parse_quantity(text, "S") == 2.5e-5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", '"" does not start with a number, expected a number and the unit S'),
        ("uS", '"uS" does not start with a number, expected a number and the unit S'),
        ("nan S", '"nan S" does not start with a number, expected a number and the unit S'),
        ("inf S", '"inf S" does not start with a number, expected a number and the unit S'),
        ("25", '"25" has no unit, expected S'),
        ("25 u", '"25 u" has the unit "u", expected S'),
        ("25 us", '"25 us" has the unit "us", expected S'),
        ("25,5 uS", '"25,5 uS" has the prefix ",5 u", expected one of f p n u m k M G T P or none before S'),
        ("25 xS", '"25 xS" has the prefix "x", expected one of f p n u m k M G T P or none before S'),
        ("25 u S", '"25 u S" has the prefix "u ", expected one of f p n u m k M G T P or none before S'),
        ("1e999 S", '"1e999 S" is too large, expected a number below 1.8e308'),
    ],
)
def test_what_is_no_quantity_is_refused_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_quantity(text, "S")


@given(text=st.text(max_size=20))
def test_any_text_is_read_or_refused_with_the_text_in_the_message(text: str) -> None:
    try:
        value, message = parse_quantity(text, "S"), None
    except ValueError as error:
        value, message = 0.0, str(error)
    assert math.isfinite(value)
    assert message is None or message.startswith(f'"{text}" ')


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match=r"cannot be written as a quantity: expected a finite number"):
        format_quantity(value, "S")
