"""Encode weights: real numbers become integer levels of cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import InternalError
from xbarc.hardware.schema import Weights
from xbarc.hardware.tables import Cell
from xbarc.ir.graph import Graph
from xbarc.ir.operators import Encoding
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage

_EDGE = 256  # rows and columns encoded at a time: intermediate arrays stay in the cache, in whatever order weights lie


@dataclass(frozen=True)
class EncodeWeights:
    """Give every weight its cells: slices of the magnitude for a differential pair, of the offset code for an offset
    encoding.

    With ``L`` levels a cell and ``S`` slices, a differential pair holds ``-(L^S - 1) .. L^S - 1``; an offset code holds
    ``-(L^S - 1 - m) .. L^S - 1 - m`` around the middle ``m = L^S / 2``, which the reference column holds. The scale is
    the largest magnitude of a column (or of the layer) over the largest of these integers.
    """

    name: ClassVar[str] = "encode-weights"
    requires: ClassVar[Stage] = Stage.CALIBRATED
    ensures: ClassVar[Stage] = Stage.ENCODED

    cell: Cell
    weights: Weights

    def run(self, graph: Graph) -> None:
        encodings: dict[str, Encoding] = {}
        for _, product in products(graph):
            if product.matrix not in encodings:
                encodings[product.matrix] = self._encode(product.weight)
            product.encoding = encodings[product.matrix]

    def _encode(self, weight: np.ndarray) -> Encoding:
        peak = np.maximum(weight.max(axis=1), -weight.min(axis=1)).astype(np.float64)
        if self.weights.scale == "layer":
            peak = np.broadcast_to(peak.max(), peak.shape)
        peak = np.where(peak > 0.0, peak, 1.0)
        if self.cell.levels == "unlimited":
            return self._encode_exactly(weight, peak)
        base, slices = int(self.cell.levels), self.weights.slices
        largest = base**slices - 1
        middle = 0 if self.weights.encoding == "differential" else (largest + 1) // 2
        scale = peak / (largest - middle)
        powers = [base**power for power in reversed(range(slices))]
        dtype = np.uint8 if base <= 256 else np.uint16
        levels = np.empty((slices, self.weights.polarities, *weight.shape), dtype=dtype)
        for part in _parts(weight.shape):
            quotient = weight[part] / scale[:, None, :][part[0], :, part[2]]
            signed = np.rint(quotient, out=quotient).astype(np.int32)
            planes = [signed + middle] if middle else [np.maximum(signed, 0), np.maximum(-signed, 0)]
            for polarity, plane in enumerate(planes):
                for place, power in enumerate(powers):
                    levels[(place, polarity, *part)] = plane if slices == 1 else plane // power % base
        reference = np.array([middle // power % base for power in powers], dtype=dtype) if middle else None
        return Encoding(levels, scale.reshape(-1), np.array(powers, dtype=np.float64), reference)

    def _encode_exactly(self, weight: np.ndarray, peak: np.ndarray) -> Encoding:
        """Targets that are not rounded: levels are shares of the full conductance range."""
        if self.weights.slices != 1:
            raise InternalError("unlimited levels cannot be sliced")
        differential = self.weights.encoding == "differential"
        levels = np.empty((1, self.weights.polarities, *weight.shape))
        for part in _parts(weight.shape):
            share = weight[part] / peak[:, None, :][part[0], :, part[2]]
            planes = [np.maximum(share, 0.0), np.maximum(-share, 0.0)] if differential else [0.5 + 0.5 * share]
            for polarity, plane in enumerate(planes):
                levels[(0, polarity, *part)] = plane
        if differential:
            return Encoding(levels, peak.reshape(-1), np.ones(1), None)
        return Encoding(levels, 2.0 * peak.reshape(-1), np.ones(1), np.array([0.5]))


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Pieces of an array ``(groups, rows, columns)``."""
    groups, rows, columns = shape
    together = max(1, _EDGE**2 // (rows * columns))
    for group in range(0, groups, together):
        for row in range(0, rows, _EDGE):
            for column in range(0, columns, _EDGE):
                yield slice(group, group + together), slice(row, row + _EDGE), slice(column, column + _EDGE)
