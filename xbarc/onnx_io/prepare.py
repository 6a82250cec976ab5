"""Prepare a model for import: checked, functions inlined, opset 13 or newer, shapes inferred."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import onnx.inliner
import onnx.version_converter

from xbarc.errors import ModelError
from xbarc.ir.naming import graphs
from xbarc.onnx_io.declared_types import drop_contradicted
from xbarc.onnx_io.known_operators import refuse_opsets, refuse_unknown
from xbarc.onnx_io.node_names import name_nodes
from xbarc.onnx_io.old_scans import refuse_unconvertible, scan_batches
from xbarc.onnx_io.runtime_types import runtime_types

#: Older models are converted to this opset.
OLDEST_OPSET = 13
#: The oldest opset that layer functions can be written for, where the converter fails.
OLDEST_FUNCTION_OPSET = 11

_MISFIT = "types or shapes do not fit together"
#: How ONNX's checker names a node.
_CONTEXT = re.compile(r"==> Context: Bad node spec for node\. Name: (.*?) ?OpType: (\S+)")
#: What its converter says before the words.
_ASSERTION = re.compile(r"(?<!\S)\S+:\d+: \w+: Assertion `.*?` failed: ?")
#: How ONNX's own tools refuse a model.
_REFUSALS = (
    RuntimeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
)


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model that can be imported.

    Attributes:
        model: checked, without functions, of a supported opset.
        types: what is known of the type of each value, by name.
    """

    model: onnx.ModelProto
    types: dict[str, onnx.TypeProto]


def prepare(model: onnx.ModelProto, *, where: str) -> PreparedModel:
    """Check a model and find the types of its values. The model itself is not changed; best bare, without its weights.

    Raises:
        ModelError: ONNX's checker or onnxruntime refuses the model, shapes contradict one another, or its opset is too
            old to be converted.
    """
    model = _readable(model)
    refuse_opsets(model, where=where)
    refuse_unknown(model, where=where)
    if not model.graph.output:
        raise ModelError("the model has no output: there is nothing to compute", where=where, fix="export it again")
    _check(model, where)
    if model.functions:
        model = _inlined(model, where)
    drop_contradicted(model)
    model = _modernise(model, where)
    name_nodes(model.graph)
    with _refused(_MISFIT, where):
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    # An input that is an output too may be declared there without its shape.
    types = {entry.name: entry.type for entry in (*graph.value_info, *graph.output, *graph.input)}
    types |= runtime_types(inferred, types, where=where)
    return PreparedModel(inferred, types)


def _readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model in which ONNX's own domain has one name, and sizes are not negative.

    Some exporters write -1 where a size is not known, and ``ai.onnx`` where the domain is left out elsewhere.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for entry in (*copied.opset_import, *(node for graph in graphs(copied.graph) for node in graph.node)):
        if entry.domain == "ai.onnx":
            entry.domain = ""
    for graph in graphs(copied.graph):
        for entry in (*graph.input, *graph.output, *graph.value_info):
            for size in entry.type.tensor_type.shape.dim if entry.type.HasField("tensor_type") else ():
                if size.dim_value < 0:
                    size.ClearField("dim_value")
    return copied


def _check(model: onnx.ModelProto, where: str) -> None:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for entry in (*bare.graph.input, *bare.graph.output):
        if entry.type.HasField("tensor_type") and not entry.type.tensor_type.HasField("shape"):
            # Exporters leave out shapes, which onnxruntime allows; the checker only asks that one is there.
            entry.type.tensor_type.shape.SetInParent()
    with _refused("the model is not valid ONNX", where):
        onnx.checker.check_model(bare)


def _inlined(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with the bodies of its functions in the place of their calls; it is changed itself."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for function in model.functions:
        for entry in function.opset_import:
            # The checker has found that its operators mean the same in both versions, and the inliner wants one.
            entry.version = versions.get(entry.domain, entry.version)
    with _refused("the functions of the model cannot be inlined", where):
        inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(model)
    return inlined


@contextmanager
def _refused(what: str, where: str) -> Iterator[None]:
    """Tells how ONNX's own tools refuse a model."""
    try:
        yield
    except _REFUSALS as error:
        raise ModelError(f"{what}: {_words(error)}", where=where, fix="export it again") from None


def _modernise(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    opset = max(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=OLDEST_OPSET
    )
    if opset >= OLDEST_OPSET:
        return model
    if opset == 8:
        refuse_unconvertible(model, where=where)
    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except _REFUSALS as error:
        if opset >= OLDEST_FUNCTION_OPSET:
            return model
        if isinstance(error, onnx.shape_inference.InferenceError):
            raise ModelError(f"{_MISFIT}: {_words(error)}", where=where, fix="export it again") from None
        raise ModelError(
            f"opset {opset} cannot be converted to {OLDEST_OPSET}: {_words(error)}",
            where=where,
            fix="export the model again with opset 13 or newer",
        ) from None
    if opset == 8:
        scan_batches(converted, model)
    return converted


def _words(error: Exception) -> str:
    """What ONNX says of an error, in one line, with the node."""
    words = _CONTEXT.sub(r"(node '\1', \2)", _ASSERTION.sub("", " ".join(str(error).split())))
    return words or type(error).__name__
