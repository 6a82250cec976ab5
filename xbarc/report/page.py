"""What a page of results is made of, apart from how it is printed: tables with notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        heading: may be empty, or of several lines.
        align: numbers stand to the right.
        wraps: whether it holds sentences, which may be broken into lines.
    """

    heading: str
    align: Literal["left", "right"] = "left"
    wraps: bool = False


Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title.

    Attributes:
        rows: a text for each column.
        total: the last row, set apart; ``None``: there is none.
        muted: indices of rows that matter less.
        notes: remarks below, a paragraph each.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None = None
    muted: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


Page = Sequence[Table]


def numbers(*headings: str) -> tuple[Column, ...]:
    """Columns of numbers."""
    return tuple(Column(heading, "right") for heading in headings)


def facts(title: str, *rows: tuple[str, str], notes: Iterable[str] = ()) -> Table:
    """What is said of one thing: a table without headings."""
    return Table(title, (Column(""), Column("", wraps=True)), rows, notes=tuple(notes))
