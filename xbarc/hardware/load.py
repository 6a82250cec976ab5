"""Hardware descriptions from TOML files and presets, with overrides; errors name the key, the file and the line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from typing import Final

from pydantic import ValidationError

from xbarc.errors import HardwareError
from xbarc.hardware.keys import Key, Path, dotted, fitted, known_keys, listed, nearest
from xbarc.hardware.overrides import Override, apply_override, read_overrides
from xbarc.hardware.problems import Problem, hardware_error, problems_of, unknown_key
from xbarc.hardware.schema import Hardware
from xbarc.hardware.toml_lines import key_lines, written_twice

_PRESETS: Final = resources.files("xbarc.hardware.presets")
_SUFFIX: Final = ".toml"

# tomllib tells the place in the text of its message alone.
_SYNTAX_PLACE: Final = re.compile(r"\s*\((?:at line (\d+), column (\d+)|at end of document)\)$")


def preset_names() -> list[str]:
    """The names of the hardware descriptions that come with xbarc, in alphabetical order."""
    names = (entry.name for entry in _PRESETS.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def load_hardware(
    name_or_path: str | os.PathLike[str], overrides: Mapping[str, object] | Sequence[str] = ()
) -> Hardware:
    """Read a hardware description and replace single values in it.

    Args:
        name_or_path: a path object, or a string that holds a path separator or ends in ``.toml``: a file;
            any other string: a preset.
        overrides: values by dotted key, or strings ``"key.path=value"``, as ``read_overrides`` reads them;
            later ones win.

    Raises:
        HardwareError: no such preset or file, a TOML syntax error, an unknown or missing key, a wrong unit, an
            impossible value, values that do not go together, an override that names nothing. All problems of a
            description are in one error, each with its line or override.
    """
    source, text = _read(name_or_path)
    document = _parse(text, source)
    known = known_keys(Hardware)
    given = read_overrides(overrides)
    problems = []
    for override in given:
        problem = _misnamed(override, known) or _into_nothing(override, given, known, document)
        if problem is None:
            apply_override(override, document)
        else:
            problems.append(problem)
    try:
        hardware = Hardware.model_validate(document)
    except ValidationError as error:
        problems += problems_of(error, Hardware)
    if not problems:
        return hardware
    lines = key_lines(text)
    raise hardware_error(
        problems, source=source, place=lambda problem: _place(problem, source=source, lines=lines, overrides=given)
    )


def _read(name_or_path: str | os.PathLike[str]) -> tuple[str, str]:
    """What to call the source in messages, and its text."""
    name = os.fspath(name_or_path)
    # A preset's name holds neither separator, so both are taken for one on every system.
    is_file = not isinstance(name_or_path, str) or "/" in name or "\\" in name or name.endswith(_SUFFIX)
    if not is_file and name not in preset_names():
        close = get_close_matches(name, preset_names(), n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        presets = f"The presets are {listed(preset_names())}"
        raise HardwareError(
            f'there is no hardware preset "{name}"', fix=f"{hint}{presets}; a file is given by its path or as NAME.toml"
        )
    try:
        if not is_file:
            return f"preset {name}", (_PRESETS / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
        with open(name, encoding="utf-8-sig", newline="") as file:
            return name, file.read()
    except OSError as error:
        raise HardwareError(
            f"the hardware file cannot be read: {error.strerror}",
            where=name,
            fix=f"check the path, or name a preset: {listed(preset_names(), last='or')}",
        ) from error
    except UnicodeDecodeError as error:
        raise HardwareError(
            "the hardware file is not UTF-8 text", where=f"{name}, byte {error.start}", fix="save it as UTF-8"
        ) from error


def _parse(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
    twice = written_twice(text) if message.startswith("Cannot") else None
    if twice is not None:
        path, first, second = twice
        raise HardwareError(
            f"{dotted(path)} is given twice, on line {first} and on line {second}",
            where=f"{source}, line {second}",
            fix="remove one of them",
        )
    place = _SYNTAX_PLACE.search(message)
    line, column = place.groups() if place else (None, None)
    where = f"{source}, line {line}, column {column}" if line else f"{source}, end of the file"
    what = message[: place.start()] if place else message
    raise HardwareError(f"TOML syntax error: {what}", where=where, fix="correct the TOML syntax at this place")


def _misnamed(override: Override, known: Mapping[Path, Key]) -> Problem | None:
    """Of an override whose key is none."""
    known = fitted(known, override.path)
    if override.path not in known:
        return unknown_key(override.path, known)
    if not known[override.path].is_table:
        return None
    name = dotted(override.path)
    inner = listed((dotted(path) for path in known if path[:-1] == override.path), last="or")
    return Problem(keys=(override.path,), what=f"{name} is a table, not a key", fix=f"name {inner}")


def _into_nothing(
    override: Override, given: Sequence[Override], known: Mapping[Path, Key], document: Mapping[str, object]
) -> Problem | None:
    """Of an override in a table that may be left out, and is; overrides may make it, whole."""
    table = override.path[:-1]
    known = fitted(known, table)
    if not table or known[table].required:
        return None
    siblings: object = document
    for step in table[:-1]:
        siblings = siblings.get(step, {}) if isinstance(siblings, Mapping) else {}
    names = list(siblings) if isinstance(siblings, Mapping) else []
    required = [path for path, key in known.items() if path[:-1] == table and key.required]
    if table[-1] in names or {each.path for each in given}.issuperset(required):
        return None
    close = nearest(table, ((*table[:-1], name) for name in names if len(table) > 1))
    hint = f"did you mean [{dotted(close)}]? A" if close else "a"
    return Problem(
        keys=(override.path,),
        what=f"there is no table [{dotted(table)}] to change",
        fix=f"{hint} new one needs {listed(map(dotted, required))} too",
    )


def _place(problem: Problem, *, source: str, lines: Mapping[Path, int], overrides: Sequence[Override]) -> str:
    """An override that gave one of the problem's keys; else the first of its keys in the file; else their table."""
    for override in reversed(overrides):
        if override.path in problem.keys:
            return f"override {override.text}"
    tables = [problem.keys[0][:length] for length in range(len(problem.keys[0]) - 1, 0, -1)]
    line = next((lines[path] for path in (*problem.keys, *tables) if path in lines), None)
    return source if line is None else f"{source}, line {line}"
