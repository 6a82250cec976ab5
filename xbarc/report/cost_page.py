"""The cost of an inference as tables: the whole, its terms by component, and its layers."""

from __future__ import annotations

from collections.abc import Iterator

from xbarc.hardware.quantities import rounded
from xbarc.report.cost import CostReport, LayerCost
from xbarc.report.energy import EnergyLine
from xbarc.report.page import Column, Row, Table, facts, numbers
from xbarc.report.words import UNKNOWN, amount, number, percent
from xbarc.units import format_quantity


def cost_tables(cost: CostReport) -> Iterator[Table]:
    """The whole; the terms of its energy, if there are any; its layers."""
    yield facts("Cost of an inference", *_whole(cost), notes=_notes(cost))
    if cost.lines:
        yield _by_component(cost)
    yield _by_layer(cost)


def _whole(cost: CostReport) -> Iterator[tuple[str, str]]:
    energy = _quantity(cost.energy, "J")
    if cost.energy is not None and cost.always_on is not None:
        energy += f", {percent(cost.always_on / cost.energy)} of it in parts that are always on"
    yield "energy", energy
    if cost.power is not None:
        yield "power", f"{rounded(cost.power, 'W')} on average, layers pipelined"
    if cost.throughput is not None:
        yield "on tiles", f"{rounded(cost.throughput, 'OPS')}, {_quantity(cost.efficiency, 'OPS/W')}"
    area = cost.area
    known = {"used tiles": area.tile_area, "used cores with all their tiles": area.core_area, "chip": area.chip_area}
    if areas := [f"{name} {rounded(each, 'm2')}" for name, each in known.items() if each is not None]:
        yield "area", ", ".join(areas)
    if cost.baseline is not None:
        digital = cost.baseline
        ratio = "" if digital.ratio is None else f": {number(digital.ratio)} times the energy here"
        each = f"{amount(digital.macs)} MACs of {rounded(digital.energy_per_mac, 'J')}"
        yield "digital reference", f"{_quantity(digital.energy, 'J')}{ratio}; {each}, {digital.name}"
        yield "its source", digital.source


def _notes(cost: CostReport) -> Iterator[str]:
    for sentence in cost.missing:
        yield f"not in the energy: {sentence}"
    if any(line.use == "cells" for line in cost.lines):
        yield "inputs are taken as voltages in proportion to their codes or digits, on for a whole read"
    if not cost.calibrated and any(line.factor != 1 for line in cost.lines if line.use != "always"):
        yield "UNCALIBRATED: the inputs that this depends on are random"


def _by_component(cost: CostReport) -> Table:
    columns = (Column("component"), Column("of"), *numbers("count", "figure", "factor", "energy", "share"))
    total = ("total", "", "", "", "", _quantity(cost.energy, "J"), "")
    notes = (
        "energy = count x figure x factor; figures and their sources: xbarc hardware show",
        "factor: what inputs make of a use, on average, or the seconds that a part is on",
    )
    return Table("Energy by component", columns, tuple(_line(line, cost) for line in cost.lines), total, notes=notes)


def _line(line: EnergyLine, cost: CostReport) -> Row:
    always = line.use == "always"
    factor = UNKNOWN if line.factor is None else number(line.factor)
    return (
        line.part,
        "parts, on" if always else line.use,
        UNKNOWN if line.count is None else amount(round(line.count)) if line.count >= 10 else number(line.count),
        _quantity(line.figure, line.unit),
        _quantity(line.factor, "s") if always else factor,
        _quantity(line.energy, "J"),
        _share(line.energy, cost),
    )


def _by_layer(cost: CostReport) -> Table:
    columns = (
        Column("layer"),
        *numbers("tile\nreads", "DAC\nuses", "ADC\nuses", "energy", "share", "at work", "OPS a\nwatt"),
    )
    rows = [_layer(layer, cost) for layer in cost.layers]
    rows.append(_shared("digital operators", cost.digital.energy, cost))
    rows.append(_shared("always on", cost.always_on, cost))
    total = (
        *("total", "", "", "", _short(cost.energy, "J"), ""),
        *(_short(cost.throughput, "OPS"), _short(cost.efficiency, "OPS/W")),
    )
    notes = (
        "uses of DACs and ADCs are conversions",
        "at work: operations a second of all copies of a layer while they read; in total, layers pipelined",
    )
    return Table("Cost by layer", columns, tuple(rows), total, notes=notes)


def _layer(layer: LayerCost, cost: CostReport) -> Row:
    counts = layer.counts
    return (
        layer.name,
        amount(counts.tile_reads),
        amount(counts.dac_conversions),
        amount(counts.adc_conversions),
        _short(layer.energy, "J"),
        _share(layer.energy, cost),
        _short(layer.throughput, "OPS"),
        _short(layer.efficiency, "OPS/W"),
    )


def _shared(name: str, energy: float | None, cost: CostReport) -> Row:
    """What is of no layer; a dash where there is none of it."""
    if energy is None:
        return (name, "", "", "", "-", "-", "", "")
    return (name, "", "", "", _short(energy, "J"), _share(energy, cost), "", "")


def _share(energy: float | None, cost: CostReport) -> str:
    return "-" if energy is None or not cost.energy else percent(energy / cost.energy)


def _short(value: float | None, unit: str) -> str:
    """Three digits, for tables of many columns."""
    return UNKNOWN if value is None else format_quantity(float(f"{value:.3g}"), unit)


def _quantity(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else rounded(value, unit)
