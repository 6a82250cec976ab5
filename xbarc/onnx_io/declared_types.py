"""Types that a model declares for what its nodes make, without those that the nodes contradict.

Whoever edits a model (another number of samples, say) tends to leave the old sizes behind. onnxruntime warns of them
and goes by the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx.shape_inference import InferenceError


def drop_contradicted(model: onnx.ModelProto) -> None:
    """Take out, in place, the declared shapes of intermediate values and outputs that the nodes contradict."""
    graph = model.graph
    found = _inferred(model)
    kept = [entry for entry in graph.value_info if not _contradicts(entry.type, found.get(entry.name))]
    if len(kept) < len(graph.value_info):
        del graph.value_info[:]
        graph.value_info.extend(kept)
    for entry in graph.output:
        if _contradicts(entry.type, found.get(entry.name)):
            entry.type.tensor_type.ClearField("shape")


def _inferred(model: onnx.ModelProto) -> Mapping[str, onnx.TypeProto]:
    """Types by the nodes alone; none where the nodes contradict one another."""
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    del alone.graph.value_info[:]
    for entry in alone.graph.output:
        entry.ClearField("type")
    try:
        graph = onnx.shape_inference.infer_shapes(alone, data_prop=True).graph
    except (InferenceError, RuntimeError):
        return {}
    return {entry.name: entry.type for entry in (*graph.value_info, *graph.output)}


def _contradicts(declared: onnx.TypeProto, found: onnx.TypeProto | None) -> bool:
    """Whether a size is declared that is another one, or that of a symbol, which stands for any."""
    if found is None or not (declared.HasField("tensor_type") and found.HasField("tensor_type")):
        return False
    ours, theirs = declared.tensor_type, found.tensor_type
    if not (ours.HasField("shape") and theirs.HasField("shape")):
        return False
    if len(ours.shape.dim) != len(theirs.shape.dim):
        return True
    pairs = zip(ours.shape.dim, theirs.shape.dim, strict=True)
    return any(
        one.HasField("dim_value") and (bool(other.dim_param) or (other.HasField("dim_value") and one != other))
        for one, other in pairs
    )
