"""What the tests of a tile's circuit share: drawn tiles and wires."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from xbarc.runtime.circuit.wiring import Wiring

LARGEST_S = 1e-4


class Case(NamedTuple):
    """A tile with its wires and input vectors."""

    conductances: np.ndarray
    voltages: np.ndarray
    wiring: Wiring

    @property
    def scale(self) -> float:
        """Largest current that the magnitudes of its voltages drive without wires; 1 where there is none."""
        return float((np.abs(self.voltages) @ self.conductances).max()) or 1.0


def ohms(least: float = 1e-6, most: float = 1e-2) -> st.SearchStrategy[float]:
    """Resistances from ``least`` to ``most`` times that of the best cell, on a logarithmic scale, or 0."""
    return st.just(0.0) | st.floats(np.log(least), np.log(most)).map(lambda power: float(np.exp(power)) / LARGEST_S)


@st.composite
def wirings(draw: st.DrawFn) -> Wiring:
    """Wires with and without resistance, and ends up to a tenth of the best cell."""
    ends = ohms(1e-4, 1e-1)
    return Wiring(row_wire_ohm=draw(ohms()), column_wire_ohm=draw(ohms()), source_ohm=draw(ends), sense_ohm=draw(ends))


@st.composite
def cases(draw: st.DrawFn, longest: int = 24) -> Case:
    """Tiles of one or more planes: full, sparse, of equal cells, empty; inputs of both signs, sparse, or one row on."""
    length = st.integers(1, longest)
    shape = draw(st.tuples(length, length) | st.tuples(st.integers(1, 3), length, length))
    draws = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = draws.uniform(0, LARGEST_S, shape)
    pattern = draw(st.sampled_from(("full", "sparse", "equal", "few levels", "empty")))
    if pattern == "sparse":
        cells[draws.random(shape) < 0.8] = 0
    elif pattern == "equal":
        cells[:] = LARGEST_S
    elif pattern == "few levels":
        cells = np.round(cells / LARGEST_S * 3) / 3 * LARGEST_S
    elif pattern == "empty":
        cells[:] = 0
    voltages = draws.uniform(-0.2, 0.2, (draw(st.integers(1, 3)), shape[-2]))
    voltages[draws.random(voltages.shape) < draw(st.sampled_from((0.0, 0.7)))] = 0
    if draw(st.booleans()):
        voltages[0] = 0
        voltages[0, draw(st.integers(0, shape[-2] - 1))] = 0.2
    return Case(cells, voltages, draw(wirings()))
