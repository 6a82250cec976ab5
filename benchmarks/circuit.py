"""A tile's circuit: the exact solve, the effective conductances, and the fast solve of few vectors.

Cells are uniform between 0 and 25 uS, inputs between 0 and 0.2 V; rows and columns have wires of like segments. All
sides of a case run in turn, each on one thread, and medians are compared: a ratio survives a noisy machine better than
a time. Errors are the largest of all columns and vectors beside the exact currents, as shares of full scale: the
largest column current of a vector without wires. ``--json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import threadpoolctl
from harness import Case, Figure, Options, Side, Spread, compare, rounds_of
from rich.console import Console
from rich.table import Table

from xbarc.runtime.circuit.effective import effective_conductances
from xbarc.runtime.circuit.exact import solve_exact
from xbarc.runtime.circuit.fast import BoundedCurrents, solve_fast
from xbarc.runtime.circuit.wiring import Wiring

LARGEST_S = 25e-6
LARGEST_V = 0.2
SUITE, EXACT, EFFECTIVE, FAST = "circuit", "exact", "effective", "fast"
VECTORS, TOLERANCE = 10, 1e-4


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


@dataclass(frozen=True)
class Tile:
    """A tile and what is applied to it."""

    cells: np.ndarray
    inputs: np.ndarray
    wiring: Wiring
    tolerance: float

    @staticmethod
    def drawn(rows: int, wire_ohm: float, *, vectors: int, tolerance: float) -> Tile:
        """With random cells and inputs."""
        draws = np.random.default_rng(rows)
        cells = draws.uniform(0, LARGEST_S, (rows, rows))
        inputs = draws.uniform(0, LARGEST_V, (vectors, rows))
        return Tile(cells, inputs, Wiring(row_wire_ohm=wire_ohm, column_wire_ohm=wire_ohm), tolerance)

    def fast(self) -> BoundedCurrents:
        """The fast solve."""
        return solve_fast(self.cells, self.inputs, self.wiring, tolerance=self.tolerance)

    def sides(self) -> dict[str, Side]:
        """Every way to solve it."""
        return {
            EXACT: lambda: solve_exact(self.cells, self.inputs, self.wiring),
            EFFECTIVE: lambda: effective_conductances(self.cells, self.wiring),
            FAST: self.fast,
        }

    def errors(self) -> dict[str, float]:
        """Of the fast solve and its bound, and of the effective conductances, as shares of full scale."""
        currents = solve_exact(self.cells, self.inputs, self.wiring).currents
        fast = self.fast()
        full_scale = fast.full_scale[:, np.newaxis]
        effective = self.inputs @ effective_conductances(self.cells, self.wiring)
        return {
            "error": float((np.abs(fast.currents - currents) / full_scale).max()),
            "bound": float((fast.bounds / full_scale).max()),
            "effective_error": float((np.abs(effective - currents) / full_scale).max()),
        }


def measure(rows: int, wire_ohm: float, *, vectors: int, tolerance: float, options: Options) -> Result:
    """Solve one tile in every way."""
    tile = Tile.drawn(rows, wire_ohm, vectors=vectors, tolerance=tolerance)
    found = rounds_of(tile.sides(), options)
    seconds = {name: Spread.of(times).median for name, times in found.items()}
    return Result(
        rows=rows,
        wire_ohm=wire_ohm,
        exact_s=seconds[EXACT],
        effective_s=seconds[EFFECTIVE],
        fast_s=seconds[FAST],
        effective_speed=seconds[EXACT] / seconds[EFFECTIVE],
        fast_speed=seconds[EXACT] / seconds[FAST],
        iterations=int(tile.fast().iterations.max()),
        **tile.errors(),
    )


def name_of(rows: int, wire_ohm: float) -> str:
    """Of a figure's case."""
    return f"{rows} x {rows} tile, {VECTORS} vectors, {wire_ohm:g} Ohm"


def compared(rows: int, wire_ohm: float, options: Options) -> list[Figure]:
    """The same as figures of the suite, on one thread whatever the options say."""
    tile = Tile.drawn(rows, wire_ohm, vectors=VECTORS, tolerance=TOLERANCE)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        alone = replace(options, threads=1)
        return compare(SUITE, name_of(rows, wire_ohm), tile.sides(), alone, facts=tile.errors())


def _case(rows: int, wire_ohm: float) -> Case:
    return Case(SUITE, name_of(rows, wire_ohm), lambda options: compared(rows, wire_ohm, options))


GOALS = (_case(256, 1.0),)
QUICK = (_case(64, 1.0),)
CASES = tuple(_case(rows, ohm) for rows in (64, 128, 256) for ohm in (1.0, 4.0))


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
    parser.add_argument("--vectors", type=int, default=VECTORS)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = Options(threads=1, least=options.rounds, most=options.rounds)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        results = [
            measure(rows, ohm, vectors=options.vectors, tolerance=options.tolerance, options=measured)
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
