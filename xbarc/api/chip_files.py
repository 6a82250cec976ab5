"""Written chips as files: the cells of every layer, and what they were written from. Nothing is pickled."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from xbarc.api.files import array_names, read_array, write_npz
from xbarc.api.order_files import order_arrays, orders_of
from xbarc.api.writing import Written, check_placement, check_seed, check_voltages, digest
from xbarc.devices.catalogue import restored_device, stored_device
from xbarc.devices.device import Device
from xbarc.devices.faults import FaultMap, restored_faults, stored_faults
from xbarc.errors import DataError, DeviceError, UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.report.chip_writing import ChipWriting
from xbarc.report.evaluation import Placement
from xbarc.runtime.cells import Cells
from xbarc.runtime.faults import can_fail
from xbarc.runtime.programming import WriteVerify, find_write_verify, stored_write_verify
from xbarc.runtime.tile_parts import LineOrder

#: Version of the form of the file.
_SCHEMA = 1
_FACTS = "facts"

_Path = str | os.PathLike[str]


def save_cells(path: _Path, graph: Graph, hardware: Hardware, written: Written) -> None:
    """Write a chip to an ``.npz``: ``facts`` (JSON as bytes), and two arrays a layer, three where cells may be stuck,
    and three more where its lines are laid in an order of their own (:mod:`xbarc.api.order_files`).

    Raises:
        XbarcError: the file cannot be written, or the device or the closed loop could not be found again.
    """
    facts = {
        "schema": _SCHEMA,
        "program": digest(graph, hardware),
        **stored_device(written.device),
        "seed": written.seed,
        **({} if written.placement == "as-compiled" else {"placement": written.placement}),
        **({} if written.faults is None else {"faults": stored_faults(written.faults)}),
        **({} if written.programming is None else {"programming": stored_write_verify(written.programming)}),
        **({} if written.writing is None else {"writing": written.writing.to_json()}),
    }
    arrays = {_FACTS: np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)}
    for number, layer in enumerate(_matrices(graph)):
        cells = written.cells[layer.read.matrix]
        arrays[f"{number}.programmed"] = cells.programmed
        arrays[f"{number}.nu"] = cells.nu
        if cells.held is not None:
            arrays[f"{number}.held"] = cells.held
        if written.orders:
            arrays |= order_arrays(number, written.orders[layer.read.matrix])
    write_npz(path, [arrays])


def load_cells(path: _Path, graph: Graph, hardware: Hardware) -> Written:
    """Read a chip that was written with the program of this graph and hardware.

    Raises:
        DataError: the file is missing or damaged, or the chip was written with another program.
        UsageError: its cells are no resistors, and the program does not say what voltages they are read at.
    """
    names = array_names(path)
    facts = _facts(path, names)
    if facts["program"] != digest(graph, hardware):
        raise DataError(
            "the chip was written with another program",
            where=os.fspath(path),
            fix="load it with the program that it was written with",
        )
    device = _device(path, facts)
    check_voltages(device, graph, hardware)
    faults = _faults(path, facts)
    faulty = can_fail(device, faults)
    placement = _placement(path, facts)
    return Written(
        device,
        facts["seed"],
        {
            layer.read.matrix: Cells(
                programmed=_array(path, names, f"{number}.programmed", layer, np.float32),
                nu=_array(path, names, f"{number}.nu", layer, np.float32),
                held=_array(path, names, f"{number}.held", layer, np.float32, gaps=True) if faulty else None,
            )
            for number, layer in enumerate(_matrices(graph))
        },
        faults,
        *_programming(path, facts),
        placement=placement,
        orders=_orders(path, names, graph, hardware) if faulty and placement == "fault-aware" else {},
    )


def _matrices(graph: Graph) -> list[Layer]:
    """One layer for each matrix: several layers may share their cells."""
    first: dict[str, Layer] = {}
    for layer in layers(graph):
        first.setdefault(layer.read.matrix, layer)
    return list(first.values())


def _facts(path: _Path, names: list[str]) -> dict[str, Any]:
    if _FACTS not in names:
        raise DataError("this is no saved chip", where=os.fspath(path), fix="save one with chip.save")
    try:
        facts = json.loads(read_array(path, _FACTS).tobytes())
        schema = int(facts["schema"])
        lacking = {"program", "device", "seed"} - set(facts)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _damaged(path, "its facts cannot be read") from error
    if schema > _SCHEMA:
        raise DataError(f"the chip was saved by a newer xbarc: schema {schema}", where=os.fspath(path), fix="upgrade")
    if lacking:
        raise _damaged(path, f"its facts lack {', '.join(sorted(lacking))}")
    return dict(facts)


def _device(path: _Path, facts: dict[str, Any]) -> Device:
    try:
        check_seed(facts["seed"])
        return restored_device(facts)
    except (UsageError, DeviceError) as error:
        raise _damaged(path, error.what) from error


def _faults(path: _Path, facts: dict[str, Any]) -> FaultMap | None:
    try:
        return restored_faults(facts["faults"]) if "faults" in facts else None
    except (DeviceError, TypeError) as error:
        raise _damaged(path, "its map of faults cannot be read") from error


def _programming(path: _Path, facts: dict[str, Any]) -> tuple[WriteVerify | None, ChipWriting | None]:
    try:
        writing = ChipWriting.from_json(facts["writing"]) if "writing" in facts else None
        programming = find_write_verify(str(facts["programming"])) if "programming" in facts else None
        return programming, writing
    except (UsageError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "how it was written cannot be read") from error


def _placement(path: _Path, facts: dict[str, Any]) -> Placement:
    placement: Placement = facts.get("placement", "as-compiled")
    try:
        check_placement(placement)
    except UsageError as error:
        raise _damaged(path, error.what) from error
    return placement


def _orders(path: _Path, names: list[str], graph: Graph, hardware: Hardware) -> dict[str, tuple[LineOrder, ...]]:
    def read(name: str) -> np.ndarray:
        if name not in names:
            raise _damaged(path, f"it lacks {name!r}")
        return read_array(path, name)

    try:
        return {
            layer.read.matrix: orders_of(read, number, layer, hardware) for number, layer in enumerate(_matrices(graph))
        }
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _array(
    path: _Path, names: list[str], name: str, layer: Layer, dtype: type[np.generic], *, gaps: bool = False
) -> np.ndarray:
    if name not in names:
        raise _damaged(path, f"it lacks {name!r}")
    array, shape = read_array(path, name), layer.read.levels.shape
    if array.shape != shape or array.dtype != dtype:
        raise _damaged(path, f"{name!r} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}")
    numbers = array[~np.isnan(array)] if gaps else array
    if not np.all(np.isfinite(numbers)) or np.any(numbers < 0):
        raise _damaged(path, f"{name!r} holds numbers that no cell has")
    return array


def _damaged(path: _Path, what: str) -> DataError:
    return DataError(f"the chip file is damaged: {what}", where=os.fspath(path), fix="write the chip again")
