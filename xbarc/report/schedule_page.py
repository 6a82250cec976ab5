"""The schedule as tables: the whole program in time, and its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from xbarc.report.page import Column, Table, facts, numbers
from xbarc.report.schedule import LayerTimes, ScheduleUsage, Station, TimeParts
from xbarc.report.traffic import TrafficUsage
from xbarc.report.words import UNKNOWN, amount, exact, number, percent, rate, several
from xbarc.units import format_quantity

_WORDS: Final[Mapping[Station, str]] = {"tiles": "tiles", "digital": "digital units", "network": "network"}


def schedule_tables(usage: ScheduleUsage) -> tuple[Table, Table]:
    """The whole program, then its layers."""
    often = "" if usage.throughput is None else f": {rate(usage.throughput)} inferences a second"
    whole = facts(
        "Time",
        ("between inferences", f"{_reads(usage.interval)}{_seconds(usage.interval_s)}{often}"),
        *_parts("set by", usage.interval_parts, usage.bottleneck),
        ("one inference alone", f"{_reads(usage.latency)}{_seconds(usage.latency_s)}"),
        *_parts("of this", usage.latency_parts, None),
        *_traffic(usage.traffic),
        ("tiles busy", f"{percent(usage.occupancy)} of the time, layers pipelined"),
        notes=tuple(_notes(usage)),
    )
    columns = (
        Column("layer"),
        *numbers("reads\na window", "reads of\na copy", "alone:\nfirst", "alone:\nend", "busy,\npipelined"),
    )
    return whole, Table("Layers in time", columns, tuple(_row(layer) for layer in usage.layers))


def _parts(label: str, parts: TimeParts, bottleneck: Station | None) -> Iterator[tuple[str, str]]:
    """Seconds told apart, what sets the pace first; nothing where those of tiles are not known."""
    if parts.tiles is None:
        return
    names = sorted(_WORDS, key=lambda name: name != bottleneck)
    yield label, ", ".join(f"{_WORDS[name]} {_time(parts.known().get(name))}" for name in names)


def _traffic(usage: TrafficUsage | None) -> Iterator[tuple[str, str]]:
    """How much goes over the network, and how far; nothing without a mesh."""
    if usage is not None and usage.mean_hops is not None:
        mean = number(usage.mean_hops)
        hops = f"{mean} {'hop' if mean == '1' else 'hops'} on average"
        if usage.bit_hops < usage.in_order:
            hops += f", {percent(1 - usage.bit_hops / usage.in_order)} fewer than with cores in the order of layers"
        yield "between cores", f"{amount(usage.bits)} bits an inference, {hops}"


def _notes(usage: ScheduleUsage) -> Iterator[str]:
    yield "reads are of tiles: digital units and network take none, and add to the seconds"
    if usage.missing:
        yield f"the hardware does not say, and what depends on it is left out: {', '.join(usage.missing)}"
    yield "waiting of one layer for another at a digital unit or a link is not modelled"


def _row(layer: LayerTimes) -> tuple[str, ...]:
    return (
        layer.name,
        exact(layer.reads),
        _count(layer.busy),
        _count(layer.start),
        _count(layer.end),
        percent(layer.occupancy),
    )


def _count(reads: int | None) -> str:
    return UNKNOWN if reads is None else exact(reads)


def _reads(reads: int | None) -> str:
    return UNKNOWN if reads is None else several(reads, "read")


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f", {_time(seconds)}"


def _time(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else format_quantity(float(f"{seconds:.3g}"), "s")
