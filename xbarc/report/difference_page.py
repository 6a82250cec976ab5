"""The difference of two programs as a page: totals side by side, options and hardware key by key, layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from xbarc.report.difference import Change, NamedChanges, ProgramDifference, Value
from xbarc.report.page import Column, Page, Row, Table, facts, numbers
from xbarc.report.words import amount, exact, number, percent
from xbarc.units import format_quantity

_ABSENT: Final = "-"


#: What the keys of components begin with, and keys of texts that are too long for a table.
_PARTS: Final = "components."
_TEXTS: Final = ("description", "sources", "source", "note")


def difference_page(found: ProgramDifference) -> Page:
    """All that two programs do not agree on; of figures and layers, what people ask for first."""
    names = (("first", found.first), ("second", found.second))
    return [
        facts("Two programs", *names, ("in short", _in_short(found))),
        *_figures(found),
        *_keys("Making", found.made),
        *_hardware(found.hardware),
        *_layers(found),
        *_host(found),
    ]


def _in_short(found: ProgramDifference) -> str:
    if found.equal:
        return "the programs are equal"
    parts = []
    for count, what in (
        (len(found.hardware), "key of the hardware"),
        (len(found.figures), "figure of the whole program"),
        (len(found.layers), "layer"),
        (len(found.host), "operator on the host"),
    ):
        if count:
            parts.append(f"{exact(count)} {what}" if count == 1 else f"{exact(count)} {_plural(what)}")
    alone = sum(
        map(len, (found.only_first, found.only_second, found.host_only_first, found.host_only_second)),
    )
    if alone:
        parts.append(f"{exact(alone)} layers or operators of one program alone")
    if not parts:
        return "all figures are equal, constants or connections of operators on the host are not"
    return f"they differ in {', '.join(parts)}"


def _plural(what: str) -> str:
    head, space, rest = what.partition(" ")
    return f"{head}s{space}{rest}"


def _plain(value: Value) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    return exact(value) if isinstance(value, int) else value


def _between(first: str, second: str) -> str:
    return f"{first} -> {second}"


def _share(value: Value) -> str:
    return percent(value) if isinstance(value, int | float) else _ABSENT


def _quantity(unit: str) -> Callable[[Value], str]:
    def text(value: Value) -> str:
        return format_quantity(float(f"{value:.3g}"), unit) if isinstance(value, int | float) else _ABSENT

    return text


def _amount(value: Value) -> str:
    return amount(round(value)) if isinstance(value, int | float) else _ABSENT


#: Figures that are shown, of those that differ: key, what it is called, how it is written.
_FIGURES: Final[Sequence[tuple[str, str, Callable[[Value], str]]]] = (
    ("totals.logical_tiles", "logical tiles", _plain),
    ("totals.physical_tiles", "physical tiles", _plain),
    ("totals.tile_utilisation", "tile utilisation", _share),
    ("totals.cell_utilisation", "cell utilisation", _share),
    ("schedule.occupancy", "temporal utilisation", _share),
    ("schedule.interval", "reads between inferences", _plain),
    ("schedule.interval_s", "time between inferences", _quantity("s")),
    ("schedule.latency", "reads of an inference alone", _plain),
    ("schedule.latency_s", "time of an inference alone", _quantity("s")),
    ("replication.bottleneck", "rounds of the slowest layer", _plain),
    ("cost.energy", "energy of an inference", _quantity("J")),
    ("cost.power", "power", _quantity("W")),
    ("cost.throughput", "operations a second", _quantity("OPS")),
    ("cost.efficiency", "operations a joule", _quantity("OPS/W")),
    ("cost.area.tile_area", "area of used tiles", _quantity("m2")),
    ("totals.analog_macs", "MACs on tiles", _amount),
    ("totals.host_macs", "MACs on the host", _amount),
)

#: The same of layers, table by table.
_OF_LAYERS: Final[Sequence[tuple[str, str, Callable[[Value], str]]]] = (
    ("physical_tiles", "tiles", _plain),
    ("copies", "copies", _plain),
    ("cell_utilisation", "cells used", _share),
)
_TIMES_OF_LAYERS: Final[Sequence[tuple[str, str, Callable[[Value], str]]]] = (
    ("schedule.busy", "reads of a copy", _plain),
    ("schedule.occupancy", "busy, pipelined", _share),
    ("cost.energy", "energy", _quantity("J")),
)


def _ratio(change: Change) -> str:
    return _ABSENT if change.ratio is None else f"x {number(change.ratio)}"


def _figures(found: ProgramDifference) -> Iterator[Table]:
    changes = {change.key: change for change in found.figures}
    rows = tuple(
        (label, text(changes[key].first), text(changes[key].second), _ratio(changes[key]))
        for key, label, text in _FIGURES
        if key in changes
    )
    if changes:
        left = len(changes) - len(rows)
        notes = (f"{exact(left)} more figures differ: --json lists them",) if left else ()
        yield Table("Totals", (Column(""), *numbers("first", "second", "ratio")), rows, notes=notes)


def _keys(title: str, changes: Sequence[Change]) -> Iterator[Table]:
    if changes:
        yield facts(title, *((change.key, _between(_plain(change.first), _plain(change.second))) for change in changes))


def _hardware(changes: Sequence[Change]) -> Iterator[Table]:
    """The keys, without texts and without parts that one description alone has: these only by name."""
    names: dict[str, list[Change]] = {}
    for change in changes:
        if change.key.startswith(_PARTS):
            names.setdefault(change.key.split(".")[1], []).append(change)
    alone: dict[str, list[str]] = {"first": [], "second": []}
    for name, group in names.items():
        for which, other in (("first", "second"), ("second", "first")):
            if all(getattr(change, other) is None for change in group):
                alone[which].append(name)
    lone = {*alone["first"], *alone["second"]}
    shown = [
        change
        for change in changes
        if not (change.key.startswith(_PARTS) and change.key.split(".")[1] in lone)
        and change.key.split(".")[-1] not in _TEXTS
    ]
    notes = [f"components of the {which} alone: {', '.join(entries)}" for which, entries in alone.items() if entries]
    if len(shown) < len(changes):
        notes.append("citations, descriptions and what components are like that one alone has: --json lists them")
    if changes:
        rows = ((change.key, _between(_plain(change.first), _plain(change.second))) for change in shown)
        yield facts("Hardware", *rows, notes=notes)


def _layers(found: ProgramDifference) -> Iterator[Table]:
    notes = [f"layers without a difference: {exact(found.same_layers)}"] if found.same_layers else []
    for which, names in (("first", found.only_first), ("second", found.only_second)):
        if names:
            notes.append(f"only in the {which}: {', '.join(names)}")
    if not found.layers:
        if len(notes) > (found.same_layers > 0):
            yield facts("Layers", notes=notes)
        return
    named = {key for key, _, _ in (*_OF_LAYERS, *_TIMES_OF_LAYERS)}
    other = [exact(sum(change.key not in named for change in layer.changes)) for layer in found.layers]
    weights = ["differ" if layer.weights else "same" for layer in found.layers]
    columns, cells = _columns(found.layers, _OF_LAYERS)
    notes.append("other keys: how many more differ, which --json lists")
    yield Table(
        "Layers",
        (*columns, *numbers("other keys"), Column("weights")),
        tuple((*row, count, same) for row, count, same in zip(cells, other, weights, strict=True)),
        notes=tuple(notes),
    )
    columns, cells = _columns(found.layers, _TIMES_OF_LAYERS)
    if len(columns) > 1:
        yield Table("Time and energy of layers", columns, cells)


def _columns(
    layers: Sequence[NamedChanges], wanted: Sequence[tuple[str, str, Callable[[Value], str]]]
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Name and figures of each layer, before and after; without figures that no layer changes."""
    changes = [{change.key: change for change in layer.changes} for layer in layers]
    shown = [entry for entry in wanted if any(entry[0] in each for each in changes)]
    rows = tuple(
        (
            layer.name,
            *(
                _between(text(each[key].first), text(each[key].second)) if key in each else "same"
                for key, _, text in shown
            ),
        )
        for layer, each in zip(layers, changes, strict=True)
    )
    return (Column("layer"), *numbers(*(label for _, label, _ in shown))), rows


def _host(found: ProgramDifference) -> Iterator[Table]:
    rows = [
        (operator.name, f"{change.key}: {_between(_plain(change.first), _plain(change.second))}")
        for operator in found.host
        for change in operator.changes
    ]
    notes = tuple(
        f"only on the host of the {which}: {', '.join(names)}"
        for which, names in (("first", found.host_only_first), ("second", found.host_only_second))
        if names
    )
    if rows or notes:
        yield facts("Operators on the host", *rows, notes=notes)
