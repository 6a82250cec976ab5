"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a value of the hardware. May be repeated."),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="What cells are made of.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Threads to use; all processors by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
