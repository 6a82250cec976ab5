"""Place cores: let those that send each other much lie close to each other on the mesh."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from xbarc.hardware.network import digital_bits, mesh_of
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.mesh import PORT, Mesh, bit_hops
from xbarc.ir.stages import Stage
from xbarc.ir.traffic import Traffic, cores_in_order, traffic

#: Cores between which the search looks for better places: it takes memory by their square.
_SEARCHED: Final = 2048
#: Up to so many it sets out from every order, above from the two best: an exchange takes time by the number of cores.
_TRIED: Final = 512
#: Rounds over all cores at most; the search mostly ends before, when no exchange of two brings anything.
_ROUNDS: Final = 16


@dataclass(frozen=True)
class PlaceCores:
    """Number the cores anew, each with all its tiles, so that the traffic times the hops of one inference is small.

    From several orders, the present one among them, two cores exchange their places as long as that helps: a local
    optimum, not always the best there is, and never worse than the present order. Chips of more than 2048 cores in use
    take the best of the orders. A chip without a mesh is left alone.
    """

    name: ClassVar[str] = "place-cores"
    requires: ClassVar[Stage] = Stage.PLACED
    ensures: ClassVar[Stage] = Stage.PLACED

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        mesh, core_tiles = mesh_of(self.hardware), self.hardware.core.tiles
        order = cores_in_order(graph, core_tiles=core_tiles)
        if mesh is None or len(order) == 0:
            return
        found = traffic(graph, core_tiles=core_tiles, digital_bits=digital_bits(self.hardware))
        cores = np.sort(order)
        places = place(found, mesh, order)
        for layer in layers(graph):
            if layer.read.pieces is not None:
                pieces = layer.read.pieces.copy()
                core, within = np.divmod(pieces["tile"], core_tiles)
                pieces["tile"] = places[np.searchsorted(cores, core)] * core_tiles + within
                layer.read.pieces = pieces


def place(found: Traffic, mesh: Mesh, order: np.ndarray) -> np.ndarray:
    """The new number of each core in use, by the present one.

    Args:
        found: what they send each other.
        mesh: where they lie.
        order: the cores in use, in the order of execution.
    """
    cores = np.sort(order)
    if len(cores) > _SEARCHED:
        return min(
            _starts(cores, order, mesh),
            key=lambda to: sum(bit_hops(flow.moved(cores, to), mesh) for flow in found.flows),
        )
    with_port = np.array([PORT, *cores])
    # Whole bits: sums of them are exact, and no exchange seems to help by a rounding.
    one_way = np.rint(sum((flow.matrix(with_port) for flow in found.flows), start=np.zeros((len(cores) + 1,) * 2)))
    between = one_way + one_way.T
    np.fill_diagonal(between, 0.0)
    starts = [*_starts(cores, order, mesh), _grown(between, mesh)]
    searches = [_Search(between, mesh, start) for start in starts]
    tried = searches if len(cores) <= _TRIED else sorted(searches, key=_Search.cost)[:2]
    results = [search.run() for search in tried]
    return min(results, key=lambda result: result[0])[1]


def _starts(cores: np.ndarray, order: np.ndarray, mesh: Mesh) -> Iterator[np.ndarray]:
    """Numbers for the cores to begin with: as they are; in order, row by row; to and fro in a square."""
    yield cores
    where = np.searchsorted(cores, order)
    rows, columns = _square(mesh, len(cores))
    to_and_fro = [_to_and_fro(rows, columns), _to_and_fro(columns, rows)[:, ::-1]]
    paths = [np.arange(len(cores)), *(path @ (mesh.columns, 1) for path in to_and_fro)]
    for path in paths:
        numbers = np.empty_like(cores)
        numbers[where] = path[: len(cores)]
        yield numbers


def _grown(between: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Numbers for the cores, chosen one by one: for what exchanges most with those before, the best place left.

    Args:
        between: bits between each two cores in either direction, ``(1 + n, 1 + n)``; the port first.
        mesh: where they lie.
    """
    rows, columns = _region(mesh, len(between) - 1)
    row, column = np.divmod(np.arange(rows * columns), columns)
    is_free, is_left = np.ones(len(row), dtype=np.bool_), np.ones(len(between), dtype=np.bool_)
    pull, by_row, by_column = np.zeros(len(between)), np.zeros((len(between), rows)), np.zeros((len(between), columns))
    numbers = np.zeros(len(between), dtype=np.int64)
    core, place = 0, 0
    while True:
        is_left[core] = False
        pull += between[core]
        by_row += between[core][:, None] * np.abs(np.arange(rows) - row[place])
        by_column += between[core][:, None] * np.abs(np.arange(columns) - column[place])
        if not is_left.any():
            return numbers[1:]
        core = int(np.argmax(np.where(is_left, pull, -1.0)))
        place = int(np.argmin(np.where(is_free, by_row[core, row] + by_column[core, column], np.inf)))
        is_free[place] = False
        numbers[core] = row[place] * mesh.columns + column[place]


def _region(mesh: Mesh, cores: int) -> tuple[int, int]:
    """Rows and columns, from core 0 on, that are searched for places."""
    return (mesh.rows, mesh.columns) if mesh.rows * mesh.columns <= _SEARCHED else _square(mesh, cores)


def _square(mesh: Mesh, cores: int) -> tuple[int, int]:
    """Rows and columns of the part of the mesh at core 0 that is next to a square and has room for so many."""
    columns = min(max(math.ceil(math.sqrt(cores)), math.ceil(cores / mesh.rows)), mesh.columns)
    return math.ceil(cores / columns), columns


def _to_and_fro(rows: int, columns: int) -> np.ndarray:
    """``(places, 2)``: all of a rectangle, each next to the one before."""
    found = np.array(list(itertools.product(range(rows), range(columns)))).reshape(rows, columns, 2)
    found[1::2] = found[1::2, ::-1]
    return found.reshape(-1, 2)


class _Search:
    """Exchanges of two cores, one of which may hold nothing.

    What a core costs at a place is a sum over what it exchanges with others, of hops along rows and of hops along
    columns. Both sums are kept for every core and every row and column, so that an exchange is weighed at once.

    Args:
        between: bits between each two cores in either direction, ``(1 + n, 1 + n)``; the port first.
        mesh: where they lie.
        start: the numbers of the ``n`` cores to begin with.
    """

    def __init__(self, between: np.ndarray, mesh: Mesh, start: np.ndarray) -> None:
        self._used = len(start)
        rows, columns = _region(mesh, len(start))
        every = (np.arange(rows)[:, None] * mesh.columns + np.arange(columns)).reshape(-1)
        empty = np.setdiff1d(every, start)
        #: Numbers of the cores in use, then of those that hold nothing, then of the port, which stays.
        self._numbers = np.concatenate([start, empty[: _SEARCHED - len(start)], [0]])
        size = len(self._numbers)
        self._between = np.zeros((size, size))
        place = np.array([size - 1, *range(self._used)])
        self._between[np.ix_(place, place)] = between
        self._rows, self._columns = mesh.places(self._numbers)
        self._by_row = self._between @ np.abs(self._rows[:, None] - np.arange(int(self._rows.max()) + 1))
        self._by_column = self._between @ np.abs(self._columns[:, None] - np.arange(int(self._columns.max()) + 1))

    def run(self) -> tuple[float, np.ndarray]:
        """Bits times hops at the end, and the numbers of the cores."""
        for _ in range(_ROUNDS):
            if not sum(self._improve(core) for core in range(self._used)):
                break
        return self.cost(), self._numbers[: self._used]

    def cost(self) -> float:
        """Bits times hops as it stands."""
        return float(self._costs().sum()) / 2

    def _costs(self) -> np.ndarray:
        """Of each core where it is."""
        every = np.arange(len(self._numbers))
        costs: np.ndarray = self._by_row[every, self._rows] + self._by_column[every, self._columns]
        return costs

    def _improve(self, core: int) -> bool:
        """Exchange a core with that which brings most, if any does."""
        row, column, costs = self._rows[core], self._columns[core], self._costs()
        there = self._by_row[core, self._rows] + self._by_column[core, self._columns]
        here = self._by_row[:, row] + self._by_column[:, column]
        hops = np.abs(self._rows - row) + np.abs(self._columns - column)
        # What the two send each other goes as far as before, and is in the first four terms as if it went nowhere.
        change = there - costs[core] + here - costs + 2 * self._between[core] * hops
        other = int(np.argmin(change[:-1]))
        if change[other] >= 0:
            return False
        difference = (self._between[:, core] - self._between[:, other])[:, None]
        for sums, places in ((self._by_row, self._rows), (self._by_column, self._columns)):
            lines = np.arange(sums.shape[1])
            sums += difference * (np.abs(lines - places[other]) - np.abs(lines - places[core]))
        for numbers in (self._numbers, self._rows, self._columns):
            numbers[[core, other]] = numbers[[other, core]]
        return True
