"""Cores on a mesh: how far what one core sends another has to go, and what that puts on each link.

Core ``c`` lies in row ``c // columns`` and column ``c % columns``. A link joins two neighbours, in each direction one.
Everything travels along its row first and then along its column (XY routing), so that the hops are the Manhattan
distance. All cores that take the same thing are sent it one by one: there is no multicast.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

#: Where data enter and leave the chip, as if it were a core: it lies at core 0, and is never moved.
PORT: Final = -1


@dataclass(frozen=True, slots=True)
class Mesh:
    """Rows and columns of cores."""

    rows: int
    columns: int

    def places(self, cores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each core, and of :data:`PORT`."""
        row, column = np.divmod(np.maximum(cores, 0), self.columns)
        return row, column


@dataclass(frozen=True, slots=True)
class Flow:
    """What some cores send to others in one inference.

    Attributes:
        operator: name of the layer or digital operator that takes it: its input, or its partial sums.
        sources, targets: core numbers, or :data:`PORT`; each source and each target once, unless they are paired.
        sent: float64. Paired: bits from each source to the target of the same index. Otherwise the share of everything
            that comes from each source; they add up to 1.
        taken: bits that each target takes of all sources, float64; ``None``: paired.
    """

    operator: str
    sources: np.ndarray
    targets: np.ndarray
    sent: np.ndarray
    taken: np.ndarray | None = None

    @property
    def received(self) -> np.ndarray:
        """Bits that each target, or each pair's, takes from another core; the port is a part of core 0."""
        source, target = np.maximum(self.sources, 0), np.maximum(self.targets, 0)
        if self.taken is None:
            return np.where(source == target, 0.0, self.sent)
        own = np.bincount(source, self.sent, int(target.max(initial=0)) + 1)
        found: np.ndarray = self.taken * np.maximum(1 - own[target], 0.0)
        return found

    @property
    def bits(self) -> float:
        """All that goes from one core to another."""
        return float(self.received.sum())

    @property
    def most_received(self) -> float:
        """Bits that the target that takes most takes from other cores."""
        _, which = np.unique(self.targets, return_inverse=True)
        return float(np.bincount(which, self.received).max(initial=0.0))

    def moved(self, cores: np.ndarray, to: np.ndarray) -> Flow:
        """The same where each of ``cores``, which are sorted and hold all that occur, is in ``to``."""

        if not len(cores):  # nothing is on tiles, and all of it at the port
            return self

        def renamed(old: np.ndarray) -> np.ndarray:
            return np.where(old == PORT, PORT, to[np.searchsorted(cores, np.maximum(old, cores[0]))])

        return dataclasses.replace(self, sources=renamed(self.sources), targets=renamed(self.targets))

    def matrix(self, cores: np.ndarray) -> np.ndarray:
        """``(n, n)`` bits from each of the cores to each other; they are sorted and hold all that occur."""
        found = np.zeros((len(cores), len(cores)))
        source, target = np.searchsorted(cores, self.sources), np.searchsorted(cores, self.targets)
        if self.taken is None:
            np.add.at(found, (source, target), self.sent)
        else:
            found[np.ix_(source, target)] = np.outer(self.sent, self.taken)
        return found


def bit_hops(flow: Flow, mesh: Mesh) -> float:
    """Bits times links that they go over."""
    if flow.taken is None:
        return float(_distances(flow, mesh) @ flow.sent)
    total = 0.0
    for source, target in zip(mesh.places(flow.sources), mesh.places(flow.targets), strict=True):
        size = int(max(source.max(), target.max())) + 1
        before = np.bincount(source, flow.sent, size).cumsum()
        taken = np.bincount(target, flow.taken, size).cumsum()
        # Between two neighbouring rows goes what comes from one side and is taken on the other.
        total += float(before @ (taken[-1] - taken) + taken @ (before[-1] - before))
    return total


def bit_hops_by_operator(flows: Iterable[Flow], mesh: Mesh) -> dict[str, float]:
    """The same, of what each layer or digital operator takes; the others are left out."""
    found: dict[str, float] = defaultdict(float)
    for flow in flows:
        found[flow.operator] += bit_hops(flow, mesh)
    return found


def farthest(flow: Flow, mesh: Mesh) -> int:
    """Links on the longest way."""
    if flow.taken is None:
        return int(_distances(flow, mesh).max(initial=0))
    (rows, columns), (target_rows, target_columns) = mesh.places(flow.sources), mesh.places(flow.targets)
    sums, differences = rows + columns, rows - columns
    target_sums, target_differences = target_rows + target_columns, target_rows - target_columns
    pairs = ((sums, target_sums), (differences, target_differences))
    return max(int(max(one.max() - other.min(), other.max() - one.min())) for one, other in pairs)


def busiest_link(flows: Iterable[Flow], mesh: Mesh) -> float:
    """Bits over the link that most go over, in its busier direction."""
    found = list(flows)
    loads = np.zeros((4, *_extent(found, mesh)))
    for flow in found:
        _load(flow, mesh, loads)
    return float(loads.max(initial=0.0))


def _distances(flow: Flow, mesh: Mesh) -> np.ndarray:
    """Hops of each pair."""
    (rows, columns), (target_rows, target_columns) = mesh.places(flow.sources), mesh.places(flow.targets)
    distances: np.ndarray = np.abs(rows - target_rows) + np.abs(columns - target_columns)
    return distances


def _extent(flows: Iterable[Flow], mesh: Mesh) -> tuple[int, int]:
    """Rows and columns from the first to the last that anything comes from or goes to."""
    rows = columns = 0
    for flow in flows:
        for cores in (flow.sources, flow.targets):
            row, column = mesh.places(cores)
            rows, columns = max(rows, int(row.max(initial=0))), max(columns, int(column.max(initial=0)))
    return rows + 1, columns + 1


def _load(flow: Flow, mesh: Mesh, loads: np.ndarray) -> None:
    """Add a flow to the bits over the links that leave each core to the right, left, down and up."""
    (rows, columns), (target_rows, target_columns) = mesh.places(flow.sources), mesh.places(flow.targets)
    size = loads.shape[1:]
    if flow.taken is None:
        _load_ways(loads[0], loads[1], (rows, columns, target_columns), flow.sent)
        _load_ways(loads[2].T, loads[3].T, (target_columns, rows, target_rows), flow.sent)
        return
    sent, taken = np.zeros(size), np.zeros(size)
    np.add.at(sent, (rows, columns), flow.sent)
    np.add.at(taken, (target_rows, target_columns), flow.taken)
    # Along rows: from each core of a row to all columns; then along columns: what any row sent to each core.
    before, wanted = sent.cumsum(axis=1), taken.sum(axis=0).cumsum()
    loads[0] += before * (wanted[-1] - wanted)
    loads[1][:, 1:] += ((before[:, -1:] - before) * wanted)[:, :-1]
    above, wanted = sent.sum(axis=1).cumsum(), taken.cumsum(axis=0)
    loads[2] += above[:, None] * (wanted[-1] - wanted)
    loads[3][1:] += ((above[-1] - above)[:, None] * wanted)[:-1]


def _load_ways(
    forth: np.ndarray, back: np.ndarray, ways: tuple[np.ndarray, np.ndarray, np.ndarray], bits: np.ndarray
) -> None:
    """Add straight ways, each along one line from a first to a last place, to the links that leave each place."""
    line, first, last = ways
    for loads, begin, end, away in ((forth, first, last, first < last), (back, last + 1, first + 1, first > last)):
        edges = np.zeros((loads.shape[0], loads.shape[1] + 1))
        np.add.at(edges, (line[away], begin[away]), bits[away])
        np.add.at(edges, (line[away], end[away]), -bits[away])
        loads += edges.cumsum(axis=1)[:, :-1]
