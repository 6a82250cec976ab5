"""When layers read their tiles, counted in reads.

Throughput: layers work on different inferences at the same time, and the slowest sets the interval between them.
Latency: one inference alone, where a window is read as soon as its inputs are there and a copy of the layer is free.
Digital operators and the transport between cores take no time here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.reads import reads_of_copies, serial_reads
from xbarc.ir.segments import owners_by_segment
from xbarc.ir.sharing import shared_tiles
from xbarc.ir.simulation import Span, Timing, simulate


@dataclass(frozen=True, slots=True)
class SegmentReads:
    """One reload segment.

    Attributes:
        interval: reads from one inference to the next, its layers pipelined; ``None`` where windows are not known.
        latency: reads of one inference alone, from its begin to that of the next segment; ``None`` likewise.
    """

    interval: int | None
    latency: int | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Of one program.

    Attributes:
        interval: reads from one inference to the next, layers pipelined; ``None`` where windows are not known. With
            several reload segments, the sum of theirs, which large batches between reloads come to.
        busy: by matrix, reads of the copy that is read most in one inference; ``None`` where they are not known.
        latency: reads of one inference alone; ``None`` where windows are not known.
        spans: by layer, in reads; empty where the latency is not known.
        ends: of the reads of windows, by layer outside of bodies; likewise.
    """

    interval: int | None
    busy: Mapping[str, int | None]
    latency: int | None
    spans: Mapping[str, Span]
    ends: Mapping[str, np.ndarray]
    segments: tuple[SegmentReads, ...]


def schedule(graph: Graph) -> Schedule:
    """The schedule of a graph at tile level, by the copies of its layers."""
    busy = _busy(graph)
    intervals = _intervals(graph, busy)
    known = [reads for reads in intervals if reads is not None]
    interval = sum(known) if len(known) == len(intervals) else None
    alone = simulate(graph, Timing())
    if alone is None:
        return Schedule(interval, busy, None, {}, {}, tuple(SegmentReads(reads, None) for reads in intervals))
    ends = [*alone.begins[1:], alone.latency]
    segments = tuple(
        SegmentReads(reads, int(end - begin)) for reads, begin, end in zip(intervals, alone.begins, ends, strict=True)
    )
    return Schedule(interval, busy, int(alone.latency), alone.spans, alone.ends, segments)


def _intervals(graph: Graph, busy: Mapping[str, int | None]) -> list[int | None]:
    """Of each reload segment."""
    # Layers that share a tile read it in turn: it is busy with all of them.
    together = shared_tiles(graph)
    found: list[int | None] = []
    for owners in owners_by_segment(graph):
        names = [owner.read.matrix for owner in owners]
        reads = [busy[name] for name in names]
        sums = [sum(busy[name] or 0 for name in matrices) for matrices in together if not matrices.isdisjoint(names)]
        known = [each for each in reads if each is not None]
        found.append(max([*known, *sums], default=0) if len(known) == len(reads) else None)
    return found


def _busy(graph: Graph) -> dict[str, int | None]:
    """Layers that share a matrix take turns on its copies."""
    serial = {layer.read.matrix: serial_reads(layer) for layer in layers(graph)}
    return {
        matrix: None if reads is None else int(reads.max()) * serial[matrix]
        for matrix, reads in reads_of_copies(graph).items()
    }
