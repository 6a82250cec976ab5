"""Output: results to stdout, all else to stderr; tables and bars on a terminal, plain text into files and pipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xbarc.errors import XbarcError

if TYPE_CHECKING:
    from rich.console import Console

    from xbarc.api.pass_check import Difference
    from xbarc.report.page import Page

#: Told how far a job is: what is being done, steps done, and steps in all where that is known.
Advance = Callable[[str, int, int | None], None]


def print_page(page: Page) -> None:
    """Print a page of results."""
    from xbarc.report.rendering import plain_text, rich_blocks

    console = _console()
    if not console.is_terminal or console.is_dumb_terminal:
        sys.stdout.write(plain_text(page))
        return
    for block in rich_blocks(page, width=console.width):
        console.print(block, crop=False)


def print_json(result: Mapping[str, Any]) -> None:
    """Print one object."""
    sys.stdout.write(json.dumps(result, indent=2, allow_nan=False) + "\n")


def print_error(error: XbarcError) -> None:
    """Say what is wrong, where, and what to do."""
    _say("error", "bold red", str(error))


def warn(messages: Iterable[str]) -> None:
    """Say what the user has to know."""
    for message in messages:
        _say("warning", "bold yellow", message)


def print_difference(difference: Difference) -> None:
    """Say what a pass did to the numbers."""
    share = f"{difference.relative:.3g} of the outputs' range" if difference.relative else "nothing"
    _console(stderr=True).print(f"{difference.name:<18} changes {share}", soft_wrap=True)


@contextmanager
def progress() -> Iterator[Advance]:
    """A bar on stderr, where that is a terminal; it is gone when the block ends."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield lambda doing, done, total: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda doing, done, total: bar.update(task, description=doing, completed=done, total=total)


def _say(kind: str, style: str, message: str) -> None:
    from rich.text import Text

    _console(stderr=True).print(Text.assemble((f"{kind}:", style), " ", message), soft_wrap=True)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)
