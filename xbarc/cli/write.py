"""``xbarc write``: a chip written in closed loop, and what that took."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import (
    WRITE_VERIFY_HELP,
    WRITE_VERIFY_NAME,
    DeviceOption,
    FaultsOption,
    JsonOption,
    PlacementOption,
    ProgramArgument,
    SeedOption,
    ThreadsOption,
    has_chips,
)

WRITE_EXAMPLE: Final = "xbarc write net.xbar.onnx --device generic --write-verify ecram-li:band=0.01 --save chip.npz"


def write(
    program: ProgramArgument,
    write_verify: Annotated[
        str, typer.Option("--write-verify", metavar=WRITE_VERIFY_NAME, help=WRITE_VERIFY_HELP, show_default=False)
    ],
    device: DeviceOption = "generic",
    seed: SeedOption = None,
    faults: FaultsOption = None,
    placement: PlacementOption = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="NPZ", help="Where to keep the chip, for Program.load_chip.", show_default=False
        ),
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a program on a chip in closed loop, and report what it came to and what it took.

    Cells are pulsed until reads find their targets. Drift, read noise and faults are the device's; on the device
    generic, cells have none.
    """
    from xbarc.api.files import check_output
    from xbarc.api.program import load
    from xbarc.cli.terminal import print_json, print_page, progress, warn
    from xbarc.report.writing_page import writing_page

    if save is not None:
        check_output(save)
    has_chips(device, seed=seed, faults=faults, placement=placement, write_verify=write_verify)
    with progress() as advance:
        loaded = load(program)
        advance("writing", 0, None)
        chip = loaded.write(
            device,
            seed=seed or 0,
            faults=faults,
            programming=write_verify,
            placement=placement or "as-compiled",
            threads=threads,
        )
        if save is not None:
            chip.save(save)
    warn(loaded.report().warnings)
    if chip.writing is None:
        return
    if json:
        print_json(chip.writing.to_json())
    else:
        print_page(writing_page(chip.writing, title=str(program)))
