"""Programs into ONNX files, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from xbarc.api.files import atomic_path, atomic_paths
from xbarc.onnx_io.outside import OutsideTensors
from xbarc.onnx_io.program import StoredProgram, constant_bytes, write_program

#: Weights beyond this many bytes go to a file beside the model: protobuf ends at 2 GiB.
EXTERNAL_DATA_BYTES: Final = 2**30


def save_program(program: StoredProgram, path: str | os.PathLike[str]) -> Path:
    """Write a program to a file, and beside it a file of weights (``NAME.data``) where it is too large for one.

    Raises:
        XbarcError: the file cannot be written.
    """
    target = Path(path)
    if constant_bytes(program.graph) < EXTERNAL_DATA_BYTES:
        with atomic_path(target) as aside:
            aside.write_bytes(write_program(program).SerializeToString())
        return target
    weights = target.with_name(target.name + ".data")
    with atomic_paths(weights, target) as (data, aside):
        outside = OutsideTensors(weights.name)
        model = write_program(program, store=outside.tensor)
        with data.open("wb") as file:
            outside.write(file)
        aside.write_bytes(model.SerializeToString())
    return target
