"""``xbarc check``: what would go on tiles, what stays on the host, and why."""

from __future__ import annotations

from typing import Final

from xbarc.cli.options import AnalogOption, HostOption, JsonOption, ModelArgument, SizeOption, read_sizes

CHECK_EXAMPLE: Final = "xbarc check resnet.onnx --host 'first*'"


def check(
    model: ModelArgument,
    analog: AnalogOption = None,
    host: HostOption = None,
    size: SizeOption = None,
    json: JsonOption = False,
) -> None:
    """Show what would go on tiles, what stays on the host, and why.

    One line an operator, in the order of execution. Needs neither hardware nor data. Arithmetic is counted for one
    sample; sizes that the model leaves open can be given.
    """
    from xbarc.api import checking
    from xbarc.cli.terminal import print_json, print_page, progress
    from xbarc.report.pages import check_page

    with progress() as advance:
        report = checking.check(
            model,
            analog=analog or (),
            host=host or (),
            sizes=read_sizes(size or []),
            progress=lambda name, number, of: advance(name, number - 1, of),
        )
    if json:
        print_json(report.to_json())
    else:
        print_page(check_page(report, title=str(model)))
