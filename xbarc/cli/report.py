"""``xbarc report``: where a program's tiles and cells go."""

from __future__ import annotations

from typing import Final

from xbarc.cli.options import JsonOption, ProgramArgument

REPORT_EXAMPLE: Final = "xbarc report resnet.xbar.onnx --json"


def report(program: ProgramArgument, json: JsonOption = False) -> None:
    """Show where a program's tiles, cells and arithmetic go.

    Utilisation with its losses told apart, converter ranges with what they clip, and products left on the host.
    """
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.utilisation_page import utilisation_page

    with progress():
        result = load(program).report()
    warn(result.warnings)
    if json:
        print_json(result.to_json())
    else:
        print_page(utilisation_page(result, title=str(program)))
