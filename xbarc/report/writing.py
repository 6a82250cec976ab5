"""What writing with verification came to: residual errors, pulses, cycles, energy and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from xbarc.runtime.programming import WriteCosts
from xbarc.runtime.write_verify import WrittenCells

#: Bins of the histogram of residual errors.
_BINS = 40


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
        faulty: of them, which do not follow pulses: they are met only where they hold their targets as it is.
        accepted: share whose last read was within the band.
        out_of_reach: share whose target lies beyond what pulses bring them to.
        reach_low, reach_high: in siemens: 99 % of cells come down to the first, and 99 % come up to the second; faulty
            ones do not count.
        residual: of all cells.
        residual_accepted: of cells that were accepted; ``None`` where none was.
        pulses_up, pulses_down: of all cells together.
        cycles_mean: reads of a cell.
        cycles_p50, cycles_p90, cycles_p99, cycles_most: percentiles of that.
        cycles_counts: cells that were read once, twice and so on.
        asymmetry_mean: what steps up are larger than steps down over their sum, at targets or the nearest that cells
            reach; faulty ones do not count.
        asymmetry_rms, asymmetry_largest: of its magnitude.
        pulse_energy_j, read_energy_j: of all pulses, of all reads; ``None`` where that of one is not known.
        each_in_turn_s: time of writing one cell after another; ``None`` where pulses or reads have no known time.
        all_at_once_s: time of the cell that takes longest.
    """

    cells: int
    faulty: int
    accepted: float
    out_of_reach: float
    reach_low: float
    reach_high: float
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

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report that :meth:`to_json` made this of.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        found = {field.name: data[field.name] for field in dataclasses.fields(cls)}
        accepted = found["residual_accepted"]
        found["residual"] = _restored(found["residual"])
        found["residual_accepted"] = None if accepted is None else _restored(accepted)
        found["cycles_counts"] = tuple(found["cycles_counts"])
        return cls(**found)


def write_report(written: WrittenCells, costs: WriteCosts | None = None) -> WriteReport:
    """What one write came to; of at least one cell.

    Where all cells are faulty, their reach is what they hold, and their asymmetry 0.
    """
    costs = costs or WriteCosts()
    error, accepted = (written.conductance - written.target).astype(np.float64), written.accepted
    moving = ~written.faulty if not written.faulty.all() else np.ones_like(written.faulty)
    asymmetry = written.asymmetry[moving].astype(np.float64)
    pulses = written.pulses_up.astype(np.int64) + written.pulses_down
    percentiles = np.percentile(written.cycles, (50, 90, 99))
    known = costs.pulse_s is not None and costs.read_s is not None
    seconds = pulses * (costs.pulse_s or 0.0) + written.cycles * (costs.read_s or 0.0)
    return WriteReport(
        cells=error.size,
        faulty=int(written.faulty.sum()),
        accepted=float(accepted.mean()),
        out_of_reach=float(1.0 - written.reachable.mean()),
        reach_low=float(np.percentile(written.lowest[moving], 99)),
        reach_high=float(np.percentile(written.highest[moving], 1)),
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
        asymmetry_mean=float(asymmetry.mean()),
        asymmetry_rms=float(np.sqrt(np.square(asymmetry).mean())),
        asymmetry_largest=float(np.abs(asymmetry).max()),
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


def _restored(data: Mapping[str, Any]) -> Residual:
    return Residual(**{**data, "edges": tuple(data["edges"]), "counts": tuple(data["counts"])})


def _times(count: int, one: float | None) -> float | None:
    return None if one is None else count * one
