"""A graph as text that a person can read and a test can match.

One line an operator, producers first::

    %conv1.codes = dac "conv1" %input {codes=[0, 255], scale=0.00392157} : f32[N, 1, 8, 8]
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xbarc.errors import InternalError
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.naming import unique_names
from xbarc.ir.operators import Accumulate, Adc, CodeRange, Control, Dac, HostOp, MatVec, Rescale, TileRead
from xbarc.ir.partition import Partition
from xbarc.ir.windows import Windows

_SMALL = 8  # constants of up to so many elements are printed whole


def print_graph(graph: Graph, *, mark_unordered: bool = False) -> str:
    """The text of a graph. ``mark_unordered`` prints a broken graph in no order instead of raising."""
    try:
        return "\n".join(_graph(graph, unique_names(graph), graph.operators()))
    except InternalError:
        if not mark_unordered:
            raise
    every = list(graph._operators)
    names = {value: value.hint for op in every for value in (*op.operands, *op.results) if value is not None}
    return "\n".join(_graph(graph, names, every, bare=True))


def _graph(graph: Graph, names: dict[Value, str], order: Iterable[Operator], *, bare: bool = False) -> Iterator[str]:
    """The lines of a graph; ``bare``: without the bodies in it."""
    yield f"graph {graph.name!r} at stage {graph.stage.name.lower()} {{"
    yield from (f"  input  %{value.hint} : {_type(value)}" for value in graph.inputs)
    yield from _steps(order, names, bare=bare)
    for value, name in zip(graph.outputs, graph.output_names, strict=False):
        shown = names.get(value, value.hint)
        yield f"  output %{name}" + ("" if shown == name else f" = %{shown}") + f" : {_type(value)}"
    yield "}"


def _steps(order: Iterable[Operator], names: dict[Value, str], *, bare: bool) -> Iterator[str]:
    printed: set[Value] = set()
    for operator in order:
        for value in operator.operands:
            if value is not None and value.constant is not None and value not in printed:
                printed.add(value)
                yield f"  const  %{names[value]} = {_constant(value.constant)}"
        yield "  " + _operator(operator, names)
        if isinstance(operator, Control) and not bare:
            for key, body in operator.bodies.items():
                yield from ("    " + line for line in _body(key, body, names))


def _body(key: str, body: Graph, names: dict[Value, str]) -> Iterator[str]:
    """What a body is called, and its outputs, has no meaning outside of it."""
    yield f"{key} {{"
    yield from (f"  input  %{names[value]} : {_type(value)}" for value in body.inputs)
    yield from _steps(body.operators(), names, bare=False)
    yield from (f"  output %{names[value]} : {_type(value)}" for value in body.outputs)
    yield "}"


def _operator(operator: Operator, names: dict[Value, str]) -> str:
    results = ", ".join(f"%{names.get(value, value.hint)}" for value in operator.results)
    operands = ", ".join("-" if value is None else f"%{names.get(value, value.hint)}" for value in operator.operands)
    describe = _DETAILS.get(type(operator))
    details = ", ".join(f"{key}={text}" for key, text in describe(operator)) if describe else ""
    mnemonic = operator.kind if isinstance(operator, HostOp | Control) else operator.mnemonic
    types = ", ".join(_type(value) for value in operator.results)
    return f'{results} = {mnemonic} "{operator.name}" {operands}{f" {{{details}}}" if details else ""} : {types}'


def _host(operator: HostOp) -> Iterator[tuple[str, str]]:
    for attribute in operator.node.attribute:
        yield attribute.name, _attribute(attribute)
    if operator.captures:
        yield "captures", "[" + ", ".join(operator.captures) + "]"
    if operator.decision is not None:
        yield ("analog" if operator.decision.analog else "digital"), f'"{operator.decision.reason}"'


def _control(operator: Control) -> Iterator[tuple[str, str]]:
    for attribute in operator.node.attribute:
        yield attribute.name, _attribute(attribute)
    if operator.captured:
        yield "captured", str(operator.captured)


def _matvec(operator: MatVec) -> Iterator[tuple[str, str]]:
    yield "from", operator.source
    groups, rows, columns = operator.weight.shape
    yield "matrix", f"{groups} x ({rows} x {columns})" if groups > 1 else f"{rows} x {columns}"
    yield "weights", _digest(operator.weight)
    if operator.matrix != operator.name:
        yield "shares", f'"{operator.matrix}"'
    if operator.bias is not None:
        yield "bias", _digest(operator.bias)
    yield from _windows(operator.windows)
    yield "samples", _samples(operator.sample_axis)
    if operator.input_range is not None:
        sign = "signed" if operator.input_range.signed else "unsigned"
        yield "range", f'{_number(operator.input_range.limit)} {sign} "{operator.input_range.basis}"'
    if operator.encoding is not None:
        yield "levels", f"{_shape(operator.encoding.levels)} {_digest(operator.encoding.levels)}"
    if operator.partition is not None:
        yield "blocks", _blocks(operator.partition)


def _dac(operator: Dac) -> Iterator[tuple[str, str]]:
    yield "codes", _codes(operator.codes)
    yield "scale", _number(operator.scale)
    yield "samples", _samples(operator.sample_axis)


def _read(operator: TileRead) -> Iterator[tuple[str, str]]:
    yield "from", operator.source
    if operator.matrix != operator.name:
        yield "shares", f'"{operator.matrix}"'
    yield "blocks", _blocks(operator.partition)
    yield "levels", f"{_shape(operator.levels)} {_digest(operator.levels)}"
    yield from _windows(operator.windows)
    yield "subtraction", operator.subtraction
    if operator.digits is not None:
        yield "digits", f"{len(operator.digits.reads)} of {operator.digits.width} bits"
    if operator.pedestal:
        yield "pedestal", _number(operator.pedestal)
    if operator.grid not in (None, 1.0):
        yield "grid", _number(operator.grid)
    yield "sums", "float64" if operator.double else "float32"
    if operator.copies > 1:
        yield "copies", str(operator.copies)
    if operator.active_rows is not None:
        yield "active_rows", str(operator.active_rows)
    if operator.segment:
        yield "segment", str(operator.segment)
    if operator.pieces is not None:
        yield "pieces", f"{len(operator.pieces)} {_digest(operator.pieces)}"
        yield "tiles", f"{operator.pieces['tile'].min()}..{operator.pieces['tile'].max()}"


def _adc(operator: Adc) -> Iterator[tuple[str, str]]:
    yield "codes", _codes(operator.codes)
    if operator.range is not None:
        yield "lsb", _number(operator.range.lsb)
        yield "basis", f'"{operator.range.basis}"'


def _accumulate(operator: Accumulate) -> Iterator[tuple[str, str]]:
    yield "slices", "[" + ", ".join(_number(weight) for weight in operator.slice_weights) + "]"
    yield "subtraction", operator.subtraction


def _rescale(operator: Rescale) -> Iterator[tuple[str, str]]:
    if operator.scale is not None:
        yield "scale", _digest(operator.scale)
    if operator.bias is not None:
        yield "bias", _digest(operator.bias)


_DETAILS: dict[type[Operator], Callable[..., Iterator[tuple[str, str]]]] = {
    HostOp: _host,
    Control: _control,
    MatVec: _matvec,
    Dac: _dac,
    TileRead: _read,
    Adc: _adc,
    Accumulate: _accumulate,
    Rescale: _rescale,
}


def _windows(windows: Windows) -> Iterator[tuple[str, str]]:
    if windows.rank == 0:
        return
    yield "kernel", _dims(windows.kernel)
    yield "strides", _dims(windows.strides)
    if any(step != 1 for step in windows.dilations):
        yield "dilations", _dims(windows.dilations)
    if windows.auto_pad.startswith("SAME"):
        yield "auto_pad", windows.auto_pad
    elif any(windows.pads):
        yield "pads", _dims(windows.pads)


def _blocks(partition: Partition) -> str:
    down, across = partition.position_blocks, partition.column_blocks
    text = f"{down} x {across} of {partition.block_rows} x {partition.block_columns}"
    if partition.positions > 1:
        return f"{partition.positions} positions of {text}"
    return f"{partition.diagonals} diagonals of {text}" if partition.diagonals > 1 else text


def _attribute(attribute: onnx.AttributeProto) -> str:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _constant(numpy_helper.to_array(value))
    if isinstance(value, onnx.GraphProto):
        return f"<graph of {len(value.node)} nodes>"
    if isinstance(value, bytes):
        return repr(value.decode("utf-8", "replace"))
    if isinstance(value, float):
        return _number(value)
    return str(value) if len(str(value)) <= 80 else str(value)[:77] + "..."


def _constant(array: np.ndarray) -> str:
    kind = onnx.TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(array.dtype)).lower()
    shape = list(array.shape)
    if array.size <= _SMALL:
        return f"{kind}{shape} {array.tolist()}"
    return f"{kind}{shape} {_digest(array)}"


def _type(value: Value) -> str:
    return "?" if value.type is None else str(value.type)


def _codes(codes: CodeRange | None) -> str:
    return "unlimited" if codes is None else f"[{codes.low}, {codes.high}]"


def _samples(axis: int | None) -> str:
    return "mixed" if axis is None else f"axis {axis}"


def _shape(array: np.ndarray) -> str:
    return "x".join(str(size) for size in array.shape)


def _dims(sizes: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(size) for size in sizes) + "]"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _digest(array: np.ndarray) -> str:
    """A short name for the content of an array, the same on every machine."""
    if array.dtype == object:
        return "#" + hashlib.sha256(repr(array.tolist()).encode()).hexdigest()[:8]
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return "#" + hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()[:8]
