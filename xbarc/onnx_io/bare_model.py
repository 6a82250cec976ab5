"""Models without their weights: what checking, converting and inferring look at, in few bytes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from xbarc.errors import ModelError
from xbarc.ir.naming import subgraphs
from xbarc.onnx_io.tensors import declared_bytes, inline_external, read_array, read_external

_LARGE: Final = 4096  # bytes; a tensor above this size tells shape inference nothing but its type


@dataclass(frozen=True, slots=True)
class BareModel:
    """A model and, apart from it, its large constants.

    Attributes:
        model: with inputs of the same type where the large constants were.
        arrays: the large constants, by name.
    """

    model: onnx.ModelProto
    arrays: dict[str, np.ndarray]

    def sha256(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        digest = hashlib.sha256(self.model.SerializeToString(deterministic=True))
        for name, array in self.arrays.items():
            digest.update(name.encode())
            if array.dtype.kind == "O":
                digest.update(numpy_helper.from_array(array).SerializeToString(deterministic=True))
            else:
                digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def strip(model: onnx.ModelProto, *, path: Path | None, where: str) -> BareModel:
    """Part a model from its large initializers and ``Constant`` nodes. Nothing in the result refers to the model given.

    Args:
        model: changed in that small tensors with external data get them.
        path: of the model, beside which external data lie; ``None`` for a model from memory.
        where: for messages.

    Raises:
        ModelError: data that cannot be read or do not fit their tensors.
    """
    source, arrays = model.graph, dict[str, np.ndarray]()
    bare = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    bare.metadata_props.extend(model.metadata_props)
    graph = bare.graph
    graph.name = source.name
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    declared = {entry.name for entry in source.input}

    def keep(name: str, tensor: onnx.TensorProto) -> None:
        arrays[name] = _load(tensor, path, where)
        if name not in declared:
            graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))

    for tensor in source.initializer:
        if _is_large(tensor):
            keep(tensor.name, tensor)
        else:
            graph.initializer.append(_inlined(tensor, path))
    graph.sparse_initializer.extend(source.sparse_initializer)
    for node in source.node:
        if (constant := _constant(node)) is not None and _is_large(constant):
            keep(node.output[0], constant)
        else:
            for tensor in _inner_tensors(node):
                _inlined(tensor, path)
            graph.node.append(node)
    return BareModel(bare, arrays)


def refuse_unloaded(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model in memory whose tensors are still in other files: nobody knows in which folder.

    Raises:
        ModelError: some are.
    """
    inner = (tensor for node in model.graph.node for tensor in _inner_tensors(node))
    for tensor in itertools.chain(model.graph.initializer, inner):
        if uses_external_data(tensor):
            raise ModelError(
                f"the tensor {tensor.name!r} has its data in another file",
                where=where,
                fix="give the path of the model, or load its external data first",
            )


def _is_large(tensor: onnx.TensorProto) -> bool:
    return declared_bytes(tensor) > _LARGE


def _load(tensor: onnx.TensorProto, path: Path | None, where: str) -> np.ndarray:
    if path is not None and uses_external_data(tensor):
        return read_external(tensor, path)
    return read_array(tensor, where=where)


def _inlined(tensor: onnx.TensorProto, path: Path | None) -> onnx.TensorProto:
    if path is not None:
        inline_external(tensor, path)
    return tensor


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a ``Constant`` node."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def _inner_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """Tensors in the attributes of a node, and all that its subgraphs hold."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
    for subgraph in subgraphs(node):
        yield from subgraph.initializer
        for inner in subgraph.node:
            yield from _inner_tensors(inner)
