"""``xbarc report``: where a program's tiles and cells go."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final

import typer

from xbarc.cli.options import JsonOption, ProgramArgument

REPORT_EXAMPLE: Final = "xbarc report resnet.xbar.onnx --json"


def report(
    program: ProgramArgument,
    tile_map: Annotated[bool, typer.Option("--map", help="Show instead which block lies where on which tile.")] = False,
    json: JsonOption = False,
) -> None:
    """Show where a program's tiles, cells and arithmetic go.

    Utilisation with its losses told apart, converter ranges with what they clip, and products left on the host.
    """
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.tile_map_page import tile_map_page
    from xbarc.report.utilisation_page import utilisation_page

    with progress():
        loaded = load(program)
        result = loaded.report()
    warn(result.warnings)
    if tile_map and json:
        print_json({"schema": 1, "blocks": [dataclasses.asdict(block) for block in loaded.tile_map()]})
    elif tile_map:
        print_page(tile_map_page(loaded.tile_map(), title=str(program)))
    elif json:
        print_json(result.to_json())
    else:
        print_page(utilisation_page(result, title=str(program)))
