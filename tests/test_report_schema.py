"""The published schemas: strict, explained, and true of reports of programs of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Case, convolutions, gemms, matmuls, network, node
from test_report_sums import programs

import xbarc
from xbarc.report.difference import difference_schema
from xbarc.report.json_form import json_schema, plain
from xbarc.report.tile_map import map_schema
from xbarc.report.utilisation import report_schema

SCHEMAS = {"report": report_schema(), "map": map_schema(), "difference": difference_schema()}
#: Words that explain and are no rules.
EXPLAINING = {"description", "title", "$schema", "$defs"}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def check(written: Any, schema: dict[str, Any]) -> None:
    """As someone else's validator sees what was printed."""
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(written, allow_nan=False)))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema whose keys are listed."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for entry in schema.values():
            yield from objects(entry)
    elif isinstance(schema, list):
        for entry in schema:
            yield from objects(entry)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_strict_and_explain_every_key(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = list(objects(schema))
    assert len(found) >= 2
    for entry in found:
        assert entry["additionalProperties"] is False
        assert entry["required"] == list(entry["properties"])
        assert all(len(key["description"]) >= 5 for key in entry["properties"].values())
        assert all("``" not in key["description"] for key in entry["properties"].values())
        assert all(set(key) - EXPLAINING for key in entry["properties"].values()), "a key that may hold anything"


@settings(max_examples=12, deadline=None)
@given(programs(segments=True), programs())
def test_reports_maps_and_differences_are_as_their_schemas_say(program: xbarc.Program, other: xbarc.Program) -> None:
    check(program.report().to_json(), SCHEMAS["report"])
    check(program.tile_map().to_json(), SCHEMAS["map"])
    check(program.difference(other).to_json(), SCHEMAS["difference"])


@settings(max_examples=20, deadline=None)
@given(st.one_of(convolutions(), gemms(), matmuls()), st.sampled_from(["exact", "generic-pcm", "isaac", "hermes"]))
def test_reports_of_other_operators_and_presets_too(case: Case, hardware: str) -> None:
    """Unlimited resolution, sizes that nobody knows, products that stay on the host."""
    program = xbarc.compile(case.model, hardware=hardware, calibration=case.feeds)
    check(program.report().to_json(), SCHEMAS["report"])


def test_what_a_schema_does_not_know_it_refuses() -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 3)}, {"w": np.ones((3, 2), np.float32)})
    report = xbarc.compile(model).report().to_json()
    check(report, SCHEMAS["report"])
    for damage in (
        lambda written: written.update(more=1),
        lambda written: written.pop("totals"),
        lambda written: written["totals"].update(physical_tiles="3"),
        lambda written: written["layers"][0]["cells"].pop("packing"),
        lambda written: written["layers"][0].update(copies=None),
        lambda written: written.update(schema=1),
    ):
        written = json.loads(json.dumps(report))
        damage(written)
        with pytest.raises(jsonschema.ValidationError):
            check(written, SCHEMAS["report"])


@pytest.mark.parametrize(
    ("option", "name"), [((), "report"), (("--map",), "map"), (("--diff",), "difference")], ids=lambda value: str(value)
)
def test_the_command_prints_the_schema(command: Command, option: tuple[str, ...], name: str) -> None:
    assert command("report", *option, "--schema").json() == SCHEMAS[name]


def test_a_schema_is_of_no_program(command: Command) -> None:
    refused = command("report", "--schema", "p.xbar.onnx")
    assert refused.code == 2
    assert "--schema is of reports, of no program, not of 1" in refused.err


# What types become


@dataclass
class Inner:
    """Within.

    Attributes:
        name: what it is called
            over two lines.
    """

    name: str


@dataclass
class Outer:
    """All kinds.

    Not part of the description.

    Attributes:
        one, other: numbers [s]; ``None``: not known.
        kind: which.
        inner: what is in it.
        by_name: the same by name.
        some: the same by these names.
        pair: two numbers.
        many: any number.

    Note:
        no: this is no attribute.
    """

    one: int | None
    other: float
    kind: Literal["a", "b"]
    inner: Inner | None
    by_name: dict[str, Inner]
    some: Mapping[Literal["a", "b"], Inner]
    pair: tuple[int, str]
    many: tuple[bool, ...]


def test_types_become_schemas() -> None:
    schema = json_schema(Outer, version=7, title="all")
    inner = {"$ref": "#/$defs/Inner"}
    expected = {
        "schema": {"const": 7, "description": "rises when a key changes its meaning or goes away"},
        "one": {"type": ["integer", "null"], "description": "numbers [s]; null: not known"},
        "other": {"type": "number", "description": "numbers [s]; null: not known"},
        "kind": {"enum": ["a", "b"], "description": "which"},
        "inner": {"anyOf": [inner, {"type": "null"}], "description": "what is in it"},
        "by_name": {"type": "object", "additionalProperties": inner, "description": "the same by name"},
        "some": {
            "type": "object",
            "propertyNames": {"enum": ["a", "b"]},
            "additionalProperties": inner,
            "description": "the same by these names",
        },
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "minItems": 2,
            "maxItems": 2,
            "description": "two numbers",
        },
        "many": {"type": "array", "items": {"type": "boolean"}, "description": "any number"},
    }
    assert schema["properties"] == expected
    assert (schema["title"], schema["description"]) == ("all", "All kinds")
    assert schema["$defs"]["Inner"]["properties"]["name"]["description"] == "what it is called over two lines"
    value = Outer(None, 0.5, "b", Inner("x"), {"k": Inner("y")}, {"a": Inner("z")}, (3, "t"), (True, False))
    written = plain(value)
    assert written["by_name"] == {"k": {"name": "y"}}
    check({"schema": 7, **written}, schema)
    with pytest.raises(jsonschema.ValidationError):
        check({"schema": 7, **written, "some": {"c": {"name": "w"}}}, schema)


@dataclass
class Unsaid:
    """Of which nothing is said."""

    key: int


@dataclass
class Formless:
    """What JSON has no form for.

    Attributes:
        key: a number of two parts.
    """

    key: complex


def test_what_is_not_explained_or_has_no_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="Unsaid does not say what key means"):
        json_schema(Unsaid, version=1, title="")
    with pytest.raises(TypeError, match="JSON has no form for <class 'complex'>"):
        json_schema(Formless, version=1, title="")
