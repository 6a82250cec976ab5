"""ONNX models into files, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import onnx

from xbarc.api.files import atomic_path, atomic_paths

#: Weights beyond this many bytes go to a file beside the model: protobuf ends at 2 GiB.
EXTERNAL_DATA_BYTES: Final = 2**30


def save_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> Path:
    """Write a model to a file, and beside it a file of weights (``NAME.data``) where it is too large for one.

    Raises:
        XbarcError: the file cannot be written.
    """
    target = Path(path)
    if model.ByteSize() < EXTERNAL_DATA_BYTES:
        with atomic_path(target) as aside:
            aside.write_bytes(model.SerializeToString())
        return target
    weights = target.with_name(target.name + ".data")
    with atomic_paths(weights, target) as (_, aside):
        onnx.save_model(model, aside, save_as_external_data=True, location=weights.name, size_threshold=1024)
    return target
