"""Results as pages: checks, compilations, hardware, devices."""

from __future__ import annotations

import math
from collections.abc import Iterable

from xbarc.devices.device import Device
from xbarc.devices.parameters import parameters_of
from xbarc.hardware.derived import derived_figures
from xbarc.hardware.describe import Part, describe, parts
from xbarc.hardware.quantities import rounded
from xbarc.hardware.schema import Hardware
from xbarc.report.checking import CheckReport
from xbarc.report.compilation import Compilation
from xbarc.report.page import Column, Page, Table, facts, numbers
from xbarc.report.utilisation_page import whole_program, work
from xbarc.report.words import amount, counted, exact, several
from xbarc.units import format_duration


def check_page(report: CheckReport, *, title: str) -> Page:
    """Where each operator would go, and why."""
    columns = (
        Column("operator"),
        Column("type"),
        Column("on"),
        *numbers("MACs"),
        Column("why", wraps=True),
    )
    rows = tuple(
        (
            operator.name,
            operator.kind,
            "tiles" if operator.analog else "host",
            "-" if operator.macs == 0 else amount(operator.macs),
            operator.reason,
        )
        for operator in report.operators
    )
    muted = frozenset(index for index, operator in enumerate(report.operators) if not operator.analog)
    analog = sum(operator.analog for operator in report.operators)
    summary = [
        ("operators", f"{exact(analog)} on tiles, {exact(len(report.operators) - analog)} on the host"),
        ("MACs a sample", work(report.analog_macs, report.host_macs, report.analog_share)),
    ]
    if report.folded:
        summary.append(("folded away", counted(report.folded)))
    unknown = report.analog_macs is None or report.host_macs is None
    notes = (
        ("unknown: it depends on sizes that the model leaves open; give them with --size NAME=N",) if unknown else ()
    )
    return [Table(title, columns, rows, muted=muted), facts("In all", *summary, notes=notes)]


def compilation_page(result: Compilation) -> Page:
    """What was written, in short."""
    report = result.report
    layers = ("layers", f"{exact(len(report.layers))} on tiles, {several(len(report.host), 'operator')} on the host")
    return [facts(f"Wrote {result.program}", layers, *whole_program(report))]


def hardware_page(hardware: Hardware) -> Page:
    """Every key of a description with its meaning, its parts, and what follows from it."""
    about = [("description", hardware.description), *(("source", source) for source in hardware.sources)]
    # Sentences are told apart from the keys, whose values are short.
    apart = ("name", "description", "sources", "digital_reference", "published")
    shown = [row for row in describe(hardware) if row.key.split(".")[0] not in apart]
    keys = Table(
        "Keys",
        (Column("key"), Column("value"), Column("meaning", wraps=True)),
        tuple((row.key, row.value, row.meaning) for row in shown),
    )
    figures, published = derived_figures(hardware), hardware.published
    derived = Table(
        "Derived",
        (Column("figure"), *numbers("value", "published"), Column("formula", wraps=True)),
        tuple((figure.key, figure.text, figure.published_text, figure.formula) for figure in figures),
        notes=() if published is None else tuple(filter(None, (published.note, f"published: {published.source}"))),
    )
    about_table = facts(hardware.name, *((key, text) for key, text in about if text))
    return [about_table, keys, *_parts(parts(hardware)), *_reference(hardware), derived]


def _reference(hardware: Hardware) -> Page:
    """What the chip is compared with, where there is something."""
    reference = hardware.digital_reference
    if reference is None:
        return []
    energy = rounded(reference.energy_per_mac, "J")
    rows = (("name", reference.name), ("energy a MAC", energy), ("source", reference.source))
    return [facts("Digital reference", *rows)]


def _parts(listed: list[Part]) -> Page:
    """The components with the figures of one of each, where there are any."""
    if not listed:
        return []
    columns = (
        Column("component"),
        Column("of each"),
        *numbers("count", "energy\na use", "power\nof one", "area\nof one"),
        Column("source", wraps=True),
    )
    rows = tuple(
        (part.name, part.level, part.count, part.energy, part.power, part.area, part.source) for part in listed
    )
    uses = (
        Column("component"),
        Column("use"),
        *numbers("time\na use", "static\npower"),
        Column("includes", wraps=True),
    )
    used = tuple(
        (part.name, part.use or "always on", part.time, part.static_power, part.includes or "-") for part in listed
    )
    return [Table("Components", columns, rows), Table("Uses of components", uses, used)]


def hardware_list_page(hardware: Iterable[Hardware]) -> Page:
    """The presets."""
    return [facts("Hardware", *((entry.name, entry.description or "") for entry in hardware))]


def device_page(device: Device) -> Page:
    """What a device does, where its numbers come from, and every parameter with its meaning."""
    about = facts(
        device.name,
        ("description", device.description),
        *(("source", source) for source in device.sources),
        ("time 0", f"{format_duration(device.t0_s)} after programming" if device.t0_s else "when it is programmed"),
        ("latest time", format_duration(device.t_max_s) if math.isfinite(device.t_max_s) else "no limit"),
    )
    rows = tuple(
        (
            declared.name,
            repr(getattr(device, declared.name)).removesuffix(".0"),
            declared.range,
            declared.meaning,
        )
        for declared in parameters_of(device)
    )
    if not rows:
        return [about]
    columns = (Column("parameter"), *numbers("value", "range"), Column("meaning", wraps=True))
    return [about, Table("Parameters", columns, rows)]


def device_list_page(devices: Iterable[Device]) -> Page:
    """The devices."""
    return [facts("Devices", *((device.name, device.description) for device in devices))]
