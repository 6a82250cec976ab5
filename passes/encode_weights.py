"""Encode weights: real numbers become integer levels of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from xbarc.errors import InternalError
from xbarc.hardware.tables import Cell
from xbarc.hardware.weights import Weights
from xbarc.ir.graph import Graph
from xbarc.ir.operators import Encoding
from xbarc.ir.scopes import products
from xbarc.ir.stages import Stage
from xbarc.passes.weight_clips import parts, weight_clipping, weight_clips


@dataclass(frozen=True)
class EncodeWeights:
    """Give every weight its cells: the slices of an integer, a weight over its scale.

    Each slice holds a digit; ``T`` is the number of integers that all slices of one polarity hold together.

    ==================  ===========================================================================================
    differential        the digits of the magnitude in one cell of a pair, the other at level 0: ``-(T-1) .. T-1``
    constant-sum        the same, added to the middle level in one cell and taken from it in the other
    offset              the digits of the integer plus the middle ``T / 2``: ``-(T-1-T/2) .. T-1-T/2``; what stands for
                        zero is taken off by a reference column, or digitally (offset-digital, biased-flip)
    twos-complement     the sign, then the digits of what is left: ``-(T/2-1) .. T/2-1``
    ==================  ===========================================================================================

    The scale is the largest magnitude of a column (or of the layer) over the largest of these integers; or a smaller
    one, where the largest weights are clipped (:func:`xbarc.passes.weight_clips.weight_clips`).
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
        if self.cell.levels == "unlimited":
            return self._encode_exactly(weight)
        levels_of_cell, kind = int(self.cell.levels), self.weights.encoding
        radices = self.weights.radices(levels_of_cell)
        powers = [math.prod(radices[place + 1 :]) for place in range(len(radices))]
        total, middle = math.prod(radices), (levels_of_cell - 1) // 2
        paired = self.weights.polarities == 2
        half = 0 if paired else total // 2
        largest = half - 1 if kind == "twos-complement" else total - 1 - half
        peak = weight_clips(weight, self.weights, largest=largest)
        scale, clipping = peak / largest, weight_clipping(weight, peak, self.weights)
        dtype = np.uint8 if levels_of_cell <= 256 else np.uint16
        levels = np.empty((len(radices), self.weights.polarities, *weight.shape), dtype=dtype)
        for part in parts(weight.shape):
            # In the order of the cells, whatever that of the weights: what follows then goes along both.
            quotient = np.divide(weight[part], scale[:, None, :][part[0], :, part[2]], order="C")
            if clipping is not None:
                np.clip(quotient, -largest, largest, out=quotient)
            signed = np.rint(quotient, out=quotient).astype(np.int32)
            if paired:
                planes = [np.maximum(signed, 0), np.maximum(-signed, 0)]
            elif kind == "twos-complement":
                planes = [np.where(signed < 0, signed + total, signed)]
            else:
                planes = [signed + half]
            for place, (power, radix) in enumerate(zip(powers, radices, strict=True)):
                found = [plane if len(radices) == 1 else plane // power % radix for plane in planes]
                if kind == "constant-sum":
                    found = [middle + found[0] - found[1], middle - found[0] + found[1]]
                for polarity, digits in enumerate(found):
                    levels[(place, polarity, *part)] = digits
        if kind == "constant-sum":
            scale = scale / 2.0  # each digit counts in both cells
        worth = np.array(powers, dtype=np.float64)
        if kind == "twos-complement":
            worth[0] = -worth[0]
        zero = np.array([half // power % radix for power, radix in zip(powers, radices, strict=True)], dtype=dtype)
        return self._with_references(Encoding(levels, scale.reshape(-1), worth, None, clipping=clipping), zero)

    def _with_references(self, encoding: Encoding, zero: np.ndarray) -> Encoding:
        """The encoding with what its reference column holds; ``zero``: the levels of the weight zero."""
        match self.weights.encoding:
            case "offset":
                return replace(encoding, reference_levels=zero, zero_levels=zero)
            case "biased-flip":
                return replace(encoding, reference_levels=np.ones_like(zero), zero_levels=zero)
            case "offset-digital":
                return replace(encoding, zero_levels=zero)
        return encoding

    def _encode_exactly(self, weight: np.ndarray) -> Encoding:
        """Targets that are not rounded: levels are shares of the full conductance range."""
        if self.weights.slices != 1:
            raise InternalError("unlimited levels cannot be sliced")
        peak, kind = weight_clips(weight, self.weights, largest=None), self.weights.encoding
        clipping = weight_clipping(weight, peak, self.weights)
        levels = np.empty((1, self.weights.polarities, *weight.shape))
        for part in parts(weight.shape):
            share = np.divide(weight[part], peak[:, None, :][part[0], :, part[2]], order="C")
            if clipping is not None:
                np.clip(share, -1.0, 1.0, out=share)
            if kind == "differential":
                planes = [np.maximum(share, 0.0), np.maximum(-share, 0.0)]
            else:
                planes = [0.5 + 0.5 * share, 0.5 - 0.5 * share][: self.weights.polarities]
            for polarity, plane in enumerate(planes):
                levels[(0, polarity, *part)] = plane
        whole = self.weights.polarities == 2
        scale = (1.0 if whole else 2.0) * peak.reshape(-1)
        return self._with_references(Encoding(levels, scale, np.ones(1), None, clipping=clipping), np.array([0.5]))
