"""The schedule as tables: the whole program in time, and its layers."""

from __future__ import annotations

from xbarc.report.page import Column, Table, facts, numbers
from xbarc.report.schedule import LayerTimes, ScheduleUsage
from xbarc.report.words import UNKNOWN, amount, exact, number, percent
from xbarc.units import format_quantity


def schedule_tables(usage: ScheduleUsage) -> tuple[Table, Table]:
    """The whole program, then its layers."""
    rate = "" if usage.throughput is None else f": {_rate(usage.throughput)} inferences a second"
    whole = facts(
        "Time",
        ("between inferences", f"{_reads(usage.interval)}{_seconds(usage.interval_s)}{rate}"),
        ("one inference alone", f"{_reads(usage.latency)}{_seconds(usage.latency_s)}"),
        ("tiles busy", f"{percent(usage.occupancy)} of the time, layers pipelined"),
        notes=("a read is one read of a tile; digital operators and transport take no time here",),
    )
    columns = (
        Column("layer"),
        *numbers("reads\na window", "reads of\na copy", "alone:\nfirst", "alone:\nend", "busy,\npipelined"),
    )
    return whole, Table("Layers in time", columns, tuple(_row(layer) for layer in usage.layers))


def _row(layer: LayerTimes) -> tuple[str, ...]:
    return (
        layer.name,
        exact(layer.reads),
        _count(layer.busy),
        _count(layer.start),
        _count(layer.end),
        percent(layer.occupancy),
    )


def _rate(throughput: float) -> str:
    return amount(round(throughput)) if throughput >= 100 else number(throughput)


def _count(reads: int | None) -> str:
    return UNKNOWN if reads is None else exact(reads)


def _reads(reads: int | None) -> str:
    return UNKNOWN if reads is None else f"{exact(reads)} reads"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f", {format_quantity(float(f'{seconds:.3g}'), 's')}"
