"""The effective conductances of a tile: what its currents are, for all inputs, with the drops on its wires.

Linear cells make a linear circuit: currents are ``voltages @ effective`` with a matrix that depends on cells and wires
alone. So a read with IR drop costs what a read without it costs.
"""

from __future__ import annotations

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
    planes, rows, columns = cells.shape
    siemens = cells.max() or 1.0
    near_first = cells[:, ::-1].transpose(1, 2, 0) / siemens
    response = whole_tile(near_first, wiring.row_wire_ohm * siemens, wiring.column_wire_ohm * siemens)
    ends = np.repeat([wiring.source_ohm * siemens, wiring.sense_ohm * siemens], [rows, columns * planes])
    # Behind the ends lie drivers at their voltages, and ground: potentials = applied - ends * response @ potentials.
    potentials = np.eye(len(response))[:, :rows]
    if ends.any():
        potentials = np.linalg.solve(np.eye(len(response)) + ends[:, np.newaxis] * response, potentials)
    entering = response[rows:] @ potentials
    effective = -siemens * entering.reshape(columns, planes, rows).transpose(1, 2, 0)[:, ::-1]
    return np.ascontiguousarray(effective).reshape(np.shape(conductances))
