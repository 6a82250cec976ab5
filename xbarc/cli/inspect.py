"""``xbarc inspect``: the IR of a model or a program as text."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

INSPECT_EXAMPLE: Final = "xbarc inspect resnet.onnx --stage host"


class Stage(StrEnum):
    """How far a model is taken before it is printed."""

    HOST = "host"
    LOWERED = "lowered"


def inspect(
    file: Annotated[Path, typer.Argument(metavar="MODEL|PROGRAM", help="An ONNX model, or a compiled program.")],
    stage: Annotated[
        Stage,
        typer.Option(help="Of a model: as it was read, or with its products ready for tiles."),
    ] = Stage.LOWERED,
) -> None:
    """Print the IR of a model or a program as text."""
    from xbarc.api import inspection

    sys.stdout.write(inspection.inspect(file, stage=stage.value) + "\n")
