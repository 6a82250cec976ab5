"""Two programs side by side: key by key, what one's making, hardware and report say otherwise than the other's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.printer import print_graph
from xbarc.report.json_form import json_schema, plain
from xbarc.report.utilisation import UtilisationReport

DIFFERENCE_SCHEMA: Final = 1

#: Characters of a joined list beyond which a digest stands for it.
_LONG: Final = 100

#: What a key may hold; ``None`` also where a program does not have it. Lists are joined to one text.
Value = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One key that two programs do not agree on.

    Attributes:
        key: its path, with points between names: ``tile.rows``.
        first, second: what each has there, in the unit of the report; ``None``: nothing, or it is not known.
    """

    key: str
    first: Value
    second: Value

    @property
    def ratio(self) -> float | None:
        """The second over the first; ``None`` where they are no numbers, or the first is 0."""
        both = (self.first, self.second)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in both):
            return None
        return float(self.second) / float(self.first) if self.first else None  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class NamedChanges:
    """A layer, or an operator on the host, that both programs have and do not agree on.

    Attributes:
        name: of its ONNX node.
        changes: keys of its entry in the report, and of its entries in other parts of it: ``schedule.busy``.
        weights: whether its cells have other target levels, or its outputs another scale or bias.
    """

    name: str
    changes: tuple[Change, ...]
    weights: bool


@dataclass(frozen=True, slots=True)
class ProgramDifference:
    """What two programs do not agree on.

    Attributes:
        first, second: names of the programs.
        equal: whether they hold the same graph with the same numbers, for the same hardware, and report the same;
            where they come from does not count.
        made: source, options and calibration.
        hardware: the description, key by key.
        figures: the report, without layers and operators.
        layers: layers of both programs that differ.
        same_layers: number of layers of both programs that do not.
        only_first, only_second: names of layers that the other does not have.
        host: operators on the host of both programs that differ.
        host_only_first, host_only_second: names of operators on the host that the other's host does not have.
    """

    first: str
    second: str
    equal: bool
    made: tuple[Change, ...]
    hardware: tuple[Change, ...]
    figures: tuple[Change, ...]
    layers: tuple[NamedChanges, ...]
    same_layers: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    host: tuple[NamedChanges, ...]
    host_only_first: tuple[str, ...]
    host_only_second: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, as :func:`difference_schema` describes it."""
        return {"schema": DIFFERENCE_SCHEMA, **plain(self)}


@dataclass(frozen=True, slots=True)
class Described:
    """A program with what is compared of it."""

    name: str
    graph: Graph
    hardware: Hardware
    facts: Mapping[str, Any]
    report: UtilisationReport


def program_difference(first: Described, second: Described) -> ProgramDifference:
    """What two programs do not agree on. Layers and operators belong together where their names are equal."""
    pair = (first, second)
    reports = [plain(program.report) for program in pair]
    parts = [{key: value for key, value in report.items() if isinstance(value, dict)} for report in reports]
    of_layers = [_by_layer(report) for report in reports]
    of_host = [_by_name(report["host"]) for report in reports]
    found = [{layer.name: layer for layer in layers(program.graph)} for program in pair]
    shared = [name for name in of_layers[0] if name in of_layers[1]]
    other_weights = {name for name in shared if not _same_weights(found[0][name], found[1][name])}
    changed = _named(of_layers[0], of_layers[1], other_weights)
    hosted = _named(of_host[0], of_host[1], frozenset())
    hardware = _changes(first.hardware.to_dict(), second.hardware.to_dict())
    figures = _changes(_without_layers(parts[0]), _without_layers(parts[1]))
    same = print_graph(first.graph) == print_graph(second.graph)
    return ProgramDifference(
        first=first.name,
        second=second.name,
        equal=same and not (hardware or figures or changed or hosted),
        made=_changes(first.facts, second.facts),
        hardware=hardware,
        figures=figures,
        layers=changed,
        same_layers=len(shared) - len(changed),
        only_first=_only(of_layers[0], of_layers[1]),
        only_second=_only(of_layers[1], of_layers[0]),
        host=hosted,
        host_only_first=_only(of_host[0], of_host[1]),
        host_only_second=_only(of_host[1], of_host[0]),
    )


def difference_schema() -> dict[str, Any]:
    """The JSON Schema of a difference."""
    return json_schema(ProgramDifference, version=DIFFERENCE_SCHEMA, title="xbarc report --diff --json")


def _same_weights(layer: Layer, other: Layer) -> bool:
    pairs = (
        (layer.read.levels, other.read.levels),
        (layer.rescale.unit_scale, other.rescale.unit_scale),
        (layer.rescale.bias, other.rescale.bias),
    )
    return all(
        (one is None and two is None) or (one is not None and two is not None and np.array_equal(one, two))
        for one, two in pairs
    )


def _only(names: Mapping[str, Any], others: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _named(
    first: Mapping[str, Any], second: Mapping[str, Any], other_weights: frozenset[str] | set[str]
) -> tuple[NamedChanges, ...]:
    shared = [name for name in first if name in second]
    every = (NamedChanges(name, _changes(first[name], second[name]), name in other_weights) for name in shared)
    return tuple(entry for entry in every if entry.changes or entry.weights)


def _by_layer(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a report says of each layer, wherever it says it: the other parts' entries under the parts' names."""
    found = _by_name(report["layers"])
    for part, value in report.items():
        if isinstance(value, dict):
            for name, entry in _by_name(value.get("layers", [])).items():
                found.setdefault(name, {})[part] = entry
    return found


def _by_name(entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: {key: value for key, value in entry.items() if key != "name"} for entry in entries}


def _without_layers(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in part.items() if key != "layers"} for name, part in parts.items()}


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Change, ...]:
    one, two = dict(_flat(first)), dict(_flat(second))
    keys = [*one, *(key for key in two if key not in one)]
    every = (Change(key, one.get(key), two.get(key)) for key in keys)
    return tuple(change for change in every if change.first != change.second)


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Value]]:
    """Every value with its path. Entries of a list that have names go by them; other lists are one text.

    Where that would be long, it is their number and a digest.
    """
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _flat(entry, (*path, str(key)))
    elif isinstance(value, list | tuple):
        if value and all(isinstance(entry, Mapping) and "name" in entry for entry in value):
            yield from _flat(_by_name(value), path)
        else:
            text = ", ".join(map(str, value))
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            short = text if len(text) <= _LONG else f"{len(value)} entries, #{digest}"
            yield ".".join(path), short or None
    else:
        yield ".".join(path), value
