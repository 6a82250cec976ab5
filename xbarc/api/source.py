"""Source models: an ONNX file or model, read once, with what must be remembered of where it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import onnx

from xbarc.api.data import InputSpec
from xbarc.errors import ModelError
from xbarc.ir.graph import Graph
from xbarc.ir.types import TensorType
from xbarc.onnx_io.files import file_hash, read_file, refuse_unloaded
from xbarc.onnx_io.import_graph import import_graph
from xbarc.onnx_io.prepare import content_hash, prepare
from xbarc.onnx_io.program import is_program

ModelLike = str | os.PathLike[str] | onnx.ModelProto


@dataclass(frozen=True)
class Source:
    """A model before it is compiled.

    Attributes:
        graph: the prepared model, every operator on the host.
        path: the file; ``None`` for a model from memory.
        sha256: of the file, or of the model's content.
    """

    graph: Graph
    path: Path | None
    sha256: str


def read_source(model: ModelLike) -> Source:
    """Read, check and prepare a model.

    Raises:
        ModelError: it cannot be read, is not valid, or is a compiled program.
    """
    if isinstance(model, onnx.ModelProto):
        proto, path, where = model, None, "the given model"
        refuse_unloaded(model, where=where)
        digest = content_hash(model)
    else:
        path = Path(model)
        proto, where = read_file(path), str(path)
        digest = file_hash(path)
    if is_program(proto):
        raise ModelError("this model is compiled already", where=where, fix="give the source model, or run the program")
    prepared = prepare(proto, where=where)
    return Source(import_graph(prepared.model, prepared.types), path, digest)


def input_specs(graph: Graph) -> list[InputSpec]:
    """What data must look like to be fed to a graph."""
    specs = []
    for value in graph.inputs:
        if not isinstance(value.type, TensorType) or value.type.shape is None:
            raise ModelError(f"the input {value.hint!r} has no tensor type with a known rank: {value.type}")
        shape = tuple(size if isinstance(size, int) else None for size in value.type.shape)
        specs.append(InputSpec(value.hint, value.type.dtype, shape))
    return specs
