"""The command ``xbarc``: what it consists of, and how it starts."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from xbarc.cli.check import CHECK_EXAMPLE, check
from xbarc.cli.compile import COMPILE_EXAMPLE, compile_
from xbarc.cli.device import (
    DEVICE_LIST_EXAMPLE,
    DEVICE_PLOT_EXAMPLE,
    DEVICE_SHOW_EXAMPLE,
    list_devices,
    plot_device,
    show_device,
)
from xbarc.cli.eval import EVAL_EXAMPLE, evaluate
from xbarc.cli.export import EXPORT_EXAMPLE, export
from xbarc.cli.failures import told
from xbarc.cli.hardware import (
    HARDWARE_LIST_EXAMPLE,
    HARDWARE_NEW_EXAMPLE,
    HARDWARE_SHOW_EXAMPLE,
    list_hardware,
    new_hardware,
    show_hardware,
)
from xbarc.cli.inspect import INSPECT_EXAMPLE, inspect
from xbarc.cli.report import REPORT_EXAMPLE, report
from xbarc.cli.run import RUN_EXAMPLE, run
from xbarc.cli.write import WRITE_EXAMPLE, write

_MAIN_EXAMPLE: Final = """\
  xbarc compile model.onnx --calibrate sample.npz
  xbarc eval model.xbar.onnx --data test.npz
  xbarc report model.xbar.onnx"""


def main() -> None:
    """Run the command line that the process was started with, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    app()


def _group(*, help: str, epilog: str | None = None) -> typer.Typer:
    """A group of commands, with its help as plain text: piped or not, it reads the same."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=help,
        epilog=epilog,
    )


def _add(group: typer.Typer, name: str, command: Callable[..., None], example: str) -> None:
    group.command(name, epilog=_example(example))(told(command))


def _example(lines: str) -> str:
    """Lines that the help prints as they are."""
    return f"Example:\n\n\b\n{lines if lines.startswith(' ') else f'  {lines}'}"


def _print_version(wanted: bool) -> None:
    if wanted:
        import xbarc

        typer.echo(f"xbarc {xbarc.__version__}")
        raise typer.Exit


app = _group(
    help="Compile trained ONNX networks to analog crossbar tiles, run them, and see where tiles and accuracy go.",
    epilog=f"{_example(_MAIN_EXAMPLE)}\n\nExit codes: 0 done, 1 the job failed, 2 wrong usage.",
)


@app.callback()
def _xbarc(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options that stand before any command."""


_hardware = _group(help="List hardware descriptions, show one, or begin one.")
_device = _group(help="List devices, show one, or plot one.")

_add(app, "check", check, CHECK_EXAMPLE)
_add(app, "compile", compile_, COMPILE_EXAMPLE)
_add(app, "run", run, RUN_EXAMPLE)
_add(app, "eval", evaluate, EVAL_EXAMPLE)
_add(app, "write", write, WRITE_EXAMPLE)
_add(app, "report", report, REPORT_EXAMPLE)
_add(app, "inspect", inspect, INSPECT_EXAMPLE)
_add(app, "export", export, EXPORT_EXAMPLE)
app.add_typer(_hardware, name="hardware")
_add(_hardware, "list", list_hardware, HARDWARE_LIST_EXAMPLE)
_add(_hardware, "show", show_hardware, HARDWARE_SHOW_EXAMPLE)
_add(_hardware, "new", new_hardware, HARDWARE_NEW_EXAMPLE)
app.add_typer(_device, name="device")
_add(_device, "list", list_devices, DEVICE_LIST_EXAMPLE)
_add(_device, "show", show_device, DEVICE_SHOW_EXAMPLE)
_add(_device, "plot", plot_device, DEVICE_PLOT_EXAMPLE)
