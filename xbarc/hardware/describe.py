"""A hardware description as rows of text: what it gives, what follows from it, and what each figure means."""

from __future__ import annotations

from typing import NamedTuple

from xbarc.hardware.keys import dotted, known_keys
from xbarc.hardware.schema import Hardware
from xbarc.units import format_quantity


class Row(NamedTuple):
    """One figure: its dotted key, its value as text, its meaning. Meanings of derived figures start with "derived:"."""

    key: str
    value: str
    meaning: str


def describe(hardware: Hardware) -> list[Row]:
    """All keys of a description in the order of the schema, defaults included, then the figures derived from them."""
    values = hardware.to_dict()
    rows = []
    for path, key in known_keys(Hardware).items():
        value: object = values
        for part in path:
            value = value.get(part, "not given") if isinstance(value, dict) else "not given"
        if not key.is_table:
            rows.append(Row(dotted(path), _text(value), key.meaning))
    return rows + _derived(hardware)


def _derived(hardware: Hardware) -> list[Row]:
    step = hardware.cell.g_step
    return [
        Row(
            "cell.g_step",
            "none" if step is None else format_quantity(float(f"{step:.4g}"), "S"),
            "derived: conductance between neighbouring levels",
        ),
        Row(
            "weights.polarities",
            str(hardware.weights.polarities),
            "derived: cells a weight and slice",
        ),
        Row(
            "magnitude_levels",
            str(hardware.magnitude_levels),
            "derived: magnitudes that all slices of one polarity hold together",
        ),
        Row(
            "weight_columns",
            str(hardware.weight_columns),
            "derived: columns of weights that one tile holds",
        ),
    ]


def _text(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
