"""The difference of two written chips as a page."""

from __future__ import annotations

from xbarc.report.chip_difference import CellsDifference, ChipDifference, ComparedChip
from xbarc.report.page import Column, Page, Row, Table, facts, numbers
from xbarc.report.words import exact, number, percent
from xbarc.units import format_duration, format_quantity


def chip_difference_page(found: ChipDifference) -> Page:
    """What they are, then layer by layer what they differ by."""
    total = found.total
    faulty = f"{exact(total.stuck_first)} of the first, {exact(total.stuck_second)} of the second, "
    rows = (
        ("first", _chip(found.first)),
        ("second", _chip(found.second)),
        ("second less first", f"{_siemens(total.mean_siemens)} on average; {_siemens(total.largest_siemens)} at most"),
        ("faulty cells", f"{faulty}{exact(total.stuck_both)} of both"),
    )
    columns = (
        Column("layer"),
        *numbers(
            "cells",
            "rms\ndifference",
            "over the\nrange",
            "corre-\nlation",
            "more than\na level",
            "weights\nrms",
            "corre-\nlation",
        ),
    )
    layers = tuple(_row(entry.name, entry.difference) for entry in found.layers)
    notes = ("weights: root mean square difference over the root mean square of the program's weights",)
    return [facts("Two chips", *rows), Table("Layers", columns, layers, _row("all", total), notes=notes)]


def _chip(chip: ComparedChip) -> str:
    seed = "" if chip.seed is None else f", chip {chip.seed} at {format_duration(chip.time_s)}"
    loop = "" if chip.programming is None else f", written with {chip.programming}"
    return f"{chip.device}{seed}{loop}"


def _row(name: str, found: CellsDifference) -> Row:
    over = found.over_a_level
    return (
        name,
        exact(found.cells),
        _siemens(found.rms_siemens),
        _percent(found.rms_share),
        _correlation(found.correlation),
        "-" if over is None else percent(over / found.cells),
        "-" if found.weights_share is None else _percent(found.weights_share),
        _correlation(found.weights_correlation),
    )


def _percent(share: float) -> str:
    return f"{number(float(f'{100 * share:.3g}'))} %"


def _correlation(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _siemens(value: float) -> str:
    return format_quantity(float(f"{value:.3g}"), "S")
