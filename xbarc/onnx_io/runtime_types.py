"""What onnxruntime knows of a model before it runs: types of values, and what does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph

from xbarc.errors import ModelError, runtime_words

#: Element types by onnxruntime's names for them.
_ELEMENTS: Final = {
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
_INVALID: Final = "This is an invalid model. "
_IR_VERSION: Final = 10  # that any onnxruntime reads; what later ones add does not matter to types


def runtime_types(
    model: onnx.ModelProto, known: Mapping[str, onnx.TypeProto], *, where: str
) -> dict[str, onnx.TypeProto]:
    """Types that ONNX's own inference does not find, which knows no operators of other domains: onnxruntime's word.

    Args:
        model: with a name for each node, without functions; best bare, since weights do not matter here.
        known: types by name of value.
        where: for messages.

    Raises:
        ModelError: types or shapes that do not fit together, by node. What onnxruntime knows and cannot run is not
            refused: it may be folded, or end up on tiles.
    """
    made = [name for node in model.graph.node for name in node.output if name]
    foreign = any(node.domain not in ("", "ai.onnx") for node in model.graph.node)
    unknown = [name for name in made if _unknown(known.get(name), shape_too=foreign)]
    asking = onnx.ModelProto()
    asking.CopyFrom(model)
    asking.ir_version = _IR_VERSION
    del asking.graph.value_info[:]
    given = {entry.name for entry in asking.graph.output}
    asking.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown if name not in given)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(asking.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph) as error:
        if "Exception during initialization" in str(error):
            return {}  # an operator that insists on constants, which are inputs here, or one that must not be run
        raise ModelError(
            f"the model is not valid: {runtime_words(error).removeprefix(_INVALID)}",
            where=where,
            fix="export the model again",
        ) from None
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
