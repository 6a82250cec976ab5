"""How much arithmetic an operator does: multiply-accumulates of one sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import onnx

from xbarc.ir.equations import parse
from xbarc.ir.foreign import WITHOUT_PRODUCTS
from xbarc.ir.graph import Graph, Value
from xbarc.ir.layer import Layer, layers
from xbarc.ir.naming import subgraphs
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.sample_loops import SampleAxis
from xbarc.ir.types import Dim
from xbarc.ir.windows import Windows

_COUNTED: Final = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
_HIDING: Final = frozenset(
    """Attention ConvInteger DeformConv GRU LSTM MatMulInteger QLinearConv QLinearMatMul RNN""".split()
)


def layer_windows(layer: Layer) -> int | None:
    """Input vectors of one sample; ``None`` where shapes are not known."""
    return _windows(layer.input, layer.read.windows, layer.dac.sample_axis)


def matrix_windows(graph: Graph) -> dict[str, int | None]:
    """Input vectors of one sample by matrix, in loops as often as they run; ``None`` where that is not known.

    Layers that share a matrix take turns on its tiles, so theirs add up.
    """
    times = repetitions(graph)
    found: dict[str, int | None] = {}
    for layer in layers(graph):
        windows = repeated(layer_windows(layer), times[layer.dac])
        before = found.get(layer.read.matrix, 0)
        found[layer.read.matrix] = None if windows is None or before is None else before + windows
    return found


def matvec_macs(product: MatVec) -> int | None:
    """Multiply-accumulates of one sample; ``None`` where shapes are not known."""
    windows = _windows(product.operand, product.windows, product.sample_axis)
    return None if windows is None else windows * product.weight.size


def layer_macs(layer: Layer) -> int | None:
    """Multiply-accumulates of one sample, zeros between groups not counted; ``None`` where shapes are not known."""
    windows = layer_windows(layer)
    partition = layer.read.partition
    return None if windows is None else windows * partition.groups * partition.rows * partition.columns


def has_hidden_products(node: onnx.NodeProto) -> bool:
    """Whether a node multiplies matrices in ways that are not counted here; operators of other domains may do so."""
    if node.domain not in ("", "ai.onnx"):
        return f"{node.domain}.{node.op_type}" not in WITHOUT_PRODUCTS
    if node.op_type in _HIDING:
        return True
    inner = [step for graph in subgraphs(node) for step in graph.node]
    return any(step.op_type in _COUNTED or has_hidden_products(step) for step in inner)


def host_macs(operator: HostOp, axes: Mapping[Value, SampleAxis] | None = None) -> int | None:
    """Multiply-accumulates of one sample in a digital product, 0 for operators without products.

    ``None`` where shapes are not known, and for operators whose products are not looked into. The sample ``axes`` of
    values tell which axis of the result does not count; a leading symbol is taken for it where they are not given.
    """
    if operator.kind == "com.microsoft.MultiHeadAttention":
        return _attention_macs(operator)
    if operator.kind != "com.microsoft.FusedMatMul" and has_hidden_products(operator.node):
        return None
    shapes = [None if value is None else value.shape for value in operator.operands]
    result = operator.results[0].shape if operator.results else None
    match operator.kind:
        case "MatMul" | "Gemm" | "com.microsoft.FusedMatMul":
            left = shapes[0]
            if not left or result is None or operator.attribute("transBatchA", 0):
                return None
            summed = left[-2 if operator.attribute("transA", 0) and len(left) > 1 else -1]
            along = (axes or {}).get(operator.results[0])
            counted = [size for axis, size in enumerate(result) if axis != along]
            return _product([*counted, summed])
        case "Conv":
            kernel = shapes[1]
            return None if kernel is None or result is None else _product([*result[1:], *kernel[1:]])
        case "ConvTranspose":
            kernel, image = shapes[1], shapes[0]
            return None if kernel is None or image is None else _product([*image[1:], *kernel[1:]])
        case "Einsum":
            return _einsum_macs(operator, shapes, (axes or {}).get(operator.results[0]))
    return 0


def _attention_macs(operator: HostOp) -> int | None:
    """Of scores and of what they weigh; ``None`` where it reads keys of the past, or takes them in another form."""
    if any(value is not None for value in operator.operands[5:]) or len(operator.operands) < 3:
        return None
    shapes = [None if value is None else value.shape for value in operator.operands[:3]]
    query, key, value = ((None,) * 3 if shape is None or len(shape) != 3 else shape for shape in shapes)
    scores, weighed = (_product([query[1], key[1], width]) for width in (query[2], value[2]))
    return None if scores is None or weighed is None else scores + weighed


def _einsum_macs(operator: HostOp, shapes: Sequence[tuple[Dim, ...] | None], along: SampleAxis) -> int | None:
    """One for every place that the indices can take together."""
    if len(shapes) < 2:
        return 0
    equation = parse(operator.attribute("equation", b"").decode(), [None if s is None else len(s) for s in shapes])
    if equation is None:
        return None
    sizes: dict[str, Dim] = dict.fromkeys(equation.result)  # those of the result first, where samples lie
    for indices, shape in zip(equation.operands, shapes, strict=True):
        for index, size in zip(indices, shape or (), strict=False):
            sizes[index] = size if sizes.get(index) in (None, 1) else sizes[index]
    return _product([size for place, size in enumerate(sizes.values()) if place != along])


def _windows(value: Value, windows: Windows, sample_axis: int | None) -> int | None:
    if value.shape is None:
        return None
    if windows.rank:
        sizes = [size for size in value.shape[2:] if isinstance(size, int)]
        return windows.count(sizes) if len(sizes) == windows.rank else None
    leading = [1 if axis == sample_axis else size for axis, size in enumerate(value.shape[:-1])]
    if sample_axis is None:
        return _product(leading)
    known = [size for size in leading if isinstance(size, int)]
    return math.prod(known) if len(known) == len(leading) else None


def _product(sizes: list[Dim]) -> int | None:
    """The product of sizes; a leading symbol is the batch and counts as one sample."""
    if sizes and isinstance(sizes[0], str | None):
        sizes = sizes[1:]
    known = [size for size in sizes if isinstance(size, int)]
    return math.prod(known) if len(known) == len(sizes) else None
