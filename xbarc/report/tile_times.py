"""When tiles are busy: each over many inferences, and those of every copy of a layer in one that runs alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import reads_a_window
from xbarc.ir.schedule import Schedule, schedule
from xbarc.report.occupancy import tile_reads
from xbarc.report.schedule import reads_an_interval, schedule_usage


@dataclass(frozen=True, slots=True)
class TileLoad:
    """One tile, layers pipelined.

    Attributes:
        tile: which tile of the chip.
        core: in which it lies.
        reads: of it in one inference; ``None`` where windows are not known.
        busy: share of the interval that it is read; ``None`` where not known.
    """

    tile: int
    core: int
    reads: int | None
    busy: float | None


@dataclass(frozen=True, slots=True)
class CopyTimes:
    """When the tiles of one copy of a layer are read, in an inference that runs alone.

    A tile that has less of the layer than another tile of the copy pauses within these times. A layer in the body of a
    loop is busy from its first read to its last.

    Attributes:
        layer: name of the layer.
        copy: which copy of its cells.
        tiles: that hold something of it.
        intervals: from where to where, in reads from the start of the inference; what adjoins is joined.
    """

    layer: str
    copy: int
    tiles: tuple[int, ...]
    intervals: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TileTimes:
    """When tiles are busy.

    Attributes:
        tiles: those that hold something, by number.
        alone: by layer in the order of execution, and copy; none where the latency is not known.
    """

    tiles: tuple[TileLoad, ...]
    alone: tuple[CopyTimes, ...]


def tile_times(graph: Graph, hardware: Hardware) -> TileTimes:
    """The times of the tiles of a placed graph."""
    interval = reads_an_interval(schedule_usage(graph, hardware))
    reads: dict[int, int | None] = defaultdict(int)
    for tiles, counts in tile_reads(graph).values():
        for index, tile in enumerate(tiles.tolist()):
            before = reads[tile]
            reads[tile] = None if counts is None or before is None else before + int(counts[index])
    loads = (
        TileLoad(tile, tile // hardware.core.tiles, count, count / interval if count is not None and interval else None)
        for tile, count in sorted(reads.items())
    )
    made = schedule(graph)
    return TileTimes(tuple(loads), tuple(each for layer in layers(graph) for each in _copies(layer, made)))


def _copies(layer: Layer, made: Schedule) -> Iterator[CopyTimes]:
    pieces, span = layer.read.pieces, made.spans.get(layer.name)
    if pieces is None or span is None:
        return
    for copy in range(layer.read.copies):
        tiles = np.unique(pieces["tile"][pieces["copy"] == copy])
        if layer.name in made.ends:
            intervals = _joined(made.ends[layer.name][copy :: layer.read.copies], reads_a_window(layer))
        else:
            intervals = ((int(span.start), int(span.end)),)
        yield CopyTimes(layer.name, copy, tuple(tiles.tolist()), intervals)


def _joined(ends: np.ndarray, takes: int) -> tuple[tuple[int, int], ...]:
    """Intervals that each take so long, by their ends, which rise; those that adjoin are one."""
    starts = ends - takes
    first = np.flatnonzero(np.diff(starts, prepend=-np.inf) > takes)
    last = np.append(first[1:] - 1, len(ends) - 1) if len(ends) else first
    return tuple(zip(starts[first].astype(int).tolist(), ends[last].astype(int).tolist(), strict=True))
