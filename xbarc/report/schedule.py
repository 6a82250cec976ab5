"""Time: how often an inference is done, how long one takes, and how busy tiles are meanwhile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xbarc.hardware.network import digital_bits
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import reads_a_window
from xbarc.ir.schedule import Schedule, schedule
from xbarc.ir.simulation import simulate
from xbarc.ir.traffic import traffic
from xbarc.report.occupancy import TileReads, tile_reads
from xbarc.report.timing import ChipTimes, chip_times
from xbarc.report.traffic import TrafficUsage, traffic_usage

#: What may set the pace.
Station = Literal["tiles", "digital", "network"]


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
class TimeParts:
    """Seconds, told apart by what takes them.

    Attributes:
        tiles: reads of tiles; ``None`` where not known.
        digital: digital units of cores; ``None`` where the hardware gives no time for anything that they do, or sizes
            are not known.
        network: transport between cores; ``None`` where the hardware gives no mesh or no clock (for the interval, no
            bandwidth) of the network, or sizes are not known.
    """

    tiles: float | None
    digital: float | None
    network: float | None

    def known(self) -> Mapping[Station, float]:
        """Those that are known."""
        parts: dict[Station, float | None] = {
            "tiles": self.tiles,
            "digital": self.digital,
            "network": self.network,
        }
        return {name: seconds for name, seconds in parts.items() if seconds is not None}


@dataclass(frozen=True, slots=True)
class ScheduleUsage:
    """A program in time. What is counted in reads is of tiles alone; seconds have digital units and network too.

    Attributes:
        interval: reads from one inference to the next where layers are pipelined; ``None`` where windows are not known.
        latency: reads of one inference alone; ``None`` where windows are not known.
        read_time: seconds of a read; ``None`` where the hardware does not say.
        interval_parts: what the busiest tiles, digital unit and link each take for one inference.
        latency_parts: by how much each prolongs an inference alone; what layers do at the same time counts once.
        traffic: what cores send each other; ``None`` where the hardware gives no mesh.
        missing: what the hardware would have to say for the parts that are not known, or known in part.
        occupancy: temporal utilisation: share of the interval that used tiles read, on average, where layers are
            pipelined; ``None`` where not known.
        layers: in the order of execution.
    """

    interval: int | None
    latency: int | None
    read_time: float | None
    interval_parts: TimeParts
    latency_parts: TimeParts
    traffic: TrafficUsage | None
    missing: tuple[str, ...]
    occupancy: float | None
    layers: tuple[LayerTimes, ...]

    @property
    def bottleneck(self) -> Station | None:
        """What sets the interval, of what is known; ``None`` where the time of tiles is not."""
        known = self.interval_parts.known()
        return sorted(known, key=lambda name: -known[name])[0] if "tiles" in known else None

    @property
    def interval_s(self) -> float | None:
        """Seconds from one inference to the next, of what is known; ``None`` where the time of tiles is not."""
        known = self.interval_parts.known()
        return max(known.values()) if "tiles" in known else None

    @property
    def throughput(self) -> float | None:
        """Inferences a second; ``None`` where not known."""
        return 1 / self.interval_s if self.interval_s else None

    @property
    def latency_s(self) -> float | None:
        """Seconds of one inference alone, of what is known; ``None`` where the time of tiles is not."""
        known = self.latency_parts.known()
        return sum(known.values()) if "tiles" in known else None

    @property
    def idle(self) -> float | None:
        """Idle time: share of the interval that used tiles do not read, on average; ``None`` where not known."""
        return None if self.occupancy is None else 1 - self.occupancy


def schedule_usage(graph: Graph, hardware: Hardware) -> ScheduleUsage:
    """The schedule of a placed graph, with seconds where the hardware gives the time of a read."""
    found = traffic(graph, core_tiles=hardware.core.tiles, digital_bits=digital_bits(hardware))
    made, times = schedule(graph), chip_times(graph, hardware, found)
    usage = ScheduleUsage(
        interval=made.interval,
        latency=made.latency,
        read_time=times.read,
        interval_parts=_interval_parts(made, times),
        latency_parts=_latency_parts(graph, made, times),
        traffic=traffic_usage(graph, hardware, found),
        missing=times.missing,
        occupancy=None,
        layers=(),
    )
    reads, interval = tile_reads(graph), reads_an_interval(usage)
    return dataclasses.replace(
        usage,
        occupancy=_occupancy(list(reads.values()), interval),
        layers=tuple(_times(layer, made, reads[layer.read.matrix], interval) for layer in layers(graph)),
    )


def reads_an_interval(usage: ScheduleUsage) -> float | None:
    """Reads of a tile for which there is time from one inference to the next; ``None`` where not known."""
    return usage.interval_s / usage.read_time if usage.interval_s and usage.read_time else usage.interval


def _interval_parts(made: Schedule, times: ChipTimes) -> TimeParts:
    known = made.interval is not None
    return TimeParts(
        tiles=made.interval * times.read if made.interval is not None and times.read is not None else None,
        digital=times.unit.busiest if times.unit is not None and known else None,
        network=times.ways.busiest if times.ways is not None and known else None,
    )


def _latency_parts(graph: Graph, made: Schedule, times: ChipTimes) -> TimeParts:
    """Each is what its times add to an inference, tiles first, the network last.

    Layers do not wait for each other at a digital unit or a link, but an inference takes no less than the busiest.
    """
    if made.latency is None or times.read is None:
        return TimeParts(None, None, None)
    tiles = made.latency * times.read
    ends = [tiles]
    for network, known in ((False, times.unit), (True, times.ways)):
        alone = None if known is None else simulate(graph, times.timing(digital=True, network=network))
        least = 0.0 if known is None else known.busiest or 0.0
        end = max(ends[-1], least, 0.0 if alone is None else alone.latency)
        ends.append(ends[-1] if math.isclose(end, ends[-1], rel_tol=1e-12) else end)  # sums are rounded
    return TimeParts(
        tiles,
        None if times.unit is None else ends[1] - ends[0],
        None if times.ways is None else ends[2] - ends[1],
    )


def _occupancy(reads: Sequence[TileReads], interval: float | None) -> float | None:
    """Share of the interval that tiles read, on average, each tile once."""
    known = [counts for _, counts in reads if counts is not None]
    if not interval or len(known) < len(reads):
        return None
    tiles = np.unique(np.concatenate([tiles for tiles, _ in reads]))
    return float(np.concatenate(known).sum()) / (len(tiles) * interval)


def _times(layer: Layer, made: Schedule, reads: TileReads, interval: float | None) -> LayerTimes:
    span = made.spans.get(layer.name)
    return LayerTimes(
        name=layer.name,
        reads=reads_a_window(layer),
        busy=made.busy[layer.read.matrix],
        start=None if span is None else int(span.start),
        end=None if span is None else int(span.end),
        occupancy=_occupancy([reads], interval),
    )
