"""Benchmarks of large models: how long compiling them takes, and how much memory beside that of their weights.

Each model is made anew with random weights and compiled in a process of its own, for the default hardware on a chip of
any number of tiles. Memory is the peak of that process less what it takes to import xbarc, over the bytes of the
weights. ``--only WORD`` runs the cases whose name holds the word, ``--json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from memory import peak_resident_bytes
from random_networks import VGG19, Network, vgg
from rich.console import Console
from rich.table import Table

GB = 10**9


def dense(path: Path, *, layers: int, external: bool) -> int:
    """Layers of 4096 x 4096 weights, 67 MB each."""
    network = Network((4096,), data=path.with_name(f"{path.name}.data") if external else None)
    for _ in range(layers):
        network.step("Gemm", network.weight(4096, 4096, fan_in=4096), transB=1)
        network.step("Relu")
    return network.save(path)


def chain(path: Path, *, nodes: int) -> int:
    """Host operators, one after the other."""
    network = Network((8,))
    one = network.weight(8, fan_in=1)
    for number in range(nodes):
        if number % 2:
            network.step("Relu")
        else:
            network.step("Add", one)
    return network.save(path)


def small_products(path: Path, *, nodes: int) -> int:
    """Products of 8 x 8 weights with host operators between them."""
    network = Network((8,))
    for _ in range(nodes // 2):
        network.step("MatMul", network.weight(8, 8, fan_in=8))
        network.step("Relu")
    return network.save(path)


def wide(path: Path, *, nodes: int) -> int:
    """Host operators beside one another, and one that adds them up."""
    network = Network((8,))
    for number in range(nodes - 1):
        network.value = "x"
        network.step("Abs" if number % 2 else "Neg")
    network.step("Sum", *(node.output[0] for node in network.nodes[:-1]))
    return network.save(path)


@dataclass(frozen=True)
class Case:
    """A model to be made at a path, which tells the bytes of its weights."""

    name: str
    make: Callable[[Path], int]
    calibrated: bool = False


CASES = (
    Case("1 GB of weights", lambda path: dense(path, layers=16, external=False)),
    Case("1 GB of weights, with a sample", lambda path: dense(path, layers=16, external=False), calibrated=True),
    Case("1 GB of weights, external data", lambda path: dense(path, layers=16, external=True)),
    Case("2.2 GB of weights, external data", lambda path: dense(path, layers=33, external=True)),
    Case("VGG-19", lambda path: vgg(path, VGG19)),
    Case("10,000 nodes in a chain", lambda path: chain(path, nodes=10_000)),
    Case("10,000 nodes side by side", lambda path: wide(path, nodes=10_000)),
    Case("4,000 nodes, every other a small product", lambda path: small_products(path, nodes=4_000)),
)


@dataclass(frozen=True)
class Result:
    """One case. Peaks are without what the process had before it compiled; that of saving includes compiling."""

    name: str
    weight_bytes: int
    compile_seconds: float
    compile_peak_bytes: int
    save_seconds: float
    save_peak_bytes: int


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--only", default="", metavar="WORD", help="the cases whose name holds this")
    options = parser.parse_args()
    results = [measure(case) for case in CASES if options.only in case.name]
    if options.json:
        print(json.dumps({"schema": 1, "results": [asdict(result) for result in results]}, indent=2))
    else:
        show(results)


def measure(case: Case) -> Result:
    """Make the model, then compile and save it in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with multiprocessing.get_context("fork").Pool(1) as pool:
            weight_bytes = pool.apply(_make, (CASES.index(case), path))
        print(f"compiling {case.name}", file=sys.stderr)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peaks = pool.apply(_compile, (path, case.calibrated))
    before, compiled, saved = peaks
    return Result(case.name, weight_bytes, seconds[0], compiled - before, seconds[1], saved - before)


def _make(index: int, path: Path) -> int:
    return CASES[index].make(path)


def _compile(path: Path, calibrated: bool) -> tuple[list[float], list[int]]:
    import xbarc  # what it takes is not counted
    from xbarc.api import compiler  # noqa: F401 - loads all that is loaded late

    sample = np.random.default_rng(1).standard_normal((64, 4096)).astype(np.float32) if calibrated else None
    peaks, times = [peak_resident_bytes()], [time.perf_counter()]
    program = xbarc.compile(path, calibration=sample, overrides=["chip.tiles=unlimited"])
    peaks.append(peak_resident_bytes())
    times.append(time.perf_counter())
    program.save(path.with_name("program.xbar.onnx"))
    peaks.append(peak_resident_bytes())
    times.append(time.perf_counter())
    return [times[1] - times[0], times[2] - times[1]], peaks


def show(results: list[Result]) -> None:
    """One table."""
    table = Table("", title="compiling large models")
    for column in ("weights", "compile", "peak memory", "save", "peak memory with saving"):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(
            result.name,
            f"{result.weight_bytes / GB:.2f} GB",
            f"{result.compile_seconds:.1f} s",
            _times_weights(result, result.compile_peak_bytes),
            f"{result.save_seconds:.1f} s",
            _times_weights(result, result.save_peak_bytes),
        )
    Console().print(table)


def _times_weights(result: Result, peak: int) -> str:
    """Beside small weights it is other things that take memory."""
    return f"{peak / result.weight_bytes:.2f} x weights" if result.weight_bytes > GB / 10 else f"{peak / 1e6:.0f} MB"


if __name__ == "__main__":
    main()
