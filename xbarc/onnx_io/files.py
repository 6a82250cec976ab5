"""ONNX files: bytes to ``ModelProto``, with external data, and what can be wrong with either."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from xbarc.errors import ModelError


def read_file(path: Path, *, external_data: bool = True) -> onnx.ModelProto:
    """Read an ONNX file and, unless told otherwise, its external data.

    Raises:
        ModelError: no such file, not an ONNX file, a truncated one, or external data that is missing, too short or
            outside the model's folder.
    """
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise ModelError("this is a folder, not an ONNX file", where=str(path)) from None
    except FileNotFoundError:
        raise ModelError("there is no such file", where=str(path), fix="check the path of the model") from None
    except OSError as error:
        raise ModelError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ModelError(
            "this is not an ONNX file, or it is truncated", where=str(path), fix=_looks_like(data)
        ) from None
    if model.ir_version == 0 or not model.HasField("graph"):
        raise ModelError("this is not an ONNX file: it holds no graph", where=str(path), fix=_looks_like(data))
    if external_data:
        load_external_data(model, path)
    return model


def load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read the tensors that lie in other files beside ``path`` into the model."""
    folder = path.parent.resolve()
    for tensor in _tensors(model.graph):
        if not uses_external_data(tensor):
            continue
        where = f"tensor {tensor.name!r} of {path}"
        try:
            info = ExternalDataInfo(tensor)
            location = Path(info.location)
            target = (folder / location).resolve()
        except (ValueError, AttributeError) as error:
            raise ModelError(f"the place of external data cannot be read: {error}", where=where) from None
        if (info.offset or 0) < 0 or (info.length or 0) < 0:
            raise ModelError("external data has a negative offset or length", where=where, fix="export the model again")
        if location.is_absolute() or ".." in location.parts or not target.is_relative_to(folder):
            raise ModelError(
                f"external data lies outside the model's folder: {info.location!r}",
                where=where,
                fix="external data must be named relative to the model and lie beside or below it",
            )
        if not target.is_file():
            raise ModelError(
                f"external data is missing: {info.location!r}",
                where=where,
                fix=f"put the file into {folder} beside the model",
            )
        start, size = info.offset or 0, target.stat().st_size
        if start + (info.length or 0) > size:
            raise ModelError(
                f"external data ends too early: {info.location!r} has {size} bytes, needed are "
                f"{start} to {start + (info.length or 0)}",
                where=where,
                fix="copy the file again, it is truncated",
            )
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"external data cannot be read: {error}", where=where) from None
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def refuse_unloaded(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model in memory whose tensors are still in other files: nobody knows in which folder.

    Raises:
        ModelError: some are.
    """
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            raise ModelError(
                f"the tensor {tensor.name!r} has its data in another file",
                where=where,
                fix="give the path of the model, or load its external data first",
            )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _looks_like(data: bytes) -> str:
    if not data:
        return "the file is empty"
    if data[:2] == b"PK":
        return "it is a zip archive (a PyTorch checkpoint or Keras model is one): export the network to ONNX first"
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "it is an HDF5 file (as Keras saves it): export the network to ONNX first"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:256]):
        return "it is a text file; if it should be a model, it may be a pointer that a large-file store left behind"
    return "export or copy the model again"
