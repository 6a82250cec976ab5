"""Time: how often an inference is done, how long one takes, and how busy tiles are meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarc.hardware.derived import read_time
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import reads_a_window
from xbarc.ir.repetitions import repeated
from xbarc.ir.schedule import Schedule, schedule
from xbarc.ir.work import matrix_windows
from xbarc.report.replication import copies_of


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """One layer in time, counted in reads of a tile.

    Attributes:
        name: of the layer.
        reads: of a tile for one window.
        busy: reads of its most busy copy in one inference, with those for layers that use the same cells; ``None``
            where windows are not known.
        start: reads from the start of an inference that runs alone to the layer's first; ``None`` where not known.
        end: the same to the end of its last; ``None`` where not known.
        occupancy: share of the interval that its copies read, on average, where layers are pipelined; ``None`` where
            not known.
    """

    name: str
    reads: int
    busy: int | None
    start: int | None
    end: int | None
    occupancy: float | None

    @property
    def idle(self) -> float | None:
        """Idle time: share of the interval that its copies do not read, on average; ``None`` where not known."""
        return None if self.occupancy is None else 1 - self.occupancy


@dataclass(frozen=True, slots=True)
class ScheduleUsage:
    """A program in time. Reads are of tiles: digital operators and transport between cores take none.

    Attributes:
        interval: reads from one inference to the next where layers are pipelined; ``None`` where windows are not known.
        latency: reads of one inference alone; ``None`` where windows are not known.
        read_time: seconds of a read; ``None`` where the hardware does not say.
        occupancy: temporal utilisation: share of the interval that used tiles read, on average, where layers are
            pipelined; ``None`` where not known.
        layers: in the order of execution.
    """

    interval: int | None
    latency: int | None
    read_time: float | None
    occupancy: float | None
    layers: tuple[LayerTimes, ...]

    @property
    def interval_s(self) -> float | None:
        """Seconds from one inference to the next; ``None`` where not known."""
        return None if self.interval is None or self.read_time is None else self.interval * self.read_time

    @property
    def throughput(self) -> float | None:
        """Inferences a second; ``None`` where not known."""
        return 1 / self.interval_s if self.interval_s else None

    @property
    def latency_s(self) -> float | None:
        """Seconds of one inference alone; ``None`` where not known."""
        return None if self.latency is None or self.read_time is None else self.latency * self.read_time

    @property
    def idle(self) -> float | None:
        """Idle time: share of the interval that used tiles do not read, on average; ``None`` where not known."""
        return None if self.occupancy is None else 1 - self.occupancy


def schedule_usage(graph: Graph, hardware: Hardware) -> ScheduleUsage:
    """The schedule of a placed graph, with seconds where the hardware gives the time of a read."""
    made = schedule(graph)
    found = layers(graph)
    occupancies = _occupancies(graph, made)
    tiles = {layer.read.matrix: np.unique(np.concatenate(copies_of(layer))) for layer in found}
    used = len(np.unique(np.concatenate([*tiles.values()]))) if tiles else 0
    shares = [None if share is None else share * len(tiles[matrix]) for matrix, share in occupancies.items()]
    known = [share for share in shares if share is not None]
    return ScheduleUsage(
        interval=made.interval,
        latency=made.latency,
        read_time=read_time(hardware),
        occupancy=sum(known) / used if known and len(known) == len(shares) else None,
        layers=tuple(_times(layer, made, occupancies[layer.read.matrix]) for layer in found),
    )


def _occupancies(graph: Graph, made: Schedule) -> dict[str, float | None]:
    """By matrix, the average over its copies."""
    reads = {layer.read.matrix: (reads_a_window(layer), layer.read.copies) for layer in layers(graph)}
    found: dict[str, float | None] = {}
    for matrix, windows in matrix_windows(graph).items():
        total = repeated(windows, reads[matrix][0])
        found[matrix] = total / (made.interval * reads[matrix][1]) if total is not None and made.interval else None
    return found


def _times(layer: Layer, made: Schedule, occupancy: float | None) -> LayerTimes:
    span = made.spans.get(layer.name)
    return LayerTimes(
        name=layer.name,
        reads=reads_a_window(layer),
        busy=made.busy[layer.read.matrix],
        start=None if span is None else span.start,
        end=None if span is None else span.end,
        occupancy=occupancy,
    )
