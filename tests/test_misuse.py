"""Calls on a good model that cannot be answered: each with its whole message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import network, node

import xbarc
from xbarc.api.files import write_npz
from xbarc.errors import CapacityError, DataError, ModelError, ProgramError, UsageError, XbarcError
from xbarc.hardware.load import load_hardware
from xbarc.ir.pipeline import Pipeline
from xbarc.passes.choose_analog import ChooseAnalog

MODEL = network(
    [node("MatMul", ["x", "w"], "fc"), node("MatMul", ["fc", "fc"], "y")],
    {"x": [4, 4]},
    {"w": np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)},
)
X = np.ones((4, 4), np.float32)
PADDED = network(
    [node("Conv", ["x", "w"], "y", pads=[2**32] * 4)], {"x": ["N", 1, "H", "W"]}, {"w": X[None, None]}, outputs=["y"]
)
WITHOUT_Y = network([node("MatMul", ["x", "w"], "fc")], {"x": [4, 4]}, {"w": X}, outputs=["fc"])


def compiled(**options: Any) -> xbarc.Program:
    return xbarc.compile(MODEL, **{"calibration": X, **options})


def evaluated(**options: Any) -> None:
    chip = compiled().write("pcm", seed=1)
    chip.evaluate(X, metric="snr", **{"reference": MODEL, "chips": [chip, chip], **options})


def changed(facts: Callable[[dict[str, Any]], object]) -> None:
    stored = compiled().model()
    (entry,) = (entry for entry in stored.metadata_props if entry.key == "ai.xbarc.program")
    known = json.loads(entry.value)
    facts(known)
    entry.value = json.dumps(known)
    xbarc.load(stored)


def damaged(path: Path) -> None:
    program = compiled()
    program.write("pcm", seed=1).save(path / "chip.npz")
    with np.load(path / "chip.npz") as arrays:
        kept = {name: array for name, array in arrays.items() if name != "0.programmed"}
    np.savez(path / "chip.npz", **kept)
    program.load_chip(path / "chip.npz")


def patterns(**options: tuple[str, ...]) -> Callable[[Path], object]:
    return lambda _: compiled(**options)


CASES: list[tuple[type[XbarcError], str, Callable[[Path], object]]] = [
    (
        DataError,
        "the calibration sample is an iterator, and it has to be read more than once",
        lambda _: compiled(calibration=iter([X])),
    ),
    (
        DataError,
        "the calibration sample makes values that are not finite",
        lambda _: xbarc.compile(
            network([node("Log", ["x"], "l"), node("MatMul", ["l", "w"], "y")], {"x": ["N", 4]}, {"w": X}),
            calibration=-X,
        ),
    ),
    (
        DataError,
        "the input has shape (4, 4), expected (..., 3)",
        lambda _: (
            xbarc.compile(network([node("Gemm", ["x", "w"], "y")], {"x": ["N", "C"]}, {"w": X[:3]}), hardware="exact")
            .write()
            .run(X)
        ),
    ),
    (
        DataError,
        "the result would have shape (1, 1, 8589934593, 8589934593), for which there is no memory",
        lambda _: xbarc.compile(PADDED, hardware="exact").write().run(X[None, None]),
    ),
    (
        DataError,
        "the model has no input 'w'",
        lambda _: compiled().write().run({"x": X, "w": X}),
    ),
    (
        DataError,
        "the output 'y' is no array of numbers, and an .npz holds no other",
        lambda path: write_npz(path / "y.npz", [{"y": [X]}]),
    ),
    (DataError, "the chip file is damaged: it lacks '0.programmed'", damaged),
    (
        CapacityError,
        "the model needs 4 physical tiles, the chip has 3: 1 too few",
        lambda _: compiled(overrides=["tile.rows=2", "tile.columns=2", "chip.tiles=3"]),
    ),
    (ModelError, "the reference has no output 'y', only fc", lambda _: evaluated(reference=WITHOUT_Y)),
    (ProgramError, "the program's metadata are damaged", lambda _: changed(lambda facts: facts.pop("schema"))),
    (
        ProgramError,
        "the program was made by a newer xbarc: its schema is 99, this one reads up to ",
        lambda _: changed(lambda facts: facts.update(schema=99)),
    ),
    (UsageError, "a chip is given twice", lambda _: evaluated()),
    (UsageError, "the program has no output 'z'", lambda _: evaluated(output="z")),
    (
        UsageError,
        "overrides change a preset or a file, not a description",
        lambda _: compiled(hardware=load_hardware("exact"), overrides=["adc.bits=6"]),
    ),
    (
        UsageError,
        "this is a chip that was written already, not a program",
        lambda _: xbarc.load(compiled().write("pcm", seed=1).model()).write("pcm"),
    ),
    (UsageError, "'fc' is asked to be analog by 'f*' and digital by '*c'", patterns(analog=("f*",), host=("*c",))),
    (UsageError, "'y' cannot go on tiles: neither matrix is constant", patterns(analog=("y",))),
    (UsageError, "there is no packing 'tight'", lambda _: compiled(pack="tight")),
    (UsageError, "there is no pass 'fold'", lambda _: Pipeline([ChooseAnalog()], stop_after="fold")),
]


@pytest.mark.parametrize(("kind", "message", "call"), CASES, ids=[message for _, message, _ in CASES])
def test_a_call_that_cannot_be_answered(
    tmp_path: Path, kind: type[XbarcError], message: str, call: Callable[[Path], object]
) -> None:
    with pytest.raises(kind) as caught:
        call(tmp_path)
    assert type(caught.value) is kind
    assert caught.value.what.startswith(message)
    assert caught.value.where or caught.value.fix
