"""``xbarc export``: a tile of a chip for a circuit simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from xbarc.cli.options import (
    DeviceOption,
    FaultsOption,
    PlacementOption,
    ProgramArgument,
    SeedOption,
    WriteVerifyOption,
    has_chips,
)

EXPORT_EXAMPLE: Final = 'xbarc export net.xbar.onnx --spice tile.cir --tile 0 --device pcm --read-voltage "0.2 V"'


def export(
    program: ProgramArgument,
    spice: Annotated[
        Path, typer.Option("--spice", metavar="FILE", help="Where to write the netlist.", show_default=False)
    ],
    tile: Annotated[
        int,
        typer.Option(
            "--tile", metavar="N", min=0, help="Which tile, as 'report --map' numbers it.", show_default=False
        ),
    ],
    segment: Annotated[
        int, typer.Option("--segment", metavar="N", min=0, help="The reload segment in which it is looked at.")
    ] = 0,
    device: DeviceOption = "ideal",
    seed: SeedOption = None,
    faults: FaultsOption = None,
    write_verify: WriteVerifyOption = None,
    placement: PlacementOption = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="When to read the chip, as in 1d after programming; 0 by default."),
    ] = None,
    read_voltage: Annotated[
        str | None,
        typer.Option("--read-voltage", metavar="VOLT", help="On every row; tile.read_voltage by default."),
    ] = None,
    voltages: Annotated[
        Path | None,
        typer.Option(
            "--voltages", metavar="DATA", help="An .npz or a folder with an array 'voltages': one for each row."
        ),
    ] = None,
) -> None:
    """Write one tile of a chip as a netlist that ngspice runs.

    Cells as they are at that time, wires, drivers and virtual grounds; comments tell the currents to expect.
    """
    from xbarc.api.files import atomic_path, check_output
    from xbarc.api.program import load
    from xbarc.api.spice import load_voltages, read_voltages, tile_netlist
    from xbarc.cli.terminal import progress
    from xbarc.errors import UsageError

    check_output(spice)
    if voltages is not None and read_voltage is not None:
        raise UsageError("--voltages gives the voltage of each row, and so does --read-voltage", fix="give one of them")
    has_chips(device, seed=seed, faults=faults, write_verify=write_verify, placement=placement, time=time)
    with progress():
        loaded = load(program)
        chip = loaded.write(
            device,
            seed=seed or 0,
            faults=faults,
            programming=write_verify,
            placement=placement or "as-compiled",
        ).at("0" if time is None else time)
        volts = read_voltages(read_voltage, loaded.hardware) if voltages is None else load_voltages(voltages)
        text = tile_netlist(chip, tile, segment=segment, voltages=volts)
        with atomic_path(spice) as aside:
            aside.write_text(text, encoding="utf-8")
