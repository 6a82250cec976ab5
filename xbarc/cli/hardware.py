"""``xbarc hardware``: the descriptions that come with xbarc, and what a description says."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from xbarc.cli.options import JsonOption, SetOption

HARDWARE_SHOW_EXAMPLE: Final = "xbarc hardware show generic-pcm --set tile.rows=512"
HARDWARE_LIST_EXAMPLE: Final = "xbarc hardware list"


def list_hardware(json: JsonOption = False) -> None:
    """List the presets."""
    from xbarc.cli.terminal import print_json, print_page
    from xbarc.hardware.load import load_hardware, preset_names
    from xbarc.report.pages import hardware_list_page

    found = [load_hardware(name) for name in preset_names()]
    if json:
        entries = [{"name": entry.name, "description": entry.description} for entry in found]
        print_json({"schema": 1, "hardware": entries})
    else:
        print_page(hardware_list_page(found))


def show_hardware(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE.toml", help="A preset or a description.", show_default=False)
    ],
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Show every key of a description with its meaning."""
    from xbarc.cli.terminal import print_json, print_page
    from xbarc.hardware.load import load_hardware
    from xbarc.report.pages import hardware_page

    found = load_hardware(name, overrides or ())
    if json:
        print_json({"schema": 1, "hardware": found.to_dict()})
    else:
        print_page(hardware_page(found))
