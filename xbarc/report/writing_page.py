"""Writing a chip in closed loop as a page: what it came to, what it took, and its layers."""

from __future__ import annotations

from collections.abc import Iterator

from xbarc.report.chip_writing import ChipWriting
from xbarc.report.page import Column, Page, Row, Table, facts, numbers
from xbarc.report.words import UNKNOWN, amount, exact, number, percent
from xbarc.report.writing import Residual, WriteReport
from xbarc.units import format_duration, format_quantity


def writing_page(writing: ChipWriting, *, title: str) -> Page:
    """The chip as a whole, then layer by layer."""
    whole = writing.total
    rows = (
        ("device", f"{writing.device}, chip {writing.seed}"),
        ("closed loop", writing.programming),
        ("range", f"{_quantity(writing.g_min, 'S')} .. {_quantity(writing.g_max, 'S')}"),
        ("reachable", f"{_reach(whole)} by 99 % of cells; {percent(whole.out_of_reach)} of targets are out of reach"),
        ("asymmetry", f"{number(whole.asymmetry_rms)} rms, {number(whole.asymmetry_largest)} at most"),
        ("accepted", f"{percent(whole.accepted)} of {exact(whole.cells)} cells"),
        ("rms error", _errors(writing, whole)),
        ("reads a cell", _cycles(whole)),
        ("pulses", f"{amount(writing.pulses)}; a cell {number(whole.pulses_a_cell)}, {_directions(whole)}"),
        ("energy", UNKNOWN if writing.energy_j is None else _quantity(writing.energy_j, "J")),
        ("time", _times(whole)),
    )
    return [facts(title, *rows, notes=tuple(_notes(writing))), _layers(writing)]


def _layers(writing: ChipWriting) -> Table:
    columns = (
        Column("layer"),
        *numbers(
            "cells",
            "accepted",
            "rms error",
            "of the\naccepted",
            "reads\na cell",
            "99 %",
            "pulses\na cell",
            "asym-\nmetry",
            "out of\nreach",
        ),
    )
    rows = tuple(_row(writing, entry.name, entry.report) for entry in writing.layers)
    notes = (
        "errors over the range of conductances; asymmetry: steps up less steps down over their sum, root mean square "
        "at the targets",
    )
    return Table("Layers", columns, rows, _row(writing, "all", writing.total), notes=notes)


def _row(writing: ChipWriting, name: str, report: WriteReport) -> Row:
    accepted = report.residual_accepted
    return (
        name,
        exact(report.cells),
        percent(report.accepted),
        _share(writing, report.residual),
        "-" if accepted is None else _share(writing, accepted),
        number(report.cycles_mean),
        number(report.cycles_p99),
        number(report.pulses_a_cell),
        f"{report.asymmetry_rms:.3f}",
        percent(report.out_of_reach),
    )


def _notes(writing: ChipWriting) -> Iterator[str]:
    faulty = writing.total.faulty
    if faulty:
        yield (
            f"{exact(faulty)} faulty cells do not follow pulses: they hold what they hold, and the controller, which "
            "does not know, pulses them until it gives up, unless that is within the band of the target"
        )
    if any(entry.copies > 1 for entry in writing.layers):
        yield "layers lie on the chip several times: pulses and energy of all copies, each taken to be like the first"


def _errors(writing: ChipWriting, report: WriteReport) -> str:
    accepted = report.residual_accepted
    of = "" if accepted is None else f"; of the accepted {_share(writing, accepted)}"
    return f"{_share(writing, report.residual)} of the range, {_quantity(report.residual.rms, 'S')}{of}"


def _cycles(report: WriteReport) -> str:
    return (
        f"{number(report.cycles_mean)} on average; half of all cells up to {number(report.cycles_p50)}, 99 % up to "
        f"{number(report.cycles_p99)}, {exact(report.cycles_most)} at most"
    )


def _directions(report: WriteReport) -> str:
    return f"{number(report.pulses_up / report.cells)} up and {number(report.pulses_down / report.cells)} down"


def _times(report: WriteReport) -> str:
    if report.each_in_turn_s is None or report.all_at_once_s is None:
        return UNKNOWN
    each, once = (format_duration(float(f"{seconds:.3g}")) for seconds in (report.each_in_turn_s, report.all_at_once_s))
    return f"{each} one cell after another, {once} all at once"


def _reach(report: WriteReport) -> str:
    return f"{_quantity(report.reach_low, 'S')} .. {_quantity(report.reach_high, 'S')}"


def _share(writing: ChipWriting, residual: Residual) -> str:
    share = 100 * residual.rms / (writing.g_max - writing.g_min)
    return f"{float(f'{share:.3g}'):g} %"


def _quantity(value: float, unit: str) -> str:
    return format_quantity(float(f"{value:.3g}"), unit)
