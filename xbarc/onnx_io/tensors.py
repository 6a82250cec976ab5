"""Tensors of ONNX models as arrays, also those that lie in files of their own beside the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from xbarc.errors import ModelError

_FIELDS: Final = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
_KNOWN: Final = {number for number in TensorProto.DataType.values() if number != TensorProto.UNDEFINED}
#: Types that share bytes.
PACKED: Final = {
    number
    for name, number in TensorProto.DataType.items()
    if name in ("INT2", "UINT2", "INT4", "UINT4", "FLOAT4E2M1", "FLOAT6E2M3", "FLOAT6E3M2")
}


def declared_bytes(tensor: onnx.TensorProto) -> int:
    """The size of the array that a tensor declares, whatever data it has; 0 where its type is unknown."""
    if tensor.data_type not in _KNOWN:
        return 0
    return helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * int(math.prod(tensor.dims))


def read_array(tensor: onnx.TensorProto, *, where: str) -> np.ndarray:
    """The array of a tensor that holds its data. No second copy of the data outlives the call.

    Raises:
        ModelError: it has no data, or data that do not fit its type and shape.
    """
    try:
        fields = ["raw_data"] * tensor.HasField("raw_data") + [name for name in _FIELDS if len(getattr(tensor, name))]
        wanted = helper.tensor_dtype_to_field(tensor.data_type)
        if len(fields) > 1 or (fields and fields[0] not in ("raw_data", wanted)):
            raise ValueError(f"it has values in {' and '.join(fields)}")
        if uses_external_data(tensor):
            raise ValueError("they lie in another file")
        if min(tensor.dims, default=0) < 0:
            raise ValueError("a dimension is negative")
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise _does_not_fit(tensor, str(error), where) from None


def read_external(tensor: onnx.TensorProto, path: Path) -> np.ndarray:
    """The array of a tensor whose data lie in a file beside the model at ``path``.

    Raises:
        ModelError: the file is missing, too short or outside the model's folder, or the data do not fit the shape.
    """
    where = f"tensor {tensor.name!r} of {path}"
    place = _place(tensor, path, where)
    size = declared_bytes(tensor)
    if tensor.data_type in PACKED or size <= 0:
        whole = TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
        whole.raw_data = _read(place, place.rest, where).tobytes()
        return read_array(whole, where=where)
    if tensor.data_type == TensorProto.STRING or place.length not in (0, size) or place.rest < size:
        raise _does_not_fit(tensor, f"it has {place.rest} bytes in {place.file.name!r}", where)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return _read(place, size, where).view(dtype).reshape(tuple(tensor.dims))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the data of a tensor lie; ``length`` is 0 where the model does not say it, ``rest`` all there is."""

    file: Path
    start: int
    length: int
    rest: int


def _place(tensor: onnx.TensorProto, path: Path, where: str) -> _Place:
    folder = path.parent.resolve()
    try:
        info = ExternalDataInfo(tensor)
        location = Path(info.location)
        target = (folder / location).resolve()
        start, length = info.offset or 0, info.length or 0
        if start < 0 or length < 0:
            raise ValueError("a negative offset or length")
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"the place of external data cannot be read: {error}", where=where, fix="export the model again"
        ) from None
    if location.is_absolute() or ".." in location.parts or not target.is_relative_to(folder):
        raise ModelError(
            f"external data lies outside the model's folder: {info.location!r}",
            where=where,
            fix="external data must be named relative to the model and lie beside or below it",
        )
    if not _is_file(target, where):
        raise ModelError(
            f"external data is missing: {info.location!r}",
            where=where,
            fix=f"put the file into {folder} beside the model",
        )
    size = target.stat().st_size
    end = start + length
    if end > size:
        raise ModelError(
            f"external data ends too early: {info.location!r} has {size} bytes, needed are {start} to {end}",
            where=where,
            fix="copy the file again, it is truncated",
        )
    return _Place(target, start, length, length or size - start)


def _is_file(path: Path, where: str) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a name that no file can have
        raise ModelError(f"external data cannot be read: {error.strerror or error}", where=where) from None


def _read(place: _Place, size: int, where: str) -> np.ndarray:
    try:
        return np.fromfile(place.file, dtype=np.uint8, count=size, offset=place.start)
    except OSError as error:
        raise ModelError(f"external data cannot be read: {error.strerror or error}", where=where) from None


def inline_external(tensor: onnx.TensorProto, path: Path) -> None:
    """Read the data of a tensor that lie in a file beside the model at ``path`` into the tensor.

    Raises:
        ModelError: as :func:`read_external`.
    """
    if uses_external_data(tensor):
        tensor.CopyFrom(numpy_helper.from_array(read_external(tensor, path), tensor.name))


def _does_not_fit(tensor: onnx.TensorProto, what: str, where: str) -> ModelError:
    kind = TensorProto.DataType.Name(tensor.data_type).lower() if tensor.data_type in _KNOWN else "unknown type"
    return ModelError(
        f"the model is not valid ONNX: the data of a tensor do not fit its type and shape, {kind}{list(tensor.dims)}: "
        f"{what}",
        where=where if tensor.name in where else f"tensor {tensor.name!r} of {where}",
        fix="export it again",
    )
