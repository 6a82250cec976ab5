"""The currents of a tile for few input vectors, to a stated tolerance, without solving the whole circuit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass

import numpy as np

from xbarc.errors import UsageError
from xbarc.runtime.circuit import kernels
from xbarc.runtime.circuit.wiring import Wiring, as_inputs, as_planes

#: Iterations: 50 do for 256 x 256 cells of which the best has a hundred times the resistance of a segment.
_MOST = 1000
#: What the rounding of that many iterations can do, as a share of full scale; and the finest tolerance above it.
_ROUNDING = 1e-10
_FINEST = 1e-9


@dataclass(frozen=True, slots=True)
class BoundedCurrents:
    """Currents of a tile, and how far they can be off.

    Attributes:
        currents: into the virtual grounds, ``(vectors, columns)`` amperes; ``(vectors, planes, columns)`` where the
            conductances have an axis of planes.
        bounds: no current's error is larger; of that shape, in amperes.
        full_scale: largest column current that the magnitudes of each vector's voltages would drive through wires
            without resistance, ``(vectors,)`` amperes; what the tolerance counts from.
        iterations: ``(vectors,)``.
    """

    currents: np.ndarray
    bounds: np.ndarray
    full_scale: np.ndarray
    iterations: np.ndarray


def solve_fast(
    conductances: np.ndarray, voltages: np.ndarray, wiring: Wiring, *, tolerance: float = 1e-4, threads: int = 1
) -> BoundedCurrents:
    """Solve a tile (:mod:`xbarc.runtime.circuit.wiring`) by conjugate gradients on the currents of its cells.

    **The system.** Through a cell of conductance ``g`` flows ``c``; the voltage across it is that of its row's driver
    less what all cells' currents drop on the wires: ``c = g (v - R c)``. ``R`` is symmetric and positive semidefinite:
    its quadratic form is the power lost in wires and ends, ``sum over segments of ohm * (sum of c through it)^2``. With
    ``c = sqrt(g) y`` the system is ``M y = b``, ``M = 1 + B``, ``B = sqrt(g) R sqrt(g)``, ``b = sqrt(g) v``: symmetric,
    no eigenvalue below 1, and the largest is 1 plus about 0.4 ``n^2 ohm g`` for a line of ``n`` cells, so few
    iterations do. A product with ``M`` is two running sums along every row and every column. Cells of conductance 0 and
    wires without resistance need no special care.

    **The bound.** The current of a column is ``a . y``, with ``a`` holding ``sqrt(g)`` in the column's cells and 0
    elsewhere. With the error ``e`` of ``y``, that of the current is ``a . e = (M^-1 a) . M e``, so by Cauchy and
    Schwarz ``|a . e| <= sqrt(a . M^-1 a) sqrt(e . M e)``. The first factor: without the rows' wires ``M`` is smaller
    and ``a . M^-1 a`` larger, then it is the current of the column alone at 1 V on all rows, which a two-port recursion
    gives. The second, the energy of the error: with the residual ``r = b - M y = M e`` it is ``r . M^-1 r <= |r|^2``,
    no eigenvalue of ``M`` being below 1; the Gauss-Radau rule with a node at 1 turns the lengths of the iterations' own
    steps into a factor below 1 on that, and a bound again (Meurant and Tichy, Numerical Algorithms 62 (2013) 163-191,
    algorithm CGQ). Both hold at every iteration, for every pattern of cells and inputs; true errors are commonly ten
    times smaller. For rounding, 1e-10 of full scale is added: an allowance, not a proof.

    For more than about a hundred vectors, :func:`~xbarc.runtime.circuit.effective.effective_conductances` is faster.

    Args:
        conductances: ``(rows, columns)`` or ``(planes, rows, columns)`` siemens.
        voltages: of the drivers, ``(vectors, rows)``.
        wiring: of the tile.
        tolerance: largest bound allowed, as a share of full scale.
        threads: over vectors; they do not change the result.

    Raises:
        UsageError: conductances or voltages of a wrong shape, or that are none; a tolerance too fine to promise;
            wires of so much resistance that the iterations do not reach it.
        HardwareError: resistances out of all proportion to the cells.
    """
    cells = as_planes(conductances, wiring)
    planes, rows, columns = cells.shape
    inputs = as_inputs(voltages, rows)
    if not _FINEST <= tolerance < 1:
        raise UsageError(
            f"a tolerance of {tolerance!r} of full scale cannot be promised",
            fix=f"give {_FINEST:g} or more and less than 1, or solve exactly",
        )
    # In units of the best cell and the largest voltage no square leaves the range of numbers.
    siemens = cells.max() or 1.0
    volts = np.abs(inputs).max(axis=1, initial=0.0)
    volts[volts == 0] = 1.0
    lines = np.ascontiguousarray(cells.transpose(1, 0, 2)).reshape(rows, planes * columns) / siemens
    scaled = inputs / volts[:, np.newaxis]
    full_scale = (np.abs(scaled) @ lines).max(axis=1)
    row_wire, column_wire, source, sense = (ohm * siemens for ohm in astuple(wiring))
    alone = _columns_alone(lines, column_wire, sense)
    goals = ((tolerance - _ROUNDING) * full_scale) ** 2 / (alone.max() or 1.0)
    roots = np.sqrt(lines)
    currents = np.empty((len(inputs), planes * columns))

    def solve(vector: int) -> tuple[float, int]:
        energy, iterations = kernels.solve_by_conjugate_gradients(
            roots,
            scaled[vector],
            columns,
            row_wire,
            column_wire,
            source,
            sense,
            goals[vector],
            _MOST,
            currents[vector],
        )
        return energy, iterations

    with ThreadPoolExecutor(threads) as pool:
        ends = list(pool.map(solve, range(len(inputs))))
    energies = np.array([energy for energy, _ in ends])
    if (energies > goals).any():
        raise UsageError(
            f"{_MOST} iterations leave the currents further from their values than {tolerance:g} of full scale",
            fix="solve exactly, or check the wires: a segment resists much against the cells of its row or column",
        )
    bounds = np.sqrt(np.outer(energies, alone)) + _ROUNDING * full_scale[:, np.newaxis]
    amperes = siemens * volts
    shape = (len(inputs), *np.shape(conductances)[:-2], columns)
    return BoundedCurrents(
        currents=(currents * amperes[:, np.newaxis]).reshape(shape),
        bounds=(bounds * amperes[:, np.newaxis]).reshape(shape),
        full_scale=full_scale * amperes,
        iterations=np.array([iterations for _, iterations in ends], dtype=np.int64),
    )


def _columns_alone(lines: np.ndarray, wire: float, sense: float) -> np.ndarray:
    """Current of each column at 1 V on the cells of all rows, ``(lines,)``: what lies above any node is a source of
    1 V behind a conductance."""
    above = np.zeros(lines.shape[1])
    for cells in lines:
        above = cells + above / (1 + wire * above)
    alone: np.ndarray = above / (1 + (wire + sense) * above)
    return alone
