"""The network in floating point that a program is compared with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from xbarc.api.source import ModelLike
from xbarc.errors import ModelError
from xbarc.onnx_io.files import file_hash, read_file
from xbarc.onnx_io.program import is_program
from xbarc.runtime.host import HostModel


@dataclass(frozen=True)
class Origin:
    """Where a program comes from.

    Attributes:
        path: of the source model; ``None`` for a model from memory.
        sha256: of its content.
        model: the source itself, where it came from memory and is still there.
    """

    path: Path | None
    sha256: str
    model: onnx.ModelProto | None = None

    def find(self) -> tuple[ModelLike | None, str | None]:
        """The source model, or why it is not to be had."""
        if self.model is not None:
            return self.model, None
        if self.path is None:
            return None, "the program was compiled from a model in memory; give it as reference"
        if not self.path.is_file():
            return None, f"the source model {self.path} is gone; give it as reference"
        if file_hash(self.path) != self.sha256:
            reason = "has changed since it was compiled; give the right one as reference"
            return None, f"the source model {self.path} {reason}"
        return self.path, None


def open_reference(
    given: ModelLike | None, origin: Origin, *, inputs: Sequence[str], output: str, threads: int
) -> tuple[HostModel | None, str | None]:
    """The reference ready to run, or why there is none.

    Args:
        given: by the user; the program's origin where it is ``None``.
        origin: of the program.
        inputs, output: names that the reference must have.
        threads: for onnxruntime.

    Raises:
        ModelError: the given model cannot be read, or is another network.
    """
    if given is None:
        given, reason = origin.find()
        if given is None:
            return None, reason
    if isinstance(given, onnx.ModelProto):
        _refuse_other_network(given, inputs, output, where="the reference")
        return HostModel(given.SerializeToString(), threads=threads, optimization="all"), None
    path = os.fspath(given)
    _refuse_other_network(read_file(Path(path)), inputs, output, where=f"reference {path}")
    return HostModel(path, threads=threads, optimization="all"), None


def _refuse_other_network(reference: onnx.ModelProto, inputs: Sequence[str], output: str, *, where: str) -> None:
    """A comparison makes sense only with a network of the same inputs and the same output."""
    fix = "give the model that the program was compiled from"
    if is_program(reference):
        raise ModelError("the reference is a compiled program, not a network in floating point", where=where, fix=fix)
    constant = {tensor.name for tensor in reference.graph.initializer}
    reads = {entry.name for entry in reference.graph.input} - constant
    if reads != set(inputs):
        names = [", ".join(sorted(each)) or "nothing" for each in (reads, set(inputs))]
        raise ModelError(f"the reference reads {names[0]}, the program {names[1]}", where=where, fix=fix)
    made = [entry.name for entry in reference.graph.output]
    if output not in made:
        raise ModelError(f"the reference has no output {output!r}, only {', '.join(made)}", where=where, fix=fix)
