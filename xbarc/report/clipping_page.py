"""Weights beyond the range of their cells as a table: by what rule, how many, and how far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xbarc.report.page import Column, Table, numbers
from xbarc.report.utilisation import LayerUsage
from xbarc.report.words import exact, number, percent


def clipping_table(layers: Sequence[LayerUsage]) -> Iterator[Table]:
    """Layers that have cells of their own and a rule of clipping; nothing where there are none."""
    rows, rules = [], []
    for layer in layers:
        found = layer.weight_clipping
        if found is None or layer.shares is not None:
            continue
        error = found.largest_error / found.largest_weight if found.largest_weight else 0.0
        share = found.clipped / (layer.groups * layer.rows * layer.columns)
        largest = number(found.largest_weight), number(found.largest_error), percent(error)
        rows.append((layer.name, exact(found.clipped), percent(share), *largest))
        rules.append(found.rule)
    if rows:
        columns = (
            Column("layer"),
            *numbers("weights\nclipped", "share", "largest\nweight", "largest\nerror", "of the\nlargest"),
        )
        yield Table(
            "Clipped weights",
            columns,
            tuple(rows),
            notes=(
                f"range of the cells: {' or '.join(dict.fromkeys(rules))}",
                "largest error: how far the furthest weight lies beyond the range; rounding comes to it",
            ),
        )
