"""The effective conductances of a tile: what its currents are, for all inputs, with the drops on its wires.

Linear cells make a linear circuit: currents are ``voltages @ effective`` with a matrix that depends on cells and wires
alone. So a read with IR drop costs what a read without it costs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xbarc.runtime.circuit.pieces import whole_tile
from xbarc.runtime.circuit.wiring import Wiring, as_planes


def effective_conductances(conductances: np.ndarray, wiring: Wiring) -> np.ndarray:
    """Current into each column's virtual ground a volt at each row's driver, the other drivers at 0 V.

    Exact, up to rounding, for the circuit of :mod:`xbarc.runtime.circuit.wiring`: small pieces of the tile are solved,
    and neighbours joined until one is left (:mod:`xbarc.runtime.circuit.pieces`), as nested dissection does, with dense
    blocks. Time grows as the cells to the power of 1.5, memory as the cells: under a kilobyte each. Most of the time is
    spent in BLAS, on as many threads as that is allowed.

    Args:
        conductances: ``(rows, columns)`` or ``(planes, rows, columns)`` siemens.
        wiring: of the tile.

    Returns:
        Float64 siemens, of the conductances' shape; currents of ``voltages``, ``(vectors, rows)``, are
        ``voltages @ effective``, plane by plane.

    Raises:
        UsageError: conductances of a wrong shape, or that are none.
        HardwareError: resistances out of all proportion to the cells.
    """
    cells = as_planes(conductances, wiring)
    effective = np.zeros_like(cells)
    filled_rows, filled_columns = (np.flatnonzero(cells.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if filled_rows.size:
        # Beyond its cells a wire only grows longer.
        rows = slice(int(filled_rows[0]), int(filled_rows[-1]) + 1)
        columns = slice(int(filled_columns[0]), int(filled_columns[-1]) + 1)
        source = wiring.source_ohm + columns.start * wiring.row_wire_ohm
        sense = wiring.sense_ohm + (cells.shape[1] - rows.stop) * wiring.column_wire_ohm
        within = replace(wiring, source_ohm=source, sense_ohm=sense)
        effective[:, rows, columns] = _effective(cells[:, rows, columns], within)
    return effective.reshape(np.shape(conductances))


def _effective(cells: np.ndarray, wiring: Wiring) -> np.ndarray:
    """Of ``(planes, rows, columns)`` siemens, not all 0."""
    planes, rows, columns = cells.shape
    siemens = cells.max()
    near_first = cells[:, ::-1].transpose(1, 2, 0) / siemens
    response = whole_tile(near_first, wiring.row_wire_ohm * siemens, wiring.column_wire_ohm * siemens)
    ends = np.repeat([wiring.source_ohm * siemens, wiring.sense_ohm * siemens], [rows, columns * planes])
    # Behind the ends lie drivers at their voltages, and ground: potentials = applied - ends * response @ potentials.
    potentials = np.eye(len(response))[:, :rows]
    if ends.any():
        potentials = np.linalg.solve(np.eye(len(response)) + ends[:, np.newaxis] * response, potentials)
    entering = response[rows:] @ potentials
    effective: np.ndarray = -siemens * entering.reshape(columns, planes, rows).transpose(1, 2, 0)[:, ::-1]
    return effective
