"""Reload segments: what writing the chip for one after the other costs, and how large batches make up for it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.schedule import SegmentReads, schedule
from xbarc.ir.segments import owners_by_segment, tile_keys
from xbarc.report.cells import piece_cells
from xbarc.report.schedule import ScheduleUsage

#: Inferences between reloads that are reported.
BATCHES: Final = (1, 16, 256)


@dataclass(frozen=True, slots=True)
class SegmentUsage:
    """One segment: layers that are on the chip together.

    Attributes:
        layers: their names, in the order of execution.
        tiles: that hold something.
        cells: that are written: those of blocks, with references and the zeros between groups.
        write_time: seconds in which the chip is written; ``None`` where the hardware does not say.
        write_energy: joules of it; ``None`` where the hardware does not say.
        latency: reads of one inference alone, until the next segment begins; ``None`` where windows are not known.
        interval: reads from one inference to the next, layers pipelined; ``None`` where windows are not known.
    """

    layers: tuple[str, ...]
    tiles: int
    cells: int
    write_time: float | None
    write_energy: float | None
    latency: int | None
    interval: int | None


@dataclass(frozen=True, slots=True)
class BatchUsage:
    """So many inferences between reloads.

    Attributes:
        inferences: how many.
        time: seconds of all, with all reloads; ``None`` where not known.
        writing: share of it in which the chip is written; ``None`` where not known.
    """

    inferences: int
    time: float | None
    writing: float | None

    @property
    def throughput(self) -> float | None:
        """Inferences a second; ``None`` where not known."""
        return self.inferences / self.time if self.time else None


@dataclass(frozen=True, slots=True)
class SegmentsUsage:
    """A program in reload segments, or in one, which is written once.

    Nothing is read while the chip is written. Values between segments are kept elsewhere; erasing is not counted.

    Attributes:
        segments: in the order of execution.
        tiles_written: at the same time.
        write_time: seconds in which the chip is written for all of them; ``None`` where not known.
        write_energy: joules of it; ``None`` where not known.
        batches: where the chip is written for each segment, runs a number of inferences through it, and goes on with
            the next; empty where there is one segment.
        half: inferences between reloads from which on writing takes at most half of the time; ``None`` where not known,
            or there is one segment.
    """

    segments: tuple[SegmentUsage, ...]
    tiles_written: int
    write_time: float | None
    write_energy: float | None
    batches: tuple[BatchUsage, ...]
    half: int | None

    @property
    def latency_s(self) -> float | None:
        """Seconds of one inference alone, with all reloads; null where not known, or there is one segment."""
        return self.batches[0].time if self.batches else None


def segments_usage(graph: Graph, hardware: Hardware, times: ScheduleUsage) -> SegmentsUsage:
    """The segments of a placed graph; ``times``: its schedule."""
    held = owners_by_segment(graph)
    reads = schedule(graph).segments if len(held) > 1 else (SegmentReads(times.interval, times.latency),)
    names: list[list[str]] = [[] for _ in held]
    for layer in layers(graph):
        names[layer.read.segment].append(layer.name)
    found = tuple(
        _segment(of_segment, owners, each, hardware)
        for of_segment, owners, each in zip(names, held, reads, strict=True)
    )
    write_time = total_known([segment.write_time for segment in found])
    sizes = BATCHES if len(found) > 1 else ()
    return SegmentsUsage(
        segments=found,
        tiles_written=hardware.chip.tiles_written,
        write_time=write_time,
        write_energy=total_known([segment.write_energy for segment in found]),
        batches=tuple(_batch(size, write_time, times) for size in sizes),
        half=_half(write_time, times) if sizes else None,
    )


def total_known(figures: Sequence[float | None]) -> float | None:
    """The sum; ``None`` where one is not known."""
    known = [figure for figure in figures if figure is not None]
    return math.fsum(known) if len(known) == len(figures) else None


def write_energy_a_cell(hardware: Hardware) -> float | None:
    """Joules of all parts that write a cell; ``None`` where none is given."""
    parts = [part.energy for part in hardware.components.by_name.values() if part.use == "cell-write"]
    known = [energy for energy in parts if energy is not None]
    return math.fsum(known) if known else None


def _segment(names: Sequence[str], owners: Sequence[Layer], reads: SegmentReads, hardware: Hardware) -> SegmentUsage:
    """Of layers, and of those that own matrices."""
    tables = [_pieces(layer) for layer in owners]
    cells = sum(int(piece_cells(layer, table).sum()) for layer, table in zip(owners, tables, strict=True))
    rows, a_row, a_cell = _rows_written(owners), hardware.tile.write_time, write_energy_a_cell(hardware)
    return SegmentUsage(
        layers=tuple(names),
        tiles=len(rows),
        cells=cells,
        write_time=None if a_row is None else _rows_in_turn(rows, hardware.chip.tiles_written) * a_row,
        write_energy=None if a_cell is None else cells * a_cell,
        latency=reads.latency,
        interval=reads.interval,
    )


def _rows_written(owners: Sequence[Layer]) -> list[int]:
    """Rows that hold something, of each tile that does, in their order."""
    tables = [_pieces(layer) for layer in owners]
    if not tables:
        return []
    tiles, which = np.unique(np.concatenate([tile_keys(layer) for layer in owners]), return_inverse=True)
    first = np.concatenate([table["row"] for table in tables]).astype(np.int64)
    end = first + np.concatenate([table["rows"] for table in tables])
    # One tile below the other, rows that pieces have in common count for the first of these.
    height = int(end.max())
    first, end = first + which * height, end + which * height
    order = np.argsort(first, kind="stable")
    before = np.concatenate([[0], np.maximum.accumulate(end[order])[:-1]])
    new = np.maximum(end[order] - np.maximum(first[order], before), 0)
    rows: list[int] = np.bincount(which[order], weights=new, minlength=len(tiles)).astype(np.int64).tolist()
    return rows


def _pieces(layer: Layer) -> np.ndarray:
    if layer.read.pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    return layer.read.pieces


def _rows_in_turn(rows: Sequence[int], at_once: int) -> int:
    """Rows that are written one after the other, where each tile is begun as soon as one of those before it is done."""
    done = [0] * min(at_once, max(len(rows), 1))
    for count in rows:
        heapq.heapreplace(done, done[0] + count)
    return max(done)


def _batch(size: int, write_time: float | None, times: ScheduleUsage) -> BatchUsage:
    """Over all segments, writing, the first inference, and an interval for each further one."""
    if write_time is None or times.latency_s is None or times.interval_s is None:
        return BatchUsage(size, None, None)
    time = write_time + times.latency_s + (size - 1) * times.interval_s
    return BatchUsage(size, time, write_time / time if time else None)


def _half(write_time: float | None, times: ScheduleUsage) -> int | None:
    if write_time is None or times.latency_s is None or not times.interval_s:
        return None
    return 1 + max(math.ceil((write_time - times.latency_s) / times.interval_s), 0)
