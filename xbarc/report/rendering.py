"""Pages as text: plain, for files and pipes, or as rich renderables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from xbarc.report.page import Column, Page, Row, Table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable

PLAIN_WIDTH: Final = 100
_GAP: Final = "  "
_NARROWEST: Final = 12  # names and sentences are not broken into lines shorter than this


def plain_text(page: Page) -> str:
    """Aligned columns between spaces, a line a row; sentences in the last column are broken to 100 characters."""
    return "\n\n".join("\n".join(line.rstrip() for line in _plain_lines(table)) for table in page) + "\n"


def rich_blocks(page: Page, *, width: int) -> Iterator[RenderableType]:
    """Renderables in order, to be printed uncropped.

    Where the terminal is narrow, names and sentences are folded. Where even that is not enough, tables are wider than
    the terminal: a number that lost its last digits would be another number.
    """
    from rich.text import Text

    for number, table in enumerate(page):
        if number:
            yield ""
        yield Text(table.title, style="bold")
        yield _rich_table(table, width)
        yield from (Text(note, style="dim") for note in table.notes)


def _rich_table(table: Table, width: int) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    headed = any(column.heading for column in table.columns)
    result = RichTable(
        box=box.SIMPLE_HEAD,
        show_header=headed,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="cyan",
    )
    natural = _widths(table)
    folding = [column.wraps or index == 0 for index, column in enumerate(table.columns)]
    least = [min(size, _NARROWEST) if folds else size for size, folds in zip(natural, folding, strict=True)]
    if sum(least) + len(_GAP) * (len(least) - 1) > width:
        result.width = sum(least) + len(_GAP) * (len(least) - 1)
    for index, (column, folds) in enumerate(zip(table.columns, folding, strict=True)):
        style = "cyan" if index == 0 and not headed else None
        result.add_column(Text(column.heading), justify=column.align, no_wrap=not folds, overflow="fold", style=style)
    for index, row in enumerate(table.rows):
        is_last = index == len(table.rows) - 1
        style = "dim" if index in table.muted else None
        result.add_row(*map(Text, row), style=style, end_section=is_last and table.total is not None)
    if table.total is not None:
        result.add_row(*map(Text, table.total), style="bold")
    return result


def _plain_lines(table: Table) -> Iterator[str]:
    headings = _heading_rows(table.columns)
    widths = _widths(table)
    if table.columns[-1].wraps:
        room = PLAIN_WIDTH - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(room, _NARROWEST))
    rule = _GAP.join("-" * width for width in widths)
    yield table.title
    if headings:
        for row in headings:
            yield from _plain_row(row, table.columns, widths)
        yield rule
    for row in table.rows:
        yield from _plain_row(row, table.columns, widths)
    if table.total:
        yield rule
        yield from _plain_row(table.total, table.columns, widths)
    for note in table.notes:
        yield from _broken(note, PLAIN_WIDTH)


def _heading_rows(columns: tuple[Column, ...]) -> list[Row]:
    """Headings of several lines, so that all end at the same line; none where no column has one."""
    split = [column.heading.split("\n") if column.heading else [] for column in columns]
    height = max(len(lines) for lines in split)
    return list(zip(*([""] * (height - len(lines)) + lines for lines in split), strict=True))


def _all_rows(table: Table) -> list[Row]:
    return [*_heading_rows(table.columns), *table.rows, *([table.total] if table.total else [])]


def _widths(table: Table) -> list[int]:
    """What each column needs for its longest cell."""
    rows = _all_rows(table)
    return [max((len(row[index]) for row in rows), default=0) for index in range(len(table.columns))]


def _plain_row(row: Row, columns: tuple[Column, ...], widths: list[int]) -> Iterator[str]:
    *cells, last = (
        cell.rjust(width) if column.align == "right" else cell.ljust(width)
        for cell, column, width in zip(row, columns, widths, strict=True)
    )
    lines = _broken(last, widths[-1]) if columns[-1].wraps else [last]
    yield _GAP.join([*cells, lines[0]])
    for line in lines[1:]:
        yield _GAP.join([*(" " * width for width in widths[:-1]), line])


def _broken(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
