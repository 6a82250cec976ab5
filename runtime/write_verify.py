"""Write-and-verify: cells of a switching model are pulsed until reads find their targets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from xbarc.devices.switching.model import Floats, Quantity, SwitchingCells, SwitchingModel
from xbarc.errors import UsageError
from xbarc.random import Key, fill_normals
from xbarc.runtime.pulses import MOST_CYCLES, MOST_PULSES, write_and_verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """How a controller writes. It knows the mean cell of the model, not the cell that it writes.

    In each cycle a cell is read; where it is off its target by more than the band, it gets as many pulses as the mean
    cell would need from where the read found it, at least one. Nothing is pulsed after the last read.

    Attributes:
        band: how far a read may be off, over the range of conductances.
        band_of_target: or over the target, where that is more.
        max_cycles: reads of a cell at most.
        max_pulses: between two reads, at most.
        start: what cells hold before, over the range of conductances from ``g_min`` on, within each cell's bounds.
        margin: share of what the mean cell can hold that is left unused below ``g_min``, and as much above ``g_max``:
            so that cells of narrower bounds reach their targets as well. Below 0.5.

    Raises:
        UsageError: a number that is out of its range.
    """

    band: float = 0.005
    band_of_target: float = 0.0
    max_cycles: int = 100
    max_pulses: int = 1000
    start: float = 0.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("max_cycles", MOST_CYCLES), ("max_pulses", MOST_PULSES)):
            if not (isinstance(getattr(self, name), int) and 1 <= getattr(self, name) <= most):
                raise UsageError(
                    f"{name} = {getattr(self, name)!r} of a write", fix=f"give {name} an integer from 1 to {most}"
                )
        for name in ("band", "band_of_target", "start"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} = {getattr(self, name)!r} of a write", fix=f"give {name} a share from 0 to 1")
        if not 0 <= self.margin < 0.5:
            raise UsageError(f"margin = {self.margin!r} of a write", fix="give margin a share from 0, below 0.5")

    def ends(self, *, g_min: float, g_max: float) -> dict[str, float]:
        """What the mean bounds of a model stand for, in siemens: the range with the margins, be it below 0."""
        unused = self.margin / (1 - 2 * self.margin) * (g_max - g_min)
        return {"g_min": g_min - unused, "g_max": g_max + unused}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where cells lie in the streams of random numbers; neighbours in an array are neighbours there.

    Attributes:
        seed: of the chip.
        matrix: the name of the matrix that the cells hold.
        plane: ``2 * slice + polarity``.
        first_row, first_column: of the array's first cell in the matrix.
        row_step: from one row of the array to the next in the matrix.
    """

    seed: int = 0
    matrix: str = ""
    plane: int = 0
    first_row: int = 0
    row_step: int = 1
    first_column: int = 0

    def key(self, kind: str) -> Key:
        """The stream of one kind of draw."""
        return Key.stream(self.seed, kind, self.matrix)


@dataclass(frozen=True, slots=True)
class WrittenCells:
    """What a write did, one entry a cell in arrays of the targets' shape.

    Attributes:
        target: what reads should find, in siemens.
        conductance: what is there, write noise included, in siemens; not below 0.
        band: how far a read might be off, in siemens.
        faulty: whether it holds what it holds, whatever pulses it gets.
        accepted: whether the last read was within the band.
        cycles: reads of it.
        pulses_up, pulses_down: it took.
        lowest, highest: what pulses bring it to, in siemens; not below 0.
        reachable: whether its target lies between them.
        asymmetry: what its mean step up is larger than its mean step down, over their sum: at the target, or at the
            nearest conductance that it can be brought to; 0 where it is faulty.
    """

    target: Floats
    conductance: Floats
    band: Floats
    faulty: np.ndarray
    accepted: np.ndarray
    cycles: np.ndarray
    pulses_up: np.ndarray
    pulses_down: np.ndarray
    lowest: Floats
    highest: Floats
    reachable: np.ndarray
    asymmetry: Floats

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Cells of several writes in one dimension, with half the digits of each number."""
        short = {"f": np.float32, "i": np.int32}

        def column(name: str) -> np.ndarray:
            found = [getattr(part, name).ravel() for part in parts]
            return np.concatenate([array.astype(short.get(array.dtype.kind, array.dtype)) for array in found])

        return cls(**{field.name: column(field.name) for field in dataclasses.fields(cls)})


class MeanCell(NamedTuple):
    """The cell that a controller takes every cell for, as kernels take it."""

    up: float
    down: float
    slope_up: float
    slope_down: float


def draw_cells(model: SwitchingModel, shape: tuple[int, int], site: Site) -> SwitchingCells:
    """The cells of a model at their places: each differs from the mean in the same way whatever is written to it."""

    def deviates(quantity: Quantity) -> Floats:
        key = site.key(f"switching {quantity}")
        drawn = np.empty(shape, dtype=np.float32)
        rows = np.arange(shape[0], dtype=np.uint32) * np.uint32(site.row_step) + np.uint32(site.first_row)
        fill_normals(drawn, key, np.stack([rows, np.zeros_like(rows)], axis=1), site.plane, site.first_column)
        return drawn.astype(np.float64)

    return model.cells(shape, deviates)


def write_cells_verified(
    target: np.ndarray,
    model: SwitchingModel,
    procedure: Procedure,
    *,
    g_min: float,
    g_max: float,
    site: Site = Site(),
    read_sigma: np.ndarray | float = 0.0,
) -> WrittenCells:
    """Write conductances into cells that were never written before.

    The result is a function of its arguments alone: an array written in parts, with ``site`` moved along, holds the
    same, bit for bit.

    Args:
        target: ``(rows, columns)``, in siemens.
        model: how cells switch; its mean bounds stand for ``g_min`` and ``g_max``, less the margins.
        procedure: how they are written.
        g_min, g_max: the range of conductances, in siemens.
        site: the place of the first cell.
        read_sigma: standard deviation of a read, in siemens: one, or one a cell.

    Raises:
        UsageError: targets that are no matrix of finite numbers, an empty range, a negative deviation of reads.
    """
    target = np.asarray(target, dtype=np.float64)
    if target.ndim != 2 or not np.isfinite(target).all():
        raise UsageError(
            f"the targets of a write are no matrix of finite numbers: {target.shape}",
            fix="give siemens, rows x columns",
        )
    if not 0 <= g_min < g_max < math.inf:
        raise UsageError(f"a write from {g_min!r} S to {g_max!r} S has no range", fix="give g_min below g_max")
    if not np.all(np.asarray(read_sigma) >= 0):
        raise UsageError("reads of a write deviate by less than nothing", fix="give read_sigma 0 or more")
    ends = procedure.ends(g_min=g_min, g_max=g_max)
    scale = (model.high - model.low) / (ends["g_max"] - ends["g_min"])
    wanted = model.state(target, **ends)
    start = model.state(np.full(target.shape, g_min + procedure.start * (g_max - g_min)), **ends)
    band = np.maximum(procedure.band * (g_max - g_min), procedure.band_of_target * np.abs(target))
    cells, mean = draw_cells(model, target.shape, site), model.mean_cells()
    counts = [np.empty(target.shape, dtype=np.int64) for _ in ("cycles", "up", "down")]
    state, accepted = np.empty(target.shape), np.empty(target.shape, dtype=bool)
    keys = [site.key(kind) for kind in ("pulses", "write noise", "verify")]
    write_and_verify(
        wanted,
        start,
        band * scale,
        np.broadcast_to(np.asarray(read_sigma, dtype=np.float64), target.shape) * scale,
        cells.up,
        cells.down,
        cells.low,
        cells.high,
        cells.slope_up,
        cells.slope_down,
        cells.reference,
        model.law(),
        MeanCell(*(float(getattr(mean, name)) for name in MeanCell._fields)),
        procedure.max_cycles,
        procedure.max_pulses,
        np.array([(key.low, key.high) for key in keys], dtype=np.uint32),
        site.first_row,
        site.row_step,
        site.first_column,
        np.uint32(site.plane),
        state,
        counts[0],
        counts[1],
        counts[2],
        accepted,
    )
    lowest, highest = model.reach(cells)
    nearest = np.clip(wanted, lowest, highest)
    return WrittenCells(
        target=target,
        conductance=np.maximum(model.conductance(state, **ends), 0.0),
        band=band,
        faulty=np.zeros(target.shape, dtype=bool),
        accepted=accepted,
        cycles=counts[0],
        pulses_up=counts[1],
        pulses_down=counts[2],
        lowest=np.maximum(model.conductance(lowest, **ends), 0.0),
        highest=np.maximum(model.conductance(highest, **ends), 0.0),
        reachable=nearest == wanted,
        asymmetry=model.asymmetry(nearest + cells.reference, cells),
    )


def with_faults(
    written: WrittenCells,
    held: np.ndarray,
    model: SwitchingModel,
    procedure: Procedure,
    *,
    g_min: float,
    g_max: float,
) -> WrittenCells:
    """What a write came to where some cells do not follow pulses.

    The controller does not know them. A read finds what such a cell holds, without deviation: where that is within the
    band, the cell is accepted at once; else it gets pulses until the controller gives up.

    Args:
        written: the same write, as if no cell were faulty.
        held: what faulty cells hold, in siemens, of the targets' shape; NaN where a cell is not faulty.
        model, procedure, g_min, g_max: of that write.
    """
    faulty = ~np.isnan(held)
    found = np.where(faulty, held, written.target)
    error = written.target - found
    accepted = np.abs(error) <= written.band
    ends, mean, rising = procedure.ends(g_min=g_min, g_max=g_max), model.mean_cells(), error > 0
    read, most = model.state(found, **ends), procedure.max_pulses
    distance = np.abs(model.state(written.target, **ends) - read)
    step = np.where(rising, model.mean_step(read, mean, up=True), model.mean_step(read, mean, up=False))
    hopeless = step * most <= distance
    counts = np.where(hopeless, most, np.maximum(np.rint(distance / np.where(hopeless, 1.0, step)), 1))
    given = np.where(accepted, 0, (procedure.max_cycles - 1) * counts.astype(np.int64))

    def either(healthy: np.ndarray, other: np.ndarray | float) -> np.ndarray:
        return np.where(faulty, other, healthy)

    return WrittenCells(
        target=written.target,
        conductance=either(written.conductance, held),
        band=written.band,
        faulty=faulty,
        accepted=either(written.accepted, accepted),
        cycles=either(written.cycles, np.where(accepted, 1, procedure.max_cycles)),
        pulses_up=either(written.pulses_up, np.where(rising, given, 0)),
        pulses_down=either(written.pulses_down, np.where(rising, 0, given)),
        lowest=either(written.lowest, held),
        highest=either(written.highest, held),
        reachable=either(written.reachable, accepted),
        asymmetry=either(written.asymmetry, 0.0),
    )
