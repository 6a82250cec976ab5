"""A hardware description as a commented TOML file to start from: every key with its meaning, also those not given."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping

from xbarc.hardware.keys import ANY_NAME, Key, Path, dotted, known_keys
from xbarc.hardware.schema import Hardware

_WIDTH = 110


def starting_file(hardware: Hardware, *, name: str) -> str:
    """The text of a file that describes the same hardware under another name."""
    values = hardware.to_dict() | {"name": name}
    known = known_keys(Hardware)
    lines = [
        "# A hardware description for xbarc: change what differs, remove what does not matter.",
        "# Every key is here; a key that is commented out is not given. Quantities are strings with a unit.",
    ]
    for path, key in known.items():
        if path == ("components",):
            lines += ["", *_comment(f"{key.meaning}:"), *_named_tables(path, values, known)]
        elif path[0] != "components":
            lines += _key(path, key, _value(values, path), _value(values, path[:-1]) is not None)
    return "\n".join(lines) + "\n"


def _named_tables(path: Path, values: Mapping[str, object], known: Mapping[Path, Key]) -> Iterator[str]:
    """What each key of a table with a free name means, then the tables that there are."""
    template = (*path, ANY_NAME)
    yield from _comment(f"[{dotted(template)}] has")
    inner = {key_path[-1]: key for key_path, key in known.items() if key_path[:-1] == template}
    for name, key in inner.items():
        yield from _comment(f"{name}: {key.meaning} ({key.expected})", indent="#   ")
    tables = _value(values, path)
    if isinstance(tables, dict):
        for name, table in tables.items():
            # Quoted, a name may hold anything.
            shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
            yield from ("", f"[{dotted((*path, shown))}]")
            yield from (f"{key} = {_toml(value)}" for key, value in table.items())


def _key(path: Path, key: Key, value: object, table_is_given: bool) -> Iterator[str]:
    if key.is_table:
        yield from ("", *_comment(key.meaning))
        yield f"[{dotted(path)}]" if value is not None else f"# [{dotted(path)}]"
        return
    yield from _comment(f"{key.meaning} ({key.expected})")
    if value is None or not table_is_given:
        yield f"# {path[-1]} ="
    else:
        yield f"{path[-1]} = {_toml(value)}"


def _comment(text: str, *, indent: str = "# ") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  " if indent != "# " else indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(values: Mapping[str, object], path: Path) -> object:
    found: object = values
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _toml(value: object) -> str:
    # JSON's strings, numbers and lists are TOML's, but for DEL, which JSON leaves as it is.
    if isinstance(value, list) and value:
        return "\n".join(["[", *(f"    {_toml(item)}," for item in value), "]"])
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
