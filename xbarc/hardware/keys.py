"""The keys that a hardware description may give, read off its JSON schema: what each means and what it may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from pydantic import BaseModel

Path = tuple[str | int, ...]
"""Where a value stands in a description: ``("adc", "bits")``; a number counts the items of a list."""

ANY_NAME: Final = "NAME"
"""Stands in the path of a key for a name that the description chooses: ``("components", "NAME", "area")``."""


@dataclass(frozen=True)
class Key:
    """One key of a description.

    Attributes:
        meaning: what the value says, in one sentence.
        expected: what may stand there, worded to follow "give": ``a whole number from 2 to 16 or "unlimited"``.
        is_table: whether other keys stand below it.
        required: whether it has no default.
    """

    meaning: str
    expected: str
    is_table: bool
    required: bool


def known_keys(model: type[BaseModel]) -> dict[Path, Key]:
    """Every key of a pydantic model by its path, tables before the keys in them, in the order of the model."""
    schema = model.model_json_schema()
    return dict(_walk((), schema, schema.get("$defs", {})))


def fitted(known: Mapping[Path, Key], path: Path) -> dict[Path, Key]:
    """Known keys with the names in ``path`` that its description chose, where ``NAME`` stands for any."""
    return {
        tuple(
            path[index] if part == ANY_NAME and len(path) > index and key[:index] == path[:index] else part
            for index, part in enumerate(key)
        ): value
        for key, value in known.items()
    }


def dotted(path: Path) -> str:
    """``("adc", "bits")`` as ``adc.bits``, ``("sources", 1)`` as ``sources[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(path: Path, candidates: Iterable[Path]) -> Path | None:
    """The candidate that a writer of ``path`` most likely meant, or None where nothing is near.

    The last part counts twice, once alone and once in the whole: a known key in the wrong table is near, too.
    """

    def likeness(candidate: Path) -> float:
        return _likeness(dotted(path), dotted(candidate)) + _likeness(str(path[-1]), str(candidate[-1]))

    best = max(candidates, key=likeness, default=None)
    # 2.0 is the same key. From 1.2 on the suggestions for slips of the pen are right; below, they are guesses.
    return best if best is not None and likeness(best) >= 1.2 else None


def listed(words: Iterable[str], *, last: str = "and") -> str:
    """``a, b and c``."""
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail


def _likeness(left: str, right: str) -> float:
    return SequenceMatcher(None, left.lower(), right.lower(), autojunk=False).ratio()


def _walk(path: Path, table: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[tuple[Path, Key]]:
    for name, node in table.get("properties", {}).items():
        inner = _inner(node)
        yield (
            (*path, name),
            Key(
                meaning=node.get("description", ""),
                expected="a table" if inner else _expected(node),
                is_table=bool(inner),
                required=name in table.get("required", ()),
            ),
        )
        if inner:
            yield from _walk((*path, name), definitions[inner], definitions)
    # Tables whose names the description chooses.
    named = table.get("additionalProperties")
    if isinstance(named, dict):
        inner = _inner(named)
        meaning = definitions[inner].get("description", "")
        yield (*path, ANY_NAME), Key(meaning=meaning, expected="a table", is_table=True, required=False)
        yield from _walk((*path, ANY_NAME), definitions[inner], definitions)


def _inner(node: Mapping[str, Any]) -> str:
    """The name of the table that a node of a JSON schema is, which may be left out; empty where it is none."""
    references = [choice["$ref"] for choice in (node, *node.get("anyOf", ())) if "$ref" in choice]
    return references[0].removeprefix("#/$defs/") if references else ""


def _expected(node: Mapping[str, Any]) -> str:
    if "anyOf" in node:
        # null stands for "not given", which a file says by leaving the key out.
        return listed((_expected(choice) for choice in node["anyOf"] if choice.get("type") != "null"), last="or")
    if "const" in node:
        return f'"{node["const"]}"'
    if "enum" in node:
        return listed((f'"{choice}"' for choice in node["enum"]), last="or")
    if node["type"] == "array":
        items = node["items"]
        if "enum" in items:
            choices = listed(f'"{choice}"' for choice in items["enum"])
            return f"a list of any of {choices}"
        if items["type"] == "integer":
            return f"a list of whole numbers{_bounds(items)}"
        item = _expected(items)
        if item == "a number" and "minItems" in node:
            return f"a list of {node['minItems']} to {node['maxItems']} numbers"
        return "a list of strings" if item == "a string" else f"a list, each item {item}"
    if node["type"] == "boolean":
        return "true or false"
    if node["type"] == "string":
        return _expected_string(node)
    return ("a whole number" if node["type"] == "integer" else "a number") + _bounds(node)


def _expected_string(node: Mapping[str, Any]) -> str:
    if "examples" in node:
        article = "an" if node["format"][0] in "aeiou" else "a"
        return f'{article} {node["format"]} as a string with its unit, such as "{node["examples"][0]}"'
    return "a string that is not empty" if node.get("minLength") else "a string"


def _bounds(node: Mapping[str, Any]) -> str:
    given = (node.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    low, above, high = (int(end) if isinstance(end, float) and end.is_integer() else end for end in given)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    words = []
    if low is not None:
        words.append(f" of at least {low}")
    if above is not None:
        words.append(f" above {above}")
    if high is not None:
        words.append(f" up to {high}")
    return " and".join(words)
