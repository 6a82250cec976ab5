"""``xbarc eval``: how good a program is beside the network that it was compiled from, and on written chips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from xbarc.cli.options import (
    DeviceOption,
    FaultsOption,
    InferenceTimeOption,
    IrDropOption,
    JsonOption,
    MemoryOption,
    PlacementOption,
    ProgramArgument,
    ReadNoiseOption,
    ThreadsOption,
    WriteVerifyOption,
    has_chips,
    wants_ir_drop,
)

if TYPE_CHECKING:
    from xbarc.api.data import Samples
    from xbarc.api.program import Program
    from xbarc.report.evaluation import Compensation

EVAL_EXAMPLE: Final = """\
  xbarc eval net.xbar.onnx --data test.npz --device pcm --chips 10 --times 0,1y
  xbarc eval net.xbar.onnx --data test.npz --device pcm --times 1d --explain"""

_COMPENSATED: Final[dict[str, tuple[Compensation, ...]]] = {
    "off": ("off",),
    "on": ("layer",),
    "layer": ("layer",),
    "column": ("column",),
    "both": ("off", "layer"),
}


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
    write_verify: WriteVerifyOption = None,
    placement: PlacementOption = None,
    times: Annotated[
        str | None,
        typer.Option(
            "--times",
            metavar="TIME,...",
            help="When to read each chip, as in 0,1h,1d,1y after programming; 0 by default.",
        ),
    ] = None,
    compensation: Annotated[
        Literal["off", "on", "layer", "column", "both"] | None,
        typer.Option(
            "--compensation",
            help="One factor a layer (on) or a column against drift; both: without and a layer; off by default.",
        ),
    ] = None,
    repair: Annotated[
        str | None,
        typer.Option(
            "--repair",
            metavar="REPAIR,...",
            help="What is done about errors of each chip at each time: retune (ranges of ADCs), recalibrate (a scale "
            "and an offset a column).",
        ),
    ] = None,
    repair_time: Annotated[
        str | None,
        typer.Option("--repair-time", metavar="TIME", help="Repair each chip once, then, and keep that."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", metavar="DATA", help="Inputs to repair with: an .npz or a folder of .npy files."),
    ] = None,
    calibrate_samples: Annotated[
        int | None,
        typer.Option("--calibrate-samples", metavar="N", min=1, help="How many of them, from the first on; all."),
    ] = None,
    read_noise: ReadNoiseOption = None,
    inference_time: InferenceTimeOption = None,
    ir_drop: IrDropOption = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show instead what each effect and each layer costs, at one time."),
    ] = False,
    metric: Annotated[
        str,
        typer.Option("--metric", metavar="METRIC", help="top-1, top-K, agreement, mse, snr, or MODULE:FUNCTION."),
    ] = "top-1",
    output: Annotated[
        str | None, typer.Option("--output", metavar="NAME", help="Which output to judge; the first by default.")
    ] = None,
    threads: ThreadsOption = None,
    memory: MemoryOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a program beside the network that it comes from.

    Three figures: the float network, the program's quantisation without tiles, and the program on the ideal device.
    With another device, chips are written besides, and each is read at each time.
    """
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.evaluation import Evaluation
    from xbarc.report.evaluation_page import evaluation_page
    from xbarc.report.explanation import Explanation
    from xbarc.report.explanation_page import explanation_page

    if explain:
        _refuse_several(times, compensation, repair)
    written = has_chips(
        device,
        chips=chips,
        seed=seed,
        faults=faults,
        write_verify=write_verify,
        placement=placement,
        times=times,
        compensation=compensation,
        repair=repair,
        repair_time=repair_time,
        calibrate=calibrate,
        calibrate_samples=calibrate_samples,
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
            programming=write_verify,
            placement=placement or "as-compiled",
            times=("0" if times is None else times).split(","),
            compensated=_COMPENSATED[compensation or "off"],
            read_noise=read_noise or "split",
            inference="1ms" if inference_time is None else inference_time,
            ir_drop=wants_ir_drop(ir_drop, loaded.hardware),
            repairs=() if repair is None else repair.split(","),
            sample=_sample(calibrate, calibrate_samples, loaded),
            repair_time=repair_time,
            threads=threads,
            memory=memory,
        )
        if written
        else ()
    )
    warn(loaded.report().warnings)
    ideal = loaded.write(threads=threads, memory=memory)
    result: Evaluation | Explanation
    with progress() as advance:
        judge = ideal.explain if explain else ideal.evaluate
        result = judge(data, chips=series, metric=metric, output=output, reference=reference, progress=advance)
    if json:
        print_json(result.to_json())
    elif isinstance(result, Evaluation):
        print_page(evaluation_page(result, title=str(program)))
    else:
        print_page(explanation_page(result, title=str(program)))


def _refuse_several(times: str | None, compensation: str | None, repair: str | None) -> None:
    """An explanation is of chips under one condition, as they are.

    Raises:
        UsageError: several times or compensations, or repairs.
    """
    from xbarc.errors import UsageError

    if "," in (times or "") or compensation == "both":
        raise UsageError(
            "--explain is of one time and one compensation, and several are given",
            fix="give one of --times and not --compensation both; ask again for another",
        )
    if repair is not None:
        raise UsageError(
            "--explain is of chips as they are: repairs fit them with all their effects",
            fix="leave --repair out",
        )


def _sample(path: Path | None, count: int | None, program: Program) -> Samples | None:
    """What repairs are made with.

    Raises:
        DataError: data that do not fit the model.
        UsageError: a number of samples, and none are given.
    """
    from xbarc.api.data import open_data
    from xbarc.errors import UsageError

    if path is None:
        if count is not None:
            raise UsageError(
                "--calibrate-samples says how much of a sample to use, and there is none",
                fix="give one with --calibrate",
            )
        return None
    samples = open_data(path, program.inputs)
    return samples if count is None else samples.first(count)
