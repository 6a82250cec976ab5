"""Whole networks: time and peak memory; compiling and writing them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from harness import Case, Figure, Options, SkippedError, compare, peaks
from memory import peak_resident_bytes
from random_networks import lstm, resnet18, resnet50, transformer_block
from sides import CONVERTERS, FLOAT, FULL, SIDES, Subject, normals

SUITE, MEMORY, COMPILING = "networks", "memory", "compiling"
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
DIGITS = "digits CNN, 8 x 8, batch 256"
RESNET8, RESNET18 = "ResNet-8, 32 x 32, batch 64", "ResNet-18, 224 x 224, batch 4"
RESNET50 = "ResNet-50, 224 x 224, batch 4"


def _stored(model: Path, data: Path, batch: int) -> Subject:
    for path in (model, data):
        if not path.is_file():
            raise SkippedError(f"{path.name} is not there")
    with np.load(data) as arrays:
        inputs = {name: arrays[name][:batch] for name in arrays.files if name != "labels"}
    return Subject(model, data, inputs)


def _made(model: onnx.ModelProto, samples: int, batch: int) -> Subject:
    sizes = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    return Subject(model, normals(samples, *sizes), {"x": normals(batch, *sizes)})


#: Each takes seconds to make.
SUBJECTS: Mapping[str, Callable[[], Subject]] = {
    DIGITS: lambda: _stored(ROOT / "models/digits_cnn.onnx", ROOT / "models/digits_calibration.npz", 256),
    RESNET8: lambda: _stored(SHARED / "models/resnet8_cifar10.onnx", SHARED / "data/cifar10_calibration.npz", 64),
    RESNET18: lambda: _made(resnet18(), 4, 4),
    RESNET50: lambda: _made(resnet50().model(), 4, 4),
    "transformer block, 128 x 512, batch 8": lambda: _made(transformer_block(), 16, 8),
    "LSTM, 32 steps of 256, batch 64": lambda: _made(lstm(), 64, 64),
}


def measure(name: str, sides: Sequence[str], options: Options) -> list[Figure]:
    """Time of a batch."""
    subject = SUBJECTS[name]()
    return compare(SUITE, name, subject.sides(options.threads, sides), options)


def measure_memory(name: str, options: Options) -> list[Figure]:
    """Peak of a fresh process that prepares a side and runs it twice."""
    SUBJECTS[name]()  # is it there?
    context = multiprocessing.get_context("spawn")
    found = {}
    for side in (FLOAT, CONVERTERS, FULL):
        with context.Pool(1) as pool:
            found[side] = pool.apply(_peak, (name, side, options.threads))
    return peaks(MEMORY, name, found, options)


def _peak(name: str, side: str, threads: int) -> int:
    run = SUBJECTS[name]().side(side, threads)
    run()
    run()
    return peak_resident_bytes()


def measure_compiling(name: str, options: Options) -> list[Figure]:
    """Compiling and writing, beside what onnxruntime takes to load the network."""
    subject = SUBJECTS[name]()
    model = subject.model if isinstance(subject.model, onnx.ModelProto) else onnx.load(subject.model)
    text, program = model.SerializeToString(), subject.compiled()
    sides = {
        "onnxruntime loads": lambda: ort.InferenceSession(text, providers=["CPUExecutionProvider"]),
        "compile": subject.compiled,
        "write on PCM": lambda: program.write("pcm"),
        "read at a day": lambda: program.write("pcm").at("1d").prepare(),
    }
    return compare(COMPILING, name, sides, options)


def _timed(name: str, sides: Sequence[str] = SIDES) -> Case:
    return Case(SUITE, name, lambda options: measure(name, sides, options))


def _memory(name: str) -> Case:
    return Case(MEMORY, name, lambda options: measure_memory(name, options))


def _compiling(name: str) -> Case:
    return Case(COMPILING, name, lambda options: measure_compiling(name, options))


GOALS = (_timed(RESNET8, (FLOAT, CONVERTERS, FULL)), _timed(RESNET18, (FLOAT, CONVERTERS, FULL)))
QUICK = (_timed(DIGITS, (FLOAT, CONVERTERS, FULL)), GOALS[0])
HEAVY = (_timed(RESNET50, (FLOAT, CONVERTERS, FULL)), _memory(RESNET50), _compiling(RESNET50))
CASES = (
    *(_timed(name) for name in SUBJECTS if name != RESNET50),
    *(make(name) for make in (_memory, _compiling) for name in (RESNET8, RESNET18)),
)
