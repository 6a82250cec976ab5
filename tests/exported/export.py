"""Write the models of this folder anew: small networks as the exporters that people use write them.

Run ``python tests/exported/export.py`` with the extra ``export`` installed, or ``make exported``. Seeds are fixed: the
same library versions give the same files.
"""

from __future__ import annotations

import os

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}  # before imports

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import from_onnxruntime
import from_sklearn
import from_tensorflow
import from_torch
import onnx
import torch

FOLDER = Path(__file__).resolve().parent
MOST_BYTES = 150_000


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the bodies within it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def without_places(file: Path) -> None:
    """Take out what tells where the exporter ran: the traces of calls that one exporter keeps with each node."""
    model = onnx.load(file)
    for node in nodes(model.graph):
        kept = [entry for entry in node.metadata_props if not entry.key.endswith(".stack_trace")]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    if file.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{file.name} has {file.stat().st_size} bytes")
    if b"site-packages" in file.read_bytes():
        raise SystemExit(f"{file.name} tells where it was made")


def main() -> None:
    torch.set_num_threads(1)
    logging.disable()  # about optional packages, and operators that are not there
    # Written aside and then renamed, so that a run that is stopped leaves the files of the last one.
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".export-") as name:
        aside = Path(name)
        for source in (from_torch, from_onnxruntime, from_sklearn, from_tensorflow):
            source.write(aside)
        files = sorted(aside.glob("*.onnx"))
        for file in files:
            without_places(file)
        for file in files:
            print(f"{file.name}: {file.stat().st_size:,} bytes")
            file.replace(FOLDER / file.name)


if __name__ == "__main__":
    main()
