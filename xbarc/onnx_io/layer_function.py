"""The model-local function of a layer: its deterministic arithmetic, spelled out in plain ONNX operators.

Inputs, in order: ``x``; ``dac_scale`` (one equal number a channel); ``levels`` ``(S, P, D, R, C)``; ``adc_lsb`` (one
equal number a column); ``slice_weights`` ``(S, 1, 1, 1, 1)``; ``output_scale`` and ``bias``, ``(columns,)``.

Where a product is divided, it is divided by a tensor of several numbers, though they are equal: a division by one
number right after a product is replaced by optimisers with a product by its reciprocal, which rounds differently. Where
one number is all there is, a step that changes nothing stands between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xbarc.ir.converter_errors import AdcErrors
from xbarc.ir.digits import Digits, DigitSource
from xbarc.ir.layer import Layer
from xbarc.ir.operators import CodeRange
from xbarc.ir.windows import Windows

DOMAIN = "ai.xbarc"
DOMAIN_VERSION = 1


def layer_function(layer: Layer, opset: int) -> onnx.FunctionProto:
    """The function of a layer. Layers of equal geometry get equal functions of equal name."""
    body = _Body(opset)
    _write(layer, body)
    inputs = ["x", *layer_tensors(layer)]
    digest = hashlib.sha256(b"".join(node.SerializeToString(deterministic=True) for node in body.nodes)).hexdigest()[:8]
    function: onnx.FunctionProto = helper.make_function(
        DOMAIN,
        f"Analog{layer.read.source}_{digest}",
        inputs,
        ["y"],
        body.nodes,
        [helper.make_opsetid("", opset)],
        sorted(layer_attributes(layer)),
    )
    return function


def layer_tensors(layer: Layer) -> list[str]:
    """The tensors that the function of a layer takes after its input, in order."""
    names = ["dac_scale", "levels", "adc_lsb", "slice_weights", "output_scale"]
    if layer.rescale.bias is not None:
        names.append("bias")
    if layer.accumulate.recombination is not None:
        names += ["signs", "references"]
    if layer.accumulate.correction is not None:
        names.append("correction")
    if layer.dac.applied is not None:
        names.append("dac_levels")
    if layer.adc.errors is not None:
        names += ["adc_gain", "adc_offset"]
        if layer.adc.errors.inl is not None:
            names.append("adc_inl")
    if layer.read.nonlinear is not None:
        names += ["nonlinear_cells", "nonlinear_codes"]
    return names


def layer_attributes(layer: Layer) -> dict[str, Any]:
    """What the call of a layer's function says about its geometry, for viewers and for reading the program back."""
    read, partition = layer.read, layer.read.partition
    attributes: dict[str, Any] = {
        "source": read.source,
        "groups": partition.groups,
        "rows": partition.rows,
        "columns": partition.columns,
        "groups_per_diagonal": partition.groups_per_diagonal,
        "block_rows": partition.block_rows,
        "block_columns": partition.block_columns,
        "reference_column": int(partition.reference_column),
        "subtraction": read.subtraction,
        "pedestal": read.pedestal,
        "sums": "float64" if read.double else "float32",
    }
    if partition.positions > 1:
        attributes["positions"] = partition.positions
    if read.grid is not None:
        attributes["grid"] = read.grid
    optional = layer_tensors(layer)[5:]
    if optional not in ([], ["bias"]):
        attributes["tensors"] = optional
    if read.digits is not None:
        attributes |= {"digits": (read.digits.bits, read.digits.width), "digit_sign": read.digits.sign or "none"}
    if read.windows.rank:
        attributes |= {
            "kernel_shape": read.windows.kernel,
            "strides": read.windows.strides,
            "dilations": read.windows.dilations,
            "pads": read.windows.pads,
            "auto_pad": read.windows.auto_pad,
        }
    for name, codes in (("dac_codes", layer.dac.codes), ("adc_codes", layer.adc.codes)):
        if codes is not None:
            attributes[name] = (codes.low, codes.high)
    return attributes


def _write(layer: Layer, body: _Body) -> None:
    read, partition = layer.read, layer.read.partition
    rank = read.windows.rank
    rows, columns = partition.groups * partition.rows, partition.groups * partition.columns
    elem = TensorProto.DOUBLE if read.double else TensorProto.FLOAT

    # DAC, before the lowering to windows, so that padding is code 0
    codes = "x"
    if layer.dac.codes is not None:
        if rows == read.windows.kernel_size:  # one channel
            codes = body.unchanged(codes, TensorProto.FLOAT)
        scaled = body("Div", [codes, "dac_scale"])
        codes = body.clip(body("Round", [scaled]), layer.dac.codes.low, layer.dac.codes.high, TensorProto.FLOAT)

    # windows: (windows, rows), then one part for each block: (D, windows, R)
    sizes: list[str] = []
    if rank == 0:
        windows = body("Reshape", [codes, body.ints([-1, rows])])
    else:
        windows, sizes = _lower_windows(body, codes, read.windows, rows, apart=partition.positions > 1)
    if read.double:
        windows = body("Cast", [windows], to=elem)
    filled = partition.diagonals * partition.diagonal_rows
    windows = body.pad_last(windows, 2, filled - rows, elem)
    parts = partition.diagonals * partition.positions
    if parts > 1:
        windows = body("Reshape", [windows, body.ints([-1, parts, partition.position_rows])])
    missing = partition.position_blocks * partition.block_rows - partition.position_rows
    windows = body.pad_last(windows, 3 if parts > 1 else 2, missing, elem)
    windows = body("Reshape", [windows, body.ints([-1, partition.stacked, partition.block_rows])])
    windows = body("Transpose", [windows], perm=[1, 0, 2])
    whole = windows
    if read.digits is not None:  # one digit after the other, as if they were windows: (D, digits x windows, R)
        windows = body("Concat", _split(body, windows, read.digits, elem), axis=1)

    curved = windows
    if layer.dac.applied is not None:
        windows = body("Gather", ["dac_levels", _place(body, windows, layer.dac.applied.low, elem)], axis=0)

    # tile reads: one product over the stack, (S, P, D, windows, C)
    cells = "levels" if _held_as(layer) == elem else body("Cast", ["levels"], to=elem)
    currents = body("MatMul", [windows, cells])
    if read.nonlinear is not None:
        place = _place(body, curved, read.nonlinear.low, elem)
        for term in range(len(read.nonlinear.curves)):
            number = body.integer(term)
            beyond = body("Cast", [body("Gather", ["nonlinear_cells", number], axis=0)], to=elem)
            curve = body("Gather", ["nonlinear_codes", number], axis=0)
            currents = body("Add", [currents, body("MatMul", [body("Gather", [curve, place], axis=0), beyond])])
    if read.pedestal:
        total = body.reduce_sum(windows, [2], keepdims=1)
        currents = body("Add", [currents, body("Mul", [total, body.scalar(read.pedestal, elem)])])
    if read.subtraction == "analog":
        currents = _subtract(body, layer, currents)

    # ADC
    if layer.adc.codes is not None:
        if read.subtraction == "digital" and not read.pedestal and partition.stack_columns == 1:
            currents = body.unchanged(currents, elem)
        divided = body("Div", [currents, "adc_lsb"])
        if layer.adc.errors is not None:
            divided = _distort(body, divided, layer.adc.codes, layer.adc.errors, elem)
        currents = body.clip(body("Round", [divided]), layer.adc.codes.low, layer.adc.codes.high, elem)

    # digital: subtract, shift and add, add over row blocks
    total_elem = TensorProto.DOUBLE if layer.double_sums else TensorProto.FLOAT
    if total_elem != elem:
        currents = body("Cast", [currents], to=total_elem)
    if read.subtraction == "digital":
        currents = _subtract(body, layer, currents)
    weighted = body("Mul", [currents, "slice_weights"])
    slices, down, across = read.levels.shape[0], partition.row_blocks, partition.diagonal_columns
    if read.digits is None:
        apart = body.ints([slices, partition.diagonals, down, -1, across])
        sums = body.reduce_sum(body("Reshape", [weighted, apart]), [0, 2], keepdims=0)
    else:
        counts = np.array(layer.digit_weights, dtype=helper.tensor_dtype_to_np_dtype(total_elem)).reshape(-1, 1, 1)
        apart = body.ints([slices, partition.diagonals, down, len(counts), -1, across])
        weighted = body("Mul", [body("Reshape", [weighted, apart]), body.constant(counts)])
        sums = body.reduce_sum(weighted, [0, 2, 3], keepdims=0)
    if layer.accumulate.correction is not None:
        total = body("Cast", [body.reduce_sum(whole, [2], keepdims=1)], to=TensorProto.DOUBLE)
        taken = body("Mul", [total, "correction"])
        taken = body("Reshape", [taken, body.ints([partition.diagonals, down, -1, across])])
        sums = body("Sub", [sums, body.reduce_sum(taken, [1], keepdims=0)])
    sums = body("Transpose", [sums], perm=[1, 0, 2])
    sums = body("Reshape", [sums, body.ints([-1, partition.diagonals * partition.diagonal_columns])])
    if partition.diagonals * partition.diagonal_columns > columns:
        sums = body("Slice", [sums, body.ints([0]), body.ints([columns]), body.ints([1])])
    if layer.double_sums:
        sums = body("Cast", [sums], to=TensorProto.FLOAT)

    # rescale, and back to the shape of the layer's output
    y = body("Mul", [sums, "output_scale"])
    if layer.rescale.bias is not None:
        y = body("Add", [y, "bias"])
    shape = body("Shape", ["x"])
    if rank == 0:
        leading = body("Slice", [shape, body.ints([0]), body.ints([-1]), body.ints([0])])
        body("Reshape", [y, body("Concat", [leading, body.ints([columns])], axis=0)], output="y")
        return
    images = body("Slice", [shape, body.ints([0]), body.ints([1]), body.ints([0])])
    y = body("Reshape", [y, body("Concat", [images, *sizes, body.ints([columns])], axis=0)])
    body("Transpose", [y], perm=[0, rank + 1, *range(1, rank + 1)], output="y")


def _split(body: _Body, codes: str, digits: Digits, elem: int) -> list[str]:
    """The digits of codes, each of the codes' shape: exact, since all numbers are small integers and powers of two."""

    def part(source: DigitSource) -> str:
        match source:
            case "code":
                return codes
            case "positive":
                return body("Relu", [codes])
            case "negative":
                return body("Relu", [body("Neg", [codes])])
        sign = body("Cast", [body("Less", [codes, body.scalar(0, elem)])], to=elem)
        if source == "sign":
            return sign
        return body("Add", [codes, body("Mul", [sign, body.scalar(2**digits.bits, elem)])])

    parts = {source: part(source) for source in dict.fromkeys(digit.source for digit in digits.reads)}
    found = []
    for digit in digits.reads:
        shifted = body("Floor", [body("Mul", [parts[digit.source], body.scalar(2.0**-digit.shift, elem)])])
        above = body("Floor", [body("Mul", [shifted, body.scalar(2.0**-digit.width, elem)])])
        found.append(body("Sub", [shifted, body("Mul", [above, body.scalar(2**digit.width, elem)])]))
    return found


def _place(body: _Body, codes: str, low: int, elem: int) -> str:
    """Where codes stand in a list that begins with that of ``low``."""
    return body("Cast", [body("Sub", [codes, body.scalar(low, elem)])], to=TensorProto.INT64)


def _distort(body: _Body, codes: str, ends: CodeRange, errors: AdcErrors, elem: int) -> str:
    """Errors of converters, in codes before rounding: step by step what the runtime computes."""
    codes = body("Add", [body("Mul", [codes, "adc_gain"]), "adc_offset"])
    if errors.inl is None:
        return codes
    dtype = helper.tensor_dtype_to_np_dtype(elem).type
    last = errors.inl.shape[3] - 1
    steps = dtype(last) / (dtype(ends.high) - dtype(ends.low))
    place = body("Mul", [body("Sub", [codes, body.scalar(ends.low, elem)]), body.scalar(steps, elem)])
    place = body.clip(place, 0, last, elem)
    before = body.clip(body("Floor", [place]), 0, last - 1, elem)
    index = body("Cast", [before], to=TensorProto.INT64)
    left = body("GatherElements", ["adc_inl", index], axis=3)
    right = body("GatherElements", ["adc_inl", body("Add", [index, body.integer(1)])], axis=3)
    part = body("Mul", [body("Sub", [place, before]), body("Sub", [right, left])])
    return body("Add", [codes, body("Add", [left, part])])


def _held_as(layer: Layer) -> int:
    """The element type of the levels' initializer."""
    return int(helper.np_dtype_to_tensor_dtype(layer.read.levels.dtype))


def _subtract(body: _Body, layer: Layer, columns: str) -> str:
    """Polarities, or columns and their reference columns: ``(S, 1, D, windows, columns of a diagonal)``."""
    partition = layer.read.partition
    if partition.reference_column:
        data = body("Gather", [columns, body.ints(partition.data_columns)], axis=4)
        reference = body("Gather", [columns, body.ints(partition.reference_columns)], axis=4)
        if layer.accumulate.recombination is None:
            return body("Sub", [data, reference])
        return body("Add", [body("Mul", [data, "signs"]), body("Mul", [reference, "references"])])
    if layer.read.levels.shape[1] == 1:
        return columns
    positive = body("Gather", [columns, body.ints([0])], axis=1)
    negative = body("Gather", [columns, body.ints([1])], axis=1)
    return body("Sub", [positive, negative])


def _lower_windows(body: _Body, codes: str, windows: Windows, rows: int, *, apart: bool) -> tuple[str, list[str]]:
    """Codes ``(images, channels, *spatial)`` as ``(windows, rows)``; also the sizes of the output's spatial axes.

    Rows run over channels, then kernel positions; where positions are cut ``apart``, over positions first.
    """
    rank = windows.rank
    if windows.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        codes = body("Pad", [codes, _same_pads(body, codes, windows)])
    elif any(windows.pads):
        codes = body("Pad", [codes, body.ints([0, 0, *windows.pads[:rank], 0, 0, *windows.pads[rank:]])])
    shape = body("Shape", [codes])
    sizes = []
    for axis in range(rank):
        kernel, stride, dilation = windows.kernel[axis], windows.strides[axis], windows.dilations[axis]
        size = body("Slice", [shape, body.ints([2 + axis]), body.ints([3 + axis]), body.ints([0])])
        reach = body("Sub", [size, body.ints([(kernel - 1) * dilation + 1])])
        count = body("Add", [body("Div", [reach, body.ints([stride])]), body.ints([1])])
        sizes.append(count)
        zero, one = body.integer(0), body.integer(1)
        starts = body("Range", [zero, body("Reshape", [count, body.ints([])]), one])
        starts = body("Mul", [body("Reshape", [starts, body.ints([-1, 1])]), body.ints([stride])])
        taps = body.ints([tap * dilation for tap in range(kernel)])
        codes = body("Gather", [codes, body("Add", [starts, taps])], axis=2 + 2 * axis)
    # (images, channels, o1, k1, o2, k2, ...) -> (images, o1, o2, ..., channels, k1, k2, ...), or channels last
    outer, inner = [2 + 2 * axis for axis in range(rank)], [3 + 2 * axis for axis in range(rank)]
    codes = body("Transpose", [codes], perm=[0, *outer, *([*inner, 1] if apart else [1, *inner])])
    return body("Reshape", [codes, body.ints([-1, rows])]), sizes


def _same_pads(body: _Body, codes: str, windows: Windows) -> str:
    """The ``pads`` of a ``Pad`` for ``SAME_UPPER`` or ``SAME_LOWER``, which depend on the sizes of the input."""
    shape = body("Shape", [codes])
    spatial = body("Slice", [shape, body.ints([2]), body.ints([2 + windows.rank]), body.ints([0])])
    strides = body.ints(windows.strides)
    up = body("Sub", [body("Add", [spatial, strides]), body.ints([1])])
    steps = body("Sub", [body("Div", [up, strides]), body.ints([1])])
    reach = body.ints([(k - 1) * d + 1 for k, d in zip(windows.kernel, windows.dilations, strict=True)])
    total = body("Sub", [body("Add", [body("Mul", [steps, strides]), reach]), spatial])
    total = body("Max", [total, body.ints([0])])
    small = body("Div", [total, body.ints([2])])
    large = body("Sub", [total, small])
    begin, end = (small, large) if windows.auto_pad == "SAME_UPPER" else (large, small)
    none = body.ints([0, 0])
    return body("Concat", [none, begin, none, end], axis=0)


class _Body:
    """Writes the nodes of a function: each call adds one and returns the name of its result."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self.nodes: list[onnx.NodeProto] = []

    def __call__(self, op_type: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        return self("Constant", [], value=numpy_helper.from_array(array))

    def ints(self, numbers: Sequence[int]) -> str:
        """A vector of int64."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def integer(self, number: int) -> str:
        """An int64 without axes."""
        return self.constant(np.array(number, dtype=np.int64))

    def scalar(self, number: float, elem: int) -> str:
        """A number without axes."""
        return self.constant(np.array(number, dtype=helper.tensor_dtype_to_np_dtype(elem)))

    def clip(self, value: str, low: float, high: float, elem: int) -> str:
        return self("Clip", [value, self.scalar(low, elem), self.scalar(high, elem)])

    def unchanged(self, value: str, elem: int) -> str:
        """Clip to all finite numbers: keeps a division from joining the product before it."""
        largest = float(np.finfo(helper.tensor_dtype_to_np_dtype(elem)).max)
        return self.clip(value, -largest, largest, elem)

    def reduce_sum(self, value: str, axes: Sequence[int], *, keepdims: int) -> str:
        """``ReduceSum``, whose axes became an operand with opset 13."""
        if self._opset >= 13:
            return self("ReduceSum", [value, self.ints(axes)], keepdims=keepdims)
        return self("ReduceSum", [value], axes=list(axes), keepdims=keepdims)

    def pad_last(self, value: str, rank: int, count: int, elem: int) -> str:
        """Append zeros along the last axis."""
        if count == 0:
            return value
        pads = self.ints([0] * (2 * rank - 1) + [count])
        return self("Pad", [value, pads, self.scalar(0, elem)])
