"""Benchmarks of speed: every figure beside onnxruntime's float32, or another product, in the same rounds.

Suites are layers, networks, memory, slices, chips, circuit, growth, compiling and start-up; docs/speed.md says what is
in each. On one thread processor time is compared, which a busy machine disturbs least; on several, the wall clock.
``--only WORD`` measures the cases whose suite or name holds the word, ``--quick`` a few, ``--heavy`` ResNet-50 alone,
and ``--json`` prints one JSON object.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import circuit
import goals
import suite_chips as chips
import suite_growth as growth
import suite_layers as layers
import suite_networks as networks
import suite_slices as slices
import suite_start_up as start_up
from harness import Figure
from harness import tables as tables_of
from rich.table import Table
from runner import QUICK, run_cases

SUITES = (layers, networks, slices, chips, circuit, growth, start_up)


def tables(figures: Sequence[Figure]) -> list[Table]:
    """Of each suite, of growth with slopes, and of goals."""
    found = tables_of([figure for figure in figures if figure.suite != growth.SUITE])
    if any(figure.suite == growth.SUITE for figure in figures):
        found.append(growth.table(figures))
    if any(goal.of(figures) for goal in goals.GOALS):
        found.append(goals.table(figures))
    return found


def main() -> int:
    """Run what is asked for."""
    cases = [case for suite in SUITES for case in suite.CASES]
    subsets = {QUICK: [case for suite in SUITES for case in suite.QUICK], "heavy": networks.HEAVY}
    return run_cases(__doc__ or "", cases, tables, subsets=subsets)


if __name__ == "__main__":
    sys.exit(main())
