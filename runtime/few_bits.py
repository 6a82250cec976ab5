"""Into and out of onnxruntime: arrays of types that numpy does not know by itself (bfloat16, floats of 8 bits, integers
of a few bits), which its own interface for arrays refuses."""

from __future__ import annotations

import ctypes
import math
import re
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

_PREFIXES = ("BFLOAT16", "FLOAT8", "FLOAT4", "INT4", "UINT4", "INT2", "UINT2")
#: Types of this kind, by onnxruntime's names for tensors of them.
FEW_BITS: Final = {
    f"tensor({name.lower()})": elem for name, elem in TensorProto.DataType.items() if name.startswith(_PREFIXES)
}


def to_value(array: Any) -> ort.OrtValue:
    """An array of numbers of any type as onnxruntime's own; it takes no text here, nor sequences."""
    array = np.asarray(array)
    if array.dtype.isbuiltin != 2:  # numpy's mark of types that were added to it
        return ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"))
    elem = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    packed = np.frombuffer(numpy_helper.from_array(array).raw_data, dtype=np.uint8)
    room = np.zeros(array.size * array.itemsize, dtype=np.uint8)  # onnxruntime reads no further than it needs
    room[: packed.size] = packed
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(room.view(array.dtype).reshape(array.shape), elem)


def to_array(value: ort.OrtValue) -> Any:
    """The inverse of :func:`to_value`."""
    elem = FEW_BITS.get(value.data_type())
    if elem is None:
        return value.numpy()
    shape = value.shape()
    bits = int(re.findall(r"\d+", TensorProto.DataType.Name(elem))[0])
    size = math.ceil(math.prod(shape) * bits / 8)
    held = ctypes.string_at(value.data_ptr(), size) if size else b""
    return numpy_helper.to_array(TensorProto(data_type=elem, dims=shape, raw_data=held))
