"""Measure what a sample applies to the rows of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from xbarc.compiled import compiled
from xbarc.ir.executor import Visitor
from xbarc.ir.graph import Value
from xbarc.ir.input_statistics import DigitStatistics, InputStatistics
from xbarc.ir.layer import Layer
from xbarc.ir.operators import CodeRange
from xbarc.ir.windows import Windows

_BIN_BITS = 8  # of the number of bins


@compiled
def _measure(values, scale, low, high, digits, classes, ends, sums, bins, shift):  # type: ignore[no-untyped-def]
    """Add level, square and one of all digits that are not zero to the sums of their channel and class of places.

    ``values (images, channels, places)``, ``digits (digits, codes)``, ``sums (channels, classes, digits, 3)``; places
    up to each of the ``ends`` are of one of the ``classes``. A bin is for ``2^shift`` codes; they are ``(4, bins)``, as
    counting in the same bin over and over is slow.
    """
    images, channels, places = values.shape
    indices = np.empty(places, dtype=np.int32)
    for image in range(images):
        for channel in range(channels):
            for place in range(places):
                value = np.rint(values[image, channel, place] / scale)
                # What is no number counts as the lowest code; the ranges refuse it.
                indices[place] = np.int32(min(value, high) - low) if value > low else 0
            for place in range(places):
                bins[place & 3, indices[place] >> shift] += 1
            for digit in range(len(digits)):
                begin = 0
                for run in range(len(ends)):
                    levels, squares, count = 0, 0, 0
                    for place in range(begin, ends[run]):
                        level = digits[digit, indices[place]]
                        levels += level
                        squares += level * level
                        count += level != 0
                    total = sums[channel, classes[run], digit]
                    total[0] += levels
                    total[1] += squares
                    total[2] += count
                    begin = ends[run]


class InputMeters:
    """Visitors of the inputs of layers, and what they have seen.

    Layers with the same input, converters and windows share what they see.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._layers: list[tuple[Layer, _Meter]] = []
        self._meters: dict[Value, dict[object, _Meter]] = {}
        for layer in layers:
            if layer.dac.codes is not None:
                key = (layer.dac.scale, layer.dac.codes, layer.read.digits, layer.read.windows)
                of_value = self._meters.setdefault(layer.input, {})
                self._layers.append((layer, of_value.setdefault(key, _Meter(layer, layer.dac.codes))))

    @property
    def visitors(self) -> Mapping[Value, Visitor]:
        """One for each input."""
        return {value: _each(list(meters.values())) for value, meters in self._meters.items()}

    def settle(self) -> None:
        """Give each layer what was seen; those that the sample does not reach get nothing."""
        for layer, meter in self._layers:
            layer.dac.statistics = meter.statistics(layer)


class _Meter:
    """Sums over one input as it is converted for some layers."""

    def __init__(self, layer: Layer, codes: CodeRange) -> None:
        read = layer.read
        numbers = np.arange(codes.low, codes.high + 1)
        digits = np.abs(numbers)[None] if read.digits is None else read.digits.split(numbers)
        self._codes, self._scale, self._windows = codes, np.float32(layer.dac.scale), read.windows
        self._largest = max(codes.high, -codes.low) if read.digits is None else read.digits.high
        self._channels = read.partition.groups * read.partition.rows // read.windows.kernel_size
        self._digits = digits.astype(np.int32)
        # There are a power of two of codes, or one less.
        self._shift = max((len(numbers) - 1).bit_length() - _BIN_BITS, 0)
        self._bins = np.zeros((4, ((len(numbers) - 1) >> self._shift) + 1), dtype=np.int64)
        #: By spatial sizes: the places that the same rows of the matrix see, and the sums over these.
        self._places: dict[tuple[int, ...], _Places] = {}
        self._sums: dict[tuple[int, ...], np.ndarray] = {}
        self._count = 0

    def add(self, values: np.ndarray) -> None:
        """Count an input ``(images, channels, *spatial)``, or ``(..., channels)`` of a plain product."""
        if not values.size:
            return
        spatial = values.shape[2:] if self._windows.rank else ()
        if spatial not in self._places:
            places = _Places(self._windows, spatial)
            self._places[spatial] = places
            self._sums[spatial] = np.zeros((self._channels, places.count, len(self._digits), 3), dtype=np.int64)
        images = values.astype(np.float32, copy=False).reshape(-1, self._channels, math.prod(spatial))
        low, high = np.float32(self._codes.low), np.float32(self._codes.high)
        places, sums = self._places[spatial], self._sums[spatial]
        runs, contiguous = (places.classes, places.ends), np.ascontiguousarray(images)
        _measure(contiguous, self._scale, low, high, self._digits, *runs, sums, self._bins, self._shift)
        self._count += len(images) * self._windows.count(spatial)

    def statistics(self, layer: Layer) -> InputStatistics | None:
        """Of what was seen; ``None`` where nothing was."""
        if not self._count:
            return None
        rows = np.sum([self._places[spatial].rows(sums) for spatial, sums in self._sums.items()], axis=0) / self._count
        level, squared, nonzero = np.moveaxis(rows, 2, 0)  # (rows, digits) each
        level, squared = level / self._largest, squared / self._largest**2
        cells, cell_levels = _cells_by_row(layer)
        return InputStatistics(
            windows=self._count,
            histogram=tuple(self._bins.sum(axis=0).tolist()),
            digits=tuple(
                DigitStatistics(
                    level=float(level[:, digit].mean()),
                    squared=float(squared[:, digit].mean()),
                    nonzero=float(nonzero[:, digit].mean()),
                    cell_squared=float((squared[:, digit] * cells).sum() / cells.sum()),
                    cell_levels=float((squared[:, digit] * cell_levels).sum() / cells.sum()),
                )
                for digit in range(rows.shape[1])
            ),
        )


class _Places:
    """The places of an input, those together that are seen by the same positions of the kernel.

    Attributes:
        classes: of each run of places of one class, int64.
        ends: where each run ends, int64.
        count: how many classes there are.
    """

    def __init__(self, windows: Windows, spatial: Sequence[int]) -> None:
        classes, self.count = np.zeros(1, dtype=np.int64), 1
        #: For each spatial axis ``(classes, positions)``: how many windows see a place of the class at the position.
        self._seen: list[np.ndarray] = []
        outputs, padding = windows.output_sizes(spatial), windows.padding(spatial)
        for axis, size in enumerate(spatial):
            seen = np.zeros((size, windows.kernel[axis]), dtype=np.int64)
            for position in range(windows.kernel[axis]):
                first = position * windows.dilations[axis] - padding[axis][0]
                places = first + windows.strides[axis] * np.arange(outputs[axis])
                seen[places[(places >= 0) & (places < size)], position] = 1
            kinds, which = np.unique(seen, axis=0, return_inverse=True)
            self._seen.append(kinds)
            classes = (classes[:, None] * len(kinds) + which.reshape(-1)).reshape(-1)
            self.count *= len(kinds)
        self.ends = np.append(np.flatnonzero(np.diff(classes)) + 1, len(classes))
        self.classes = classes[self.ends - 1]

    def rows(self, sums: np.ndarray) -> np.ndarray:
        """From sums over classes ``(channels, classes, digits, 3)`` to those over windows ``(rows, digits, 3)``."""
        found = sums.reshape(len(sums), *(len(seen) for seen in self._seen), *sums.shape[2:]).astype(np.float64)
        for axis, seen in enumerate(self._seen, start=1):
            found = np.moveaxis(np.tensordot(found, seen.astype(np.float64), axes=(axis, 0)), -1, axis)
        return found.reshape(-1, *sums.shape[2:])


def _each(meters: list[_Meter]) -> Visitor:
    def visit(values: np.ndarray) -> None:
        for meter in meters:
            meter.add(values)

    return visit


def _cells_by_row(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """For each row of the layer's matrix, how many cells it drives, and the sum of their levels, float64."""
    levels, partition = layer.read.levels, layer.read.partition
    cells, sums = np.zeros((2, partition.groups * partition.rows))
    for diagonal in range(partition.diagonals):
        columns = partition.held_columns(diagonal)
        for row_block in range(partition.row_blocks):
            rows = partition.rows_of(diagonal, row_block)
            block = levels[:, :, diagonal * partition.row_blocks + row_block, : len(rows)]
            if len(columns) < partition.stack_columns:
                block = block[..., columns]
            which = slice(rows.start, rows.stop, rows.step)
            cells[which] = block.shape[0] * block.shape[1] * block.shape[3]
            sums[which] = block.sum(axis=(0, 1, 3), dtype=np.float64)
    return cells, sums
