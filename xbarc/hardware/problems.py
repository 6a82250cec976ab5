"""What is wrong with a hardware description, each thing in one sentence, all things in one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from xbarc.errors import HardwareError
from xbarc.hardware.keys import Key, Path, dotted, fitted, known_keys, listed, nearest


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        keys: the keys that it concerns; the first is the one to look at.
        what: what is wrong, with the offending value.
        fix: what to do about it.
    """

    keys: tuple[Path, ...]
    what: str
    fix: str


class ConflictError(ValueError):
    """Values that are each possible but do not go together. Raised inside validation, never seen by a user."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.what for problem in problems))
        self.problems = tuple(problems)


_WHOLE: Final = "a hardware description"


def problems_of(error: ValidationError, model: type[BaseModel], *, whole: str = _WHOLE) -> list[Problem]:
    """What the failed validation of ``model`` found, in its order, each key named once; ``whole`` is what it is."""
    known = known_keys(model)
    found: dict[Path, list[Problem]] = {}
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ConflictError):
            found.setdefault((), []).extend(cause.problems)
            continue
        problem = _problem(detail, known, whole)
        # A choice of types (a number or "unlimited") fails once for each; one sentence covers them.
        found.setdefault(problem.keys[0], [problem])
    return [problem for problems in found.values() for problem in problems]


def unknown_key(path: Path, known: Mapping[Path, Key], whole: str = _WHOLE) -> Problem:
    """A key that does not exist, with the nearest one that does, or all that its table has."""
    known = fitted(known, path)
    table = path[:-1]
    # Something below a key that holds a value: the key itself is meant.
    close = table if table in known and not known[table].is_table else nearest(path, known)
    if close is not None:
        fix = f"did you mean {_named(close, known)}?"
    else:
        table = table if table in known else ()
        names = listed(str(key[-1]) for key in known if key[:-1] == table)
        fix = f"the keys of {_named(table, known) if table else whole} are {names}"
    return Problem(keys=(path,), what=f"unknown key {dotted(path)}", fix=fix)


def hardware_error(problems: Sequence[Problem], *, source: str, place: Callable[[Problem], str]) -> HardwareError:
    """One error for all problems, of which there is at least one: a single one by its parts, several a line each.

    Args:
        problems: what is wrong.
        source: what is described, for the heading over several problems.
        place: where a problem stands.
    """
    if len(problems) == 1:
        (problem,) = problems
        return HardwareError(problem.what, where=place(problem), fix=problem.fix)
    lines = [f"  {place(problem)}: {problem.what}; {problem.fix}" for problem in problems]
    return HardwareError("\n".join([f"{len(problems)} errors in {source}:", *lines]))


def shown(value: object) -> str:
    """A value as a file would spell it, short."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _problem(detail: ErrorDetails, known: Mapping[Path, Key], whole: str) -> Problem:
    path: Path = detail["loc"]
    known = fitted(known, path)
    if detail["type"] == "extra_forbidden":
        return unknown_key(path, known, whole)
    key_path = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in known), path)
    key = known[key_path]
    name = _named(key_path, known)
    if detail["type"] == "missing":
        fix = _fix_of_missing_table(key_path, known) if key.is_table else f"give {key.expected}"
        return Problem(keys=(key_path,), what=f"{name} is missing", fix=fix)
    item = path[: len(key_path) + 1]
    if item != key_path and isinstance(item[-1], int):
        name = dotted(item)
    is_own = detail["type"] == "value_error"
    what = f"{name}: {detail['ctx']['error']}" if is_own else f"{name} cannot be {shown(detail['input'])}"
    return Problem(keys=(key_path,), what=what, fix=f"give {key.expected}")


def _fix_of_missing_table(path: Path, known: Mapping[Path, Key]) -> str:
    required = [str(inner[-1]) for inner, key in known.items() if inner[:-1] == path and key.required]
    return f"add it, with {listed(required)}" if required else "add it"


def _named(path: Path, known: Mapping[Path, Key]) -> str:
    return f"the table [{dotted(path)}]" if known[path].is_table else dotted(path)
