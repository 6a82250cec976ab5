"""Run one layer: panels of windows, each through every block, on several threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np

from xbarc.errors import DataError
from xbarc.ir.digits import Digits, DigitSource
from xbarc.ir.executor import CurrentVisitor, ReadIndex
from xbarc.runtime import kernels
from xbarc.runtime.layer_plan import Block, Diagonal, LayerPlan
from xbarc.runtime.read_noise import LayerReads

#: As :func:`xbarc.runtime.kernels.take_digit` numbers them.
_SOURCES: Final[tuple[DigitSource, ...]] = ("code", "complement", "sign", "positive", "negative")
_CACHED = 2**18  # input codes that are worked on together


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch stands in the stream of random numbers.

    Attributes:
        first_sample: number of the batch's first sample in its data set.
        repeat: another number gives other noise for the same inputs.
        steps: in loops, outermost first: which repetition this is.
    """

    first_sample: int = 0
    repeat: int = 0
    steps: tuple[int, ...] = ()


def run_layer(
    plan: LayerPlan,
    x: np.ndarray,
    pool: ThreadPoolExecutor,
    threads: int,
    *,
    visit: CurrentVisitor | None = None,
    place: Place = Place(),
) -> np.ndarray:
    """The layer's output for an input ``(images, channels, *spatial)``, or ``(..., rows)`` for a plain product.

    The result depends on each window alone: not on how many windows there are, nor on the number of threads. Of
    products that are not exact (unlimited resolution) that holds as far as BLAS rounds alike at every place of a panel.

    Raises:
        DataError: an input of the wrong shape, or a result beyond memory.
    """
    _check_shape(plan, x)
    spatial = x.shape[2:] if plan.windows.rank else ()
    images = x.shape[0] if plan.windows.rank else math.prod(x.shape[:-1])
    sizes = plan.windows.output_sizes(spatial)
    windows = math.prod(sizes)
    if windows == 0 and math.prod(spatial):
        raise DataError(
            f"the input has spatial sizes {tuple(spatial)}, too small for a kernel of {plan.windows.kernel}",
            where=f"layer {plan.name!r}",
            fix="feed larger inputs",
        )
    try:
        y = np.empty((images, plan.columns, windows), dtype=np.float32)
    except (MemoryError, ValueError):  # the latter where the size is beyond what numpy can count
        raise DataError(
            f"the result would have shape {(images, plan.columns, *sizes)}, for which there is no memory",
            where=f"layer {plan.name!r}",
            fix="feed smaller inputs, or fewer at a time",
        ) from None
    if y.size:
        codes = _convert_inputs(plan, x.reshape(images, plan.channels, *spatial))
        window_offset, row_offset = plan.windows.offsets(plan.channels, spatial)
        lock = Lock()

        def visit_alone(read: ReadIndex, currents: np.ndarray) -> None:
            if visit is not None:
                with lock:
                    visit(read, currents)

        panel = _panel_windows(windows)
        panels = math.ceil(images * windows / panel)
        share = math.ceil(panels / threads)
        visitor = visit_alone if visit is not None else None
        reads = None
        if plan.noise is not None:
            reads = LayerReads(
                plan,
                plan.noise,
                shape=x.shape,
                windows=windows,
                first_sample=place.first_sample,
                again=(place.repeat, *place.steps),
            )

        def run(part: range) -> None:
            _run_panels(
                plan, codes.reshape(-1), codes[0].size, window_offset, row_offset, part, panel, y, visitor, reads
            )

        parts = [range(start, min(start + share, panels)) for start in range(0, panels, share)]
        if len(parts) == 1:
            run(parts[0])
        else:
            for done in [pool.submit(run, part) for part in parts]:
                done.result()
    if plan.windows.rank == 0:
        return y.reshape(*x.shape[:-1], plan.columns)
    return y.reshape(images, plan.columns, *sizes)


def _check_shape(plan: LayerPlan, x: np.ndarray) -> None:
    if plan.windows.rank == 0:
        fits, expected = x.ndim >= 1 and x.shape[-1] == plan.channels, f"(..., {plan.channels})"
    else:
        fits = x.ndim == plan.windows.rank + 2 and x.shape[1] == plan.channels
        expected = f"(images, {plan.channels}, {', '.join(['size'] * plan.windows.rank)})"
    if not fits:
        raise DataError(
            f"the input has shape {x.shape}, expected {expected}",
            where=f"layer {plan.name!r}",
            fix="feed data of the shape that the model declares",
        )


def _panel_windows(windows: int) -> int:
    """Windows a panel: by the layer's geometry alone, never by the batch, since BLAS may round by shape."""
    if windows >= 256:
        return 256
    return 128 if windows > 1 else 64


def _convert_inputs(plan: LayerPlan, x: np.ndarray) -> np.ndarray:
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
    if plan.dac_codes is None:
        kernels.copy_inputs(source, target, begin)
    else:
        low, high = np.float32(plan.dac_codes.low), np.float32(plan.dac_codes.high)
        kernels.convert_inputs(source, target, begin, np.float32(plan.dac_scale), low, high)
    return codes


def _converted(plan: LayerPlan, x: np.ndarray) -> np.ndarray:
    if plan.dac_codes is None:
        return x
    return np.clip(np.rint(x / np.float32(plan.dac_scale)), plan.dac_codes.low, plan.dac_codes.high)


def _run_panels(
    plan: LayerPlan,
    codes: np.ndarray,
    image_size: int,
    window_offset: np.ndarray,
    row_offset: np.ndarray,
    panels: range,
    panel_windows: int,
    y: np.ndarray,
    visit: CurrentVisitor | None,
    reads: LayerReads | None,
) -> None:
    total = y.shape[0] * y.shape[2]
    for across, diagonal in enumerate(plan.diagonals):
        heights = [len(block.rows) for block in diagonal.blocks]
        taps = [
            np.ascontiguousarray(row_offset[block.rows.start : block.rows.stop : block.rows.step])
            for block in diagonal.blocks
        ]
        # Several panels a call, as many as stay in the cache: threads take turns in the interpreter between calls.
        together = max(1, _CACHED // (panel_windows * max(heights)))
        width = diagonal.blocks[0].matrices[0].shape[1]
        all_inputs = [np.empty((together, panel_windows, rows), dtype=plan.dtype) for rows in heights]
        all_currents = np.empty((together, panel_windows, width), dtype=plan.dtype)
        all_sums = np.empty((together * panel_windows, width), dtype=plan.sum_dtype)
        for start in range(panels.start, panels.stop, together):
            taken = min(together, panels.stop - start)
            first = start * panel_windows
            count = min(taken * panel_windows, total - first)
            stack, sums = all_currents[:taken], all_sums[: taken * panel_windows]
            currents = stack.reshape(-1, width)
            sums[:] = 0
            for down, block in enumerate(diagonal.blocks):
                inputs = all_inputs[down][:taken]
                panel = inputs.reshape(-1, heights[down])
                kernels.gather_windows(codes, first, count, image_size, window_offset, taps[down], panel)
                for number, (applied, worth) in enumerate(_applied(plan, inputs)):
                    for read, (matrix, weight) in enumerate(zip(block.matrices, block.weights, strict=True)):
                        np.matmul(applied, matrix, out=stack)  # one product a panel
                        if plan.pedestal:
                            lines = applied.reshape(-1, heights[down])
                            kernels.add_pedestal(lines, currents, plan.dtype.type(plan.pedestal))
                        if reads is not None:
                            reads.add((across, down, read, number), block, applied, currents, first, count)
                        if visit is not None:
                            place = across * len(diagonal.blocks) + down
                            visit(ReadIndex(read, place, number), _converted_columns(plan, diagonal, currents[:count]))
                        _accumulate(plan, block, read, currents, count, weight * worth, sums)
                if block.correction is not None:
                    kernels.correct(panel, count, block.correction, sums)
            kernels.rescale(
                sums, first, count, y.shape[2], diagonal.first_column, diagonal.columns, plan.scale, plan.bias, y
            )


def _applied(plan: LayerPlan, codes: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """What is applied to the rows in each read of some windows, and what that counts in the code."""
    levels = plan.applied
    for applied, weight in _digits(plan.digits, codes):
        if levels is not None:
            driven = np.empty_like(applied)
            kernels.apply_levels(applied.reshape(-1), levels.levels, levels.low, driven.reshape(-1))
            yield driven, weight
        else:
            yield applied, weight


def _digits(digits: Digits | None, codes: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """The code or digit of each read, and what that counts in the code."""
    if digits is None:
        yield codes, 1
        return
    applied = np.empty_like(codes)
    for digit in digits.reads:
        source = _SOURCES.index(digit.source)
        kernels.take_digit(codes.reshape(-1), source, digits.bits, digit.shift, digit.width, applied.reshape(-1))
        yield applied, digit.weight


def _converted_columns(plan: LayerPlan, diagonal: Diagonal, currents: np.ndarray) -> np.ndarray:
    """Currents of columns that hold weights, and of their reference columns where those are converted too."""
    if plan.data_columns is None:
        return currents[:, : diagonal.columns]
    if diagonal.columns == len(plan.data_columns):
        return currents
    return currents[:, [*range(diagonal.columns), -1]]  # one block, its reference column the last


def _accumulate(
    plan: LayerPlan, block: Block, read: int, currents: np.ndarray, count: int, weight: float, sums: np.ndarray
) -> None:
    factor = plan.sum_dtype.type(weight)
    counts = (block.signs[read], block.references[read]) if block.signs else ()
    if plan.adc_codes is None:
        if counts:
            kernels.recombine_and_add(currents, count, factor, plan.data_columns, plan.reference_columns, *counts, sums)
            return
        if plan.data_columns is None:
            kernels.add(currents, count, factor, sums)
        else:
            kernels.subtract_and_add(currents, count, factor, plan.data_columns, plan.reference_columns, sums)
        return
    as_current = plan.dtype.type
    low, high, lsb = as_current(plan.adc_codes.low), as_current(plan.adc_codes.high), as_current(plan.lsb)
    if block.errors:
        errors = block.errors[read]
        kernels.distort(currents, count, lsb, low, high, errors.gain, errors.offset, errors.inl)
        lsb = as_current(1)  # they are in codes now
    if counts:
        columns = plan.data_columns, plan.reference_columns
        kernels.convert_recombine_and_add(currents, count, lsb, low, high, factor, *columns, *counts, sums)
    elif plan.data_columns is None:
        kernels.convert_and_add(currents, count, lsb, low, high, factor, sums)
    else:
        kernels.convert_subtract_and_add(
            currents, count, lsb, low, high, factor, plan.data_columns, plan.reference_columns, sums
        )
