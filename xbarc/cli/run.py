"""``xbarc run``: outputs of a program for given inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import DeviceOption, ProgramArgument, ThreadsOption

RUN_EXAMPLE: Final = "xbarc run resnet.xbar.onnx --input images.npz --output scores.npz"


def run(
    program: ProgramArgument,
    inputs: Annotated[
        Path,
        typer.Option(
            "--input", metavar="DATA", help="An .npz or a folder of .npy files, by input name.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="NPZ", help="Where to write the outputs, by name.", show_default=False)
    ],
    device: DeviceOption = "ideal",
    threads: ThreadsOption = None,
) -> None:
    """Run a program on inputs, and write its outputs."""
    from xbarc.api.data import open_data
    from xbarc.api.files import check_output, write_npz
    from xbarc.api.program import load
    from xbarc.cli.terminal import progress, warn

    check_output(output)
    with progress():
        loaded = load(program)
    warn(loaded.report().warnings)
    with progress() as advance:
        samples = open_data(inputs, loaded.inputs)
        chip = loaded.write(device, threads=threads)
        write_npz(output, chip.run_batches(samples, progress=lambda done, of: advance("running", done, of)))
