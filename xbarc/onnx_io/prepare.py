"""Prepare a model for import: checked, functions inlined, opset 13 or newer, shapes inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx.inliner
import onnx.version_converter
import onnxruntime as ort
from onnx import TensorProto, helper

from xbarc.errors import ModelError
from xbarc.onnx_io.known_operators import refuse_unknown
from xbarc.onnx_io.old_scans import refuse_unconvertible, scan_batches

#: Older models are converted to this opset.
OLDEST_OPSET = 13
#: The oldest opset that layer functions can be written for, where the converter fails.
OLDEST_FUNCTION_OPSET = 11

#: Element types by onnxruntime's names for them.
_ELEMENTS = {
    "tensor(float)": TensorProto.FLOAT,
    "tensor(double)": TensorProto.DOUBLE,
    "tensor(float16)": TensorProto.FLOAT16,
    "tensor(bfloat16)": TensorProto.BFLOAT16,
    "tensor(int64)": TensorProto.INT64,
    "tensor(int32)": TensorProto.INT32,
    "tensor(int16)": TensorProto.INT16,
    "tensor(int8)": TensorProto.INT8,
    "tensor(uint64)": TensorProto.UINT64,
    "tensor(uint32)": TensorProto.UINT32,
    "tensor(uint16)": TensorProto.UINT16,
    "tensor(uint8)": TensorProto.UINT8,
    "tensor(bool)": TensorProto.BOOL,
    "tensor(string)": TensorProto.STRING,
}


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
        ModelError: the checker refuses the model, shapes contradict one another, or its opset is too old to be
            converted.
    """
    refuse_unknown(model, where=where)
    _check(model, where)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    model = _modernise(model, where)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"shapes do not fit together: {_first_line(error)}", where=where) from None
    graph = inferred.graph
    # An input that is an output too may be declared there without its shape.
    types = {entry.name: entry.type for entry in (*graph.value_info, *graph.output, *graph.input)}
    types |= _asked_types(inferred, types)
    return PreparedModel(inferred, types)


def _asked_types(model: onnx.ModelProto, known: Mapping[str, onnx.TypeProto]) -> dict[str, onnx.TypeProto]:
    """Types that ONNX's own inference does not find, which knows no operators of other domains: onnxruntime's word."""
    made = [name for node in model.graph.node for name in node.output if name]
    foreign = any(node.domain not in ("", "ai.onnx") for node in model.graph.node)
    unknown = [name for name in made if _unknown(known.get(name), shape_too=foreign)]
    if not unknown:
        return {}
    asking = onnx.ModelProto()
    asking.CopyFrom(model)
    given = {entry.name for entry in asking.graph.output}
    asking.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown if name not in given)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(asking.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - it may know no better; whoever runs the model says what is wrong with it
        return {}
    found = {}
    for entry in session.get_outputs():
        elem = _ELEMENTS.get(entry.type)
        if entry.name in unknown and elem is not None:
            found[entry.name] = helper.make_tensor_type_proto(elem, entry.shape or None)
    return found


def _unknown(proto: onnx.TypeProto | None, *, shape_too: bool) -> bool:
    """Whether nothing is known of a type, or not even the rank of a tensor."""
    if proto is None or proto.WhichOneof("value") is None:
        return True
    return shape_too and proto.WhichOneof("value") == "tensor_type" and not proto.tensor_type.HasField("shape")


def _check(model: onnx.ModelProto, where: str) -> None:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for entry in (*bare.graph.input, *bare.graph.output):
        if entry.type.HasField("tensor_type") and not entry.type.tensor_type.HasField("shape"):
            # Exporters leave out shapes, which onnxruntime allows; the checker only asks that one is there.
            entry.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(bare)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"the model is not valid ONNX: {_first_line(error)}", where=where, fix="export it again"
        ) from None


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
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        if opset >= OLDEST_FUNCTION_OPSET:
            return model
        raise ModelError(
            f"opset {opset} cannot be converted to {OLDEST_OPSET}: {_first_line(error)}",
            where=where,
            fix="export the model again with opset 13 or newer",
        ) from None
    if opset == 8:
        scan_batches(converted, model)
    return converted


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
