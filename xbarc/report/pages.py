"""Results as pages: checks, compilations, evaluations, hardware, devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xbarc.devices.device import Device
from xbarc.hardware.describe import describe
from xbarc.hardware.schema import Hardware
from xbarc.report.checking import CheckReport
from xbarc.report.compilation import Compilation
from xbarc.report.evaluation import Evaluation, Figure
from xbarc.report.page import Column, Page, Table, facts, numbers
from xbarc.report.utilisation_page import whole_program, work
from xbarc.report.words import amount, counted, exact, number

_MEANINGS = {
    "float": "the source model in floating point",
    "quantized": "input codes and weight levels of the program, no tiles",
    "ideal device": "tiles and ADCs of the program, no noise",
}


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


def evaluation_page(evaluation: Evaluation, *, title: str) -> Page:
    """The figures beside each other; a missing one gives its reason."""
    has_interval = any(figure.interval for _, figure in evaluation.rows())
    has_agreement = any(figure.agreement is not None for _, figure in evaluation.rows())
    columns = (
        Column(""),
        *numbers(evaluation.metric),
        *(numbers("95 % interval") if has_interval else ()),
        *(numbers("agrees with float") if has_agreement else ()),
    )
    rows = tuple(
        (
            name,
            _figure(evaluation, figure),
            *((_interval(figure),) if has_interval else ()),
            *(("-" if figure.agreement is None else _accuracy(figure.agreement),) if has_agreement else ()),
        )
        for name, figure in evaluation.rows()
    )
    of = f"{title}: output {evaluation.output}, {exact(evaluation.samples)} samples"
    return [Table(of, columns, rows, notes=tuple(_evaluation_notes(evaluation)))]


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


def device_page(devices: Iterable[Device]) -> Page:
    """Devices and what each does."""
    return [facts("Devices", *((device.name, device.description) for device in devices))]


def _evaluation_notes(evaluation: Evaluation) -> Iterator[str]:
    for name, figure in evaluation.rows():
        yield f"{name}: {_MEANINGS[name]}" if figure.value is not None else f"{name}: none, {figure.reason}"
    if not evaluation.calibrated:
        yield "UNCALIBRATED: the program's converter ranges do not come from data"


def _figure(evaluation: Evaluation, figure: Figure) -> str:
    if figure.value is None:
        return "none"
    if evaluation.is_share:
        return _accuracy(figure.value)
    return f"{number(figure.value)} {evaluation.unit}".rstrip()


def _accuracy(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(figure: Figure) -> str:
    return "-" if figure.interval is None else f"{100 * figure.interval[0]:.2f} .. {100 * figure.interval[1]:.2f} %"
