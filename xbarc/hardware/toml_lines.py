"""Where the keys of a TOML text stand, which ``tomllib`` does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xbarc.hardware.keys import Path


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a table or key is written.

    Attributes:
        path: of the key.
        line: counted from 1.
        kind: by a header; as a table within a dotted key or as an inline table; as a key with a value.
    """

    path: Path
    line: int
    kind: Literal["header", "table", "key"]


def key_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, on which each table and key of a valid TOML text is first written.

    A table stands where its header is, or, without one, where its first key is. Items of lists are not told apart.
    """
    lines: dict[Path, int] = {}
    for place in _places(text):
        if place.kind == "header":
            lines[place.path] = place.line
        else:
            lines.setdefault(place.path, place.line)
    return lines


def written_twice(text: str) -> tuple[Path, int, int] | None:
    """The first key or header that a text gives a second time, which TOML forbids, with both lines."""
    lines: dict[tuple[Path, str], int] = {}
    for place in _places(text):
        first = lines.setdefault((place.path, place.kind), place.line)
        if place.kind != "table" and first != place.line:
            return place.path, first, place.line
    return None


def _places(text: str) -> Iterator[_Place]:
    """Every table and key, in order.

    The text is cut into statements (a header, or a key with its value, over several lines where need be), each the
    shortest run of lines that is TOML by itself: so strings, dotted keys and comments are read by ``tomllib`` alone.
    """
    table: Path = ()
    statement, start = "", 1
    # Not splitlines(), which also splits at characters that may stand inside a TOML string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not statement:
            start = number
        statement += line + "\n"
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            *outer, (table, _) = _paths((), values)
            yield from (_Place(path, start, "table") for path, _ in outer)
            yield _Place(table, start, "header")
        else:
            for path, is_table in _paths(table, values):
                yield _Place(path, start, "table" if is_table else "key")
        statement = ""


def _paths(table: Path, values: dict[str, object]) -> Iterator[tuple[Path, bool]]:
    """The paths of all values, tables before what is in them, and whether they are tables."""
    for name, value in values.items():
        path = (*table, name)
        yield path, isinstance(value, dict)
        if isinstance(value, dict):
            yield from _paths(path, value)
