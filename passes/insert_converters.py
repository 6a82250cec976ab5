"""Insert converters: each matrix product becomes the steps of the hardware, from its DAC to its rescaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import InternalError
from xbarc.hardware.schema import Hardware
from xbarc.ir.digits import Digits
from xbarc.ir.graph import Graph, Value
from xbarc.ir.layer import FLOAT32_EXACT
from xbarc.ir.operators import Accumulate, Adc, CodeRange, Dac, Encoding, MatVec, Rescale, TileRead
from xbarc.ir.partition import Partition
from xbarc.ir.recombination import Recombination, flip_columns
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage
from xbarc.ir.types import float32

_Stack = tuple[np.ndarray, Recombination | None]


@dataclass(frozen=True)
class InsertConverters:
    """Lower ``MatVec`` to ``Dac -> TileRead -> Adc -> Accumulate -> Rescale``. The ADC has its bits, not yet its range.

    The ADC of a single-ended read is unsigned where input codes are; a negative code drives a negative current, so
    that with signed codes it is signed.
    """

    name: ClassVar[str] = "insert-converters"
    requires: ClassVar[Stage] = Stage.SPLIT
    ensures: ClassVar[Stage] = Stage.TILES

    hardware: Hardware

    def run(self, graph: Graph) -> None:
        waiting = products(graph)[::-1]
        shared = {product.matrix: None for _, product in waiting if product.matrix != product.name}
        stacks: dict[str, _Stack | None] = dict(shared)
        while waiting:  # weights and encodings go as soon as their layer stands
            self._lower(*waiting.pop(), stacks)

    def _stacked(
        self, matrix: str, encoding: Encoding, partition: Partition, stacks: dict[str, _Stack | None]
    ) -> _Stack:
        """The cells of a matrix, and how its columns recombine; of a shared matrix, always the same arrays."""
        found = stacks.get(matrix)
        if found is not None:
            return found
        levels, recombination = stack_levels(encoding, partition), None
        if self.hardware.weights.encoding == "biased-flip" and encoding.zero_levels is not None:
            cell = self.hardware.cell
            highest = 1.0 if cell.levels == "unlimited" else cell.levels - 1.0
            recombination = flip_columns(levels, partition, highest=highest, zero_levels=encoding.zero_levels)
        if matrix in stacks:
            stacks[matrix] = levels, recombination
        return levels, recombination

    def _lower(self, graph: Graph, product: MatVec, stacks: dict[str, _Stack | None]) -> None:
        """Lower one product; ``stacks``: of shared matrices, as far as they are stacked."""
        encoding, partition, found = product.encoding, product.partition, product.input_range
        if encoding is None or partition is None or found is None:
            raise InternalError(f"{product.name!r} is not ready for converters")
        hardware, name = self.hardware, product.name
        bits = hardware.dac.bits
        codes = None if bits == "unlimited" else CodeRange.of_bits(bits, signed=found.signed)
        # A range of subnormal numbers would make the step zero.
        scale = 1.0 if codes is None else float(max(np.float32(found.limit / codes.high), np.finfo(np.float32).tiny))
        levels, recombination = self._stacked(product.matrix, encoding, partition, stacks)
        analog = hardware.weights.subtraction == "analog"
        digits = _digits(hardware, codes)
        applied = codes if digits is None else CodeRange(0, digits.high)
        # Of a differential pair one cell is at level 0, so that a row counts once; around the middle both count.
        both = 2 if hardware.weights.encoding == "constant-sum" else 1
        highest = 0 if hardware.cell.levels == "unlimited" else both * (hardware.cell.levels - 1)
        step = 1.0 if hardware.cell.levels == "unlimited" else 1.0 / (hardware.cell.levels - 1)
        # Where nothing is rounded before the subtraction, what g_min adds to both sides cancels.
        cancels = analog or hardware.adc.bits == "unlimited"
        pedestal = 0.0 if cancels else hardware.cell.g_min / ((hardware.cell.g_max - hardware.cell.g_min) * step)

        def value(suffix: str) -> Value:
            return Value(f"{name}.{suffix}", None)

        dac = Dac(
            name=name,
            operands=[product.operand],
            results=[Value(f"{name}.codes", product.operand.type)],
            codes=codes,
            scale=scale,
            input_range=found,
            sample_axis=product.sample_axis,
        )
        read = TileRead(
            name=name,
            operands=[dac.result],
            results=[value("currents")],
            source=product.source,
            reason=product.reason,
            matrix=product.matrix,
            levels=levels,
            windows=product.windows,
            partition=partition,
            subtraction=hardware.weights.subtraction,
            pedestal=float(np.float32(pedestal)),  # as the program's file holds it
            grid=None if levels.dtype.kind == "f" else 1.0,
            digits=digits,
            active_rows=hardware.tile.active_rows,
            clipping=encoding.clipping,
            double=applied is None
            or hardware.cell.levels == "unlimited"
            or not _exact_in_float32(levels, partition, applied, highest=highest, pedestal=pedestal != 0.0),
        )
        bits = hardware.adc.bits
        # Digits are never negative, whatever the sign of their code.
        signed = analog or (found.signed and digits is None)
        adc = Adc(
            name=name,
            operands=[read.result],
            results=[value("adc_codes")],
            codes=None if bits == "unlimited" else CodeRange.of_bits(bits, signed=signed),
        )
        accumulate = Accumulate(
            name=name,
            operands=[adc.result],
            results=[value("sums")],
            slice_weights=encoding.slice_weights,
            subtraction=hardware.weights.subtraction,
            recombination=recombination,
            offsets=encoding.zero_levels if encoding.reference_levels is None else None,
            unit_correction=_correction(encoding, partition, recombination, pedestal=read.pedestal),
        )
        rescale = Rescale(
            name=name,
            operands=[accumulate.result],
            results=[Value(product.result.hint, product.result.type or float32(None))],
            unit_scale=encoding.scale * scale,
            bias=None if product.bias is None else product.bias.astype(np.float32),
        )
        for operator in (dac, read, adc, accumulate):
            graph.add(operator)
        graph.replace(product, rescale)


def stack_levels(encoding: Encoding, partition: Partition) -> np.ndarray:
    """Cells as blocks: ``(S, P, D, R, C)``, reference columns in place, short blocks padded with level 0."""
    slices, polarities, groups, rows, columns = encoding.levels.shape
    whole = partition.positions == 1 and rows == partition.row_blocks * partition.block_rows
    if whole and groups == 1 and encoding.reference_levels is None:
        return encoding.levels.reshape(slices, polarities, partition.row_blocks, partition.block_rows, columns)
    together, positions = partition.groups_per_diagonal, partition.positions
    shape = (partition.diagonals, positions, partition.position_blocks * partition.block_rows, partition.stack_columns)
    stack = np.zeros((slices, polarities, *shape), dtype=encoding.levels.dtype)
    data, height = partition.data_columns, rows // positions
    for diagonal in range(partition.diagonals):
        used = stack[:, :, diagonal, :, : height * partition.groups_in(diagonal)]
        if encoding.zero_levels is not None:  # off the diagonal of groups stands the weight zero
            used[:] = encoding.zero_levels.reshape(-1, 1, 1, 1, 1)
        if encoding.reference_levels is not None:
            used[..., sorted(set(partition.reference_columns))] = encoding.reference_levels.reshape(-1, 1, 1, 1, 1)
    for group in range(groups):
        diagonal, place = divmod(group, together)
        part = stack[:, :, diagonal, :, place * height : (place + 1) * height]
        matrix = encoding.levels[:, :, group].reshape(slices, polarities, height, positions, columns).swapaxes(2, 3)
        for start in range(0, columns, partition.block_columns):  # columns between two reference columns
            size = min(partition.block_columns, columns - start)
            first = data[place * columns + start]
            part[..., first : first + size] = matrix[..., start : start + size]
    return stack.reshape(slices, polarities, partition.stacked, partition.block_rows, partition.stack_columns)


def _correction(
    encoding: Encoding, partition: Partition, recombination: Recombination | None, *, pedestal: float
) -> np.ndarray | None:
    """Current a column and input code that the digital unit takes off, ``(D, C)``; ``None``: nothing."""
    offsets = encoding.zero_levels if encoding.reference_levels is None else None
    pairs = encoding.levels.shape[1] == 2
    if pairs or (encoding.reference_levels is not None and (recombination is None or pedestal == 0.0)):
        return None  # what is subtracted from one another cancels
    shape = (len(encoding.slice_weights), partition.stacked, partition.diagonal_columns)
    each = np.zeros(shape) if offsets is None else np.broadcast_to(offsets.astype(np.float64)[:, None, None], shape)
    counted = 1.0 if recombination is None else recombination.signs + recombination.references
    found: np.ndarray = np.tensordot(encoding.slice_weights, each + pedestal * counted, axes=1)
    return found if np.any(found) else None


def _digits(hardware: Hardware, codes: CodeRange | None) -> Digits | None:
    """How codes are applied; ``None``: whole."""
    if codes is None or hardware.input.mode == "parallel":
        return None
    bits = codes.high.bit_length()
    sign = hardware.input.sign if codes.low < 0 else None
    return Digits(bits, min(hardware.input.digit_bits, bits), sign)


def _exact_in_float32(
    levels: np.ndarray, partition: Partition, codes: CodeRange, *, highest: int, pedestal: bool
) -> bool:
    """Whether float32 holds all sums of a layer.

    Cells are looked at only where the ``highest`` levels at every row would be too much.
    """
    bound = partition.block_rows * highest * max(codes.high, -codes.low)
    return bound <= FLOAT32_EXACT or largest_sum(levels, partition, codes, pedestal=pedestal) <= FLOAT32_EXACT


def largest_sum(levels: np.ndarray, partition: Partition, codes: CodeRange, *, pedestal: bool) -> int:
    """The largest sum of magnitudes in any column of any block: what must stay exact while it is added up in any order.

    Counted for each polarity by itself and for the pair subtracted, since one side may subtract before it adds up;
    with a ``pedestal``, for the codes by themselves too.
    """
    largest = partition.block_rows if pedestal else 0
    for block in np.moveaxis(levels, 2, 0):
        for pair in block:
            sums = pair.sum(axis=1, dtype=np.int64)
            together = sums.sum(axis=0) if len(pair) == 2 else sums[0]
            largest = max(largest, int(together.max(initial=0)))
    return largest * max(codes.high, -codes.low)
