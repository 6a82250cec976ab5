"""Pages as text: nothing is lost, columns are aligned, and narrow terminals are kept to."""

from __future__ import annotations

import io
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from xbarc.report.page import Column, Table, facts
from xbarc.report.rendering import PLAIN_WIDTH, plain_text, rich_blocks
from xbarc.report.words import amount, counted, exact, matrix, percent, several

words = st.text(alphabet="abcdefgh_/.%0123456789", min_size=1, max_size=12)
sentences = st.lists(words, min_size=1, max_size=30).map(" ".join)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A name, some numbers and a sentence a row, as all tables here have them."""
    numbers = draw(st.integers(0, 4))
    headings = [draw(words) for _ in range(numbers)]
    columns = (
        Column("name"),
        *(Column(f"x\n{heading}" if draw(st.booleans()) else heading, "right") for heading in headings),
        Column("why", wraps=True),
    )
    row = st.tuples(words, *[words] * numbers, sentences)
    rows = draw(st.lists(row, max_size=5))
    total = draw(st.none() | row)
    return Table("a title", columns, tuple(rows), total, notes=tuple(draw(st.lists(sentences, max_size=2))))


def squeezed(text: str) -> str:
    return re.sub(r"[\s─-]", "", text)


@given(st.lists(tables(), min_size=1, max_size=2))
def test_plain_tables_are_aligned_and_complete(page: list[Table]) -> None:
    text = plain_text(page)
    assert text.endswith("\n")
    assert all(line == line.rstrip() and len(line) <= PLAIN_WIDTH for line in text.splitlines())
    blocks = text.removesuffix("\n").split("\n\n")
    assert len(blocks) == len(page)
    for block, table in zip(blocks, page, strict=True):
        lines = block.splitlines()
        assert lines[0] == table.title
        rule = next(line for line in lines if set(line) <= {"-", " "})
        ends = [match.end() for match in re.finditer("-+", rule)]
        starts = [match.start() for match in re.finditer("-+", rule)]
        body = lines[lines.index(rule) + 1 :]
        for row in (*table.rows, *([table.total] if table.total else [])):
            first = next(number for number, line in enumerate(body) if line != rule and line.startswith(row[0]))
            line = body[first]
            cells = [line[start:end] for start, end in zip(starts, ends, strict=True)]
            assert cells[0].rstrip() == row[0]
            assert cells[1:-1] == [text.rjust(len(cell)) for text, cell in zip(row[1:-1], cells[1:-1], strict=True)]
            assert row[-1].startswith(cells[-1].strip())
            body = body[first + 1 :]
        for sentence in (*(row[-1] for row in table.rows), *table.notes):
            assert squeezed(sentence) in squeezed("".join(line[starts[-1] :] for line in lines)) + squeezed(block)


def on_a_terminal(page: list[Table], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    for block in rich_blocks(page, width=width):
        console.print(block, crop=False)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@given(tables(), st.sampled_from([20, 60, 80, 120]))
def test_no_number_is_cut_on_a_terminal_and_wide_ones_are_kept_to(table: Table, width: int) -> None:
    lines = on_a_terminal([table], width)
    assert not any("…" in line for line in lines)
    for row in table.rows:
        for cell in row[1:-1]:
            assert any(re.search(rf"(^| ){re.escape(cell)}( |$)", line) for line in lines)
    widths = [max(len(line) for line in column.heading.split("\n")) for column in table.columns[1:-1]]
    for row in (*table.rows, *([table.total] if table.total else [])):
        widths = [max(width, len(cell)) for width, cell in zip(widths, row[1:-1], strict=True)]
    least = 12 + sum(widths) + 12 + 2 * (len(widths) + 1)
    assert max(len(line) for line in lines) <= max(width, least)


def test_a_page_may_say_nothing() -> None:
    page = [facts("title")]
    assert plain_text(page) == "title\n"
    assert [line.strip() for line in on_a_terminal(page, 80) if line.strip()] == ["title"]


def test_text_that_looks_like_markup_is_text() -> None:
    text = "\n".join(on_a_terminal([facts("[bold]", ("[red]key", "f32[N, 3] :smile:"))], 80))
    assert "[bold]" in text
    assert re.search(r"\[red\]key +f32\[N, 3\] :smile:", text)


@given(st.integers(0, 10**15))
def test_an_amount_is_the_number_to_three_digits(number: int) -> None:
    text = amount(number)
    value, _, prefix = text.partition(" ")
    scale = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}[prefix]
    assert abs(Decimal(value).scaleb(scale) - number) <= Decimal(number) * Decimal("0.005")
    assert len(value.replace(".", "")) <= 4
    assert Decimal(value) < 1000 or prefix == "T"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (999_499, "999 k"), (999_500, "1 M"), (12_501_632, "12.5 M")]
)
def test_amounts(number: int, text: str) -> None:
    assert amount(number) == text


@given(st.floats(0, 2))
def test_a_percentage_is_near_and_says_nothing_exact_that_is_not(share: float) -> None:
    text = percent(share)
    assert (text == "0 %") == (share == 0)
    assert (text == "100 %") == (100 * share == 100)
    value = float(re.sub(r"[<> %]", "", text))
    match text[0]:
        case "<":
            assert 100 * share < value
        case ">":
            assert value < 100 * share < 100
        case _:
            assert value == pytest.approx(100 * share, abs=0.0501 if share >= 0.001 else 5.01e-3)


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "unknown"), (0.0843, "8.4 %"), (0.000188, "0.019 %"), (1e-9, "< 0.001 %"), (0.9999, "> 99.9 %")],
)
def test_percentages(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_other_words() -> None:
    assert exact(4096) == "4,096"
    assert [several(count, "read") for count in (0, 1, 4096)] == ["0 reads", "1 read", "4,096 reads"]
    assert matrix(groups=1, rows=144, columns=32) == "144 x 32"
    assert matrix(groups=64, rows=9, columns=1) == "64 x (9 x 1)"
    assert counted({"Add": 3, "Relu": 9, "Abs": 3}) == "9 Relu, 3 Abs, 3 Add"
