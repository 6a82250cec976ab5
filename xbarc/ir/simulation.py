"""One inference alone: when layers read, when their outputs are there.

A window is read as soon as its inputs are there and its copy of the layer is free. Everything else that takes time is a
station that each window of a copy passes, one after the other, in their order: the network on its way in, the digital
unit after its last read, the network again where partial sums meet. A digital operator takes the places of its result
in the order in which they can be made; what is made of the network's inputs alone is one place. So windows overlap,
within and between layers.

Not modelled: that layers, or copies beyond what one core does in a round, wait for each other at a digital unit or at a
link; that buffers fill up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from xbarc.ir.arrivals import at_once, passed_on, sizes, windowed
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer, layer_of, layers
from xbarc.ir.operators import Control, Dac, HostOp
from xbarc.ir.reads import reads_a_window
from xbarc.ir.repetitions import trips
from xbarc.ir.scopes import bodies
from xbarc.ir.sharing import neighbours


@dataclass(frozen=True, slots=True)
class Leg:
    """A way over the network.

    Attributes:
        busy: time that a link takes for what is sent: of a layer for each window of a copy, of other values for all.
        delay: time that the last of it is under way besides.
    """

    busy: float = 0.0
    delay: float = 0.0


_NO_WAY = Leg()


@dataclass(frozen=True)
class Timing:
    """How long things take, in one unit of time; what is not listed takes none.

    Attributes:
        read: one read of a tile.
        digital: by layer, the digital unit for one window.
        operators: digital operators, for all of their results.
        inputs: by layer or digital operator, what they take.
        sums: by layer, partial sums.
        outputs: by operator that makes them, what leaves the chip.
    """

    read: float = 1.0
    digital: Mapping[str, float] = field(default_factory=dict)
    operators: Mapping[Operator, float] = field(default_factory=dict)
    inputs: Mapping[str, Leg] = field(default_factory=dict)
    sums: Mapping[str, Leg] = field(default_factory=dict)
    outputs: Mapping[str, Leg] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """When one layer reads, from the start of an inference that runs alone.

    Attributes:
        start: of its first window.
        end: of its last one.
    """

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Inference:
    """One that runs alone.

    Attributes:
        latency: from its start until all is done.
        spans: by layer.
        ends: by layer outside of bodies, when the last read of each window ends; window ``w`` is one of copy
            ``w % copies``.
        begins: of reload segments: when the layers of those before have read their last windows, and the chip can be
            written, which takes no time here.
    """

    latency: float
    spans: Mapping[str, Span]
    ends: Mapping[str, np.ndarray]
    begins: Sequence[float] = (0.0,)


def simulate(graph: Graph, timing: Timing) -> Inference | None:
    """Run one inference of a graph at tile level; ``None`` where sizes are not known without which nothing can be said.

    Copies of a layer take its windows in turn. Layers that share a tile take turns as a whole, in the order of
    execution.
    """
    simulation = _Simulation(neighbours(graph), timing)
    try:
        latency = simulation.run(graph, 0.0, simulation.ends)
    except _UnknownError:
        return None
    return Inference(latency, simulation.spans, simulation.ends, simulation.begins)


class _UnknownError(Exception):
    """Sizes are not known without which nothing can be said."""


class _Simulation:
    """One inference alone, in the order of execution.

    Args:
        neighbours: by matrix, others that share a tile with it: a layer begins when those before it have done.
        timing: how long things take.
    """

    def __init__(self, neighbours: Mapping[str, frozenset[str]], timing: Timing) -> None:
        self._neighbours = neighbours
        self._timing = timing
        self.spans: dict[str, Span] = {}
        self.ends: dict[str, np.ndarray] = {}
        self.begins = [0.0]
        #: By matrix, when each copy is free again.
        self._free: dict[str, np.ndarray] = {}

    def run(self, graph: Graph, start: float, ends: dict[str, np.ndarray] | None = None) -> float:
        """Run a graph or body whose inputs are all there; when all is done. Where given, fill ``ends``."""
        arrivals: dict[Value, np.ndarray] = {}
        end = start

        def arrived(operator: Operator) -> list[np.ndarray]:
            return [arrivals.get(value, np.array(start)) for value in operator.operands if value is not None]

        for operator in graph.operators():
            if isinstance(operator, Dac):
                layer = layer_of(operator)
                arrivals[layer.output] = made = self._layer(layer, arrived(operator)[0], ends)
            elif isinstance(operator, HostOp | Control):
                given = arrived(operator)
                if isinstance(operator, Control):
                    latest = at_once([np.array(start), *given])
                    made = np.array(self._control(operator, float(latest)))
                elif operator.captures:
                    made = self._worked(operator, at_once([np.array(start), *given]))
                else:
                    made = self._worked(operator, passed_on(operator, given))
                for value in operator.results:
                    arrivals[value] = made
            else:
                continue
            end = max(end, float(made.max(initial=start)))
        for value in graph.outputs if ends is not None else ():
            if value.producer is not None and value in arrivals:
                leaves = self._timing.outputs.get(value.producer.name, _NO_WAY)
                end = max(end, float(_sent(arrivals[value], leaves).max(initial=start)))
        return end

    def _worked(self, operator: HostOp, ready: np.ndarray) -> np.ndarray:
        """When each place of a digital operator's result is done, from when its inputs can be sent."""
        there = _sent(ready, self._timing.inputs.get(operator.name, _NO_WAY))
        return _in_turn(there, self._timing.operators.get(operator, 0.0))

    def _layer(self, layer: Layer, arrivals: np.ndarray, ends: dict[str, np.ndarray] | None) -> np.ndarray:
        """When each output is there, with axes of size 1 for samples and for the columns of the matrix."""
        ready, copies, timing = _ready(layer, arrivals), layer.read.copies, self._timing
        free = self._free.setdefault(layer.read.matrix, np.zeros(copies))
        if not ready.size:
            self.spans[layer.name] = Span(0.0, 0.0)
            return ready
        # Window w goes to copy w % copies; the last row may have fewer.
        table = np.full((math.ceil(ready.size / copies), copies), -math.inf)
        table.reshape(-1)[: ready.size] = ready.reshape(-1)
        table = _passed(table, timing.inputs.get(layer.name, _NO_WAY))
        there = max(self._neighbours_done(layer.read.matrix), self._begun(layer))
        table[0] = np.maximum(np.maximum(table[0], free), there)
        takes = reads_a_window(layer) * timing.read
        table = _served(table, takes)
        read = table.reshape(-1)[: ready.size]
        np.maximum.at(free, np.arange(ready.size) % copies, read)
        self.spans[layer.name] = Span(float(read.min()) - takes, float(read.max()))
        if ends is not None:
            ends[layer.name] = read
        table = _passed(table, Leg(timing.digital.get(layer.name, 0.0)))
        table = _passed(table, timing.sums.get(layer.name, _NO_WAY))
        return table.reshape(-1)[: ready.size].reshape(ready.shape)

    def _neighbours_done(self, matrix: str) -> float:
        """When the layers that share a tile with this one have done what they began."""
        others = self._neighbours.get(matrix, frozenset())
        return max((float(self._free[other].max()) for other in others if other in self._free), default=0.0)

    def _begun(self, layer: Layer) -> float:
        """When the segment of a layer begins."""
        if layer.read.segment == len(self.begins):
            self.begins.append(max(span.end for span in self.spans.values()))
        return self.begins[layer.read.segment]

    def _control(self, operator: Control, start: float) -> float:
        """Branches begin together; a loop repeats its body one after the other, as often as it may."""
        times = trips(operator)
        if times is None:
            raise _UnknownError
        end = start
        for body in bodies(operator):
            used = {layer.read.matrix for layer in layers(body)}
            ends = [float(self._free[matrix].max()) for matrix in used if matrix in self._free]
            begun = [self._begun(layer) for layer in layers(body)]
            begin = max([start, *ends, *begun, *(self._neighbours_done(matrix) for matrix in used)])
            once = self.run(body, begin) - begin
            end = max(end, begin + times * once)
            for layer in layers(body):
                self._free[layer.read.matrix][:] = end
                first = self.spans[layer.name]
                self.spans[layer.name] = Span(first.start, first.end + (times - 1) * once)
        return end


def _served(ready: np.ndarray, takes: float) -> np.ndarray:
    """When each is done that a station takes one after the other, in the order of axis 0, and each so long."""
    earlier = (np.arange(len(ready)) * takes).reshape(-1, *(1,) * (ready.ndim - 1))
    done: np.ndarray = np.maximum.accumulate(ready - earlier, axis=0) + earlier + takes
    return done


def _passed(ready: np.ndarray, leg: Leg) -> np.ndarray:
    """When each window of a copy, ``(rounds, copies)``, is at the end of a way."""
    return (_served(ready, leg.busy) if leg.busy else ready) + leg.delay


def _sent(ready: np.ndarray, leg: Leg) -> np.ndarray:
    """When each place of a value is at the end of a way."""
    return _in_turn(ready, leg.busy) + leg.delay


def _in_turn(ready: np.ndarray, takes: float) -> np.ndarray:
    """When each place is done, where all together take so long, the first that can be first."""
    if not takes or not ready.size:
        return ready
    order = np.argsort(ready, axis=None, kind="stable")
    done = np.empty(ready.size)
    done[order] = _served(ready.reshape(-1)[order], takes / ready.size)
    return done.reshape(ready.shape)


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
