"""Written chips as files: the cells of every layer, and what they were written from. Nothing is pickled."""

from __future__ import annotations

import json
import os

import numpy as np

from xbarc.api.files import array_names, read_array, write_npz
from xbarc.api.writing import Written, digest
from xbarc.devices.catalogue import device_text, find_device
from xbarc.errors import DataError, UsageError
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.runtime.cells import Cells

#: Version of the form of the file.
_SCHEMA = 1
_FACTS = "facts"


def save_cells(path: str | os.PathLike[str], graph: Graph, written: Written) -> None:
    """Write a chip to an ``.npz``: ``facts`` (JSON as bytes), and three arrays a layer.

    Raises:
        XbarcError: the file cannot be written.
    """
    facts = {
        "schema": _SCHEMA,
        "program": digest(graph),
        "device": device_text(written.device),
        "seed": written.seed,
    }
    arrays = {_FACTS: np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)}
    for number, layer in enumerate(layers(graph)):
        cells = written.cells[layer.name]
        arrays[f"{number}.programmed"] = cells.programmed
        arrays[f"{number}.nu"] = cells.nu
        if cells.stuck is not None:
            arrays[f"{number}.stuck"] = cells.stuck.astype(np.uint8)
    write_npz(path, [arrays])


def load_cells(path: str | os.PathLike[str], graph: Graph) -> Written:
    """Read a chip that was written with the program of this graph.

    Raises:
        DataError: the file is missing or damaged, or the chip was written with another program.
    """
    names = array_names(path)
    facts = _facts(path, names)
    if facts["program"] != digest(graph):
        raise DataError(
            "the chip was written with another program",
            where=os.fspath(path),
            fix="load it with the program that it was written with",
        )
    found = {}
    for number, layer in enumerate(layers(graph)):
        programmed = _array(path, names, f"{number}.programmed", layer)
        nu = _array(path, names, f"{number}.nu", layer)
        stuck = _array(path, names, f"{number}.stuck", layer) if f"{number}.stuck" in names else None
        found[layer.name] = Cells(
            programmed.astype(np.float32), nu.astype(np.float32), None if stuck is None else stuck.astype(bool)
        )
    try:
        return Written(find_device(facts["device"]), int(facts["seed"]), found)
    except (UsageError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _facts(path: str | os.PathLike[str], names: list[str]) -> dict[str, str]:
    if _FACTS not in names:
        raise DataError("this is no saved chip", where=os.fspath(path), fix="save one with chip.save")
    try:
        facts = json.loads(read_array(path, _FACTS).astype(np.uint8).tobytes())
        schema = int(facts["schema"])
        lacking = {"program", "device", "seed"} - set(facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, "its facts cannot be read") from error
    if schema > _SCHEMA:
        raise DataError(f"the chip was saved by a newer xbarc: schema {schema}", where=os.fspath(path), fix="upgrade")
    if lacking:
        raise _damaged(path, f"its facts lack {', '.join(sorted(lacking))}")
    return dict(facts)


def _array(path: str | os.PathLike[str], names: list[str], name: str, layer: Layer) -> np.ndarray:
    if name not in names:
        raise _damaged(path, f"it lacks {name!r}")
    array = read_array(path, name)
    if array.shape != layer.read.levels.shape or array.dtype.kind not in "fu":
        raise _damaged(path, f"{name!r} is {array.dtype} {array.shape}, expected {layer.read.levels.shape}")
    return array


def _damaged(path: str | os.PathLike[str], what: str) -> DataError:
    return DataError(f"the chip file is damaged: {what}", where=os.fspath(path), fix="write the chip again")
