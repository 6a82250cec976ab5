"""Single values of a hardware description, replaced by ``key.path=value``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xbarc.errors import HardwareError
from xbarc.hardware.keys import Path


@dataclass(frozen=True)
class Override:
    """A value for one key.

    Attributes:
        path: the key.
        value: its value, as TOML reads it.
        text: the override as its author would write it, for messages.
    """

    path: Path
    value: object
    text: str


def read_overrides(overrides: Mapping[str, object] | Sequence[str]) -> list[Override]:
    """Overrides by dotted key, or as strings ``key.path=value``, in their order.

    A value given as text is read as TOML (``6``, ``true``, ``"text"``) or, where that is none, taken as it is
    (``25 uS``, ``unlimited``).

    Raises:
        HardwareError: a string without ``=`` or without a key.
    """
    if isinstance(overrides, str):
        # A string is a sequence of strings, too, and never meant as one here.
        overrides = [overrides]
    pairs = overrides.items() if isinstance(overrides, Mapping) else [_split(text) for text in overrides]
    return [
        Override(path=tuple(key.strip().split(".")), value=_read_value(value), text=f"{key}={value}")
        for key, value in pairs
    ]


def apply_override(override: Override, document: dict[str, object]) -> None:
    """Put the value at its place in a nested description, making the tables that are missing.

    Where something else stands in a table's place, it is left for validation to find.
    """
    *tables, name = override.path
    table: object = document
    for step in tables:
        if isinstance(table, dict):
            table = table.setdefault(step, {})
    if isinstance(table, dict):
        table[name] = override.value


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise HardwareError(f'the override "{text}" is not key.path=value', fix="write it as in adc.bits=6")
    return key, value


def _read_value(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # More than one key: the text held a line break and is no single value.
    return parsed["value"] if len(parsed) == 1 else text
