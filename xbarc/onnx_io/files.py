"""ONNX files: bytes to ``ModelProto``, and what can be wrong with them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from xbarc.errors import ModelError


def read_file(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, without its external data.

    Raises:
        ModelError: no such file, not an ONNX file, or a truncated one.
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
    return model


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


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
