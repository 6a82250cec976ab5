"""Results as pages: checks, compilations, hardware, devices."""

from __future__ import annotations

import math
from collections.abc import Iterable

from xbarc.devices.device import Device
from xbarc.devices.parameters import parameters_of
from xbarc.hardware.describe import describe
from xbarc.hardware.schema import Hardware
from xbarc.report.checking import CheckReport
from xbarc.report.compilation import Compilation
from xbarc.report.page import Column, Page, Table, facts, numbers
from xbarc.report.utilisation_page import whole_program, work
from xbarc.report.words import amount, counted, exact
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
    return [Table(title, columns, rows, muted=muted), facts("In all", *summary)]


def compilation_page(result: Compilation) -> Page:
    """What was written, in short."""
    report = result.report
    layers = ("layers", f"{exact(len(report.layers))} on tiles, {exact(len(report.host))} operators on the host")
    return [facts(f"Wrote {result.program}", layers, *whole_program(report))]


def hardware_page(hardware: Hardware) -> Page:
    """Every key of a description with its meaning, and what follows from it."""
    about = [("description", hardware.description), *(("source", source) for source in hardware.sources)]
    shown = [row for row in describe(hardware) if row.key not in ("name", "description", "sources")]
    table = Table(
        "Keys",
        (Column("key"), Column("value"), Column("meaning", wraps=True)),
        tuple((row.key, row.value, row.meaning) for row in shown),
    )
    return [facts(hardware.name, *((key, text) for key, text in about if text)), table]


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
            f"{declared.low:g} .. {declared.high:g}",
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
