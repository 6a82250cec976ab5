"""Layers as convolutions of onnxruntime, in float32: exact where sums are whole numbers that float32 holds.

No windows are collected, channels stay where they are, and groups are not multiplied with the zeros between them. So
layers are faster in which an output is a sum of few products; where it is one of many, products of bytes are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from xbarc.ir.layer import FLOAT32_EXACT, Layer
from xbarc.ir.windows import Windows
from xbarc.runtime.matrices import matrices_of

_OPSET: Final = 13
#: An output is the sum of so many products at most, or of products with so few channels: what measured faster.
_DEEPEST: Final = 96
_FEW_CHANNELS: Final = 4


@dataclass(frozen=True, slots=True)
class ConvolutionPart:
    """What the blocks of one row of blocks make of a layer's input.

    Attributes:
        channels: of the input that they take.
        products: with each of their matrices.
        weights: what the codes of each matrix count in the sum.
    """

    channels: range
    products: tuple[ConvolutionProduct, ...]
    weights: tuple[float, ...]


class ConvolutionProduct:
    """A convolution, ready to be taken.

    Args:
        kernel: ``(columns, channels a group, *kernel)``, whole numbers of some unit.
        windows: the geometry.
        groups: of the channels and of the columns.
    """

    def __init__(self, kernel: np.ndarray, windows: Windows, groups: int) -> None:
        node = helper.make_node(
            "Conv",
            ["codes", "kernel"],
            ["currents"],
            kernel_shape=windows.kernel,
            strides=windows.strides,
            dilations=windows.dilations,
            pads=windows.pads,
            group=groups,
        )
        channels = kernel.shape[1] * groups
        graph = helper.make_graph(
            [node],
            "convolution",
            [helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["images", channels, *windows.rank * [None]])],
            [helper.make_tensor_value_info("currents", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.ascontiguousarray(kernel, dtype=np.float32), "kernel")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL  # channels in blocks of a vector
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def bind(self, codes: np.ndarray, currents: np.ndarray) -> Callable[[], None]:
        """A function that computes the currents of what is then in the codes.

        Args:
            codes: ``(images, channels, *spatial)`` float32, contiguous.
            currents: ``(images, columns, *output sizes)`` float32, contiguous.
        """
        binding = self._session.io_binding()
        binding.bind_input("codes", "cpu", 0, np.float32, codes.shape, codes.ctypes.data)
        binding.bind_output("currents", "cpu", 0, np.float32, currents.shape, currents.ctypes.data)
        return partial(self._multiply, binding, codes, currents)

    def _multiply(self, binding: ort.IOBinding, *_: np.ndarray) -> None:
        """Multiply what is bound; the arrays are given along because a binding knows but where they lie."""
        self._session.run_with_iobinding(binding)


def is_shallow(layer: Layer) -> bool:
    """Whether the layer is faster as a convolution, if it can be one."""
    partition, windows = layer.read.partition, layer.read.windows
    few = partition.rows <= _FEW_CHANNELS * windows.kernel_size and partition.positions == 1
    return windows.rank > 0 and (few or partition.rows * partition.positions <= _DEEPEST)


def layer_convolution(layer: Layer, *, collapsed: bool) -> tuple[ConvolutionPart, ...]:
    """The layer as convolutions, in the order in which their codes add up; none where these would not be exact.

    Args:
        layer: whose columns are converted as they are, one code each, without noise and errors.
        collapsed: whether its reads lose nothing, so that all of them are one product.
    """
    windows, partition = layer.read.windows, layer.read.partition
    cut = partition.row_blocks > 1 and not collapsed
    if not 1 <= windows.rank <= 3 or windows.auto_pad not in ("NOTSET", "VALID") or (cut and partition.groups > 1):
        return ()
    down = range(partition.row_blocks)
    parts = []
    for blocks in [[(0, row_block)] for row_block in down] if cut else [product(range(partition.diagonals), down)]:
        part = _part(layer, list(blocks), collapsed=collapsed)
        if part is None:
            return ()
        parts.append(part)
    return tuple(parts)


def _part(layer: Layer, blocks: Sequence[tuple[int, int]], *, collapsed: bool) -> ConvolutionPart | None:
    """Of some diagonals and row blocks that make all columns once; ``None``: cells between groups are not empty, or
    sums not exact.
    """
    windows, partition = layer.read.windows, layer.read.partition
    wanted = [np.divmod(np.array(partition.rows_of(*block)) % partition.rows, windows.kernel_size) for block in blocks]
    first = min(int(channel.min()) for channel, _ in wanted)
    taken = max(int(channel.max()) for channel, _ in wanted) + 1 - first
    made: dict[int, np.ndarray] = {}
    weights: dict[int, float] = {}
    for (diagonal, row_block), (channel, position) in zip(blocks, wanted, strict=True):
        held = np.array(partition.rows_of(diagonal, row_block))
        place = diagonal * partition.row_blocks + row_block
        cells = layer.read.levels[:, :, place, : len(held)]
        for number, (matrix, weight) in enumerate(matrices_of(layer, cells, np.dtype(np.float32))):
            counted, number = (weight * matrix, 0) if collapsed else (matrix, number)
            weights[number] = 1.0 if collapsed else weight
            shape = partition.groups * partition.columns, taken, windows.kernel_size
            kernel = made.setdefault(number, np.zeros(shape, np.float32))
            own = np.zeros(counted.shape, dtype=bool)
            for within in range(partition.groups_in(diagonal)):
                group = diagonal * partition.groups_per_diagonal + within
                rows = held // partition.rows == group
                columns = slice(within * partition.columns, (within + 1) * partition.columns)
                of_group = kernel[group * partition.columns : (group + 1) * partition.columns]
                of_group[:, channel[rows] - first, position[rows]] += counted[rows, columns].T
                own[rows, columns] = True
            if counted[~own].any():
                return None
    if not all(_is_exact(layer, kernel) for kernel in made.values()):
        return None
    return ConvolutionPart(
        channels=range(first, first + taken) if partition.groups == 1 else range(partition.groups * taken),
        products=tuple(
            ConvolutionProduct(kernel.reshape(*kernel.shape[:2], *windows.kernel), windows, partition.groups)
            for kernel in made.values()
        ),
        weights=tuple(weights.values()),
    )


def _is_exact(layer: Layer, kernel: np.ndarray) -> bool:
    """Whether float32 holds every sum of a column, whatever the order."""
    grid, codes = layer.read.grid or 1.0, layer.dac.codes
    largest = max(codes.high, -codes.low) if codes is not None else np.inf
    sums = np.abs(kernel).sum(axis=(1, 2), dtype=np.float64) / grid * largest
    return math.frexp(grid)[0] == 0.5 and float(sums.max(initial=0.0)) <= FLOAT32_EXACT
