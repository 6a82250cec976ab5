"""What writing with verification came to: residual errors, pulses, cycles, energy and time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.runtime.write_verify import WrittenCells

#: Bins of the histogram of residual errors.
_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCosts:
    """What single pulses and reads of a cell cost; ``None`` where that is not known.

    Attributes:
        pulse_s, read_s: how long they take.
        pulse_energy_j, read_energy_j: joule that they take.
    """

    pulse_s: float | None = None
    read_s: float | None = None
    pulse_energy_j: float | None = None
    read_energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What conductances are off their targets after a write, in siemens.

    Attributes:
        mean: with its sign.
        rms: root of the mean square.
        p50, p90, p99, largest: percentiles of the magnitude.
        edges, counts: histogram, with its sign; cells from edge to edge.
    """

    mean: float
    rms: float
    p50: float
    p90: float
    p99: float
    largest: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """One write of some cells.

    Attributes:
        cells: how many.
        accepted: share whose last read was within the band.
        out_of_reach: share whose target lies beyond what pulses bring them to.
        residual: of all cells.
        residual_accepted: of cells that were accepted; ``None`` where none was.
        pulses_up, pulses_down: of all cells together.
        cycles_mean: reads of a cell.
        cycles_p50, cycles_p90, cycles_p99, cycles_most: percentiles of that.
        cycles_counts: cells that were read once, twice and so on.
        asymmetry_mean: what steps up are larger than steps down over their sum, at targets or the nearest that cells
            reach.
        asymmetry_rms, asymmetry_largest: of its magnitude.
        pulse_energy_j, read_energy_j: of all pulses, of all reads; ``None`` where that of one is not known.
        each_in_turn_s: time of writing one cell after another; ``None`` where pulses or reads have no known time.
        all_at_once_s: time of the cell that takes longest.
    """

    cells: int
    accepted: float
    out_of_reach: float
    residual: Residual
    residual_accepted: Residual | None
    pulses_up: int
    pulses_down: int
    cycles_mean: float
    cycles_p50: float
    cycles_p90: float
    cycles_p99: float
    cycles_most: int
    cycles_counts: tuple[int, ...]
    asymmetry_mean: float
    asymmetry_rms: float
    asymmetry_largest: float
    pulse_energy_j: float | None
    read_energy_j: float | None
    each_in_turn_s: float | None
    all_at_once_s: float | None

    @property
    def pulses_a_cell(self) -> float:
        """Up and down together, on average."""
        return (self.pulses_up + self.pulses_down) / self.cells

    def to_json(self) -> dict[str, Any]:
        """Plain data; every key as the attribute of that name says."""
        return {"schema": 1, **dataclasses.asdict(self), "pulses_a_cell": self.pulses_a_cell}


def write_report(written: WrittenCells, costs: WriteCosts | None = None) -> WriteReport:
    """What one write came to; of at least one cell."""
    costs = costs or WriteCosts()
    error, accepted = written.conductance - written.target, written.accepted
    pulses = written.pulses_up + written.pulses_down
    percentiles = np.percentile(written.cycles, (50, 90, 99))
    known = costs.pulse_s is not None and costs.read_s is not None
    seconds = pulses * (costs.pulse_s or 0.0) + written.cycles * (costs.read_s or 0.0)
    return WriteReport(
        cells=error.size,
        accepted=float(accepted.mean()),
        out_of_reach=float(1.0 - written.reachable.mean()),
        residual=_residual(error),
        residual_accepted=_residual(error[accepted]) if accepted.any() else None,
        pulses_up=int(written.pulses_up.sum()),
        pulses_down=int(written.pulses_down.sum()),
        cycles_mean=float(written.cycles.mean()),
        cycles_p50=float(percentiles[0]),
        cycles_p90=float(percentiles[1]),
        cycles_p99=float(percentiles[2]),
        cycles_most=int(written.cycles.max()),
        cycles_counts=tuple(int(count) for count in np.bincount(written.cycles.ravel())[1:]),
        asymmetry_mean=float(written.asymmetry.mean()),
        asymmetry_rms=float(np.sqrt(np.square(written.asymmetry).mean())),
        asymmetry_largest=float(np.abs(written.asymmetry).max()),
        pulse_energy_j=_times(int(pulses.sum()), costs.pulse_energy_j),
        read_energy_j=_times(int(written.cycles.sum()), costs.read_energy_j),
        each_in_turn_s=float(seconds.sum()) if known else None,
        all_at_once_s=float(seconds.max()) if known else None,
    )


def _residual(error: np.ndarray) -> Residual:
    magnitude = np.abs(error)
    p50, p90, p99, largest = (float(value) for value in np.percentile(magnitude, (50, 90, 99, 100)))
    # Equal errors span no bins, nor do bins narrower than a float.
    half = max(largest, 1e-15)
    counts, edges = np.histogram(error, bins=_BINS, range=(-half, half))
    return Residual(
        mean=float(error.mean()),
        rms=float(np.sqrt(np.square(error).mean())),
        p50=p50,
        p90=p90,
        p99=p99,
        largest=largest,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
    )


def _times(count: int, one: float | None) -> float | None:
    return None if one is None else count * one
