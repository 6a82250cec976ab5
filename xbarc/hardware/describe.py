"""A hardware description as rows of text: its keys with their meaning, and its parts with their figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from xbarc.hardware.components import Component
from xbarc.hardware.keys import ANY_NAME, dotted, known_keys
from xbarc.hardware.quantities import rounded
from xbarc.hardware.schema import Hardware


class Row(NamedTuple):
    """One key: its dotted path, its value as text, its meaning."""

    key: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Part:
    """One component as text; figures that are not given are empty."""

    name: str
    level: str
    count: str
    use: str
    includes: str
    energy: str
    time: str
    power: str
    static_power: str
    area: str
    source: str


def describe(hardware: Hardware) -> list[Row]:
    """All keys of a description in the order of the schema, defaults included, the components excepted."""
    values = hardware.to_dict()
    rows = []
    for path, key in known_keys(Hardware).items():
        if key.is_table or ANY_NAME in path:
            continue
        value: object = values
        for part in path:
            value = value.get(part, "not given") if isinstance(value, dict) else "not given"
        rows.append(Row(dotted(path), _text(value), key.meaning))
    return rows


def parts(hardware: Hardware) -> list[Part]:
    """The components in the order of the description, with the figures of one of each."""
    return [_part(name, component) for name, component in hardware.components.by_name.items()]


def _part(name: str, part: Component) -> Part:
    return Part(
        name=name,
        level=part.level,
        count=f"{part.count:g}",
        use=_use(part),
        energy="" if part.use_energy is None or part.use is None else rounded(part.use_energy, "J"),
        includes=", ".join(part.includes),
        time="" if part.use_time is None or part.use is None else rounded(part.use_time, "s"),
        static_power="" if part.static_power is None else rounded(part.static_power, "W"),
        power="" if part.full_power is None else rounded(part.full_power, "W"),
        area="" if part.area is None else rounded(part.area, "m2"),
        source=part.source,
    )


def _use(part: Component) -> str:
    return f"{part.use or ''}{'' if part.scales_with == 'nothing' else f' x {part.scales_with}'}"


def _text(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
