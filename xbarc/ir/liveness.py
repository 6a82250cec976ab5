"""What the values of a run take in memory at once.

A run goes through the steps of :func:`xbarc.ir.regions.schedule`. A value is there from the step that makes it to the
last that reads it; inputs of the model are there all the time, since whoever gave them holds them. Constants and
weights are not counted here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import Control
from xbarc.ir.regions import HostRegion, schedule
from xbarc.ir.sample_loops import SampleAxis
from xbarc.ir.samples import sample_axes
from xbarc.ir.types import TensorType

#: onnxruntime doubles what it holds when it needs more.
ARENA = 2
#: What a run counts for each window while it draws noise: two columns of int64, put side by side, and as uint32.
_WINDOW_BYTES = 40


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a batch takes: ``fixed + samples * each``."""

    fixed: int = 0
    each: int = 0

    def __add__(self, other: Need) -> Need:
        return Need(self.fixed + other.fixed, self.each + other.each)

    def __mul__(self, factor: int) -> Need:
        return Need(self.fixed * factor, self.each * factor)

    def __or__(self, other: Need) -> Need:
        """What is enough for either."""
        return Need(max(self.fixed, other.fixed), max(self.each, other.each))


@dataclass(frozen=True, slots=True)
class Memory:
    """What a run of a graph takes beside constants and weights.

    Attributes:
        values: that are alive together, with what a step needs for itself, at the worst step.
        arenas: what onnxruntime keeps of all host regions from one run to the next.
        layers: outputs of all layers, each once.
        open: values with sizes that the model leaves open, beside the number of samples; each is counted as 1.
    """

    values: Need
    arenas: Need
    layers: Need
    open: tuple[Value, ...]

    @property
    def whole(self) -> Need:
        """Of one network that runs by itself."""
        return self.values + self.arenas


def memory(graph: Graph) -> Memory:
    """What a run of a graph takes, at any level."""
    sizes = _Sizes(sample_axes(graph), frozenset(value.shape[0] for value in graph.inputs if value.shape))
    values, arenas = _run(graph, sizes)
    return Memory(values, arenas, sizes.sum(layer.output for layer in layers(graph)), tuple(sizes.open))


@dataclass(slots=True)
class _Sizes:
    """The sizes of values, and those that cannot be told."""

    axes: Mapping[Value, SampleAxis]
    firsts: frozenset[object]
    open: dict[Value, None] = field(default_factory=dict)

    def of(self, value: Value | None) -> Need:
        """Bytes of a value; of constants, and of what is no tensor, none."""
        if value is None or value.constant is not None or not isinstance(value.type, TensorType):
            return Need()
        shape, axis, samples = value.type.shape, self.axes.get(value), 0
        if shape is None:
            self.open[value] = None
            return Need()
        known = 1
        for place, size in enumerate(shape):
            if place == axis or (size in self.firsts and not isinstance(size, int)):
                if isinstance(size, int):  # a part of the model's own batch
                    known *= size
                else:
                    samples += 1
            elif isinstance(size, int):
                known *= size
            else:
                self.open[value] = None
        total = known * value.type.dtype.itemsize
        return Need(0, total) if samples else Need(total)

    def sum(self, values: Iterable[Value | None]) -> Need:
        """Bytes of several values, each counted once."""
        return sum((self.of(value) for value in dict.fromkeys(values)), Need())


def _run(graph: Graph, sizes: _Sizes) -> tuple[Need, Need]:
    parts = schedule(graph)
    made = [list(_made(part)) for part in parts]
    last = dict.fromkeys((value for values in made for value in values), -1)
    for number, part in enumerate(parts):
        for value in _read(part):
            if value in last:
                last[value] = number
    for value in graph.outputs:
        last[value] = len(parts)
    alive = dict.fromkeys(graph.inputs)
    most, arenas = sizes.sum(alive), Need()
    for number, part in enumerate(parts):
        alive.update(dict.fromkeys(made[number]))
        own, kept = _own(part, sizes)
        arenas += kept
        most |= sizes.sum(alive) + own
        for value in [value for value in alive if last.get(value, len(parts)) <= number]:
            del alive[value]
    return most, arenas


def _made(part: HostRegion | Layer | Control) -> Iterable[Value]:
    if isinstance(part, HostRegion):
        return part.outputs
    return [part.output] if isinstance(part, Layer) else part.results


def _read(part: HostRegion | Layer | Control) -> Iterator[Value]:
    if isinstance(part, HostRegion):
        yield from part.inputs
    elif isinstance(part, Layer):
        yield part.input
    else:
        yield from (value for value in part.operands if value is not None)


def _own(part: HostRegion | Layer | Control, sizes: _Sizes) -> tuple[Need, Need]:
    """What a step needs beside what it reads and makes, and what onnxruntime keeps of it."""
    if isinstance(part, HostRegion):
        return Need(), _inside(part, sizes) * ARENA
    if isinstance(part, Layer):
        return _lowered(part, sizes), Need()
    bodies = [_run(body, sizes) for body in part.bodies.values()]
    most = Need()
    for values, _ in bodies:
        most |= values
    # results of repetitions lie there one by one before they are stacked
    return most + sizes.sum(part.results), sum((kept for _, kept in bodies), Need())


def _inside(region: HostRegion, sizes: _Sizes) -> Need:
    """Values that operators of a region make, at the worst of them."""
    outputs = set(region.outputs)
    last: dict[Value, Operator] = {}
    for operator in region.operators:
        last.update((value, operator) for value in operator.operands if value is not None)
    alive: dict[Value, None] = {}
    most = Need()
    for operator in region.operators:
        alive.update(dict.fromkeys(operator.results))
        most |= sizes.sum(alive)
        for value in [value for value in alive if value not in outputs and last.get(value, operator) is operator]:
            del alive[value]
    return most


def _lowered(layer: Layer, sizes: _Sizes) -> Need:
    """Codes of the whole input, padding included, and the places of windows among random numbers."""
    width = 8 if layer.read.double else 4
    codes = sizes.of(layer.input) * width
    spatial = [size for size in (layer.input.shape or ())[2:] if isinstance(size, int)]
    windows = layer.read.windows
    padded = 1.0
    if windows.rank and len(spatial) == windows.rank:
        padding = windows.padding(spatial)
        padded = math.prod((size + sum(both)) / max(size, 1) for size, both in zip(spatial, padding, strict=True))
    columns = layer.read.partition.groups * layer.read.partition.columns
    out = sizes.of(layer.output)
    places = Need(*(math.ceil(part / (4 * columns)) * _WINDOW_BYTES for part in (out.fixed, out.each)))
    return Need(*(math.ceil(part * padded / 4) for part in (codes.fixed, codes.each))) + places
