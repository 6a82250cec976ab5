"""Which cores send what to which others in one inference, counted in bits.

A layer's outputs are made where its partial sums meet: in the core that holds, for a copy and a range of columns, the
first row block (of its first slice and side). Each other core adds up what its own pieces give to a column, and sends
one partial sum a window. A value goes from the cores that make it to those that hold rows of the layers that read it,
in proportion to what each makes: which channel flows where is not followed. A core that needs a value keeps it, so that
it gets it once an inference, unless it reads so few windows that their own inputs are less.

A digital operator is done where its largest operand lies, and its others travel there; of ``Concat`` none does.
What enters or leaves the chip does so at :data:`xbarc.ir.mesh.PORT`. Constants lie where they are needed. What a loop
carries on comes from where its body makes it, every time.

Not counted: what the code of a reference column has to go where a packer put it in another core than its columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer, layer_of, layers
from xbarc.ir.mesh import PORT, Flow
from xbarc.ir.operators import Control, Dac, HostOp
from xbarc.ir.partition import Partition
from xbarc.ir.reads import windows_of_copies
from xbarc.ir.repetitions import trips
from xbarc.ir.sample_loops import SampleAxis
from xbarc.ir.samples import sample_axes
from xbarc.ir.scopes import bodies
from xbarc.ir.work import layer_windows

#: Bits of a number that nothing quantises: a float32.
UNQUANTISED_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one placed program.

    Attributes:
        inputs: what layers and digital operators take, in the order of execution: all but what lies there already.
        sums: partial sums of layers.
        outputs: what leaves the chip, by the operator that makes it.
        unknown: names of operators of which sizes are not known, so that something is missing.
        homes: by operator, layers under the names of their first steps, where its results are made.
    """

    inputs: tuple[Flow, ...]
    sums: tuple[Flow, ...]
    outputs: tuple[Flow, ...]
    unknown: frozenset[str]
    homes: Mapping[Operator, Home]

    @property
    def flows(self) -> tuple[Flow, ...]:
        """All of it."""
        return self.inputs + self.sums + self.outputs


@dataclass(frozen=True, slots=True)
class Home:
    """Where a value is made.

    Attributes:
        cores: sorted.
        shares: of its entries, float64; they add up to 1.
    """

    cores: np.ndarray
    shares: np.ndarray


def traffic(graph: Graph, *, core_tiles: int, digital_bits: int) -> Traffic:
    """The traffic of a placed graph.

    Args:
        graph: at its last stage.
        core_tiles: tiles of a core; tile ``t`` lies in core ``t // core_tiles``.
        digital_bits: of a number that digital operators read, or that leaves the chip.
    """
    walk = _Walk(sample_axes(graph), core_tiles, digital_bits)
    for value in graph.inputs:
        walk.homes[value] = _AT_PORT
    walk.run(graph, 1)
    for value in graph.outputs:
        if value.producer is not None and value in walk.homes:
            walk.travel(walk.outputs, value.producer.name, value, _AT_PORT, 1)
    return Traffic(tuple(walk.inputs), tuple(walk.sums), tuple(walk.outputs), frozenset(walk.unknown), walk.made)


def cores_in_order(graph: Graph, *, core_tiles: int) -> np.ndarray:
    """The cores that hold something, in the order in which layers come to them, however they are numbered."""
    tables = [layer.read.pieces for layer in layers(graph)]
    tiles = np.concatenate([table["tile"] for table in tables if table is not None] or [np.zeros(0, dtype=np.int32)])
    cores, first = np.unique(tiles // core_tiles, return_index=True)
    found: np.ndarray = cores[np.argsort(first)]
    return found


_AT_PORT: Final = Home(np.array([PORT]), np.ones(1))


class _Walk:
    """Goes through the operators in the order of execution."""

    def __init__(self, axes: Mapping[Value, SampleAxis], core_tiles: int, digital_bits: int) -> None:
        self._axes = axes
        self._core_tiles = core_tiles
        self._digital_bits = digital_bits
        self.homes: dict[Value, Home] = {}
        self.made: dict[Operator, Home] = {}
        self.inputs: list[Flow] = []
        self.sums: list[Flow] = []
        self.outputs: list[Flow] = []
        self.unknown: set[str] = set()

    def run(self, graph: Graph, times: int | None) -> None:
        """A graph or body that runs so many times, the homes of whose inputs are known."""
        for operator in graph.operators():
            if isinstance(operator, Dac):
                self._layer(layer_of(operator), times)
            elif isinstance(operator, HostOp):
                self._digital(operator, times)
            elif isinstance(operator, Control):
                self._control(operator, times)

    def travel(self, flows: list[Flow], name: str, value: Value, home: Home, times: int | None) -> None:
        """A value goes to where a digital operator reads it, or off the chip."""
        size = self._size(value)
        if size is None or times is None:
            self.unknown.add(name)
        elif size and times:
            origin, bits = self.homes[value], float(size * times * self._digital_bits)
            flows.append(Flow(name, origin.cores, home.cores, origin.shares, home.shares * bits))

    def _layer(self, layer: Layer, times: int | None) -> None:
        windows, size = layer_windows(layer), self._size(layer.input)
        counted = windows_of_copies(1 if windows is None else windows, layer.read.copies)
        pieces = layer.read.pieces
        if pieces is None:
            raise ValueError(f"layer {layer.name!r} is not placed")
        cores = pieces["tile"] // self._core_tiles
        home, sums = _outputs(layer, pieces, cores, counted)
        self.homes[layer.output] = self.made[layer.dac] = home
        if windows is None or size is None or times is None:
            self.unknown.add(layer.name)
            return
        if sums.sent.size and times:
            self.sums.append(Flow(layer.name, sums.sources, sums.targets, sums.sent * times))
        origin = self.homes.get(layer.input)
        if origin is not None and times:
            targets, values = _values_needed(layer, pieces, cores, counted, size)
            taken = values * float(times * input_bits(layer))
            self.inputs.append(Flow(layer.name, origin.cores, targets, origin.shares, taken))

    def _digital(self, operator: HostOp, times: int | None) -> None:
        found = [value for value in operator.operands if value is not None and value in self.homes]
        if not found:
            return
        sizes = [self._size(value) or 0 for value in found]
        if operator.kind == "Concat":
            home = _joined([self.homes[value] for value in found], sizes)
        else:
            largest = found[int(np.argmax(sizes))]
            home = self.homes[largest]
            for value in dict.fromkeys(found):
                if value is not largest:
                    self.travel(self.inputs, operator.name, value, home, times)
        self.made[operator] = home
        for value in operator.results:
            self.homes[value] = home

    def _control(self, operator: Control, times: int | None) -> None:
        each = trips(operator)
        within = None if times is None or each is None else times * each
        for body in bodies(operator):
            # Both end with what is captured, and begin with what a loop counts by and goes on with.
            for inner, outer in zip(reversed(body.inputs), reversed(operator.operands), strict=False):
                if outer is not None and outer in self.homes:
                    self.homes[inner] = self.homes[outer]
            if operator.kind != "If":
                trial = _Walk(self._axes, self._core_tiles, self._digital_bits)
                trial.homes.update(self.homes)
                trial.run(body, within)
                for inner, outer in _carried(operator, body):
                    if outer in trial.homes:
                        self.homes[inner] = trial.homes[outer]
            self.run(body, within)
            for result, inner in zip(reversed(operator.results), reversed(body.outputs), strict=False):
                if inner in self.homes:
                    self.homes[result] = self.homes[inner]

    def _size(self, value: Value) -> int | None:
        """Numbers of one sample; ``None`` where they are not known."""
        shape, along = value.shape, self._axes.get(value)
        if shape is None:
            return None
        counted = [1 if axis == along else size for axis, size in enumerate(shape)]
        if counted and not isinstance(counted[0], int):
            counted = counted[1:]  # the batch
        known = [size for size in counted if isinstance(size, int)]
        return math.prod(known) if len(known) == len(counted) else None


def _carried(operator: Control, body: Graph) -> list[tuple[Value, Value]]:
    """Inputs of a loop's body, each with the output that it gets from the step before."""
    if operator.kind == "Loop":
        return list(zip(body.inputs[2 : len(operator.explicit)], body.outputs[1:], strict=False))
    states = len(operator.explicit) - int(operator.attribute("num_scan_inputs"))
    return list(zip(body.inputs[:states], body.outputs, strict=False))


def input_bits(layer: Layer) -> int:
    """Bits of an input code."""
    codes = layer.dac.codes
    return UNQUANTISED_BITS if codes is None else (codes.high - codes.low).bit_length()


def sum_bits(layer: Layer) -> int:
    """Bits of a partial sum: of the layer's largest, with its sign."""
    return UNQUANTISED_BITS if layer.adc.codes is None else math.ceil(layer.largest_code_sum).bit_length() + 1


def _outputs(layer: Layer, pieces: np.ndarray, cores: np.ndarray, windows: np.ndarray) -> tuple[Home, Flow]:
    """Where outputs are made, and the partial sums of one run; windows: of each copy."""
    partition = layer.read.partition
    # Ranges of columns of the stack that no piece cuts, and how many columns of each hold weights.
    edges = np.unique(np.concatenate([pieces["first"], pieces["first"] + pieces["count"]]))
    begin, end = (np.searchsorted(edges, at) for at in (pieces["first"], pieces["first"] + pieces["count"]))
    piece = np.repeat(np.arange(len(pieces)), end - begin)
    range_ = np.arange(len(piece)) - np.repeat(np.cumsum(end - begin) - end, end - begin)
    diagonal, row_block = np.divmod(pieces["place"][piece], partition.row_blocks)
    copy = pieces["copy"][piece]
    column = (copy.astype(np.int64) * partition.diagonals + diagonal) * len(edges) + range_
    order = np.lexsort((pieces["side"][piece], pieces["slice"][piece], row_block, column))
    piece, range_, copy, column = piece[order], range_[order], copy[order], column[order]
    is_first = np.diff(column, prepend=-1) > 0
    meeting = cores[piece[is_first]]
    home = _joined_shares(meeting, (windows[copy] * _weights_in(partition, edges)[range_])[is_first].astype(np.float64))
    # One sum of a core and column, however many of its pieces hold that.
    number = np.cumsum(is_first) - 1
    _, once = np.unique(number * (int(cores.max()) + 1) + cores[piece], return_index=True)
    source, target = cores[piece[once]], meeting[number[once]]
    bits = (windows[copy] * np.diff(edges, append=edges[-1])[range_])[once] * float(sum_bits(layer))
    away = (source != target) & (bits > 0)
    pairs, where = np.unique(np.stack([source[away], target[away]]), axis=1, return_inverse=True)
    return home, Flow(layer.name, pairs[0], pairs[1], np.bincount(where.reshape(-1), bits[away], pairs.shape[1]))


def _weights_in(partition: Partition, edges: np.ndarray) -> np.ndarray:
    """Columns of weights from each edge to the next."""
    is_weight = np.zeros(max(partition.stack_columns, int(edges[-1])) + 1, dtype=np.int64)
    is_weight[np.array(partition.data_columns) + 1] = 1
    return np.diff(is_weight.cumsum()[edges], append=is_weight.cumsum()[edges[-1]])


def _values_needed(
    layer: Layer, pieces: np.ndarray, cores: np.ndarray, windows: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cores, sorted, and how many values of an input of that size each needs in one run; windows: of each copy."""
    partition, kernel = layer.read.partition, layer.read.windows.kernel_size
    held = np.unique(np.stack([cores, pieces["place"], pieces["copy"], pieces["rows"]]), axis=1)
    core, place, copy, rows = held.astype(np.int64)
    channels, size_of_one = rows, size / (partition.groups * partition.rows / kernel)
    if partition.positions > 1:
        place = place % partition.position_blocks  # row blocks of the same channels, at other places of the kernel
    elif kernel > 1:
        # One by one, as a channel may be cut between row blocks.
        begin = (
            place // partition.row_blocks * partition.diagonal_rows
            + place % partition.row_blocks * partition.block_rows
        )
        first, last = begin // kernel, (begin + rows - 1) // kernel
        which = np.repeat(np.arange(len(rows)), last - first + 1)
        place = np.arange(len(which)) - np.repeat(np.cumsum(last - first + 1) - last - 1, last - first + 1)
        rows = np.minimum((begin + rows)[which], (place + 1) * kernel) - np.maximum(begin[which], place * kernel)
        core, copy, channels = core[which], copy[which], np.ones(len(which), dtype=np.int64)
    (core, _), which = _grouped(core, place)
    values = np.bincount(which, (rows * windows[copy]).astype(np.float64))
    most = np.zeros(len(core))
    np.maximum.at(most, which, channels)
    (found,), which = _grouped(core)
    return found, np.bincount(which, np.minimum(values, most * size_of_one))


def _grouped(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different tuples of keys, sorted, ``(keys, tuples)``, and which one each entry is."""
    found, which = np.unique(np.stack(keys), axis=1, return_inverse=True)
    return found, which.reshape(-1)


def _joined(homes: list[Home], sizes: list[int]) -> Home:
    """Where several values lie together."""
    weights = sizes if any(sizes) else [1] * len(homes)
    return _joined_shares(
        np.concatenate([home.cores for home in homes]),
        np.concatenate([home.shares * weight for home, weight in zip(homes, weights, strict=True)]),
    )


def _joined_shares(cores: np.ndarray, weights: np.ndarray) -> Home:
    """A home by the weights of cores, which may occur several times."""
    if not weights.sum():  # no window at all
        weights = np.ones(len(cores))
    (found,), which = _grouped(cores)
    shares = np.bincount(which, weights) / weights.sum()
    return Home(found[shares > 0], shares[shares > 0])
