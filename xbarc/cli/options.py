"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from xbarc.errors import UsageError

if TYPE_CHECKING:
    from xbarc.hardware.schema import Hardware

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model.", show_default=False)]
ProgramArgument = Annotated[
    Path, typer.Argument(metavar="PROGRAM", help="A compiled program (.xbar.onnx).", show_default=False)
]
AnalogOption = Annotated[
    list[str] | None,
    typer.Option("--analog", metavar="GLOB", help="Put operators whose name matches on tiles. May be repeated."),
]
HostOption = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="GLOB", help="Leave operators whose name matches digital. May be repeated."),
]
SizeOption = Annotated[
    list[str] | None,
    typer.Option("--size", metavar="NAME=N", help="A size that the model leaves open. May be repeated."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a value of the hardware. May be repeated."),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME[:KEY=VALUE,...]",
        help="What cells are made of, with parameters, or a measured table's file; 'xbarc device list' lists devices.",
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Of the chip; 0 by default. One seed is one chip.")
]
FaultsOption = Annotated[
    Path | None,
    typer.Option(
        "--faults",
        metavar="CSV",
        help="Faults that the chip is known to have: tile,row,column,kind,polarity, with kind stuck-at-gmin, "
        "stuck-at-gmax, dead-row or dead-column.",
    ),
]
WRITE_VERIFY_NAME: Final = "NAME[:KEY=VALUE,...]"
WRITE_VERIFY_HELP: Final = (
    "Write cells in closed loop, in place of the device's programming errors: a switching model, such as ecram-li or "
    "ecram-voltage, with parameters of it and of the controller, as in ecram-mo:band=0.01,max_cycles=50."
)
WriteVerifyOption = Annotated[
    str | None, typer.Option("--write-verify", metavar=WRITE_VERIFY_NAME, help=WRITE_VERIFY_HELP)
]
PlacementOption = Annotated[
    Literal["as-compiled", "fault-aware"] | None,
    typer.Option(
        "--placement",
        help="Where rows and columns of blocks lie on tiles: as the program says, or where the chip's faults do little "
        "harm; as-compiled by default.",
    ),
]
ReadNoiseOption = Annotated[
    Literal["split", "per-read", "frozen"] | None,
    typer.Option(
        "--read-noise",
        help="What of the cells' read noise is drawn anew at every read: what is faster than an inference, all of it, "
        "or nothing; split by default.",
    ),
]
InferenceTimeOption = Annotated[
    str | None,
    typer.Option(
        "--inference-time", metavar="TIME", help="How long an inference takes, for --read-noise split; 1ms by default."
    ),
]
IrDropOption = Annotated[
    Literal["off", "on"] | None,
    typer.Option("--ir-drop", help="What is lost on the wires of tiles; on by default, where the hardware has any."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, max=256, help="Threads to use; all processors by default."),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="What the process may take, as in '2 GB': batches, and chips side by side, are cut to fit.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def read_sizes(given: list[str]) -> dict[str, int]:
    """Sizes by name.

    Raises:
        UsageError: what is not ``NAME=N`` with a number of at least 1.
    """
    found = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not equals or not number.isdecimal() or int(number) < 1:
            raise UsageError(f"--size {text} is not NAME=N", fix="write it as in --size length=128")
        found[name] = int(number)
    return found


def has_chips(device: str, **given: object) -> bool:
    """Whether a device has chips that differ, so that options about them mean something.

    Args:
        device: as it was given.
        given: values of these options by name; ``None`` where one was not given.

    Raises:
        UsageError: an unknown device, or an option that means nothing for the ideal one.
    """
    from xbarc.devices.catalogue import find_device
    from xbarc.devices.ideal import IdealDevice

    if not isinstance(find_device(device), IdealDevice):
        return True
    idle = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if idle:
        raise UsageError(
            f"the ideal device is the same on every chip, at every time: {', '.join(idle)} would change nothing",
            fix="name another device, as in --device pcm, or leave these options out",
        )
    return False


def wants_ir_drop(given: str | None, hardware: Hardware) -> bool:
    """What ``--ir-drop`` says.

    Raises:
        UsageError: it is given for hardware whose tiles have no wires.
    """
    if given is not None and not hardware.tile.has_wires:
        raise UsageError(
            f"no wire of the hardware has any resistance: --ir-drop {given} would change nothing",
            fix="compile with one, as in --set 'tile.row_wire=2.5 Ohm', or leave the option out",
        )
    return given != "off"
