"""``xbarc device``: what cells can be made of."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from xbarc.cli.options import JsonOption

DEVICE_SHOW_EXAMPLE: Final = "xbarc device show pcm:read_scale=0.5"
DEVICE_LIST_EXAMPLE: Final = "xbarc device list"


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
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[:KEY=VALUE,...]", help="A device, with parameters or without.", show_default=False
        ),
    ],
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
