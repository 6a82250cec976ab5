"""Pieces of a tile as closed boxes: how each answers at its ports, and how two become one.

A piece is a rectangle of cells with the wires through it. Every wire has a port at its near end, toward the row's
driver or the column's virtual ground, and one at its far end; a segment belongs to the cell that it lies before, seen
from the near end. A piece is *given* potentials at near ports and the currents that leave it at far ones, and *answers*
with the currents that enter it at near ports and potentials at far ones: ``answer = response @ given``. Because
currents are counted from near to far, the response is symmetric (reciprocity). Because near potentials and far currents
are given, a resistance or conductance of 0 divides nothing, and responses shrink where wires resist.

Ports come in four groups: near ends of rows, near ends of columns, far ends of rows, far ends of columns. Rows count
from the virtual ground on, columns from the driver on; the columns' wires go by site, then by plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarc.runtime.circuit import kernels

#: Rows and column wires of the smallest pieces, at least, and less than twice as many.
_LEAST = 4


@dataclass(frozen=True, slots=True)
class Pieces:
    """Like pieces that lie in a grid.

    Attributes:
        responses: ``(down, across, ports, ports)``.
        ports: of each of the four groups.
    """

    responses: np.ndarray
    ports: tuple[int, ...]

    def groups(self) -> list[np.ndarray]:
        """The numbers of the ports of each group."""
        ends = np.cumsum(self.ports)
        return [np.arange(end - count, end) for end, count in zip(ends, self.ports, strict=True)]

    def open_far(self, wire: int) -> Pieces:
        """Without the far ports of rows (0) or columns (1), where no current leaves."""
        kept = np.delete(np.arange(sum(self.ports)), self.groups()[2 + wire])
        ports = tuple(0 if group == 2 + wire else count for group, count in enumerate(self.ports))
        return Pieces(self.responses[..., kept[:, np.newaxis], kept], ports)


def whole_tile(cells: np.ndarray, row_wire: float, column_wire: float) -> np.ndarray:
    """The response of a tile at its near ports, with open far ends.

    Args:
        cells: ``(rows, columns, planes)``, in the order of ports.
        row_wire: resistance of one segment, in the reciprocal of the conductances' unit.
        column_wire: as that.

    Returns:
        ``(rows + columns * planes,) * 2``.
    """
    rows, columns, planes = cells.shape
    pieces = _smallest(cells, row_wire, column_wire)
    for wire in (0, 1):
        if pieces.responses.shape[1 - wire] == 1:
            pieces = pieces.open_far(wire)
    while pieces.responses.shape[:2] != (1, 1):
        down, across = pieces.responses.shape[:2]
        # Near to square, pieces have the fewest ports for their cells.
        wire = 1 if across == 1 or (down > 1 and pieces.ports[0] < pieces.ports[1]) else 0
        pieces = _join(pieces, wire)
    # What was added to the far ends has no cells, and its wires carry nothing.
    kept = np.concatenate([np.arange(rows), pieces.ports[0] + np.arange(columns * planes)])
    response: np.ndarray = pieces.responses[0, 0][kept[:, np.newaxis], kept]
    return response


def _cut(length: int, least: int = _LEAST) -> tuple[int, int]:
    """How long the smallest pieces of a length are, and how many: a power of two, which together may be longer."""
    count = 2 ** max(0, (length // least).bit_length() - 1)
    return -(-length // count), count


def _smallest(cells: np.ndarray, row_wire: float, column_wire: float) -> Pieces:
    """Cut a tile, and solve each piece for the currents of its cells.

    With ``G`` the conductances, ``E @ given`` the voltages across cells that carry nothing, and ``A`` the resistances
    through which cells lower each other's voltages, ``c = G (E given - A c)``. The answer is ``D given + E' c``.
    """
    rows, columns, planes = cells.shape
    height, down = _cut(rows)
    width, across = _cut(columns, max(1, _LEAST // planes))
    full = np.zeros((down * height, across * width, planes))
    full[:rows, :columns] = cells
    lines = width * planes
    row, site, plane = (place.ravel() for place in np.indices((height, width, planes)))
    line = site * planes + plane
    before, below = (np.minimum.outer(place, place) + 1 for place in (site, row))
    resistances = row_wire * before * np.equal.outer(row, row) + column_wire * below * np.equal.outer(line, line)
    on_row, on_line = np.eye(height)[row], np.eye(lines)[line]
    lost = row_wire * (site[:, np.newaxis] + 1), column_wire * (row[:, np.newaxis] + 1)
    effect = np.concatenate([on_row, -on_line, -lost[0] * on_row, lost[1] * on_line], axis=1)
    # Without currents through cells: what leaves at the far end entered at the near one and lost voltage between.
    wires = np.concatenate([np.full(height, -row_wire * width), np.full(lines, -column_wire * height)])
    through = np.block([[np.zeros((len(wires),) * 2), np.eye(len(wires))], [np.eye(len(wires)), np.diag(wires)]])
    conductances = full.reshape(down, height, across, width, planes).swapaxes(1, 2).reshape(down, across, -1, 1)
    currents = np.linalg.solve(conductances * resistances + np.eye(len(row)), conductances * effect)
    return Pieces(through + effect.T @ currents, (height, lines, height, lines))


def _join(pieces: Pieces, wire: int) -> Pieces:
    """Join every two neighbours along the wires of rows (0) or columns (1)."""
    side = 1 - wire
    count = pieces.responses.shape[side]
    near, far = (Pieces(np.take(pieces.responses, range(first, count, 2), side), pieces.ports) for first in (0, 1))
    if count == 2:
        far = far.open_far(wire)
    near_groups, far_groups = near.groups(), far.groups()
    inner_near, inner_far = near_groups.pop(2 + wire), far_groups.pop(wire)
    offset = sum(near.ports)
    near_groups.insert(2 + wire, inner_near[:0])
    far_groups.insert(wire, inner_far[:0])
    groups = [np.concatenate([one, other + offset]) for one, other in zip(near_groups, far_groups, strict=True)]
    place = np.empty(offset + sum(far.ports), dtype=np.int64)
    order = np.concatenate(groups)
    place[order] = np.arange(len(order))
    outer_near, outer_far = np.concatenate(near_groups), np.concatenate(far_groups)
    joined = np.empty((*near.responses.shape[:2], len(order), len(order)))
    kernels.join_pairs(
        near.responses,
        far.responses,
        inner_near,
        outer_near,
        inner_far,
        outer_far,
        place[outer_near],
        place[outer_far + offset],
        joined,
    )
    return Pieces(joined, tuple(len(group) for group in groups))
