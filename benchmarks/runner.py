"""The command line of a benchmark: which cases, on how many threads, printed how."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness import Case, Figure, Options, SkippedError, document
from rich.console import Console
from rich.table import Table

from xbarc.api.machines import default_threads

QUICK = "quick"


def run_cases(
    text: str,
    cases: Sequence[Case],
    tables: Callable[[Sequence[Figure]], Sequence[Table]],
    *,
    subsets: Mapping[str, Sequence[Case]] | None = None,
) -> int:
    """Measure the cases that are asked for, and print them.

    Args:
        text: what the command is for.
        cases: all.
        tables: of what was measured.
        subsets: other cases by the option that asks for them; those of ``--quick`` in few rounds.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--only", default="", metavar="WORD", help="the cases whose suite or name holds this")
    parser.add_argument("--threads", type=int, default=default_threads(), help="of every side; all processors")
    for name in subsets or {}:
        parser.add_argument(
            f"--{name}", dest="subset", action="store_const", const=name, help=f"the {name} cases instead"
        )
    parser.set_defaults(subset=None)
    given = parser.parse_args()
    options = Options(threads=given.threads)
    if given.subset is not None:
        cases = (subsets or {})[given.subset]
    if given.subset == QUICK:
        options = replace(options, budget_s=0.5, most=7)
    figures: list[Figure] = []
    skipped = {}
    for case in cases:
        title = f"{case.suite}: {case.name}"
        if given.only not in title:
            continue
        print(title, file=sys.stderr)
        try:
            figures += case.measure(options)
        except SkippedError as reason:
            skipped[title] = str(reason)
    if given.json:
        print(json.dumps(document(figures, skipped), indent=2))
        return 0
    for table in tables(figures):
        Console(width=max(Console().width, 120)).print(table)
    for title, reason in skipped.items():
        print(f"skipped {title}: {reason}")
    return 0
