"""Products in integers: windows of codes that are bytes."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np

from xbarc.errors import InternalError
from xbarc.ir.executor import CurrentVisitor, ReadIndex
from xbarc.runtime import code_kernels, kernels, read_kernels
from xbarc.runtime.cell_noise import NoiseReads
from xbarc.runtime.code_blocks import CodeBlock
from xbarc.runtime.code_product import BoundProduct, Buffers
from xbarc.runtime.float_panels import SOURCES
from xbarc.runtime.layer_plan import Block, LayerPlan
from xbarc.runtime.read_noise import LayerReads
from xbarc.runtime.readout import accumulate, converted_columns, finish
from xbarc.runtime.stopwatch import Watch

_CACHED = 2**20  # bytes that products are worked on together in
_FEWEST = 256  # windows that a product is worth its weights for
_MOST = 2**27  # bytes that products of many columns may take, and then of fewer windows
_SLAB = 2**17  # currents that noise and converters are worked on together in
_LINE = 512  # columns that kernels go through in one line: of several windows, where one has fewer
_QUIET = np.empty((0, 0), np.int32), np.empty(0, np.float32)
#: Diagonal, row block, matrix and digit.
_ReadPlace = tuple[int, int, int, int]


class CodePanels:
    """The windows of a layer's input, lowered to panels of bytes. Every sum is exact, whatever its order.

    Args:
        plan: of the layer.
        x: ``(images, channels, *spatial)`` float32.
        y: ``(images, columns, windows)`` float32: the output.
        visit: sees the currents of every read.
        reads: draw their noise; ``None``: there is none.

    Attributes:
        together: parts that are run may begin anywhere.
    """

    together = 1

    def __init__(
        self, plan: LayerPlan, x: np.ndarray, y: np.ndarray, visit: CurrentVisitor | None, reads: LayerReads | None
    ) -> None:
        self._plan, self._y, self._visit, self._reads = plan, y, visit, reads
        self._codes, lost = _codes(plan, x)
        self._lost = _lost(plan, x) if lost else None
        windows, positions = plan.windows.offsets(1, x.shape[2:])
        self._image = (len(self._codes) - code_kernels.COPIED) // max(len(x), 1)
        self._window_offset, self._position_offset = windows * plan.channels, positions * plan.channels

    def run(self, part: range, watch: Watch) -> None:
        """Compute the outputs of some windows, and tell the watch where the time goes."""
        for across in range(len(self._plan.diagonals)):
            self._run_diagonal(part, across, watch)

    def _run_diagonal(self, part: range, across: int, watch: Watch) -> None:
        plan, diagonal = self._plan, self._plan.diagonals[across]
        blocks = [(block, block.codes) for block in diagonal.blocks if block.codes is not None]
        lines = max(1, min(_LINE // diagonal.width, len(part)))  # windows a line
        size = max(_bytes_of(plan, codes) for _, codes in blocks) + plan.sum_dtype.itemsize * diagonal.width
        together = _evenly(len(part), max(_CACHED // size, min(_FEWEST, _MOST // size)), lines)
        sums = np.empty((together, diagonal.width), dtype=plan.sum_dtype)
        buffers = Buffers()
        noisy = self._reads is not None
        works = [
            _BlockReads(plan, codes, self._position_offset, together, lines, buffers, watch, noisy=noisy)
            for _, codes in blocks
        ]
        watch.lap("other")
        for first in range(part.start, part.stop, together):
            count = min(together, part.stop - first)
            fresh = True
            for down, ((block, _), work) in enumerate(zip(blocks, works, strict=True)):
                lost = self._lost_windows(first, count, work)
                self._gather(self._codes, first, count, work)
                watch.lap("windows")
                whole = lost is None and self._visit is None and _is_plain(plan, block) and work.whole
                for number, worth in enumerate(work.apply()):
                    for read, weight in enumerate(block.weights):
                        place = across, down, read, number
                        if whole:
                            self._read_whole(place, work, first, count, weight * worth, sums, fresh=fresh)
                            watch.lap("noise" if noisy else "adc")
                        else:
                            if fresh:
                                sums[:] = 0
                            self._read(place, work, lost, first, count, weight * worth, sums, watch)
                        fresh = False
                if block.correction is not None:
                    kernels.correct(work.total(), count, block.correction, sums)
            finish(plan, diagonal, sums, first, count, self._y)
            watch.lap("adc")

    def _read_whole(
        self,
        place: _ReadPlace,
        work: _BlockReads,
        first: int,
        count: int,
        weight: float,
        sums: np.ndarray,
        *,
        fresh: bool,
    ) -> None:
        """One read of some windows in one kernel: noise, conversion and accumulation, to fresh sums as to zeros."""
        plan, codes = self._plan, self._plan.adc_codes
        as_current, width = plan.dtype.type, sums.shape[1]
        lines = work.lines
        windows = slice(0, math.ceil(count / lines) * lines)
        if codes is None:  # all there is
            work.currents(place[2], windows, sums[windows])
            return
        totals = sums[windows].reshape(-1, lines * width)
        converter = as_current(plan.lsb), as_current(codes.low), as_current(codes.high), plan.sum_dtype.type(weight)
        product = work.sums(place[2], windows)
        if self._reads is None:
            read_kernels.read_quiet(*product, *converter, fresh, totals)
        else:
            spread, drawn = work.spread(place[2], windows), self._reads.drawn(place, first, count)
            read_kernels.read_noisy(*product, *spread, *drawn, width, *converter, fresh, totals)

    def _read(
        self,
        place: _ReadPlace,
        work: _BlockReads,
        lost: np.ndarray | None,
        first: int,
        count: int,
        weight: float,
        sums: np.ndarray,
        watch: Watch,
    ) -> None:
        """The same step by step, for all that a layer may have and whoever looks at currents."""
        plan, (across, down, read, number) = self._plan, place
        diagonal = plan.diagonals[across]
        block, lines = diagonal.blocks[down], work.lines
        slab = min(max(_SLAB // diagonal.width // lines, 1) * lines, len(sums))
        currents = work.take_currents(slab, diagonal.width)
        for begin in range(0, count, slab):
            windows, some = slice(begin, min(begin + slab, len(sums))), min(slab, count - begin)
            currents = currents[: windows.stop - begin]
            work.currents(read, windows, currents)
            watch.lap("product")
            if lost is not None:
                currents[lost[windows]] = np.nan
            if self._reads is not None:
                variances = work.variance(read, windows), work.reference_variance(read, windows)
                self._reads.add(
                    place, currents, first + begin, some, variance=variances[0], reference_variance=variances[1]
                )
                watch.lap("noise")
            if self._visit is not None:
                index = ReadIndex(read, across * len(diagonal.blocks) + down, number)
                self._visit(index, converted_columns(plan, diagonal, currents[:some]))
                watch.lap("other")
            accumulate(plan, block, read, currents, some, weight, sums[windows])
            watch.lap("adc")

    def _lost_windows(self, first: int, count: int, work: _BlockReads) -> np.ndarray | None:
        """In which windows some input is no number, by way of their panel; ``None``: in none of the whole input."""
        if self._lost is None:
            return None
        self._gather(self._lost, first, count, work)
        lost: np.ndarray = np.logical_or.reduce(work.panel, axis=1)
        return lost

    def _gather(self, source: np.ndarray, first: int, count: int, work: _BlockReads) -> None:
        code_kernels.gather_codes(source, first, count, self._image, self._window_offset, *work.runs, work.gathered)


class _BlockReads:
    """The reads of one block for some windows.

    Attributes:
        gathered: bytes of input codes, to be filled, of window after window and a few more.
        panel: the same as ``(windows, rows)``.
        lines: windows that lie side by side in a line.
        runs: where the runs of bytes begin that a window takes, from its own place on, and how long they are.
    """

    def __init__(
        self,
        plan: LayerPlan,
        codes: CodeBlock,
        position_offset: np.ndarray,
        windows: int,
        lines: int,
        buffers: Buffers,
        watch: Watch,
        *,
        noisy: bool,
    ) -> None:
        self._plan, self._codes, self._buffers, self._watch = plan, codes, buffers, watch
        self.lines = lines if len(codes.offsets) == 1 else 1
        position, channel, lengths = codes.runs
        self.runs = position_offset[position] + channel, lengths
        shape, size = (windows, codes.rows), windows * codes.rows
        self.gathered = buffers.take("gathered", (size + code_kernels.COPIED,), np.uint8)
        self.panel = self._applied = self.gathered[:size].reshape(shape)
        if plan.digits is not None:
            self._applied = buffers.take("applied", shape, np.uint8)
        self._totals = buffers.take("totals", (windows,), np.float64)
        self._mean = BoundProduct("mean", codes.product, codes.offsets, self._applied, self.lines, buffers)
        self._noise = None
        if noisy and codes.noise is not None:
            self._noise = NoiseReads(codes.noise, self._applied, self.lines, buffers)

    @property
    def whole(self) -> bool:
        """Whether a read with its noise can be one kernel."""
        return self._noise is None or self._noise.whole

    def apply(self) -> Iterator[int]:
        """Apply the codes, in one read or digit by digit: what each read counts in the code."""
        plan, zero = self._plan, self._plan.zero or 0
        if plan.digits is None:
            self._multiply(zero)
            yield 1
            return
        for digit in plan.digits.reads:
            code_kernels.take_code_digit(
                self.panel.reshape(-1),
                zero,
                SOURCES.index(digit.source),
                plan.digits.bits,
                digit.shift,
                digit.width,
                self._applied.reshape(-1),
            )
            self._watch.lap("dac")
            self._multiply(0)
            yield digit.weight

    def sums(self, read: int, windows: slice) -> tuple[np.ndarray, int, int, np.ndarray, np.floating]:
        """Of some windows in a read: its sums line by line, digits and bits of a digit, what makes currents of them."""
        plan = self._plan
        return (
            self._mean.of(read, windows),
            self._codes.product.digits,
            self._codes.product.bits,
            self._mean.each[read],
            plan.dtype.type(plan.grid),
        )

    def currents(self, read: int, windows: slice, currents: np.ndarray) -> None:
        """Of some windows in a read, without noise."""
        plan, (sums, *rest) = self._plan, self.sums(read, windows)
        read_kernels.combine_digits(sums, *rest, currents.reshape(len(sums), -1))
        if plan.pedestal:
            kernels.add_pedestal(self._totals[windows], currents, plan.dtype.type(plan.pedestal))

    def take_currents(self, windows: int, columns: int) -> np.ndarray:
        """Room for currents."""
        return self._buffers.take("currents", (windows, columns), self._plan.dtype.type)

    def spread(self, read: int, windows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Variances of some windows in a read as whole steps, line by line, and what a step counts."""
        return _QUIET if self._noise is None else self._noise.steps(read, windows)

    def variance(self, read: int, windows: slice) -> np.ndarray | None:
        """Of some windows in a read, ``(windows, columns)``; ``None``: cells are quiet."""
        return None if self._noise is None else self._noise.variance(read, windows)

    def reference_variance(self, read: int, windows: slice) -> np.ndarray | None:
        """Of the reference columns of a read, ``(windows, column blocks)``; ``None``: there are none."""
        return None if self._noise is None else self._noise.reference_variance(read, windows)

    def total(self) -> np.ndarray:
        """The sum of each window's codes, ``(windows,)`` float64."""
        kernels.total_codes(self.panel, self._plan.zero or 0, self._totals)
        return self._totals

    def _multiply(self, zero: int) -> None:
        """Take all products of what is applied, of which this byte is 0."""
        self._mean.multiply()
        if self._plan.pedestal:
            kernels.total_codes(self._applied, zero, self._totals)
        self._watch.lap("product")
        if self._noise is not None:
            self._noise.multiply(zero)
            self._watch.lap("noise")


def _bytes_of(plan: LayerPlan, codes: CodeBlock) -> int:
    """A window takes, from its codes to its sums of integers."""
    size: int = codes.rows * (1 if plan.digits is None else 2) + 4 * codes.product.columns
    noise = codes.noise
    if noise is None or plan.noise is None:
        return size
    return size + (codes.rows + 4 * len(noise.steps) * len(noise.steps[0])) * (1 if noise.gain else 2)


def _is_plain(plan: LayerPlan, block: Block) -> bool:
    """Whether columns are converted as they are, one code each, in float32, or need not be."""
    if plan.collapsed:
        return True
    converted = plan.adc_codes is not None and plan.quantises_outputs and not block.errors
    return converted and plan.data_columns is None and not plan.pedestal and plan.dtype == np.float32


def _evenly(count: int, most: int, step: int) -> int:
    """Into how large parts to cut, of at most so many, all about as large, each a multiple of a step."""
    parts = math.ceil(count / max(most // step * step, step))
    return math.ceil(count / parts / step) * step


def _codes(plan: LayerPlan, x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Codes of the whole input as bytes, as :func:`_padded` has them, and whether some of the input is no number: there
    they are any.
    """
    zero = plan.zero or 0
    if plan.dac_codes is None:
        raise InternalError(f"layer {plan.name!r} has no codes")
    low, high = plan.dac_codes.low, plan.dac_codes.high
    numbers = np.float32(plan.dac_scale), np.float32(low), np.float32(high), np.float32(zero)
    flat, codes, inside = _padded(plan, x, zero)
    axes = x.ndim - 2
    if axes > 3:
        converted = np.clip(np.rint(np.nan_to_num(x / numbers[0])), low, high) + zero
        codes[inside] = np.moveaxis(converted, 1, -1)
        return flat, bool(np.isnan(x).any())
    source = np.ascontiguousarray(x, dtype=np.float32)
    if axes == 0:
        return flat, code_kernels.convert_flat(source.reshape(-1), codes.reshape(-1), *numbers)
    if not x.size:
        return flat, False
    ones = (1,) * (3 - axes)
    begin = np.array([*(0 for _ in ones), *(part.start for part in inside[1:])], dtype=np.int64)
    sizes = np.array([*ones, *x.shape[2:]], dtype=np.int64)
    target = codes.reshape(len(x), *ones, *codes.shape[1:])
    fours = x.shape[1] % 4 == 0 and sys.byteorder == "little"
    quads = (target if fours else target[..., :0]).view(np.uint32)
    shaped = source.reshape(*x.shape[:2], -1)
    return flat, code_kernels.convert_to_codes(shaped, target, quads, sizes, begin, *numbers)


def _lost(plan: LayerPlan, x: np.ndarray) -> np.ndarray:
    """1 where the input is no number, as codes lie: currents of such a window are no numbers either."""
    flat, found, inside = _padded(plan, x, 0)
    found[inside] = np.moveaxis(np.isnan(x), 1, -1)
    return flat


def _padded(plan: LayerPlan, x: np.ndarray, byte: int) -> tuple[np.ndarray, np.ndarray, tuple[slice, ...]]:
    """``(images, *padded spatial, channels)`` uint8, all this byte: flat and a little longer, as it is, and where the
    input lies in it.
    """
    padding = plan.windows.padding(x.shape[2:])
    padded = [size + begin + end for size, (begin, end) in zip(x.shape[2:], padding, strict=True)]
    inside = [slice(begin, begin + size) for (begin, _), size in zip(padding, x.shape[2:], strict=True)]
    shape = len(x), *padded, x.shape[1]
    size = math.prod(shape)
    flat = np.full(size + code_kernels.COPIED, byte, dtype=np.uint8)
    return flat, flat[:size].reshape(shape), (slice(None), *inside)
