"""``xbarc eval``: how good a program is beside the network that it was compiled from, and on written chips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from xbarc.cli.options import (
    DeviceOption,
    FaultsOption,
    InferenceTimeOption,
    IrDropOption,
    JsonOption,
    ProgramArgument,
    ReadNoiseOption,
    ThreadsOption,
    has_chips,
    wants_ir_drop,
)

EVAL_EXAMPLE: Final = "xbarc eval net.xbar.onnx --data test.npz --device pcm --chips 10 --times 0,1y"

_COMPENSATED: Final = {"off": (False,), "on": (True,), "both": (False, True)}


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
    chips: Annotated[
        int | None,
        typer.Option("--chips", metavar="N", min=1, max=1_000_000, help="How many chips to write; 1 by default."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="Of the first chip; 0 by default. The next has the next."),
    ] = None,
    faults: FaultsOption = None,
    times: Annotated[
        str | None,
        typer.Option(
            "--times",
            metavar="TIME,...",
            help="When to read each chip, as in 0,1h,1d,1y after programming; 0 by default.",
        ),
    ] = None,
    compensation: Annotated[
        Literal["off", "on", "both"] | None,
        typer.Option("--compensation", help="One factor a layer against drift; off by default."),
    ] = None,
    read_noise: ReadNoiseOption = None,
    inference_time: InferenceTimeOption = None,
    ir_drop: IrDropOption = None,
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

    Three figures: the float network, the program's quantisation without tiles, and the program on the ideal device.
    With another device, chips are written besides, and each is read at each time.
    """
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.evaluation_page import evaluation_page

    written = has_chips(
        device,
        chips=chips,
        seed=seed,
        faults=faults,
        times=times,
        compensation=compensation,
        read_noise=read_noise,
        inference_time=inference_time,
        ir_drop=ir_drop,
    )
    with progress():
        loaded = load(program)
    first = seed or 0
    series = (
        loaded.series(
            device,
            seeds=range(first, first + (chips or 1)),
            faults=faults,
            times=("0" if times is None else times).split(","),
            compensated=_COMPENSATED[compensation or "off"],
            read_noise=read_noise or "split",
            inference="1ms" if inference_time is None else inference_time,
            ir_drop=wants_ir_drop(ir_drop, loaded.hardware),
            threads=threads,
        )
        if written
        else ()
    )
    warn(loaded.report().warnings)
    with progress() as advance:
        evaluation = loaded.write(threads=threads).evaluate(
            data, chips=series, metric=metric, output=output, reference=reference, progress=advance
        )
    if json:
        print_json(evaluation.to_json())
    else:
        print_page(evaluation_page(evaluation, title=str(program)))
