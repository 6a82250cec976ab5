"""How much arithmetic an operator does: multiply-accumulates of one sample."""

from __future__ import annotations

import math

from xbarc.ir.graph import Value
from xbarc.ir.layer import Layer
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.types import Dim
from xbarc.ir.windows import Windows


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


def host_macs(operator: HostOp) -> int | None:
    """Multiply-accumulates of one sample of a digital product; 0 for other operators, ``None`` where shapes are not known."""
    shapes = [None if value is None else value.shape for value in operator.operands]
    result = operator.results[0].shape if operator.results else None
    match operator.kind:
        case "MatMul" | "Gemm":
            left = shapes[0]
            if left is None or result is None:
                return None
            summed = left[0 if operator.attribute("transA", 0) else -1]
            return _product([*result, summed])
        case "Conv":
            kernel = shapes[1]
            return None if kernel is None or result is None else _product([*result, *kernel[1:]])
        case "ConvTranspose":
            kernel, image = shapes[1], shapes[0]
            return None if kernel is None or image is None else _product([*image, *kernel[1:]])
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
