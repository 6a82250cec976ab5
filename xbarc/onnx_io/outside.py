"""Weights of a model that lie outside of it: in a file of their own, or in the memory of whoever loads it."""

from __future__ import annotations

from typing import IO, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xbarc.onnx_io.tensors import PACKED

_SMALL: Final = 1024  # bytes; smaller constants stay in the model
_PAGE: Final = 4096  # bytes; tensors begin at multiples of it, so that readers can map them


class OutsideTensors:
    """Makes tensors that lie in a file of the given name, which is written when the model is complete."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._arrays: list[tuple[int, np.ndarray]] = []
        self._end = 0

    def tensor(self, name: str, array: np.ndarray) -> onnx.TensorProto:
        """The tensor of an array; small ones, text and types that share bytes hold their data themselves."""
        elem = int(helper.np_dtype_to_tensor_dtype(array.dtype))
        if array.nbytes < _SMALL or elem == TensorProto.STRING or elem in PACKED:
            return inside(name, array)
        start = -(-self._end // _PAGE) * _PAGE
        self._arrays.append((start, array))
        self._end = start + array.nbytes
        return _elsewhere(name, array, self._location, start)

    def write(self, file: IO[bytes]) -> None:
        """Write the data of all tensors."""
        for start, array in self._arrays:
            file.seek(start)
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


class LentTensors:
    """Makes tensors whose arrays are handed over when the model is loaded; see :class:`xbarc.runtime.host.HostModel`.

    Attributes:
        arrays: to be handed over, by name.
    """

    def __init__(self, least_bytes: int) -> None:
        self._least = least_bytes
        self.arrays: dict[str, np.ndarray] = {}

    def tensor(self, name: str, array: np.ndarray) -> onnx.TensorProto:
        """The tensor of an array; small ones, and what is of no number type of numpy, hold their data themselves."""
        if array.nbytes < self._least or array.dtype.kind not in "biuf" or array.dtype.isbuiltin != 1:
            return inside(name, array)
        self.arrays[name] = array
        return _elsewhere(name, array, "lent", 0)


def _elsewhere(name: str, array: np.ndarray, location: str, start: int) -> onnx.TensorProto:
    elem = int(helper.np_dtype_to_tensor_dtype(array.dtype))
    tensor = onnx.TensorProto(name=name, data_type=elem, dims=array.shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", start), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def inside(name: str, array: np.ndarray) -> onnx.TensorProto:
    """The tensor of an array, which holds its data itself."""
    return numpy_helper.from_array(np.require(array, requirements="C"), name)
