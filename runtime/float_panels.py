"""Products in floating point: panels of windows through BLAS, for whatever is not an integer on a few bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from xbarc.ir.digits import Digits, DigitSource
from xbarc.ir.executor import CurrentVisitor, ReadIndex
from xbarc.runtime import kernels
from xbarc.runtime.layer_plan import Block, LayerPlan
from xbarc.runtime.read_noise import LayerReads
from xbarc.runtime.readout import accumulate, converted_columns, finish
from xbarc.runtime.stopwatch import Watch

#: As :func:`xbarc.runtime.kernels.take_digit` numbers them.
SOURCES: Final[tuple[DigitSource, ...]] = ("code", "complement", "sign", "positive", "negative")
_CACHED = 2**18  # input codes that are worked on together


class FloatPanels:
    """The windows of a layer's input, lowered to panels of floating-point numbers.

    Args:
        plan: of the layer.
        x: ``(images, channels, *spatial)`` float32.
        y: ``(images, columns, windows)`` float32: the output.
        visit: sees the currents of every read.
        reads: draw their noise; ``None``: there is none.

    Attributes:
        together: windows of a panel; parts that are run begin at a multiple of it.
    """

    def __init__(
        self, plan: LayerPlan, x: np.ndarray, y: np.ndarray, visit: CurrentVisitor | None, reads: LayerReads | None
    ) -> None:
        self._plan, self._y, self._visit, self._reads = plan, y, visit, reads
        self._codes = _float_codes(plan, x)
        self._window_offset, self._row_offset = plan.windows.offsets(plan.channels, x.shape[2:])
        self.together = _panel_windows(y.shape[2])

    def run(self, part: range, watch: Watch) -> None:
        """Compute the outputs of some windows, and tell the watch where the time goes."""
        for across in range(len(self._plan.diagonals)):
            self._run_diagonal(part, across, watch)

    def _run_diagonal(self, part: range, across: int, watch: Watch) -> None:
        plan, diagonal = self._plan, self._plan.diagonals[across]
        heights = [len(block.rows) for block in diagonal.blocks]
        taps = [
            np.ascontiguousarray(self._row_offset[block.rows.start : block.rows.stop : block.rows.step])
            for block in diagonal.blocks
        ]
        # Several panels a call, as many as stay in the cache: threads take turns in the interpreter between calls.
        panels = max(1, _CACHED // (self.together * max(heights)))
        all_inputs = [np.empty((panels, self.together, rows), dtype=plan.dtype) for rows in heights]
        all_currents = np.empty((panels, self.together, diagonal.width), dtype=plan.dtype)
        all_sums = np.empty((panels * self.together, diagonal.width), dtype=plan.sum_dtype)
        totals = np.empty(len(all_sums))
        watch.lap("other")
        for first in range(part.start, part.stop, panels * self.together):
            count = min(panels * self.together, part.stop - first)
            taken = math.ceil(count / self.together)
            stack, sums = all_currents[:taken], all_sums[: taken * self.together]
            currents = stack.reshape(-1, diagonal.width)
            sums[:] = 0
            for down, block in enumerate(diagonal.blocks):
                inputs = all_inputs[down][:taken]
                panel = inputs.reshape(-1, heights[down])
                kernels.gather_windows(
                    self._codes.reshape(-1), first, count, self._codes[0].size, self._window_offset, taps[down], panel
                )
                watch.lap("windows")
                whole, rest = _whole_codes(plan, inputs)
                for number, (codes, worth) in enumerate(_digits(plan.digits, whole)):
                    applied, curved = _applied(plan, codes), _curved(plan, codes)
                    if rest is not None and worth == 1:
                        applied = applied + rest
                    watch.lap("dac")
                    for read, (matrix, weight) in enumerate(zip(block.matrices, block.weights, strict=True)):
                        np.matmul(applied, matrix, out=stack)  # one product a panel
                        for driven, beyond in zip(curved, block.nonlinear[read] if curved else (), strict=True):
                            stack += np.matmul(driven, beyond)
                        if plan.pedestal:
                            kernels.total_codes(applied.reshape(-1, heights[down]), 0, totals)
                            kernels.add_pedestal(totals, currents, plan.dtype.type(plan.pedestal))
                        watch.lap("product")
                        if self._reads is not None:
                            variance, common = _variances(block, read, applied)
                            self._reads.add(
                                (across, down, read, number),
                                currents,
                                first,
                                count,
                                variance=variance,
                                reference_variance=common,
                            )
                            watch.lap("noise")
                        if self._visit is not None:
                            index = ReadIndex(read, across * len(diagonal.blocks) + down, number)
                            self._visit(index, converted_columns(plan, diagonal, currents[:count]))
                            watch.lap("other")
                        accumulate(plan, block, read, currents, count, weight * worth, sums)
                        watch.lap("adc")
                if block.correction is not None:
                    kernels.total_codes(panel, 0, totals)
                    kernels.correct(totals, count, block.correction, sums)
            finish(plan, diagonal, sums, first, count, self._y)
            watch.lap("adc")


def _panel_windows(windows: int) -> int:
    """Windows a panel: by the layer's geometry alone, never by the batch, since BLAS may round by shape."""
    if windows >= 256:
        return 256
    return 128 if windows > 1 else 64


def _float_codes(plan: LayerPlan, x: np.ndarray) -> np.ndarray:
    """Codes of the whole input, ``(images, channels, *padded spatial)``."""
    padding = plan.windows.padding(x.shape[2:])
    padded = [size + begin + end for size, (begin, end) in zip(x.shape[2:], padding, strict=True)]
    codes = np.zeros((*x.shape[:2], *padded), dtype=plan.dtype)
    planes = x.shape[0] * x.shape[1]
    ones = (1,) * (3 - len(padded)) if len(padded) <= 3 else ()
    # Up to three spatial axes are looped over; of more, only the last three can be padded apart.
    if len(padded) > 3:
        interior = tuple(slice(begin, begin + size) for (begin, _), size in zip(padding, x.shape[2:], strict=True))
        codes[(slice(None), slice(None), *interior)] = _converted(plan, x)
        return codes
    begin = np.array([*(0 for _ in ones), *(before for before, _ in padding)], dtype=np.int64)
    source = np.ascontiguousarray(x, dtype=np.float32).reshape(planes, *ones, *x.shape[2:])
    target = codes.reshape(planes, *ones, *padded)
    if plan.dac_codes is None or not plan.quantises_inputs:
        kernels.copy_inputs(source, target, begin)
        codes /= plan.dac_scale
    else:
        low, high = np.float32(plan.dac_codes.low), np.float32(plan.dac_codes.high)
        kernels.convert_inputs(source, target, begin, np.float32(plan.dac_scale), low, high)
    return codes


def _converted(plan: LayerPlan, x: np.ndarray) -> np.ndarray:
    if plan.dac_codes is None or not plan.quantises_inputs:
        return x.astype(plan.dtype) / plan.dac_scale
    return np.clip(np.rint(x / np.float32(plan.dac_scale)), plan.dac_codes.low, plan.dac_codes.high)


def _whole_codes(plan: LayerPlan, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes, and what rounding and clipping take off them where that is applied too."""
    if plan.dac_codes is None or plan.quantises_inputs:
        return inputs, None
    whole = np.clip(np.rint(inputs), plan.dac_codes.low, plan.dac_codes.high)
    return whole, inputs - whole


def _applied(plan: LayerPlan, codes: np.ndarray) -> np.ndarray:
    """What is applied to the rows for the codes or digits of a read."""
    return codes if plan.applied is None else _looked_up(codes, plan.applied.levels, plan.applied.low)


def _curved(plan: LayerPlan, codes: np.ndarray) -> tuple[np.ndarray, ...]:
    """What the nonlinear parts of cells are multiplied with, likewise."""
    return tuple(_looked_up(codes, curve, plan.first_code) for curve in plan.curves)


def _looked_up(codes: np.ndarray, levels: np.ndarray, low: int) -> np.ndarray:
    found = np.empty_like(codes)
    kernels.apply_levels(codes.reshape(-1), levels, low, found.reshape(-1))
    return found


def _digits(digits: Digits | None, codes: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """The code or digit of each read, and what that counts in the code."""
    if digits is None:
        yield codes, 1
        return
    applied = np.empty_like(codes)
    for digit in digits.reads:
        source = SOURCES.index(digit.source)
        kernels.take_digit(codes.reshape(-1), source, digits.bits, digit.shift, digit.width, applied.reshape(-1))
        yield applied, digit.weight


def _variances(block: Block, read: int, applied: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Of the columns of a read, and of its reference columns."""
    if not block.variances:
        return None, None
    # In float64 these sums are exact, so that a window's noise does not depend on its place in the panel.
    squares = np.square(applied, dtype=np.float64)
    common = _product(squares, block.reference_variances[read]) if block.reference_variances else None
    return _product(squares, block.variances[read]), common


def _product(squares: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """``(windows of all panels, columns)``, one product a panel."""
    products: np.ndarray = np.matmul(squares, variances)
    return products.reshape(-1, variances.shape[1])
