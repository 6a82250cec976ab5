"""Result objects as plain JSON data, and the JSON Schema of that data: both from one reading of their types.

An object becomes one key for each field of its dataclass, then one for each public property; objects of lower floors,
such as ranges of converters, have properties for programs only. Tuples become arrays, mappings objects. The schema says
the same of types, and takes what a key means from the docstrings: of fields from the ``Attributes`` of the class, of
properties from their own.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OWN: Final = "xbarc.report."
_SIMPLE: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def plain(value: Any) -> Any:
    """A result object, or what one holds, as JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _members(type(value))}
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    return value


def json_schema(kind: type, *, version: int, title: str) -> dict[str, Any]:
    """The JSON Schema, of draft 2020-12, of ``{"schema": version, **plain(object of this dataclass)}``.

    Nothing is optional, and nothing is allowed besides.

    Raises:
        TypeError: a key of a type that JSON has no form for, or without a description.
    """
    definitions: dict[str, Any] = {}
    whole = _object(kind, definitions)
    number = {"const": version, "description": "rises when a key changes its meaning or goes away"}
    return {
        "$schema": _DIALECT,
        "title": title,
        **whole,
        "properties": {"schema": number, **whole["properties"]},
        "required": ["schema", *whole["required"]],
        "$defs": dict(sorted(definitions.items())),
    }


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    """One key: its type and its meaning."""

    type: Any
    meaning: str


@functools.cache
def _members(kind: type) -> Mapping[str, _Member]:
    """The keys of an object, in order."""
    meanings = dict(_attributes(inspect.getdoc(kind) or ""))
    hints = typing.get_type_hints(kind)
    found = {field.name: _Member(hints[field.name], meanings.get(field.name, "")) for field in dataclasses.fields(kind)}
    if kind.__module__.startswith(_OWN):
        for name, member in vars(kind).items():
            if isinstance(member, property) and not name.startswith("_"):
                made = typing.get_type_hints(member.fget)["return"]
                found[name] = _Member(made, _sentence(inspect.getdoc(member) or ""))
    return found


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    """The names under ``Attributes`` of a docstring, each with what is said of it."""
    section = re.search(r"^Attributes:\n((?:(?: .*)?(?:\n|$))+)", text, re.MULTILINE)
    if section is None:
        return
    for entry in re.split(r"\n(?=\S)", inspect.cleandoc(f"\n{section[1]}")):
        names, colon, meaning = entry.partition(":")
        if colon and re.fullmatch(r"\w+(, \w+)*", names):
            for name in names.split(", "):
                yield name, _sentence(meaning)


def _sentence(text: str) -> str:
    """One line, in the words of JSON and without the marks of code."""
    return " ".join(text.replace("``None``", "null").replace("``", "").split()).removesuffix(".")


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    members = _members(kind)
    lacking = [name for name, member in members.items() if not member.meaning]
    if lacking:
        raise TypeError(f"{kind.__name__} does not say what {', '.join(lacking)} means")
    properties = {
        name: {**_schema(member.type, definitions), "description": member.meaning} for name, member in members.items()
    }
    return {
        "description": _sentence((inspect.getdoc(kind) or "").partition("\n\n")[0]),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Of one type; those of dataclasses go to ``definitions``."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # taken, should its keys lead back to it
            definitions[kind.__name__] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (types.UnionType, typing.Union):
        return _either([_schema(argument, definitions) for argument in arguments])
    if origin is tuple and arguments[-1] is not Ellipsis:
        entries = [_schema(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": entries, "minItems": len(entries), "maxItems": len(entries)}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin in (dict, Mapping) and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if origin in (dict, Mapping) and typing.get_origin(arguments[0]) is typing.Literal:
        names = {"propertyNames": {"enum": list(typing.get_args(arguments[0]))}}
        return {"type": "object", **names, "additionalProperties": _schema(arguments[1], definitions)}
    raise TypeError(f"JSON has no form for {kind}")


def _either(options: list[dict[str, Any]]) -> dict[str, Any]:
    """One of several: of simple types, their names side by side."""
    if all(set(option) == {"type"} for option in options):
        return {"type": [option["type"] for option in options]}
    return {"anyOf": options}
