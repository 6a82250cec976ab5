"""A tile as a netlist for SPICE: so that a circuit simulator can say whether our currents are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from xbarc.errors import UsageError
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.wiring import Wiring, as_planes


def spice_netlist(
    conductances: np.ndarray, voltages: np.ndarray, wiring: Wiring, *, title: str, notes: Sequence[str] = ()
) -> str:
    """The circuit of a tile (:mod:`xbarc.runtime.circuit.wiring`) and one input vector, as ngspice reads it.

    ``ngspice -b FILE`` finds the operating point and prints the current into each column's virtual ground, in amperes:
    through a source of 0 V, ``i(vsense<plane>_<column>)``. The currents that we expect stand in comments beside those
    sources. Only resistors and voltage sources, the source's resistance in one resistor with the first segment, and so
    the sense resistance with the last; cells of conductance 0 are left out, and nodes that no resistance parts are one.

    Args:
        conductances: ``(rows, columns)`` or ``(planes, rows, columns)`` siemens.
        voltages: of the drivers, ``(rows,)``.
        wiring: of the tile.
        title: first line of the netlist, and one line.
        notes: further lines, as comments.

    Raises:
        UsageError: conductances or voltages of a wrong shape, or that are none; a title or note of several lines.
        HardwareError: resistances out of all proportion to the cells.
    """
    for line in (title, *notes):
        if len(line.splitlines()) != 1:
            raise UsageError(f"the title or note {line!r} of a netlist is not one line", fix="give one line")
    inputs = np.asarray(voltages, dtype=np.float64)
    cells = as_planes(conductances, wiring)
    expected = solve_exact(cells, inputs[np.newaxis], wiring).currents[0]
    return "\n".join([title, *(f"* {note}" for note in notes), *_lines(cells, inputs, wiring, expected), ""])


def _lines(cells: np.ndarray, inputs: np.ndarray, wiring: Wiring, expected: np.ndarray) -> Iterator[str]:
    planes, rows, columns = cells.shape

    def on_row(row: int, column: int) -> str:
        if wiring.row_wire_ohm:
            return f"row{row}_{column}"
        return f"row{row}" if wiring.source_ohm else f"drive{row}"

    def on_column(plane: int, row: int, column: int) -> str:
        if wiring.column_wire_ohm:
            return f"col{plane}_{row}_{column}"
        return f"col{plane}_{column}" if wiring.sense_ohm else f"sense{plane}_{column}"

    def resistor(name: str, one: str, other: str, ohm: float) -> Iterator[str]:
        if one != other:
            yield f"R{name} {one} {other} {ohm:.17g}"

    yield f"* {rows} rows, {columns} columns, {planes} cells a site. Ohms, of wires those of a segment:"
    yield f"* row wire {wiring.row_wire_ohm:g}, column wire {wiring.column_wire_ohm:g},"
    yield f"* source {wiring.source_ohm:g}, sense {wiring.sense_ohm:g}"
    yield "* Drivers, and the wires of the rows"
    for row in range(rows):
        yield f"Vdrive{row} drive{row} 0 DC {inputs[row]:.17g}"
        before = f"drive{row}"
        for column in range(columns):
            ohm = wiring.row_wire_ohm + (0.0 if column else wiring.source_ohm)
            yield from resistor(f"row{row}_{column}", before, on_row(row, column), ohm)
            before = on_row(row, column)
    yield "* Cells: plane, row, column"
    for plane, row, column in np.argwhere(cells):
        ends = on_row(row, column), on_column(plane, row, column)
        yield from resistor(f"cell{plane}_{row}_{column}", *ends, 1 / cells[plane, row, column])
    yield "* The wires of the columns, and their virtual grounds, each with the current expected into it"
    for plane in range(planes):
        for column in range(columns):
            for row in range(rows):
                last = row == rows - 1
                after = f"sense{plane}_{column}" if last else on_column(plane, row + 1, column)
                ohm = wiring.column_wire_ohm + (wiring.sense_ohm if last else 0.0)
                yield from resistor(f"col{plane}_{row}_{column}", on_column(plane, row, column), after, ohm)
            yield f"* i(vsense{plane}_{column}) = {expected[plane, column]:.12e}"
            yield f"Vsense{plane}_{column} sense{plane}_{column} 0 DC 0"
    yield ".control"
    yield "set numdgt=15"
    yield "op"
    for plane in range(planes):
        for column in range(columns):
            yield f"print i(vsense{plane}_{column})"
    yield "quit"
    yield ".endc"
    yield ".end"
