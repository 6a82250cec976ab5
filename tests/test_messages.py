"""Every message that a model or data can be answered with is quoted by a test that provokes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

#: What makes a message, and which argument the message is.
MAKERS = {
    "CapacityError": 0,
    "DataError": 0,
    "ModelError": 0,
    "ProgramError": 0,
    "Refusal": 0,
    "UsageError": 0,
    "bad": 1,
}
#: Where a test quotes a part of a message, it is at least so long.
SHORTEST = 12
#: Stands for what a message puts in.
GAP = "\0"


def texts(node: ast.expr) -> list[str]:
    """The texts that an expression may be, with gaps for what is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            found = [""]
            for part in parts:
                found = [before + text for before in found for text in texts(part)]
            return found
        case ast.FormattedValue(value=ast.IfExp() as choice):
            return texts(choice)
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one), *texts(other)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [one + other for one in texts(left) for other in texts(right)]
    return [GAP]


def messages(path: Path) -> Iterator[tuple[str, str]]:
    """Where each message of a file is, and what it says."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            place = MAKERS[node.func.id]
            for text in texts(node.args[place]) if len(node.args) > place else ():
                if text.strip(GAP):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def quotes() -> set[str]:
    """All texts in tests, regular expressions without their backslashes."""
    found: set[str] = set()
    for path in (ROOT / "tests").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                found.update(text.replace("\\", "") for text in texts(node))
    return {text for text in found if len(text) >= SHORTEST}


def test_every_message_is_provoked_by_a_test() -> None:
    quoted = quotes()
    whole = "\n".join(sorted(quoted))

    def is_quoted(message: str) -> bool:
        pieces = message.split(GAP)
        in_full = re.search(".*".join(map(re.escape, pieces)), whole) is not None
        return in_full or any(quote in piece for piece in pieces for quote in quoted)

    paths = sorted(path for folder in ("xbarc", "passes", "runtime") for path in (ROOT / folder).rglob("*.py"))
    every = [found for path in paths for found in messages(path)]
    assert len(every) > 200
    assert [f"{place}: {text.replace(GAP, '...')}" for place, text in every if not is_quoted(text)] == []
