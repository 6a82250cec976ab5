"""``xbarc run``: outputs of a program for given inputs."""

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
    MemoryOption,
    PlacementOption,
    ProgramArgument,
    ReadNoiseOption,
    SeedOption,
    ThreadsOption,
    WriteVerifyOption,
    has_chips,
    wants_ir_drop,
)

RUN_EXAMPLE: Final = "xbarc run resnet.xbar.onnx --input images.npz --output scores.npz"


def run(
    program: ProgramArgument,
    output: Annotated[
        Path, typer.Option("--output", metavar="NPZ", help="Where to write the outputs, by name.", show_default=False)
    ],
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="DATA",
            help="An .npz or a folder of .npy files, by input name; a program without inputs runs without.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "ideal",
    seed: SeedOption = None,
    faults: FaultsOption = None,
    write_verify: WriteVerifyOption = None,
    placement: PlacementOption = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="When to read the chip, as in 1d after programming; 0 by default."),
    ] = None,
    compensation: Annotated[
        Literal["off", "on", "layer", "column"] | None,
        typer.Option("--compensation", help="One factor a layer (on) or a column against drift; off by default."),
    ] = None,
    read_noise: ReadNoiseOption = None,
    inference_time: InferenceTimeOption = None,
    ir_drop: IrDropOption = None,
    threads: ThreadsOption = None,
    memory: MemoryOption = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Show where the time goes, by layer: DAC, windows, product, noise, ADC, host operators."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run a program on inputs, and write its outputs.

    On the ideal device, or on one chip of another device at one time.
    """
    from time import perf_counter

    from xbarc.api.data import open_data
    from xbarc.api.files import check_output, write_npz
    from xbarc.api.profiling import Profiler
    from xbarc.api.program import load
    from xbarc.api.specs import describe
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.errors import UsageError
    from xbarc.report.profile_page import profile_page

    check_output(output)
    has_chips(
        device,
        seed=seed,
        faults=faults,
        write_verify=write_verify,
        placement=placement,
        time=time,
        compensation=compensation,
        read_noise=read_noise,
        inference_time=inference_time,
        ir_drop=ir_drop,
    )
    begun = perf_counter()
    with progress():
        loaded = load(program)
    load_s = perf_counter() - begun
    warn(loaded.report().warnings)
    if inputs is None and loaded.inputs:
        raise UsageError(f"the program reads {describe(loaded.inputs)}", fix="give a data file with --input")
    with progress() as advance:
        samples = None if inputs is None else open_data(inputs, loaded.inputs)
        begun = perf_counter()
        chip = (
            loaded.write(
                device,
                seed=seed or 0,
                faults=faults,
                programming=write_verify,
                placement=placement or "as-compiled",
                threads=threads,
                memory=memory,
            )
            .at("0" if time is None else time)
            .compensated("layer" if compensation == "on" else compensation or "off")
            .with_read_noise(read_noise or "split")
            .with_inference_time("1ms" if inference_time is None else inference_time)
            .with_ir_drop(wants_ir_drop(ir_drop, loaded.hardware))
        )
        chip.prepare(lambda done, of: advance("solving the wires of tiles", done, of))
        write_s = perf_counter() - begun
        profiler = Profiler(chip) if profile else None
        batches = (profiler or chip).run_batches(samples, progress=lambda done, of: advance("running", done, of))
        write_npz(output, batches)
    found = None if profiler is None else profiler.result(load_s=load_s, write_s=write_s)
    if json:
        print_json({"schema": 1, "output": str(output), "profile": None if found is None else found.to_json()})
    elif found is not None:
        print_page(profile_page(found, title=str(program)))
