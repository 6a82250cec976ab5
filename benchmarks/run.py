"""Benchmarks: time per sample of a program beside that of the float network in onnxruntime, in one run.

Both sides run in turn on the same batch with the same number of threads, and the medians are compared: a ratio
survives a noisy machine better than a time. ``python benchmarks/run.py --json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

import xbarc
from xbarc.api.machines import default_threads

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
ROUNDS = 15


@dataclass(frozen=True)
class Case:
    """A network with its data and the batch that is timed."""

    name: str
    model: Path
    calibration: Path
    batch: int


@dataclass(frozen=True)
class Timing:
    """Medians over the rounds, in seconds a sample, and their ratio."""

    case: str
    batch: int
    threads: int
    onnxruntime_s: float
    ideal_s: float
    ratio: float


CASES = (
    Case("digits_cnn", ROOT / "models/digits_cnn.onnx", ROOT / "models/digits_calibration.npz", 256),
    Case("resnet8_cifar10", SHARED / "models/resnet8_cifar10.onnx", SHARED / "data/cifar10_calibration.npz", 64),
)


def main() -> None:
    """Run every case whose files are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--threads", type=int, default=default_threads(), help="threads of both sides")
    options = parser.parse_args()
    missing = [case for case in CASES if not (case.model.is_file() and case.calibration.is_file())]
    for case in missing:
        print(f"skipped {case.name}: {case.model} or its data are not there", file=sys.stderr)
    timings = [measure(case, options.threads) for case in CASES if case not in missing]
    if options.json:
        print(json.dumps({"schema": 1, "timings": [asdict(timing) for timing in timings]}, indent=2))
    else:
        show(timings)


def measure(case: Case, threads: int) -> Timing:
    """Time both sides of one case."""
    program = xbarc.compile(case.model, calibration=case.calibration)
    chip = program.write(threads=threads)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    # or its idle threads would go on spinning while the other side is timed
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(str(case.model), settings, providers=["CPUExecutionProvider"])
    inputs = {spec.name: _sample(case, spec.name, spec.dtype) for spec in program.inputs}
    reference, ideal = interleaved(lambda: session.run(None, inputs), lambda: chip.run(inputs))
    return Timing(case.name, case.batch, threads, reference / case.batch, ideal / case.batch, ideal / reference)


def interleaved(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of two functions that run in turn; the first round, which warms up, does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for function, record in zip((first, second), times, strict=True):
            start = time.perf_counter()
            function()
            record.append(time.perf_counter() - start)
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def show(timings: list[Timing]) -> None:
    """The timings as a table."""
    table = Table("network", "batch", "threads", "onnxruntime float", "ideal device", "ratio", title="time per sample")
    for timing in timings:
        times = (f"{1e6 * seconds:.1f} us" for seconds in (timing.onnxruntime_s, timing.ideal_s))
        table.add_row(timing.case, str(timing.batch), str(timing.threads), *times, f"{timing.ratio:.2f}x")
    Console().print(table)


def _sample(case: Case, name: str, dtype: np.dtype) -> np.ndarray:
    with np.load(case.calibration) as data:
        return data[name][: case.batch].astype(dtype)


if __name__ == "__main__":
    main()
