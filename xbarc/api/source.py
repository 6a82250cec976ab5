"""Source models: an ONNX file or model, read once, with what must be remembered of where it came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from xbarc.api.specs import InputSpec
from xbarc.errors import ModelError
from xbarc.ir.graph import Graph, Value
from xbarc.ir.types import TensorType
from xbarc.onnx_io.bare_model import BareModel, refuse_unloaded, strip
from xbarc.onnx_io.files import file_hash, read_file
from xbarc.onnx_io.import_graph import import_graph
from xbarc.onnx_io.prepare import prepare
from xbarc.onnx_io.program import is_program
from xbarc.onnx_io.sizes import give_sizes
from xbarc.onnx_io.texts import refuse_no_text

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


def read_source(model: ModelLike, *, sizes: Mapping[str, int] | None = None) -> Source:
    """Read, check and prepare a model; ``sizes`` are numbers for symbols in the shapes of its inputs.

    Raises:
        ModelError: it cannot be read, is not valid, or is a compiled program.
        UsageError: a symbol that no input has.
    """
    path, where, bare = read_bare(model)
    if is_program(bare.model):
        raise ModelError("this model is compiled already", where=where, fix="give the source model, or run the program")
    give_sizes(bare.model, sizes or {}, where=where)
    prepared = prepare(bare.model, where=where)
    digest = bare.sha256() if path is None else file_hash(path)
    return Source(import_graph(prepared.model, prepared.types, arrays=bare.arrays), path, digest)


def read_bare(model: ModelLike) -> tuple[Path | None, str, BareModel]:
    """The file of a model, where that is for messages, and the model apart from its weights.

    The bytes of a file are let go: what is left in memory are the arrays.

    Raises:
        ModelError: it cannot be read.
    """
    if isinstance(model, onnx.ModelProto):
        path, where, given = None, "the given model", model
        refuse_unloaded(model, where=where)
    else:
        path = Path(model)
        where, given = str(path), read_file(path)
    refuse_no_text(given, where=where)
    return path, where, strip(given, path=path, where=where)


def input_specs(graph: Graph) -> list[InputSpec]:
    """What data must look like to be fed to a graph."""
    return [_spec(value) for value in graph.inputs]


def _spec(value: Value) -> InputSpec:
    if isinstance(value.type, TensorType):
        return InputSpec(value.hint, value.type.dtype, value.type.shape)
    kind = "value of unknown type" if value.type is None else str(value.type).removesuffix("_type").replace("_", " ")
    return InputSpec(value.hint, None, None, kind)
