"""The wires of a tile: the circuit that is solved, and what it may be given.

Every cell has one node on its row's wire and one on its column's, and is a linear conductance between them. A row is
driven by a voltage source before its first cell, through the driver's resistance and one segment of wire; every two
neighbouring cells have a segment between them; the wire's other end is open. A column's wire is alike and ends, one
segment after its last cell, through the resistance of the sensing circuit in a virtual ground, where its current is
measured. Rows driven from the other side are the same circuit with the order of the columns reversed, and columns
sensed at the other end with that of the rows.

Both cells of a differential pair may share a site of the row's wire: then conductances have a leading axis of planes,
one a polarity (or any other number of cells a site). A row's wire has one node a site, to which the cells of all planes
are joined; each plane has column wires of its own. Two cells one after the other along the wire are two columns of
one plane instead.

Not modelled: cells whose current is not proportional to their voltage, access transistors, capacitances and how
currents settle, sources that drive a row from both sides, resistance between virtual ground and ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from xbarc.errors import HardwareError, UsageError

#: Largest resistance in units of the best cell's. Far above anything with a use; beyond it, sums lose their digits.
_LARGEST_RATIO = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Resistances of a tile's wires and ends, in ohms; each may be 0.

    Attributes:
        row_wire_ohm: of one segment of a row's wire, from cell to cell, or from the driver to the first cell.
        column_wire_ohm: of one segment of a column's wire, from cell to cell, or from the last cell to its end.
        source_ohm: of a row's driver.
        sense_ohm: between a column's wire and its virtual ground.

    Raises:
        HardwareError: one of them is negative or no finite number.
    """

    row_wire_ohm: float
    column_wire_ohm: float
    source_ohm: float = 0.0
    sense_ohm: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            ohm = getattr(self, field.name)
            if not 0 <= ohm < math.inf:
                raise HardwareError(
                    f"{field.name} = {ohm!r} is not the resistance of a wire", fix="give 0 or more, in ohms"
                )

    @property
    def largest_ohm(self) -> float:
        """The largest of the resistances, in ohms."""
        return max(self.row_wire_ohm, self.column_wire_ohm, self.source_ohm, self.sense_ohm)


def as_planes(conductances: np.ndarray, wiring: Wiring) -> np.ndarray:
    """``(planes, rows, columns)`` float64 siemens of a tile of that shape or of ``(rows, columns)``.

    Raises:
        UsageError: the array is of another shape or empty, or holds what is no conductance.
        HardwareError: resistances so large beside the cells that no solver keeps its digits.
    """
    cells = np.asarray(conductances, dtype=np.float64)
    if cells.ndim not in (2, 3) or cells.size == 0:
        raise UsageError(
            f"conductances of the shape {cells.shape} are no tile",
            fix="give (rows, columns) or (planes, rows, columns)",
        )
    if not (cells.min() >= 0 and cells.max() < math.inf):  # NaN is neither
        raise UsageError(
            f"conductances from {cells.min():g} to {cells.max():g} S are no cells", fix="give 0 or more, in siemens"
        )
    if wiring.largest_ohm * cells.max() > _LARGEST_RATIO:
        raise HardwareError(
            f"{wiring.largest_ohm:g} ohm in the wires of a tile whose best cell has {1 / cells.max():g} ohm leaves no "
            "current to speak of",
            fix="check the units: resistances are in ohms, conductances in siemens",
        )
    return cells.reshape(-1, *cells.shape[-2:])


def as_inputs(voltages: np.ndarray, rows: int) -> np.ndarray:
    """``(vectors, rows)`` float64 volts of the drivers.

    Raises:
        UsageError: the array is of another shape, or holds what is no finite number.
    """
    inputs = np.asarray(voltages, dtype=np.float64)
    if inputs.ndim != 2 or inputs.shape[1] != rows:
        raise UsageError(
            f"voltages of the shape {inputs.shape} do not drive a tile of {rows} rows", fix="give (vectors, rows)"
        )
    if not np.isfinite(inputs).all():
        raise UsageError("a row cannot be driven with a voltage that is no finite number", fix="give finite voltages")
    return inputs
