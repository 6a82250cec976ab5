"""Run all of ONNX's own backend suite, as it is and with its weights frozen, and print the totals of both.

Exits with 1 where a case fails that onnxruntime passes, or where one ends in anything but an answer or an error of
xbarc's own.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from backend_suite import Outcome, frozen, judge, load, suite

_PROCESSES = 2
_ROWS = ("run", "onnxruntime passes", "of these, xbarc passes", "through tiles", "excluded: onnxruntime fails")


def judge_number(number: int) -> tuple[Outcome, list[Outcome]]:
    """Outcomes of one case: as it is, and frozen."""
    case = load(suite()[number])
    return judge(case), [judge(each) for each in frozen(case)]


def totals(outcomes: Sequence[Outcome]) -> list[int]:
    """One number for each row of the table."""
    expected = [outcome for outcome in outcomes if outcome.expected]
    passed = [outcome for outcome in expected if outcome.verdict == "passed"]
    tiles = [outcome for outcome in passed if outcome.layers]
    return [len(outcomes), len(expected), len(passed), len(tiles), len(outcomes) - len(expected)]


def main() -> int:
    """Run everything; the exit code."""
    with ProcessPoolExecutor(_PROCESSES) as pool:
        found = list(pool.map(judge_number, range(len(suite())), chunksize=4))
    plain = [outcome for outcome, _ in found]
    weights = [outcome for _, each in found for outcome in each]
    print(f"{'':28} {'as it is':>12} {'weights frozen':>16}")
    for row, left, right in zip(_ROWS, totals(plain), totals(weights), strict=True):
        print(f"{row:28} {left:>12} {right:>16}")
    excluded = [outcome for outcome in (*plain, *weights) if not outcome.expected]
    verdicts = collections.Counter(outcome.verdict for outcome in excluded)
    print(
        "what xbarc does with the excluded: " + ", ".join(f"{name} {count}" for name, count in verdicts.most_common())
    )
    bad = [outcome for outcome in (*plain, *weights) if not outcome.fine]
    for outcome in bad:
        print(f"{outcome.name}: {outcome.verdict}: {' '.join(outcome.message.split())}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
