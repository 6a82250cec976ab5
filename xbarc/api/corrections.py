"""What repairs change on a written chip: converter ranges, and a scale and an offset for every column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import CurrentRange
from xbarc.passes.calibrate_adc import set_range


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """What the digital unit does to the output of a layer: ``y * scale + offset``.

    Attributes:
        scale: ``(columns,)`` float64.
        offset: ``(columns,)`` float64, in units of the output.
    """

    scale: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """Of one chip, by layer: layers that share cells have their own.

    Attributes:
        ranges: of ADCs, where they were tuned anew.
        affine: of outputs, where they were recalibrated.
        retuned_s, recalibrated_s: times of the readings for which that was done; ``None``: it was not.
    """

    ranges: Mapping[str, CurrentRange] = field(default_factory=dict)
    affine: Mapping[str, Affine] = field(default_factory=dict)
    retuned_s: float | None = None
    recalibrated_s: float | None = None

    def applied(self, graph: Graph) -> Graph:
        """The graph of a chip, as it was read, with the corrections; the given one stays as it is."""
        if not self.ranges and not self.affine:
            return graph
        corrected = graph.copy()
        for layer in layers(corrected):
            if layer.name in self.affine:
                _rescale(layer, self.affine[layer.name])
            found = self.ranges.get(layer.name, layer.adc.range)
            if found is not None:
                set_range(layer, found)
        return corrected


#: Of chips that nothing was done to; one object, since corrections are told apart by identity.
UNREPAIRED: Final = Corrections()


def _rescale(layer: Layer, affine: Affine) -> None:
    bias = affine.offset
    if layer.rescale.bias is not None:
        bias = bias + layer.rescale.bias * affine.scale
    layer.rescale.unit_scale = layer.rescale.unit_scale * affine.scale
    layer.rescale.bias = bias.astype(np.float32)
