"""Inspect a file: the IR of a model or a program as text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from xbarc.api.compiler import lower
from xbarc.api.program import load
from xbarc.api.source import read_source
from xbarc.ir.printer import print_graph
from xbarc.onnx_io.files import read_file
from xbarc.onnx_io.program import is_program

#: How far a model is taken before it is printed: as it was read, or with its products ready for tiles.
InspectionStage = Literal["host", "lowered"]


def inspect(path: Path, *, stage: InspectionStage = "lowered", threads: int | None = None) -> str:
    """The IR of a file, one line an operator.

    Args:
        path: a model or a program.
        stage: of a model; a program is always printed as it is.
        threads: all that the process may use by default.

    Raises:
        ModelError: the file is no ONNX model, or cannot be compiled.
        ProgramError: the program is damaged, or made by a newer schema.
    """
    if is_program(read_file(path)):
        return load(path).text()
    graph = read_source(path).graph
    if stage == "lowered":
        lower(graph, threads=threads)
    return print_graph(graph)
