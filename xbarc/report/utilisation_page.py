"""The utilisation report as a page: the whole program, its layers, their cells and converters, and the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from xbarc.hardware.quantities import rounded
from xbarc.report.clipping_page import clipping_table
from xbarc.report.converters_page import converter_tables
from xbarc.report.cost_page import cost_tables
from xbarc.report.losses_page import cells_table, free_tiles, lost_cells
from xbarc.report.page import Column, Page, Table, facts, numbers
from xbarc.report.replication import ReplicationUsage
from xbarc.report.schedule_page import schedule_tables
from xbarc.report.segments_page import segment_tables
from xbarc.report.utilisation import LayerUsage, UtilisationReport
from xbarc.report.words import NAMES_SHOWN, amount, counted, exact, matrix, percent, rate, several, shortened
from xbarc.units import format_quantity


def utilisation_page(report: UtilisationReport, *, title: str) -> Page:
    """All that a program's report says."""
    page = [facts(title, *whole_program(report), notes=_remarks(report))]
    if report.layers:
        page += [_layers(report), cells_table(report), *_replication(report.replication)]
        page += segment_tables(report.segments)
        page += [*schedule_tables(report.schedule), *cost_tables(report.cost)]
        page += [*clipping_table(report.layers), *converter_tables(report.layers)]
    return [*page, _host(report)] if report.host else page


def whole_program(report: UtilisationReport) -> Iterator[tuple[str, str]]:
    """The totals in words."""
    chip = "unlimited" if report.chip_tiles is None else exact(report.chip_tiles)
    name = report.hardware + (f" with {', '.join(report.overrides)}" if report.overrides else "")
    yield "hardware", f"{name}: tiles of {report.tile_rows} x {report.tile_columns}, {chip} on the chip"
    yield "calibration", report.calibration if report.calibrated else f"UNCALIBRATED: {report.calibration}"
    tiles = f"{exact(report.totals.logical_tiles)} logical, {exact(report.totals.physical_tiles)} physical"
    if report.totals.tile_utilisation is not None:
        tiles += f": {percent(report.totals.tile_utilisation)} of the chip"
    if free := free_tiles(report.totals.chip):
        tiles += f"; {free}"
    yield "tiles", tiles
    if report.totals.cells.total:
        yield "cells", lost_cells(report.totals.cells)
    yield from _time_and_energy(report)
    yield "MACs a sample", work(report.totals.analog_macs, report.totals.host_macs, report.totals.analog_share)


def _time_and_energy(report: UtilisationReport) -> Iterator[tuple[str, str]]:
    """Of one inference, where they are known, and something is on tiles."""
    times, cost, segments = report.schedule, report.cost, report.segments
    if not report.layers:
        return
    if times.interval_s is not None and times.latency_s is not None:
        often = "" if times.throughput is None else f": {rate(times.throughput)} a second"
        yield "inference", f"every {_time(times.interval_s)}{often}; {_time(times.latency_s)} alone"
    if len(segments.segments) > 1:
        write = (
            "takes a time that is not known" if segments.write_time is None else f"takes {_time(segments.write_time)}"
        )
        yield "segments", f"{len(segments.segments)}: writing the chip for them {write}, which is not in these times"
    if times.idle is not None:
        yield "idle", f"{percent(times.idle)} of the time of used tiles"
    if cost.energy is not None:
        yield "energy", f"{rounded(cost.energy, 'J')} an inference"


def _time(seconds: float) -> str:
    return format_quantity(float(f"{seconds:.3g}"), "s")


def work(analog: int | None, host: int | None, share: float | None) -> str:
    """How the arithmetic is shared between tiles and host."""
    text = f"{amount(analog)} on tiles, {amount(host)} on the host"
    return text if share is None else f"{text}: {percent(share)} analog"


def _layers(report: UtilisationReport) -> Table:
    columns = (
        Column("layer"),
        Column("type"),
        *numbers("matrix", "windows", "copies", "MACs", "logical\ntiles", "physical\ntiles", "cells\nused"),
    )
    rows = tuple(
        (
            layer.name,
            layer.source,
            matrix(groups=layer.groups, rows=layer.rows, columns=layer.columns),
            "unknown" if layer.windows is None else exact(layer.windows),
            exact(layer.copies),
            amount(layer.macs),
            exact(layer.logical_tiles),
            exact(layer.physical_tiles),
            percent(layer.cells.utilisation),
        )
        for layer in report.layers
    )
    total = (
        "total",
        "",
        "",
        "",
        "",
        amount(report.totals.analog_macs),
        exact(report.totals.logical_tiles),
        exact(report.totals.physical_tiles),
        percent(report.totals.cells.utilisation),
    )
    shared = [layer for layer in report.layers if layer.shares is not None]
    notes = tuple(f"{layer.name} uses the tiles of {layer.shares}" for layer in shared[:NAMES_SHOWN])
    if len(shared) > NAMES_SHOWN:
        notes += (f"{len(shared) - NAMES_SHOWN} more layers use tiles of others",)
    guests = sum(layer.guest_tiles > 0 for layer in report.layers)
    if guests:
        notes += (f"layers with blocks in tiles that count for another, the first in them: {exact(guests)}",)
    return Table("Layers on tiles", columns, rows, total, notes=notes)


def _replication(usage: ReplicationUsage) -> Iterator[Table]:
    """What the copies bring; nothing where none were asked for."""
    if usage.asked == "none":
        return
    if usage.rate is not None:
        rows = [("asked for", f"{rate(usage.rate)} inferences a second")]
    else:
        few = "as few as the chip allows" if usage.asked == "balance" else f"at most {exact(int(usage.asked))}"
        rows = [("rounds asked for", few)]
    if usage.slowest is not None:
        rows.append(("rounds of the slowest layer", f"{exact(usage.bottleneck)}: {usage.slowest}"))
        rows.append(("with one copy each", exact(usage.single)))
    if usage.core_tiles > 1 and usage.fragmentation is not None and usage.optimum is not None:
        rows.append(("without cores", f"{exact(usage.optimum)}: cores cost {exact(usage.fragmentation)}"))
    rows.append(("further copies", several(usage.copies, "tile")))
    if usage.core_tiles > 1:
        rows.append(
            ("cores used", f"{exact(usage.cores_used)}; tiles in them that hold nothing: {exact(usage.core_free)}")
        )
    notes = ["a round is one window on every copy of a layer", "copies of a layer are simulated as equal"]
    if usage.saved:
        notes.append(
            f"copies are chosen as if no blocks shared tiles; that some do saves {several(usage.saved, 'tile')}"
        )
    if usage.scattered:
        notes.append(f"over more cores than their size asks for: {shortened(usage.scattered)}")
    if usage.unknown:
        notes.append(f"one copy, as the windows are not known: {shortened(usage.unknown)}")
    yield facts("Replication", *rows, notes=notes)


def _host(report: UtilisationReport) -> Table:
    products = [operator for operator in report.host if operator.macs != 0]
    others = Counter(operator.kind for operator in report.host if operator.macs == 0)
    notes = (f"without products: {counted(others)}",) if others else ()
    if not products:
        return facts("Operators on the host", ("products", "none"), notes=notes)
    columns = (Column("operator"), Column("type"), *numbers("MACs"), Column("why", wraps=True))
    rows = tuple((operator.name, operator.kind, amount(operator.macs), operator.reason) for operator in products)
    return Table(
        "Operators on the host", columns, rows, ("total", "", amount(report.totals.host_macs), ""), notes=notes
    )


def _remarks(report: UtilisationReport) -> Iterator[str]:
    """Layers of which less can be promised."""
    reasons: dict[str, list[LayerUsage]] = {}
    for layer in report.layers:
        if layer.inexact is not None:
            reasons.setdefault(layer.inexact, []).append(layer)
    for reason, layers in reasons.items():
        yield f"onnxruntime may differ in the last bits at {_named(layers)}: {reason}"
    dependent = [layer for layer in report.layers if layer.batch_dependent]
    if dependent:
        yield f"windows mix samples, so results may depend on the batch, at {_named(dependent)}"


def _named(layers: list[LayerUsage]) -> str:
    return shortened([layer.name for layer in layers])
