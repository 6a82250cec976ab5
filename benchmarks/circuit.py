"""Benchmarks of a tile's circuit: the exact solve, the effective conductances, and the fast solve of few vectors.

Cells are uniform between 0 and 25 uS, inputs between 0 and 0.2 V; rows and columns have wires of like segments. All
sides of a case run in turn, each on one thread, and medians are compared: a ratio survives a noisy machine better than
a time. Errors are the largest of all columns and vectors beside the exact currents, as shares of full scale: the
largest column current of a vector without wires. ``--json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import threadpoolctl
from rich.console import Console
from rich.table import Table

from xbarc.runtime.circuit.effective import effective_conductances
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.fast import solve_fast
from xbarc.runtime.circuit.wiring import Wiring

LARGEST_S = 25e-6
LARGEST_V = 0.2


@dataclass(frozen=True)
class Result:
    """One tile.

    Attributes:
        rows: of the tile, and its columns.
        wire_ohm: of a segment of wire.
        exact_s, effective_s, fast_s: seconds, medians; the exact and the fast one for all vectors together.
        effective_speed, fast_speed: how many times faster than the exact solve.
        iterations: of the fast solve, at most.
        error, bound: of the fast solve, measured and promised, as shares of full scale.
        effective_error: measured.
    """

    rows: int
    wire_ohm: float
    exact_s: float
    effective_s: float
    fast_s: float
    effective_speed: float
    fast_speed: float
    iterations: int
    error: float
    bound: float
    effective_error: float


def medians(sides: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each side; all run once before the clock does."""
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for side, times in zip(sides, seconds, strict=True):
            start = time.perf_counter()
            side()
            if turn:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def measure(rows: int, wire_ohm: float, *, vectors: int, tolerance: float, rounds: int) -> Result:
    """Solve one tile in every way."""
    draws = np.random.default_rng(rows)
    cells = draws.uniform(0, LARGEST_S, (rows, rows))
    inputs = draws.uniform(0, LARGEST_V, (vectors, rows))
    wiring = Wiring(row_wire_ohm=wire_ohm, column_wire_ohm=wire_ohm)
    exact_s, effective_s, fast_s = medians(
        [
            lambda: solve_exact(cells, inputs, wiring),
            lambda: effective_conductances(cells, wiring),
            lambda: solve_fast(cells, inputs, wiring, tolerance=tolerance),
        ],
        rounds,
    )
    currents = solve_exact(cells, inputs, wiring).currents
    fast = solve_fast(cells, inputs, wiring, tolerance=tolerance)
    full_scale = fast.full_scale[:, np.newaxis]
    return Result(
        rows=rows,
        wire_ohm=wire_ohm,
        exact_s=exact_s,
        effective_s=effective_s,
        fast_s=fast_s,
        effective_speed=exact_s / effective_s,
        fast_speed=exact_s / fast_s,
        iterations=int(fast.iterations.max()),
        error=float((np.abs(fast.currents - currents) / full_scale).max()),
        bound=float((fast.bounds / full_scale).max()),
        effective_error=float((np.abs(inputs @ effective_conductances(cells, wiring) - currents) / full_scale).max()),
    )


def table(results: Sequence[Result], vectors: int) -> Table:
    """The results for people."""
    made = Table(title=f"IR drop: milliseconds, {vectors} vectors, one thread")
    for heading in (
        "tile",
        "ohm x S",
        "exact",
        "effective",
        "",
        "fast",
        "",
        "iterations",
        "error",
        "bound",
        "eff. error",
    ):
        made.add_column(heading, justify="right")
    for result in results:
        made.add_row(
            f"{result.rows} x {result.rows}",
            f"{result.wire_ohm * LARGEST_S:.1e}",
            f"{result.exact_s * 1e3:,.1f}",
            f"{result.effective_s * 1e3:,.1f}",
            f"{result.effective_speed:.0f}x",
            f"{result.fast_s * 1e3:,.1f}",
            f"{result.fast_speed:.0f}x",
            str(result.iterations),
            f"{result.error:.1e}",
            f"{result.bound:.1e}",
            f"{result.effective_error:.1e}",
        )
    return made


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 128, 256], help="and columns, of each tile")
    parser.add_argument("--ohm", type=float, nargs="+", default=[1.0, 4.0, 40.0], help="of a segment of wire")
    parser.add_argument("--vectors", type=int, default=10)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        results = [
            measure(rows, ohm, vectors=options.vectors, tolerance=options.tolerance, rounds=options.rounds)
            for rows in options.rows
            for ohm in options.ohm
        ]
    if options.json:
        print(json.dumps({"circuit": [asdict(result) for result in results]}, indent=2))
    else:
        Console().print(table(results, options.vectors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
