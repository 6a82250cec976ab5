"""``xbarc hardware``: the descriptions that come with xbarc, and what a description says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import JsonOption, SetOption

HARDWARE_SHOW_EXAMPLE: Final = "xbarc hardware show generic-pcm --set tile.rows=512"
HARDWARE_LIST_EXAMPLE: Final = "xbarc hardware list"
HARDWARE_NEW_EXAMPLE: Final = "xbarc hardware new -o chip.toml"


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
    """Show every key of a description with its meaning, its parts, and what follows: counts, sums, peak figures."""
    from xbarc.cli.terminal import print_json, print_page
    from xbarc.hardware.derived import derived_figures
    from xbarc.hardware.load import load_hardware
    from xbarc.report.pages import hardware_page

    found = load_hardware(name, overrides or ())
    if json:
        derived = {
            figure.key: {key: value for key, value in asdict(figure).items() if key != "key"}
            for figure in derived_figures(found)
        }
        print_json({"schema": 1, "hardware": found.to_dict(), "derived": derived})
    else:
        print_page(hardware_page(found))


def new_hardware(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.toml",
            help="Where to write it; else it is printed.",
            show_default=False,
        ),
    ] = None,
    base: Annotated[str, typer.Option("--from", metavar="NAME|FILE.toml", help="What to start from.")] = "generic-pcm",
    overrides: SetOption = None,
) -> None:
    """Write a description to start from: every key with its meaning, ready to compile for."""
    from xbarc.api.files import atomic_path
    from xbarc.errors import UsageError
    from xbarc.hardware.load import load_hardware
    from xbarc.hardware.starting_file import starting_file

    text = starting_file(load_hardware(base, overrides or ()), name=output.stem if output else "my-chip")
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists():
        raise UsageError(f"the file {output} exists", fix="name another, or remove it: what was written there is yours")
    with atomic_path(output) as aside:
        aside.write_text(text, encoding="utf-8")
    typer.echo(f"Wrote {output}")
