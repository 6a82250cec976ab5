"""The currents of a tile by one sparse system over all nodes: slow, direct, and what the others are checked against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from xbarc.runtime.circuit.wiring import Wiring, as_inputs, as_planes


@dataclass(frozen=True, slots=True)
class Solution:
    """Currents and potentials of a tile, for several input vectors.

    Attributes:
        currents: into the virtual grounds, ``(vectors, columns)`` amperes; ``(vectors, planes, columns)`` where the
            conductances have an axis of planes.
        row_volts: of the nodes of the row wires, ``(vectors, rows, columns)``.
        column_volts: of the nodes of the column wires, ``(vectors, rows, columns)`` or
            ``(vectors, planes, rows, columns)``.
    """

    currents: np.ndarray
    row_volts: np.ndarray
    column_volts: np.ndarray


def solve_exact(conductances: np.ndarray, voltages: np.ndarray, wiring: Wiring) -> Solution:
    """Solve Kirchhoff's current law at all nodes of a tile (:mod:`xbarc.runtime.circuit.wiring`), in float64.

    Nodes that no resistance parts are one node. The system is symmetric and positive definite, is factorised once, and
    serves all input vectors; its factors grow somewhat faster than the cells, to about 80 MB for 256 x 256. Where an
    end resists many times what a segment does, the nodes of a wire are hard to tell apart: the relative error grows to
    about 1e-16 times that ratio.

    Args:
        conductances: ``(rows, columns)`` or ``(planes, rows, columns)`` siemens.
        voltages: of the drivers, ``(vectors, rows)``.
        wiring: of the tile.

    Raises:
        UsageError: conductances or voltages of a wrong shape, or that are none.
        HardwareError: resistances out of all proportion to the cells.
    """
    cells = as_planes(conductances, wiring)
    _, rows, columns = cells.shape
    inputs = as_inputs(voltages, rows)
    nodes = _Nodes(cells.shape, wiring)
    laplacian = nodes.laplacian(cells)
    potentials = np.zeros((nodes.total, len(inputs)))
    potentials[nodes.drivers] = inputs.T
    free = nodes.free
    if free:
        # Without pivoting: the system is positive definite.
        factors = linalg.splu(
            laplacian[:free, :free].tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        potentials[:free] = factors.solve(-(laplacian[:free, free:] @ potentials[free:]))
    row_volts = potentials.T[:, nodes.on_rows]
    column_volts = potentials.T[:, nodes.on_columns]
    currents = np.einsum("prc,vprc->vpc", cells, row_volts[:, np.newaxis] - column_volts)
    shape = np.shape(conductances)
    return Solution(
        currents=currents.reshape(len(inputs), *shape[:-2], columns),
        row_volts=row_volts,
        column_volts=column_volts.reshape(len(inputs), *shape),
    )


class _Nodes:
    """Numbers of the nodes: those of unknown potential first, then the drivers, then ground.

    Args:
        shape: planes, rows, columns.
        wiring: nodes that it does not part have one number.
    """

    def __init__(self, shape: tuple[int, ...], wiring: Wiring) -> None:
        planes, rows, columns = shape
        self._wiring = wiring
        on_rows = _wires(rows, columns, wiring.row_wire_ohm, wiring.source_ohm)
        on_columns = _wires(planes * columns, rows, wiring.column_wire_ohm, wiring.sense_ohm)
        free_on_rows, free_on_columns = on_rows.max() + 1, on_columns.max() + 1
        #: How many nodes have an unknown potential, and how many there are.
        self.free = int(free_on_rows + free_on_columns)
        self.total = self.free + rows + 1
        self.drivers = self.free + np.arange(rows)
        #: Of each site's node on its row wire, ``(rows, columns)``.
        self.on_rows = np.where(on_rows < 0, self.drivers[:, np.newaxis], on_rows)
        by_column = np.where(on_columns < 0, self.total - 1, on_columns + free_on_rows)
        #: Of each cell's node on its column wire, ``(planes, rows, columns)``.
        self.on_columns = by_column.reshape(planes, columns, rows).transpose(0, 2, 1)

    def laplacian(self, cells: np.ndarray) -> sparse.csr_array:
        """Of the whole circuit, drivers and ground included, ``(nodes, nodes)`` siemens."""
        wiring, rows, columns = self._wiring, self.on_rows, self.on_columns
        ground = np.full_like(columns[:, -1], self.total - 1)
        joined = [
            (np.broadcast_to(rows, columns.shape), columns, cells),
            _segments(rows[:, :-1], rows[:, 1:], wiring.row_wire_ohm),
            _segments(self.drivers, rows[:, 0], wiring.row_wire_ohm + wiring.source_ohm),
            _segments(columns[:, :-1], columns[:, 1:], wiring.column_wire_ohm),
            _segments(columns[:, -1], ground, wiring.column_wire_ohm + wiring.sense_ohm),
        ]
        one, other, siemens = (np.concatenate([np.ravel(part[k]) for part in joined]) for k in range(3))
        values = np.concatenate([siemens, siemens, -siemens, -siemens])
        places = np.concatenate([one, other, one, other]), np.concatenate([one, other, other, one])
        return sparse.csr_array(sparse.coo_array((values, places), shape=(self.total, self.total)))


def _wires(count: int, cells: int, wire_ohm: float, end_ohm: float) -> np.ndarray:
    """Numbers of the nodes of some wires, ``(count, cells)``: -1 where a wire is at the potential of its end."""
    if wire_ohm > 0:
        return np.arange(count * cells).reshape(count, cells)
    alone = np.arange(count) if end_ohm > 0 else np.full(count, -1)
    return np.repeat(alone[:, np.newaxis], cells, axis=1)


def _segments(one: np.ndarray, other: np.ndarray, ohm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends and the conductance of like segments; none where there is no resistance: the ends are one node."""
    if ohm == 0:
        one = other = np.empty(0, dtype=np.int64)
    return one, other, np.full(one.shape, 1 / ohm if ohm else 0.0)
