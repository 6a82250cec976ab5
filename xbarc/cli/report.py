"""``xbarc report``: where a program's tiles and cells go, or what two programs do not agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import JsonOption
from xbarc.errors import UsageError

REPORT_EXAMPLE: Final = """\
  xbarc report resnet.xbar.onnx --json
  xbarc report resnet.xbar.onnx --map
  xbarc report --diff resnet.xbar.onnx resnet-isaac.xbar.onnx
  xbarc report --schema > report.schema.json"""


def report(
    programs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PROGRAM", help="A compiled program (.xbar.onnx); two with --diff.", show_default=False),
    ] = None,
    tile_map: Annotated[bool, typer.Option("--map", help="Show instead which block lies where on which tile.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show instead what two programs do not agree on.")] = False,
    json: JsonOption = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of what --json prints; it takes no program.")
    ] = False,
) -> None:
    """Show where a program's tiles, cells, time and arithmetic go.

    Utilisation with its losses told apart, converter ranges with what they clip, and products left on the host.
    """
    given = programs or []
    if tile_map and diff:
        raise UsageError("--map and --diff are two reports", fix="ask for one of them")
    wanted = 0 if schema else 2 if diff else 1
    if len(given) != wanted:
        what, fix = _WANTED[wanted]
        raise UsageError(f"{what}, not of {len(given)}", fix=fix)
    if schema:
        _print_schema(tile_map=tile_map, diff=diff)
    elif diff:
        _print_difference(given[0], given[1], json=json)
    else:
        _print_report(given[0], tile_map=tile_map, json=json)


#: By the number of programs.
_WANTED: Final = {
    0: ("--schema is of reports, of no program", "leave the programs out"),
    1: ("a report is of one program", "name one, or two with --diff"),
    2: ("--diff is of two programs", "name two, as in xbarc report --diff one.xbar.onnx other.xbar.onnx"),
}


def _print_schema(*, tile_map: bool, diff: bool) -> None:
    from xbarc.cli.terminal import print_json
    from xbarc.report.difference import difference_schema
    from xbarc.report.tile_map import map_schema
    from xbarc.report.utilisation import report_schema

    print_json(map_schema() if tile_map else difference_schema() if diff else report_schema())


def _print_difference(first: Path, second: Path, *, json: bool) -> None:
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress
    from xbarc.report.difference_page import difference_page

    with progress():
        found = load(first).difference(load(second), names=(str(first), str(second)))
    if json:
        print_json(found.to_json())
    else:
        print_page(difference_page(found))


def _print_report(program: Path, *, tile_map: bool, json: bool) -> None:
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.tile_map_page import tile_map_page
    from xbarc.report.utilisation_page import utilisation_page

    with progress():
        loaded = load(program)
        result = loaded.report()
    warn(result.warnings)
    if tile_map and json:
        print_json(loaded.tile_map().to_json())
    elif tile_map:
        print_page(tile_map_page(loaded.tile_map(), title=str(program)))
    elif json:
        print_json(result.to_json())
    else:
        print_page(utilisation_page(result, title=str(program)))
