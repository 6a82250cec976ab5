"""Blocks whose products are taken in integers: codes and levels as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarc.ir.layer import Layer
from xbarc.runtime.cell_noise import CellNoise, cell_noise
from xbarc.runtime.code_product import MOST_DIGITS, CodeProduct, digits_of


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A block whose products are taken in integers.

    Attributes:
        rows: of a panel of its windows.
        runs: of channels of an input that a window takes side by side, ``(3, runs)``: kernel position and channel of
            the first, and how many bytes there are. The rows of the panel are in this order.
        product: of all matrices.
        offsets: of each matrix ``(columns,)`` int32, or int64 where currents are float64: what the zero of codes makes
            of its columns.
        noise: that the cells behind each matrix make anew at every read; ``None``: none that can be told.
    """

    rows: int
    runs: np.ndarray
    product: CodeProduct
    offsets: tuple[np.ndarray, ...]
    noise: CellNoise | None


def fits_bytes(layer: Layer) -> bool:
    """Whether the layer's products can be taken in integers: of codes that are bytes and levels on a grid."""
    codes, levels = layer.dac.codes, layer.read.levels
    if codes is None or not layer.dac.quantises or layer.dac.applied is not None or layer.read.nonlinear is not None:
        return False
    if not (codes.high <= 255 if codes.low == 0 else codes.low >= -128 and codes.high <= 127):
        return False
    if layer.read.grid is None and not np.issubdtype(levels.dtype, np.integer):
        return False
    apart = float(levels.max(initial=0)) - float(levels.min(initial=0))
    largest = round(apart / (layer.read.grid or 1.0))
    return digits_of(np.array([-largest, largest])) <= MOST_DIGITS


def zero_byte(layer: Layer) -> int:
    """Which byte the code 0 is."""
    return 128 if layer.dac.codes is not None and layer.dac.codes.low < 0 else 0


def code_block(
    layer: Layer,
    held: range,
    matrices: list[np.ndarray],
    variances: list[np.ndarray],
    references: list[np.ndarray],
    *,
    largest: int,
    lsb: float | None,
    double: bool,
) -> CodeBlock:
    """The products of a block in integers.

    Args:
        layer: that the block is of.
        held: its rows.
        matrices, variances, references: as :class:`xbarc.runtime.layer_plan.Block` has them, rows in their order.
        largest: magnitude of a digit; 0: codes are applied whole.
        lsb: step of the ADC; ``None``: it passes currents as they are.
        double: whether currents are float64.
    """
    order, runs = _runs(layer, held)
    grid = layer.read.grid or 1.0
    whole = [np.rint(matrix[order] / grid).astype(np.int32) for matrix in matrices]
    zero = 0 if largest else zero_byte(layer)
    kind = np.int64 if double else np.int32
    codes = layer.dac.codes
    noise = None
    if variances and codes is not None:
        own, common = [one[order] for one in variances], [one[order] for one in references]
        noise = cell_noise(own, common, largest=largest or max(codes.high, -codes.low), lsb=lsb)
    return CodeBlock(
        rows=len(order),
        runs=runs,
        product=CodeProduct(whole),
        offsets=tuple((zero * matrix.sum(axis=0, dtype=np.int64)).astype(kind) for matrix in whole),
        noise=noise,
    )


def _runs(layer: Layer, held: range) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a block in the order in which bytes lie, channels last; and the runs of bytes that lie side by side."""
    windows, partition = layer.read.windows, layer.read.partition
    channels = partition.groups * partition.rows // windows.kernel_size
    channel, position = np.divmod(np.array(held), windows.kernel_size)
    order = np.lexsort((channel, position))
    channel, position = channel[order], position[order]
    # neighbours along the last axis lie side by side, unless the kernel is dilated; its last position is behind others
    across = windows.kernel[-1] if windows.rank and windows.dilations[-1] == 1 else 1
    place = (position // across * (across + 1) + position % across) * channels + channel
    begins = np.flatnonzero(np.diff(place, prepend=-2) != 1)
    lengths = np.diff(begins, append=len(order))
    return order, np.stack([position[begins], channel[begins], lengths])
