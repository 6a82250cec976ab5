"""Written chips for tests: programs of one product, what their cells hold, and comparisons of sampled figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from networks import network, node

import xbarc
from xbarc.api.reading import read_chip
from xbarc.ir.layer import Layer, layers
from xbarc.runtime.layer_plan import LayerNoise

G_MAX = 25e-6  # siemens
HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0

#: Inputs of one bit and a sign: sums are then exact on so fine a grid that a cell's figures are as good as unrounded.
FINE_GRID = ("dac.bits=2",)


def product(
    weight: np.ndarray, overrides: Sequence[str] = (), *, calibration: np.ndarray | None = None
) -> xbarc.Program:
    """The program of ``x @ weight``."""
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", len(weight))}, {"w": weight.astype(np.float32)})
    return xbarc.compile(model, overrides=overrides, calibration=calibration)


def cells_of(program: xbarc.Program, chip: xbarc.Chip) -> tuple[list[Layer], dict[str, LayerNoise]]:
    """The layers with the levels that the chip's cells hold at its time, and what is drawn at every read."""
    assert chip.written is not None
    graph, noise = read_chip(program.graph, program.hardware, chip.written, chip.reading)
    return layers(graph), noise


def bits(outputs: dict[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Outputs for comparisons bit by bit."""
    return {name: (array.shape, array.tobytes()) for name, array in outputs.items()}


@dataclass
class Comparisons:
    """Figures of samples beside what they should be, in standard errors of their difference.

    All are within the bound with a confidence of at least 99 % where the model is right (Bonferroni).

    Attributes:
        freedom: degrees of freedom behind each standard error.
    """

    freedom: float = np.inf
    deviations: dict[object, float] = field(default_factory=dict)

    def add(self, what: object, found: float, expected: float, error: float) -> None:
        self.deviations[what] = (found - expected) / error

    def mean(self, what: object, drawn: np.ndarray, expected: float, *, other: float = np.inf) -> None:
        """A sample's mean; that of another sample of ``other`` numbers if given."""
        self.add((what, "mean"), drawn.mean(), expected, drawn.std() * np.sqrt(1 / drawn.size + 1 / other))

    def spread(self, what: object, drawn: np.ndarray, expected: float, *, other: float = np.inf) -> None:
        """A sample's standard deviation, whose own error follows from the fourth moment."""
        centred = drawn.astype(np.float64) - drawn.mean(dtype=np.float64)
        variance = np.mean(centred**2)
        error = np.sqrt((np.mean(centred**4) - variance**2) / (4 * variance) * (1 / drawn.size + 1 / other))
        self.add((what, "spread"), np.sqrt(variance), expected, error)

    @property
    def bound(self) -> float:
        """The quantile of the normal distribution or, by its expansion in 1 / freedom, of Student's."""
        z, n = NormalDist().inv_cdf(1 - 0.01 / (2 * len(self.deviations))), self.freedom
        return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)

    def check(self, count: int) -> None:
        """There are so many comparisons, and none is out of bounds."""
        assert len(self.deviations) == count
        assert {what: value for what, value in self.deviations.items() if not abs(value) <= self.bound} == {}
