"""Types of values: what is known of an array before it exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

#: One axis: a fixed size, a symbol (the batch ``N``), or unknown.
Dim = int | str | None

_SHORT_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "f32",
    TensorProto.DOUBLE: "f64",
    TensorProto.FLOAT16: "f16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT64: "i64",
    TensorProto.INT32: "i32",
    TensorProto.INT16: "i16",
    TensorProto.INT8: "i8",
    TensorProto.UINT64: "u64",
    TensorProto.UINT32: "u32",
    TensorProto.UINT16: "u16",
    TensorProto.UINT8: "u8",
    TensorProto.BOOL: "bool",
    TensorProto.STRING: "string",
}


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor: element type (an ``onnx.TensorProto.DataType``) and shape (``None``: rank unknown)."""

    elem: int
    shape: tuple[Dim, ...] | None

    def __str__(self) -> str:
        name = _SHORT_NAMES.get(self.elem) or TensorProto.DataType.Name(self.elem).lower()
        if self.shape is None:
            return f"{name}[...]"
        return f"{name}[{', '.join('?' if dim is None else str(dim) for dim in self.shape)}]"

    @property
    def dtype(self) -> np.dtype:
        """The numpy type of an element."""
        return onnx.helper.tensor_dtype_to_np_dtype(self.elem)


@dataclass(frozen=True, slots=True)
class OtherType:
    """A sequence, map, optional or sparse tensor: carried along, never looked into."""

    serialized: bytes

    def __str__(self) -> str:
        return onnx.TypeProto.FromString(self.serialized).WhichOneof("value") or "unknown"


ValueType = TensorType | OtherType


def float32(shape: Sequence[Dim] | None) -> TensorType:
    """The type of a float32 tensor."""
    return TensorType(TensorProto.FLOAT, None if shape is None else tuple(shape))


def of_array(array: np.ndarray) -> TensorType:
    """The type of an array: of a number type of numpy or ml_dtypes, or of objects, which are texts."""
    return TensorType(int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype)), array.shape)


def from_proto(proto: onnx.TypeProto) -> ValueType | None:
    """The type that an ONNX model states; ``None`` where it states none."""
    kind = proto.WhichOneof("value")
    if kind is None:
        return None
    if kind != "tensor_type":
        return OtherType(proto.SerializeToString())
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return TensorType(tensor.elem_type, None)
    dims: list[Dim] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value"):
            dims.append(dim.dim_value)
        else:
            dims.append(dim.dim_param or None)
    return TensorType(tensor.elem_type, tuple(dims))


def to_proto(value_type: ValueType) -> onnx.TypeProto:
    """The inverse of :func:`from_proto`."""
    if isinstance(value_type, OtherType):
        other: onnx.TypeProto = onnx.TypeProto.FromString(value_type.serialized)
        return other
    proto: onnx.TypeProto = onnx.helper.make_tensor_type_proto(value_type.elem, value_type.shape)
    return proto
