"""When layers read their tiles, counted in reads.

Throughput: layers work on different inferences at the same time, and the slowest sets the interval between them.
Latency: one inference alone, where a window is read as soon as its inputs are there and a copy of the layer is free.
Digital operators and the transport between cores take no time here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xbarc.ir.arrivals import at_once, passed_on, sizes, windowed
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer, layer_of, layers
from xbarc.ir.operators import Control, Dac, HostOp
from xbarc.ir.reads import reads_a_window
from xbarc.ir.repetitions import trips
from xbarc.ir.scopes import bodies
from xbarc.ir.sharing import neighbours, shared_tiles
from xbarc.ir.work import matrix_windows


@dataclass(frozen=True, slots=True)
class Span:
    """When one layer reads, in reads from the start of an inference that runs alone.

    Attributes:
        start: of its first window.
        end: of its last one.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Of one program.

    Attributes:
        interval: reads from one inference to the next, layers pipelined; ``None`` where windows are not known.
        busy: by matrix, reads of the copy of most windows in one inference; ``None`` where they are not known.
        latency: reads of one inference alone; ``None`` where windows are not known.
        spans: by layer; empty where the latency is not known.
    """

    interval: int | None
    busy: Mapping[str, int | None]
    latency: int | None
    spans: Mapping[str, Span]


def schedule(graph: Graph) -> Schedule:
    """The schedule of a graph at tile level, by the copies of its layers."""
    busy = _busy(graph)
    known = [reads for reads in busy.values() if reads is not None]
    interval = None
    if len(known) == len(busy):
        # Layers that share a tile read it in turn: it is busy with all of them.
        together = (sum(busy[matrix] or 0 for matrix in matrices) for matrices in shared_tiles(graph))
        interval = max([*known, *together], default=0)
    simulation = _Simulation(neighbours(graph))
    try:
        latency = simulation.run(graph, 0)
    except _UnknownError:
        return Schedule(interval, busy, None, {})
    return Schedule(interval, busy, latency, simulation.spans)


def _busy(graph: Graph) -> dict[str, int | None]:
    """Layers that share a matrix take turns on its copies; all their windows count the most reads that one takes."""
    windows, reads, copies = matrix_windows(graph), dict[str, int](), dict[str, int]()
    for layer in layers(graph):
        matrix = layer.read.matrix
        reads[matrix] = max(reads.get(matrix, 0), reads_a_window(layer))
        copies[matrix] = layer.read.copies
    return {
        matrix: None if count is None else math.ceil(count / copies[matrix]) * reads[matrix]
        for matrix, count in windows.items()
    }


class _UnknownError(Exception):
    """Sizes are not known without which nothing can be said."""


class _Simulation:
    """One inference alone, in the order of execution.

    Args:
        neighbours: by matrix, others that share a tile with it: a layer begins when those before it have done.
    """

    def __init__(self, neighbours: Mapping[str, frozenset[str]]) -> None:
        self._neighbours = neighbours
        self.spans: dict[str, Span] = {}
        #: By matrix, when each copy is free again.
        self._free: dict[str, np.ndarray] = {}

    def run(self, graph: Graph, start: int) -> int:
        """Run a graph or body whose inputs are all there; when all is done."""
        arrivals: dict[Value, np.ndarray] = {}
        end = start

        def arrived(operator: Operator) -> list[np.ndarray]:
            return [arrivals.get(value, np.array(float(start))) for value in operator.operands if value is not None]

        for operator in graph.operators():
            if isinstance(operator, Dac):
                layer = layer_of(operator)
                arrivals[layer.output] = self._layer(layer, arrived(operator)[0])
                end = max(end, self.spans[layer.name].end)
            elif isinstance(operator, HostOp | Control):
                given = arrived(operator)
                if isinstance(operator, HostOp) and not operator.captures:
                    made = passed_on(operator, given)
                else:
                    made = at_once([np.array(float(start)), *given])
                if isinstance(operator, Control):
                    made = np.array(self._control(operator, int(made)), dtype=np.float64)
                    end = max(end, int(made))
                for value in operator.results:
                    arrivals[value] = made
        return end

    def _layer(self, layer: Layer, arrivals: np.ndarray) -> np.ndarray:
        """When each output is there, with axes of size 1 for samples and for the columns of the matrix."""
        ready = _ready(layer, arrivals)
        reads, copies = reads_a_window(layer), layer.read.copies
        free = self._free.setdefault(layer.read.matrix, np.zeros(copies))
        rounds = math.ceil(ready.size / copies)
        # Window w goes to copy w % copies; the last row may have fewer.
        table = np.full((max(rounds, 1), copies), -math.inf)
        table.reshape(-1)[: ready.size] = ready.reshape(-1)
        table[0] = np.maximum(np.maximum(table[0], free), self._neighbours_done(layer.read.matrix))
        earlier = np.arange(len(table))[:, None] * reads
        started = np.maximum.accumulate(table - earlier, axis=0) + earlier
        done = (started + reads).reshape(-1)[: ready.size]
        if ready.size:
            lanes = np.arange(ready.size) % copies
            np.maximum.at(free, lanes, done)
            self.spans[layer.name] = Span(int(done.min()) - reads, int(done.max()))
        else:
            self.spans[layer.name] = Span(0, 0)
        return done.reshape(ready.shape)

    def _neighbours_done(self, matrix: str) -> int:
        """When the layers that share a tile with this one have done what they began."""
        others = self._neighbours.get(matrix, frozenset())
        return max((int(self._free[other].max()) for other in others if other in self._free), default=0)

    def _control(self, operator: Control, start: int) -> int:
        """Branches begin together; a loop repeats its body one after the other, as often as it may."""
        times = trips(operator)
        if times is None:
            raise _UnknownError
        end = start
        for body in bodies(operator):
            used = {layer.read.matrix for layer in layers(body)}
            ends = [int(self._free[matrix].max()) for matrix in used if matrix in self._free]
            begin = max([start, *ends, *(self._neighbours_done(matrix) for matrix in used)])
            once = self.run(body, begin) - begin
            end = max(end, begin + times * once)
            for layer in layers(body):
                self._free[layer.read.matrix][:] = end
                first = self.spans[layer.name]
                self.spans[layer.name] = Span(first.start, first.end + (times - 1) * once)
        return end


def _ready(layer: Layer, arrivals: np.ndarray) -> np.ndarray:
    """When each window of a sample is there: the layer's output, with axes of size 1 for samples and columns."""
    value, windows = layer.input, layer.read.windows
    shape = value.shape
    if shape is None:
        raise _UnknownError
    if windows.rank:
        spatial = sizes(value, windows.rank)
        if spatial is None:
            raise _UnknownError
        latest = arrivals if arrivals.ndim == 0 else arrivals.max(axis=(0, 1))
        return windowed(latest, windows, spatial)[None, None]
    along = layer.dac.sample_axis
    counted = [
        1 if axis == along or (axis == 0 and not isinstance(size, int)) else size
        for axis, size in enumerate(shape[:-1])
    ]
    known = [size for size in counted if isinstance(size, int)]
    if len(known) < len(counted):
        raise _UnknownError
    latest = arrivals if arrivals.ndim == 0 else arrivals.max(axis=-1, keepdims=True)
    return np.broadcast_to(latest, (*known, 1))
