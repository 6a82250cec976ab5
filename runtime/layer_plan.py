"""What the runtime needs of a layer: matrices, offsets and numbers, made once when a program is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarc.ir.converter_errors import AppliedLevels
from xbarc.ir.digits import Digits
from xbarc.ir.layer import Layer
from xbarc.ir.operators import CodeRange
from xbarc.ir.windows import Windows
from xbarc.runtime.code_blocks import CodeBlock, code_block, fits_bytes, zero_byte
from xbarc.runtime.convolution import ConvolutionPart, is_shallow, layer_convolution
from xbarc.runtime.matrices import add_variances, matrices_of


@dataclass(frozen=True, slots=True)
class LayerNoise:
    """What is drawn anew at every read of a layer.

    Attributes:
        seed: of the chip.
        fast_variance: of its cells, ``(S, P, D, R, C)`` float64, in squared levels; ``None``: cells are quiet.
        adc_noise_lsb: standard deviation of a conversion, in codes.
    """

    seed: int
    fast_variance: np.ndarray | None
    adc_noise_lsb: float


@dataclass(frozen=True, slots=True)
class ReadErrors:
    """Errors of the converters behind one matrix, in codes (:class:`xbarc.ir.converter_errors.AdcErrors`).

    Attributes:
        gain, offset: ``(columns,)``.
        inl: ``(values of a curve, columns)``; no values: there is no curve.
    """

    gain: np.ndarray
    offset: np.ndarray
    inl: np.ndarray


@dataclass(frozen=True, slots=True)
class Block:
    """The reads of one row block of one diagonal: everything that shares one panel of windows.

    Attributes:
        rows: which of the layer's matrix it holds (groups laid end to end).
        matrices: ``(rows, columns)`` levels, or differences of levels where currents are subtracted; one a slice and,
            where they are converted apart, one a polarity. None where products are taken in integers.
        weights: what the codes of each matrix count in the sum.
        signs, references: of each matrix, what the code of a column and that of its reference column count within that;
            empty where a column counts once and its reference minus once.
        correction: what is taken off each column for the sum of the input codes; ``None``: nothing.
        variances: of the fast noise behind each matrix, of the same shape, for inputs squared; empty where cells are
            quiet.
        reference_variances: the same of the reference columns that are subtracted in the currents, ``(rows, column
            blocks)``; empty where there are none.
        errors: of the converters behind each matrix; empty where they have none.
        nonlinear: what :attr:`LayerPlan.curves` is multiplied with behind each matrix, of the same shape, one a curve;
            empty where cells are resistors.
        codes: the products in integers; ``None``: they are not.
    """

    rows: range
    matrices: tuple[np.ndarray, ...]
    weights: tuple[float, ...]
    signs: tuple[np.ndarray, ...]
    references: tuple[np.ndarray, ...]
    correction: np.ndarray | None
    variances: tuple[np.ndarray, ...]
    reference_variances: tuple[np.ndarray, ...]
    errors: tuple[ReadErrors, ...]
    nonlinear: tuple[tuple[np.ndarray, ...], ...]
    codes: CodeBlock | None


@dataclass(frozen=True, slots=True)
class Diagonal:
    """Columns that are read together, and the row blocks whose partial sums they add up.

    Attributes:
        first_column, columns: of the layer.
        width: columns of a read, reference columns included.
        blocks: in the order in which they add up.
    """

    first_column: int
    columns: int
    width: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer, ready to run.

    Attributes:
        name: for messages.
        windows, channels: geometry of the input.
        sample_axis: of the input; ``None`` where windows mix samples.
        columns: outputs a window.
        digits: the reads of a window; ``None``: one, of the whole code.
        dac_codes, dac_scale: input conversion; no codes: unlimited.
        quantises_inputs: whether what is between codes and beyond them is lost (:class:`xbarc.ir.operators.Dac`).
        zero: byte of the code 0 where codes are bytes; ``None``: they are not, and products are in floating point.
        grid: what a unit of products in integers counts, in levels.
        applied: what is applied for each code or digit; ``None``: the code itself.
        curves: ``(curves, codes)`` float64, what cells that are no resistors add by, for each code or digit; empty
            where they are.
        first_code: which code a curve begins with.
        adc_codes, lsb: output conversion.
        quantises_outputs: likewise (:class:`xbarc.ir.operators.Adc`).
        dtype: of codes, levels and currents: float32 where all sums are exact in it, otherwise float64.
        sum_dtype: of accumulated codes.
        pedestal: units of current a code that ``g_min`` adds.
        data_columns, reference_columns: where columns and their references lie in a single-ended read with reference
            columns.
        block_columns: columns that share a reference column.
        diagonals: the matrices.
        scale, bias: ``(columns,)`` float32.
        noise: what is drawn at every read; ``None``: nothing is.
        collapsed: whether all reads of a diagonal lose nothing and are one product, whose currents are its sums.
        convolution: the layer by onnxruntime's convolution, for inputs that are numbers; empty where that is slower.
    """

    name: str
    windows: Windows
    channels: int
    sample_axis: int | None
    columns: int
    digits: Digits | None
    dac_codes: CodeRange | None
    dac_scale: float
    quantises_inputs: bool
    zero: int | None
    grid: float
    applied: AppliedLevels | None
    curves: np.ndarray
    first_code: int
    adc_codes: CodeRange | None
    quantises_outputs: bool
    lsb: float
    dtype: np.dtype
    sum_dtype: np.dtype
    pedestal: float
    data_columns: np.ndarray | None
    reference_columns: np.ndarray | None
    block_columns: int
    diagonals: tuple[Diagonal, ...]
    scale: np.ndarray
    bias: np.ndarray
    noise: LayerNoise | None
    collapsed: bool
    convolution: tuple[ConvolutionPart, ...]


def layer_plan(
    layer: Layer, *, convert_outputs: bool = True, noise: LayerNoise | None = None, integers: bool = True
) -> LayerPlan:
    """The plan of a layer.

    Args:
        layer: from a program, or with the cells of a written chip.
        convert_outputs: without it, or without a range, the ADC passes currents as they are.
        noise: drawn at every read.
        integers: whether products are taken in integers where they can be.
    """
    read, partition = layer.read, layer.read.partition
    convert = convert_outputs and layer.adc.codes is not None and layer.adc.range is not None
    quantise = convert and layer.adc.quantises
    dtype = np.dtype(np.float64 if read.double or not layer.dac.quantises else np.float32)
    columns = partition.groups * partition.columns
    scale = layer.rescale.scale if quantise and layer.rescale.scale is not None else layer.rescale.unit_scale
    references = partition.reference_column and layer.single_ended
    in_codes = integers and fits_bytes(layer)
    accumulate = layer.accumulate
    correction = accumulate.correction if quantise and accumulate.correction is not None else accumulate.unit_correction
    collapsed = in_codes and quantise and noise is None and _is_lossless(layer, correction)
    if collapsed and layer.double_sums:
        dtype = np.dtype(np.float64)
    sum_dtype = np.dtype(np.float64 if layer.double_sums or not quantise else np.float32)
    plain = quantise and noise is None and layer.adc.errors is None and not read.pedestal
    plain = plain and not partition.reference_column and accumulate.recombination is None and correction is None
    plain = plain and in_codes and dtype == sum_dtype == np.float32 and (collapsed or read.digits is None)
    return LayerPlan(
        name=layer.name,
        windows=read.windows,
        channels=partition.groups * partition.rows // read.windows.kernel_size,
        sample_axis=layer.dac.sample_axis,
        columns=columns,
        digits=None if collapsed else read.digits,
        dac_codes=layer.dac.codes,
        dac_scale=layer.dac.scale,
        quantises_inputs=layer.dac.quantises,
        zero=zero_byte(layer) if in_codes else None,
        grid=layer.read.grid or 1.0,
        applied=layer.dac.applied,
        curves=np.empty((0, 0)) if read.nonlinear is None else read.nonlinear.curves,
        first_code=0 if read.nonlinear is None else read.nonlinear.low,
        adc_codes=layer.adc.codes if convert and not collapsed else None,
        quantises_outputs=layer.adc.quantises,
        lsb=layer.adc.range.lsb if layer.adc.range is not None else 1.0,
        dtype=dtype,
        sum_dtype=sum_dtype,
        pedestal=read.pedestal,
        data_columns=np.array(partition.data_columns) if references else None,
        reference_columns=np.array(partition.reference_columns) if references else None,
        block_columns=partition.block_columns,
        diagonals=tuple(
            _collapsed(layer, index, dtype, correction)
            if collapsed
            else _diagonal(layer, index, dtype, noise, correction, convert=convert, in_codes=in_codes)
            for index in range(partition.diagonals)
        ),
        scale=np.ascontiguousarray(scale, dtype=np.float32),
        bias=np.zeros(columns, np.float32) if layer.rescale.bias is None else np.ascontiguousarray(layer.rescale.bias),
        noise=noise,
        collapsed=collapsed,
        convolution=layer_convolution(layer, collapsed=collapsed) if plain and is_shallow(layer) else (),
    )


def _is_lossless(layer: Layer, correction: np.ndarray | None) -> bool:
    """Whether every read is known to lose nothing: then all row blocks, slices, polarities and digits are one product.

    Known for the levels that a program holds, whatever the input (:attr:`xbarc.ir.operators.CurrentRange.lossless`).
    Codes are the currents themselves, so that the bounds on sums of codes hold for the product.
    """
    adc, read = layer.adc, layer.read
    if adc.range is None or not adc.range.lossless or adc.range.lsb != 1.0 or adc.errors is not None or read.pedestal:
        return False
    if not np.issubdtype(read.levels.dtype, np.integer):  # of a written chip
        return False
    if correction is not None and not np.array_equal(correction, np.rint(correction)):
        return False
    return layer.accumulate.recombination is None and not read.partition.reference_column


def _collapsed(layer: Layer, index: int, dtype: np.dtype, correction: np.ndarray | None) -> Diagonal:
    """A diagonal as one product: all that its reads count, and the correction, which is taken off for every code."""
    partition = layer.read.partition
    first = index * partition.diagonal_rows
    rows = range(first, first + partition.rows * partition.groups_in(index))
    matrix = np.zeros((len(rows), layer.read.levels.shape[-1]), dtype=dtype)
    for row_block in range(partition.row_blocks):
        held, place = partition.rows_of(index, row_block), index * partition.row_blocks + row_block
        part = matrix[held.start - first : held.stop - first : held.step]
        for cells, weight in matrices_of(layer, layer.read.levels[:, :, place, : len(held)], dtype):
            part += weight * cells
        if correction is not None:
            part -= correction[place].astype(dtype)
    codes = code_block(layer, rows, [matrix], [], [], largest=0, lsb=None, double=dtype == np.float64)
    block = Block(
        rows=rows,
        matrices=(),
        weights=(1.0,),
        signs=(),
        references=(),
        correction=None,
        variances=(),
        reference_variances=(),
        errors=(),
        nonlinear=(),
        codes=codes,
    )
    first_column = index * partition.diagonal_columns
    return Diagonal(first_column, partition.columns * partition.groups_in(index), matrix.shape[1], (block,))


def _diagonal(
    layer: Layer,
    index: int,
    dtype: np.dtype,
    noise: LayerNoise | None,
    correction: np.ndarray | None,
    *,
    convert: bool,
    in_codes: bool,
) -> Diagonal:
    partition = layer.read.partition
    blocks = []
    width = 0
    for row_block in range(partition.row_blocks):
        held = partition.rows_of(index, row_block)
        rows = len(held)
        matrices, weights = [], []
        place = index * partition.row_blocks + row_block
        for matrix, weight in matrices_of(layer, layer.read.levels[:, :, place, :rows], dtype):
            matrices.append(matrix)
            weights.append(weight)
        curved: list[list[np.ndarray]] = [[] for _ in matrices]
        for cells in () if layer.read.nonlinear is None else layer.read.nonlinear.cells[:, :, :, place, :rows]:
            for number, (matrix, _) in enumerate(matrices_of(layer, cells, dtype)):
                curved[number].append(matrix)
        width = matrices[0].shape[1]
        variances: list[np.ndarray] = []
        references: list[np.ndarray] = []
        if noise is not None and noise.fast_variance is not None:
            for cells in noise.fast_variance[:, :, place, :rows]:
                add_variances(layer, cells, variances, references)
        how = layer.accumulate.recombination
        codes = None
        if in_codes:
            codes = code_block(
                layer,
                held,
                matrices,
                variances,
                references,
                largest=0 if layer.read.digits is None else layer.read.digits.high,
                lsb=layer.adc.range.lsb if convert and layer.adc.quantises and layer.adc.range is not None else None,
                double=dtype == np.float64,
            )
        blocks.append(
            Block(
                rows=held,
                matrices=() if in_codes else tuple(matrices),
                weights=tuple(weights),
                signs=() if how is None else tuple(how.signs[:, place]),
                references=() if how is None else tuple(how.references[:, place]),
                correction=None if correction is None else correction[place],
                variances=() if in_codes else tuple(variances),
                reference_variances=() if in_codes else tuple(references),
                errors=tuple(_errors(layer, place, dtype)) if convert else (),
                nonlinear=() if layer.read.nonlinear is None else tuple(map(tuple, curved)),
                codes=codes,
            )
        )
    first_column = index * partition.diagonal_columns
    return Diagonal(first_column, partition.columns * partition.groups_in(index), width, tuple(blocks))


def _errors(layer: Layer, place: int, dtype: np.dtype) -> Iterator[ReadErrors]:
    """Those of the converters behind each matrix of a block."""
    errors = layer.adc.errors
    if errors is None:
        return
    for slice_, polarity in np.ndindex(errors.gain.shape[:2]):
        at = (slice_, polarity, place)
        curves = np.zeros((0, errors.gain.shape[-1]), dtype) if errors.inl is None else errors.inl[at].astype(dtype)
        yield ReadErrors(errors.gain[at].astype(dtype), errors.offset[at].astype(dtype), curves)
