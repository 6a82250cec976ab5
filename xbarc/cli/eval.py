"""``xbarc eval``: how good a program is beside the network that it was compiled from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import DeviceOption, JsonOption, ProgramArgument, ThreadsOption

EVAL_EXAMPLE: Final = "xbarc eval resnet.xbar.onnx --data test.npz --reference resnet.onnx"


def evaluate(
    program: ProgramArgument,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DATA",
            help="An .npz or a folder of .npy files: arrays by input name, and 'labels'.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="MODEL",
            help="The float network; the program's source, where it is unchanged, by default.",
        ),
    ] = None,
    device: DeviceOption = "ideal",
    metric: Annotated[
        str,
        typer.Option("--metric", metavar="METRIC", help="top-1, top-K, agreement, mse, snr, or MODULE:FUNCTION."),
    ] = "top-1",
    output: Annotated[
        str | None, typer.Option("--output", metavar="NAME", help="Which output to judge; the first by default.")
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a program beside the network that it comes from.

    Three figures: the float network, the program's quantisation without tiles, and the program on the chip.
    """
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.pages import evaluation_page

    with progress():
        loaded = load(program)
    warn(loaded.report().warnings)
    with progress() as advance:
        chip = loaded.write(device, threads=threads)
        evaluation = chip.evaluate(
            data,
            metric=metric,
            output=output,
            reference=reference,
            progress=lambda done, of: advance("evaluating", done, of),
        )
    if json:
        print_json(evaluation.to_json())
    else:
        print_page(evaluation_page(evaluation, title=str(program)))
