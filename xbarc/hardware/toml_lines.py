"""Where the keys of a TOML text stand, which ``tomllib`` does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from xbarc.hardware.keys import Path


def key_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, on which each table and key of a valid TOML text is first written.

    A table stands where its header is, or, without one, where its first key is. Items of lists are not told apart.

    The text is cut into statements (a header, or a key with its value, over several lines where need be), each the
    shortest run of lines that is TOML by itself: so strings, dotted keys and comments are read by ``tomllib`` alone.
    """
    lines: dict[Path, int] = {}
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
            *outer, table = _paths((), values)
            lines[table] = start
            paths = outer
        else:
            paths = list(_paths(table, values))
        for path in paths:
            lines.setdefault(path, start)
        statement = ""
    return lines


def _paths(table: Path, values: dict[str, object]) -> Iterator[Path]:
    for name, value in values.items():
        path = (*table, name)
        yield path
        if isinstance(value, dict):
            yield from _paths(path, value)
