"""Reload segments as tables."""

from __future__ import annotations

from collections.abc import Iterator

from xbarc.hardware.quantities import rounded
from xbarc.report.page import Column, Table, facts, numbers
from xbarc.report.segments import SegmentsUsage, SegmentUsage
from xbarc.report.words import UNKNOWN, amount, exact, percent, rate, several


def segment_tables(usage: SegmentsUsage) -> Iterator[Table]:
    """The segments, then what they cost; nothing where there is one."""
    if len(usage.segments) < 2:
        return
    columns = (
        *numbers("segment"),
        Column("from layer"),
        Column("to layer"),
        *numbers(
            "layers", "tiles", "cells\nwritten", "write\ntime", "write\nenergy", "alone:\nreads", "interval:\nreads"
        ),
    )
    rows = tuple(_row(index, segment) for index, segment in enumerate(usage.segments))
    cells = sum(segment.cells for segment in usage.segments)
    tiles = sum(segment.tiles for segment in usage.segments)
    whole = (
        "total",
        "",
        "",
        exact(sum(len(segment.layers) for segment in usage.segments)),
        exact(tiles),
        amount(cells),
    )
    total = (*whole, _quantity(usage.write_time, "s"), _quantity(usage.write_energy, "J"), "", "")
    notes = (
        "the chip is written for one after the other, each when the layers of that before have done",
        "times elsewhere are without writing, and between inferences those of large batches between reloads",
        *_not_given(usage),
    )
    yield Table("Reload segments", columns, rows, total, notes=notes)
    lines = [("one inference, with reloads", _quantity(usage.latency_s, "s"))]
    for batch in usage.batches:
        if batch.throughput is None:
            text = UNKNOWN
        else:
            text = f"{rate(batch.throughput)} inferences a second, {percent(batch.writing)} of the time writing"
        lines.append((f"{exact(batch.inferences)} between reloads", text))
    half = UNKNOWN if usage.half is None else f"from {several(usage.half, 'inference')} between reloads on"
    lines.append(("writing at most half of the time", half))
    yield facts("With reloads", *lines)


def _not_given(usage: SegmentsUsage) -> Iterator[str]:
    """What the hardware would have to say."""
    if usage.write_time is None:
        yield "write time: the hardware does not give tile.write_time"
    if usage.write_energy is None:
        yield 'write energy: the hardware has no component with use = "cell-write" and an energy'


def _row(index: int, segment: SegmentUsage) -> tuple[str, ...]:
    return (
        exact(index),
        segment.layers[0],
        segment.layers[-1],
        exact(len(segment.layers)),
        exact(segment.tiles),
        amount(segment.cells),
        _quantity(segment.write_time, "s"),
        _quantity(segment.write_energy, "J"),
        UNKNOWN if segment.latency is None else exact(segment.latency),
        UNKNOWN if segment.interval is None else exact(segment.interval),
    )


def _quantity(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else rounded(value, unit)
