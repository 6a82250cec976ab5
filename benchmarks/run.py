"""Benchmarks: time per sample and memory of a program beside the float network in onnxruntime, in one run.

All sides of a case run in turn on the same batch with the same number of threads, and medians are compared: a ratio
survives a noisy machine better than a time. Memory is the peak of a process of its own for each side.
``python benchmarks/run.py --json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from memory import peak_resident_bytes
from rich.console import Console
from rich.table import Table

import xbarc
from xbarc.api.machines import default_threads

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
ROUNDS = 11
FLOAT = "onnxruntime float"
#: Sides beside the float network: device and number of chips, each evaluated on the same batch.
SIDES = {
    "ideal device": ("ideal", 1),
    "pcm, 1 chip": ("pcm", 1),
    "pcm, 2 chips": ("pcm", 2),
    "pcm, 10 chips": ("pcm", 10),
}

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A network with its data and the batch that is run."""

    name: str
    model: Path
    calibration: Path
    batch: int


@dataclass(frozen=True)
class Result:
    """One side of one case: median time, peak memory, and their ratios to those of the float network."""

    case: str
    side: str
    batch: int
    threads: int
    seconds_per_sample: float
    time_ratio: float
    peak_bytes: int
    memory_ratio: float


CASES = (
    Case("digits_cnn", ROOT / "models/digits_cnn.onnx", ROOT / "models/digits_calibration.npz", 256),
    Case("resnet8_cifar10", SHARED / "models/resnet8_cifar10.onnx", SHARED / "data/cifar10_calibration.npz", 64),
)


def main() -> None:
    """Run every case whose files are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--threads", type=int, default=default_threads(), help="threads of every side")
    options = parser.parse_args()
    results = []
    for case in CASES:
        if case.model.is_file() and case.calibration.is_file():
            results += measure(case, options.threads)
        else:
            print(f"skipped {case.name}: {case.model} or its data are not there", file=sys.stderr)
    if options.json:
        print(json.dumps({"schema": 1, "results": [asdict(result) for result in results]}, indent=2))
    else:
        show(results)


def measure(case: Case, threads: int) -> list[Result]:
    """Time and memory of every side of a case."""
    names = [FLOAT, *SIDES]
    inputs = sample(case)
    seconds = interleaved({name: runner(case, name, threads, inputs) for name in names})
    memory = {name: peak_memory(case, name, threads) for name in names}
    return [
        Result(
            case=case.name,
            side=name,
            batch=case.batch,
            threads=threads,
            seconds_per_sample=seconds[name] / case.batch,
            time_ratio=seconds[name] / seconds[FLOAT],
            peak_bytes=memory[name],
            memory_ratio=memory[name] / memory[FLOAT],
        )
        for name in names
    ]


def runner(case: Case, side: str, threads: int, inputs: Inputs) -> Callable[[], object]:
    """A function that runs the batch once on every chip of a side."""
    if side == FLOAT:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = threads
        # or its idle threads would go on spinning while another side is timed
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        session = ort.InferenceSession(str(case.model), settings, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, inputs)
    device, count = SIDES[side]
    program = xbarc.compile(case.model, calibration=case.calibration)
    chips = [program.write(device, seed=seed, threads=threads) for seed in range(count)]
    return lambda: [chip.run(inputs) for chip in chips]


def interleaved(functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of functions that run in turn; the first round, which warms up, does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def peak_memory(case: Case, side: str, threads: int) -> int:
    """Peak resident bytes of a fresh process that prepares a side and runs it once."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run_once, (case, side, threads))


def _run_once(case: Case, side: str, threads: int) -> int:
    runner(case, side, threads, sample(case))()
    return peak_resident_bytes()


def sample(case: Case) -> Inputs:
    """The first images of the calibration sample."""
    with np.load(case.calibration) as data:
        return {name: data[name][: case.batch] for name in data.files if name != "labels"}


def show(results: list[Result]) -> None:
    """A table a network."""
    for name in dict.fromkeys(result.case for result in results):
        of_case = [result for result in results if result.case == name]
        title = f"{name}, batch of {of_case[0].batch}, {of_case[0].threads} threads"
        table = Table("", title=title)
        for column in ("time a sample", "ratio", "peak memory", "ratio"):
            table.add_column(column, justify="right")
        for result in of_case:
            table.add_row(
                result.side,
                f"{1e6 * result.seconds_per_sample:.1f} us",
                f"{result.time_ratio:.2f}x",
                f"{result.peak_bytes / 2**20:.0f} MiB",
                f"{result.memory_ratio:.2f}x",
            )
        Console().print(table)


if __name__ == "__main__":
    main()
