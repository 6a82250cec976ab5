"""How much arithmetic an operator does: multiply-accumulates of one sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import onnx

from xbarc.ir.graph import Value
from xbarc.ir.layer import Layer
from xbarc.ir.naming import subgraphs
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.samples import SampleAxis
from xbarc.ir.types import Dim
from xbarc.ir.windows import Windows

_COUNTED: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_HIDING: Final = frozenset(
    """Attention ConvInteger DeformConv Einsum GRU LSTM MatMulInteger QLinearConv QLinearMatMul RNN""".split()
)


def layer_windows(layer: Layer) -> int | None:
    """Input vectors of one sample; ``None`` where shapes are not known."""
    return _windows(layer.input, layer.read.windows, layer.dac.sample_axis)


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
    if node.domain not in ("", "ai.onnx") or node.op_type in _HIDING:
        return True
    inner = [step for graph in subgraphs(node) for step in graph.node]
    return any(step.op_type in _COUNTED or has_hidden_products(step) for step in inner)


def host_macs(operator: HostOp, axes: Mapping[Value, SampleAxis] | None = None) -> int | None:
    """Multiply-accumulates of one sample in a digital product, 0 for operators without products.

    ``None`` where shapes are not known, and for operators whose products are not looked into. The sample ``axes`` of
    values tell which axis of the result does not count; a leading symbol is taken for it where they are not given.
    """
    if has_hidden_products(operator.node):
        return None
    shapes = [None if value is None else value.shape for value in operator.operands]
    result = operator.results[0].shape if operator.results else None
    match operator.kind:
        case "MatMul" | "Gemm":
            left = shapes[0]
            if left is None or result is None:
                return None
            summed = left[0 if operator.attribute("transA", 0) else -1]
            along = (axes or {}).get(operator.results[0])
            counted = [size for axis, size in enumerate(result) if axis != along]
            return _product([*counted, summed])
        case "Conv":
            kernel = shapes[1]
            return None if kernel is None or result is None else _product([*result[1:], *kernel[1:]])
        case "ConvTranspose":
            kernel, image = shapes[1], shapes[0]
            return None if kernel is None or image is None else _product([*image[1:], *kernel[1:]])
    return 0


def _windows(value: Value, windows: Windows, sample_axis: int | None) -> int | None:
    if value.shape is None:
        return None
    if windows.rank:
        sizes = [size for size in value.shape[2:] if isinstance(size, int)]
        return windows.count(sizes) if len(sizes) == windows.rank else None
    leading = [1 if axis == sample_axis else size for axis, size in enumerate(value.shape[:-1])]
    return _product(leading)


def _product(sizes: list[Dim]) -> int | None:
    """The product of sizes; a leading symbol is the batch and counts as one sample."""
    if sizes and isinstance(sizes[0], str | None):
        sizes = sizes[1:]
    known = [size for size in sizes if isinstance(size, int)]
    return math.prod(known) if len(known) == len(sizes) else None
