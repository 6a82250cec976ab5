"""``Conv``: one window an output pixel."""

from __future__ import annotations

import numpy as np

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.ir.windows import Windows
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.rule import (
    Lowering,
    Refusal,
    Rule,
    bad,
    constant,
    ints,
    matrix_words,
    present,
    refused_type,
)


def conv(operator: HostOp) -> Lowering | Refusal:
    """A convolution of any rank, with groups."""
    found = kernel_and_bias(operator)
    if isinstance(found, Refusal):
        return found
    kernel, bias = found
    weight, windows = kernel_matrix(operator, kernel), kernel_windows(operator, kernel.shape[2:])

    def build(builder: Builder) -> list[Value | None]:
        return [builder.product(builder.operand(0), weight, bias=bias, windows=windows)]

    return Lowering(matrix_words(weight), build)


def kernel_and_bias(operator: HostOp) -> tuple[np.ndarray, np.ndarray | None] | Refusal:
    """The constants of a convolution, transposed or not, or why it stays digital."""
    refused = refused_type(operator)
    if refused is not None:
        return refused
    kernel = constant(operator, 1)
    if kernel is None:
        return Refusal("its kernel is not constant")
    bias = constant(operator, 2)
    if present(operator, 2) and bias is None:
        return Refusal("its bias is not constant")
    if kernel.ndim < 3 or kernel.size == 0:
        return Refusal(f"its kernel has shape {list(kernel.shape)}")
    return kernel, bias


def kernel_matrix(operator: HostOp, kernel: np.ndarray) -> np.ndarray:
    """A kernel ``(outputs, channels of a group, *sizes)`` as matrices ``(groups, rows, columns)``.

    Raises:
        ModelError: the outputs cannot be parted into the operator's groups.
    """
    groups = int(operator.attribute("group", 1))
    if groups < 1 or kernel.shape[0] % groups:
        raise bad(operator, f"{kernel.shape[0]} output channels cannot be parted into {groups} groups")
    return kernel.reshape(groups, kernel.shape[0] // groups, -1).transpose(0, 2, 1)


def kernel_windows(operator: HostOp, kernel: tuple[int, ...]) -> Windows:
    """The geometry of a convolution.

    Raises:
        ModelError: attributes that ONNX gives no meaning.
    """
    rank = len(kernel)
    auto_pad = operator.attribute("auto_pad", b"NOTSET").decode()
    pads = ints(operator, "pads", [0] * 2 * rank)
    declared = ints(operator, "kernel_shape", kernel)
    windows = Windows(
        kernel=kernel,
        strides=ints(operator, "strides", [1] * rank),
        dilations=ints(operator, "dilations", [1] * rank),
        pads=pads if auto_pad == "NOTSET" else (0,) * 2 * rank,
        auto_pad=auto_pad,
    )
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise bad(operator, f"auto_pad is {auto_pad!r}")
    if declared != kernel:
        raise bad(operator, f"kernel_shape is {list(declared)}, but its kernel is {list(kernel)}")
    if len(windows.strides) != rank or min(windows.strides) < 1:
        raise bad(operator, f"strides are {list(windows.strides)}, expected {rank} numbers of at least 1")
    if len(windows.dilations) != rank or min(windows.dilations) < 1:
        raise bad(operator, f"dilations are {list(windows.dilations)}, expected {rank} numbers of at least 1")
    if len(pads) != 2 * rank or min(pads) < 0:
        raise bad(operator, f"pads are {list(pads)}, expected {2 * rank} numbers of at least 0")
    return windows


def deform_conv(_: HostOp) -> Refusal:
    """A deformable convolution: no window is a selection of pixels."""
    return Refusal("its windows are interpolated between pixels, at computed places")


RULES: dict[str, Rule] = {"Conv": conv, "DeformConv": deform_conv}
