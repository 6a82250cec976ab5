"""The cells of one layer on a written chip: what was programmed, and what a read at some time finds.

Letters in shapes as in ``xbarc.ir.operators``: ``(S, P, D, R, C)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.devices.device import Device, ReadNoise, fast_read_sigma, slow_read_sigma
from xbarc.devices.faults import FaultMap
from xbarc.ir.cell_currents import NonlinearCurrents
from xbarc.ir.layer import FLOAT32_EXACT, Layer
from xbarc.ir.operators import CodeRange
from xbarc.ir.partition import Partition
from xbarc.random import Key, fill_normals
from xbarc.runtime.faults import faulty_cells
from xbarc.runtime.tile_parts import LineOrder

#: A coarser grid would show beside the rounding of targets to levels. In levels.
_COARSEST_LEVELS = 0.5
#: A coarser grid would show beside the noise: a tenth of the least programming error of PCM. Over the range of levels.
_COARSEST_SHARE = 1e-3
#: Sums that float32 cannot take on so fine a grid are taken in float64 on this one: far above the last bit of float32,
#: in which conductances are held, so that a cell without error holds its level; far below any noise; and such that
#: three digits of products in integers hold a cell. Over the range.
_FINE_SHARE = 2.0**-18


@dataclass(frozen=True, slots=True)
class Conductances:
    """The range of conductances that the levels of a hardware span.

    Attributes:
        g_min: of level 0, in siemens.
        g_max: of the highest level, in siemens.
        step: between neighbouring levels, in siemens; the whole range where levels are unlimited.
    """

    g_min: float
    g_max: float
    step: float

    @property
    def levels(self) -> float:
        """How many levels the range spans."""
        return (self.g_max - self.g_min) / self.step


@dataclass(frozen=True, slots=True)
class Cells:
    """One layer's cells as they were programmed.

    Attributes:
        programmed: ``(S, P, D, R, C)`` float32 siemens, at the device's reference moment, as if no cell were faulty.
        nu: drift exponents of the same shape.
        held: what faulty cells hold exactly and for ever, an end of the range or nothing, float32 siemens of the same
            shape; NaN where a cell is not faulty; ``None``: none can be.
    """

    programmed: np.ndarray
    nu: np.ndarray
    held: np.ndarray | None

    @property
    def stuck(self) -> np.ndarray | None:
        """Which cells are faulty; ``None``: none can be."""
        return None if self.held is None else ~np.isnan(self.held)


@dataclass(frozen=True, slots=True)
class CellState:
    """One layer's cells at some time, in levels (:class:`Conductances`) above ``g_min``.

    Attributes:
        levels: ``(S, P, D, R, C)`` float32, on a grid on which every sum of a read is exact.
        grid: its spacing, a power of two.
        double: whether the sums are exact in float64 only.
        fast_variance: float64 variance of what is drawn anew at every read, of that shape, in squared levels; ``None``:
            nothing is.
        nonlinear: what cells add that are no resistors; ``None``: nothing.
    """

    levels: np.ndarray
    grid: float
    double: bool
    fast_variance: np.ndarray | None
    nonlinear: NonlinearCurrents | None = None


@dataclass(frozen=True, slots=True)
class FoundCells:
    """One layer's cells at some time, as they are.

    Attributes:
        conductances: ``(S, P, D, R, C)`` float32 siemens, with the part of their read noise that outlasts an inference.
        fast_variance: variance of the other part, of that shape, in squared levels; ``None``: there is none.
    """

    conductances: np.ndarray
    fast_variance: np.ndarray | None

    def through_wires(self, effective: np.ndarray) -> FoundCells:
        """The cells as their columns see them, through wires that leave so many siemens of each.

        Noise is passed on as the cell's current is: to first order in what is lost, an error of its variance's scale
        by about the share lost, on the side of too much noise.
        """
        if self.fast_variance is None:
            return FoundCells(effective, None)
        return FoundCells(effective, self.fast_variance * np.square(self.passed(effective)))

    def passed(self, effective: np.ndarray) -> np.ndarray:
        """Share of each cell's current that wires leave which leave so many siemens of it."""
        passed: np.ndarray = np.ones_like(effective)
        np.divide(effective, self.conductances, out=passed, where=self.conductances > 0)
        np.minimum(passed, 1.0, out=passed)
        return passed


def write_cells(
    layer: Layer,
    device: Device,
    *,
    seed: int,
    span: Conductances,
    faults: FaultMap | None = None,
    orders: Sequence[LineOrder] | None = None,
) -> Cells:
    """Program a layer once.

    Args:
        layer: of a placed program; its levels are the targets.
        device: what the cells are made of.
        seed: of the chip.
        span: the conductances of the levels.
        faults: that the chip is known to have, beside those that are drawn.
        orders: in which the layer's lines lie; ``None``: as they follow each other.
    """
    target = cell_targets(layer, span)
    deviates = _field(layer, Key.stream(seed, "programming", layer.read.matrix))
    programmed = device.programmed(target, deviates, span.g_max).astype(np.float32, copy=False)
    mean, sigma = device.drift_exponent(target, span.g_max)
    nu = _field(layer, Key.stream(seed, "drift", layer.read.matrix))
    nu *= sigma
    nu += mean
    np.abs(nu, out=nu)
    faulty = faulty_cells(layer, device, faults, seed=seed, orders=orders)
    return Cells(programmed, nu, None if faulty is None else faulty.held(g_min=span.g_min, g_max=span.g_max))


def find_cells(
    layer: Layer,
    cells: Cells,
    device: Device,
    *,
    seed: int,
    span: Conductances,
    time_s: float,
    read_noise: ReadNoise | None,
    inference_s: float,
    drifts: bool = True,
) -> FoundCells:
    """The cells of a layer at a time: drifted, with the part of their read noise that outlasts an inference.

    Args:
        layer, seed, span: as they were written, with the targets still in the layer.
        cells: what was written.
        device: what the cells are made of.
        time_s: from the device's reference moment on.
        read_noise: which part of the noise is slow; ``None``: there is none.
        inference_s: duration of an inference, which parts slow from fast.
        drifts: without it, conductances have neither drifted nor relaxed.
    """
    drifted = cells.programmed
    if drifts:
        drifted = device.drift(cells.programmed, cells.nu, t_s=time_s).astype(np.float32, copy=False)
        relaxation = device.relaxation(cell_targets(layer, span), t_s=time_s, g_max=span.g_max)
        if relaxation is not None:
            mean, sigma = relaxation
            deviates = _field(layer, Key.stream(seed, "relaxation", layer.read.matrix))
            drifted = np.maximum(drifted + (mean + sigma * deviates).astype(np.float32), np.float32(0.0))
    actual, variance = drifted, None
    if read_noise is not None:
        moments = {"t_s": time_s, "g_max": span.g_max, "t_inference_s": inference_s}
        slow = slow_read_sigma(device, cells.programmed, g_drifted=drifted, read_noise=read_noise, **moments)
        fast = fast_read_sigma(device, cells.programmed, g_drifted=drifted, read_noise=read_noise, **moments)
        if np.any(slow):
            deviates = _field(layer, Key.stream(seed, "slow read noise", layer.read.matrix, repr(time_s)))
            deviates *= slow
            actual = np.maximum(drifted + deviates, np.float32(0.0))
        variance = np.square(fast / span.step) if np.any(fast) else None
    if cells.held is not None:
        faulty = ~np.isnan(cells.held)
        actual = np.where(faulty, cells.held, actual)
        if variance is not None:
            variance[faulty] = 0.0
    return FoundCells(actual, variance)


def cell_state(
    layer: Layer, found: FoundCells, span: Conductances, nonlinear: NonlinearCurrents | None = None
) -> CellState:
    """The cells of a layer as what its reads are computed with: in levels, on a grid on which sums are exact."""
    variance = found.fast_variance
    levels = (found.conductances - np.float32(span.g_min)) / np.float32(span.step)
    # Rows beyond a short block are never driven; they stay what the program says.
    levels[_unused(layer)] = 0.0
    codes = layer.applied
    if codes is None:
        return CellState(
            levels.astype(np.float32), 0.0, True, None if variance is None else variance.astype(np.float64)
        )
    if variance is not None:
        variance = _exact_variance(layer, variance, codes)
    if nonlinear is None and layer.dac.applied is None:
        grid, double = _grid(layer, levels, codes, span)
    else:  # codes that are applied are no integers
        grid, double = finest_grid(span), True
    snapped = (np.rint(levels / np.float32(grid)) * np.float32(grid)).astype(np.float32)
    return CellState(snapped, grid, double, variance, nonlinear)


def cell_targets(layer: Layer, span: Conductances) -> np.ndarray:
    """The conductances that the cells were to hold, in siemens."""
    return np.float32(span.g_min) + layer.read.levels.astype(np.float32) * np.float32(span.step)


def finest_grid(span: Conductances) -> float:
    """A power of two, in levels, for sums in float64."""
    return _power_below(_FINE_SHARE * span.levels)


def _exact_variance(layer: Layer, variance: np.ndarray, codes: CodeRange) -> np.ndarray:
    """Variances on a power-of-two grid on which float64 adds up ``code^2 * variance`` exactly, in any order.

    BLAS may add up in another order for another place in a panel. The grid is some ``2^-40`` of the variance of a
    column.
    """
    variance = np.where(_unused(layer), 0.0, variance.astype(np.float64))
    applied, largest_code, unit = layer.dac.applied, float(max(codes.high, -codes.low)), 1.0
    if applied is not None:
        largest_code, unit = max(largest_code, float(np.abs(applied.levels).max())), applied.grid
    largest = float(variance.sum(axis=(1, 3)).max()) * largest_code**2
    if largest == 0.0:
        return variance
    grid = _power_below(largest / unit**2 / 2.0**51)
    snapped: np.ndarray = np.rint(variance / grid) * grid
    return snapped


def _grid(layer: Layer, levels: np.ndarray, codes: CodeRange, span: Conductances) -> tuple[float, bool]:
    """The finest power of two of which every sum of a read is at most ``2^24`` multiples; whether it needs float64."""
    largest = max(codes.high, -codes.low)
    # Snapping moves the two cells of a difference by a step at most.
    room = FLOAT32_EXACT - layer.read.partition.block_rows * largest
    worst = largest * _largest_sum(layer, levels, signed=codes.low < 0)
    coarsest = _power_below(min(_COARSEST_LEVELS, _COARSEST_SHARE * span.levels))
    finest = finest_grid(span)
    if worst > coarsest * room:
        return finest, True
    return max(_power_below(2 * worst / room), finest) if worst else coarsest, False


def _power_below(value: float) -> float:
    """The largest power of two that is at most a value above 0."""
    return float(2.0 ** np.floor(np.log2(value)))


def _largest_sum(layer: Layer, levels: np.ndarray, *, signed: bool) -> float:
    """The largest sum, over some rows of any block, of levels times codes of at most 1, as it is added up in any order.

    Of each column by itself, and of what is subtracted from one another: currents are subtracted before or after the
    sum.
    """
    partition = layer.read.partition
    largest = 0.0
    for cells in np.moveaxis(levels, 2, 0):
        if layer.single_ended:
            subtracted = cells
        elif partition.reference_column:
            subtracted = cells[..., partition.data_columns] - cells[..., partition.reference_columns]
        else:
            subtracted = cells[:, 0] - cells[:, 1]
        for matrix in (cells, subtracted):
            up, down = (np.maximum(sign * matrix, 0.0).sum(axis=-2, dtype=np.float64) for sign in (1.0, -1.0))
            largest = max(largest, float((up + down if signed else np.maximum(up, down)).max()))
    return largest


def _unused(layer: Layer) -> np.ndarray:
    """Cells of padding, ``(1, 1, D, R, 1)`` broadcast to the shape of the levels."""
    partition = layer.read.partition
    used = np.zeros((partition.stacked, partition.block_rows), dtype=bool)
    for place in range(partition.stacked):
        diagonal, block = divmod(place, partition.row_blocks)
        used[place, : partition.rows_in(diagonal, block)] = True
    return np.broadcast_to(~used[None, None, :, :, None], layer.read.levels.shape)


def _field(layer: Layer, key: Key) -> np.ndarray:
    """A standard-normal number for every cell, by slice, polarity, and row and column in the layer's matrix."""
    out = np.empty(layer.read.levels.shape, dtype=np.float32)
    for part in field_parts(layer):
        rows = part.row_numbers(layer.read.partition.block_rows)
        row_words = np.stack([rows, np.zeros_like(rows)], axis=1)
        fill_normals(out[part.index], key, row_words, part.plane, part.first_column)
    return out


@dataclass(frozen=True, slots=True)
class FieldPart:
    """Cells whose random numbers are a rectangle of a stream's field.

    Attributes:
        index: of the cells among ``(S, P, D, R, C)``: rows by columns.
        rows: how many rows of it hold cells; further ones are padding of a short block.
        plane: ``2 * slice + polarity``.
        first_row, first_column: of the first cell in the layer's matrix; reference columns come after its last column.
        row_step: from one row to the next in the layer's matrix; rows that pad a block are numbered on.
    """

    index: tuple[int, int, int, slice, slice]
    rows: int
    plane: int
    first_row: int
    row_step: int
    first_column: int

    def row_numbers(self, count: int) -> np.ndarray:
        """Of the first ``count`` rows, in the layer's matrix: ``(count,)`` uint32."""
        return np.arange(count, dtype=np.uint32) * np.uint32(self.row_step) + np.uint32(self.first_row)


def field_parts(layer: Layer) -> Iterator[FieldPart]:
    """All cells of a layer, by where their random numbers lie."""
    levels, partition = layer.read.levels, layer.read.partition
    for place in range(partition.stacked):
        diagonal, block = divmod(place, partition.row_blocks)
        held = partition.rows_of(diagonal, block)
        for stack, column in _runs(partition, diagonal):
            for slice_, polarity in np.ndindex(levels.shape[:2]):
                index = (slice_, polarity, place, slice(None), stack)
                yield FieldPart(index, len(held), 2 * slice_ + polarity, held.start, held.step, column)


def _runs(partition: Partition, diagonal: int) -> Iterator[tuple[slice, int]]:
    """Neighbouring columns of a stack that are neighbours in the layer's matrix, with the first one's number there."""
    first = diagonal * partition.diagonal_columns
    if not partition.reference_column:
        yield slice(0, partition.diagonal_columns), first
        return
    beyond = partition.diagonals * partition.diagonal_columns + diagonal * partition.column_blocks
    place = 0
    for block in range(partition.column_blocks):
        start = block * partition.block_columns
        width = min(partition.block_columns, partition.diagonal_columns - start)
        yield slice(place, place + width), first + start
        yield slice(place + width, place + width + 1), beyond + block
        place += width + 1
