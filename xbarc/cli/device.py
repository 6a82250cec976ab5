"""``xbarc device``: what cells can be made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import JsonOption

DEVICE_SHOW_EXAMPLE: Final = "xbarc device show pcm:read_scale=0.5"
DEVICE_LIST_EXAMPLE: Final = "xbarc device list"
DEVICE_PLOT_EXAMPLE: Final = "xbarc device plot reram-wan --svg reram-wan.svg"

_NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[:KEY=VALUE,...]",
        help="A device, with parameters or without, or the file of a measured table.",
        show_default=False,
    ),
]


def list_devices(json: JsonOption = False) -> None:
    """List the devices."""
    from xbarc.cli.terminal import print_json, print_page
    from xbarc.devices.catalogue import DEVICES, device_facts
    from xbarc.report.pages import device_list_page

    if json:
        print_json({"schema": 1, "devices": [device_facts(device) for device in DEVICES.values()]})
    else:
        print_page(device_list_page(DEVICES.values()))


def show_device(
    name: _NameArgument,
    json: JsonOption = False,
) -> None:
    """Show what a device does, and each parameter with its meaning."""
    from xbarc.cli.terminal import print_json, print_page
    from xbarc.devices.catalogue import device_facts, find_device
    from xbarc.report.pages import device_page

    device = find_device(name)
    if json:
        print_json({"schema": 1, "device": device_facts(device)})
    else:
        print_page(device_page(device))


def plot_device(
    name: _NameArgument,
    g_max: Annotated[
        str | None,
        typer.Option(
            "--g-max", metavar="CONDUCTANCE", help="The highest target; what the device was measured on, or 25 uS."
        ),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Write a picture, too.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Plot a device's error over the conductance, and its conductance over time."""
    from xbarc.api.files import atomic_path
    from xbarc.cli.terminal import print_json, print_page
    from xbarc.devices.catalogue import device_text, find_device
    from xbarc.report.device_curves import curves_page, device_curves
    from xbarc.report.device_svg import curves_svg

    device = find_device(name)
    curves = device_curves(device, g_max=_conductance(g_max) if g_max else device.g_max_reference or 25e-6)
    if svg is not None:
        with atomic_path(svg) as aside:
            aside.write_text(curves_svg(curves, title=device_text(device)), encoding="utf-8")
    if json:
        print_json({"schema": 1, "device": device_text(device), **curves.to_json()})
    else:
        print_page(curves_page(device, curves))


def _conductance(text: str) -> float:
    from xbarc.errors import UsageError
    from xbarc.units import parse_quantity

    try:
        siemens = parse_quantity(text, "S")
    except ValueError as error:
        raise UsageError(f"--g-max: {error}", fix='write it as in --g-max "25 uS"') from None
    if siemens <= 0:
        raise UsageError(f"--g-max {text} is no range", fix="give more than 0 S")
    return siemens
