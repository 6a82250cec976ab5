"""The goals of speed, each beside what was measured: ``make bench-goals``.

Ratios are to onnxruntime float32 on as many threads in the same rounds. ``--json`` prints one JSON object.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import circuit
import suite_chips as chips
import suite_layers as layers
import suite_networks as networks
import suite_slices as slices
import suite_start_up as start_up
from harness import Figure
from rich.table import Table
from runner import run_cases
from sides import CONVERTERS, FULL


@dataclass(frozen=True)
class Goal:
    """What one figure should be.

    Attributes:
        suite, case, side: of the figure.
        limit: that its number should not be above; of speeds, not below.
        number: of the figure.
        kind: what the number is.
    """

    suite: str
    case: str
    side: str
    limit: float
    number: Callable[[Figure], float]
    kind: str

    def met(self, found: float) -> bool:
        """Whether a number is good enough."""
        return found >= self.limit if self.kind == "times as fast" else found <= self.limit

    def of(self, figures: Iterable[Figure]) -> Figure | None:
        """The figure, where it was measured."""
        wanted = (self.suite, self.case, self.side)
        return next((figure for figure in figures if (figure.suite, figure.case, figure.side) == wanted), None)


def _ratio(suite: str, case: str, side: str, limit: float) -> Goal:
    return Goal(suite, case, side, limit, lambda figure: figure.ratio.median, "ratio")


def _seconds(suite: str, case: str, side: str, limit: float) -> Goal:
    return Goal(suite, case, side, limit, lambda figure: figure.value.median, "s")


def _both(suite: str, case: str, converters: float, full: float) -> list[Goal]:
    return [_ratio(suite, case, CONVERTERS, converters), _ratio(suite, case, FULL, full)]


_TILE = circuit.name_of(256, 1.0)
GOALS: Sequence[Goal] = (
    *_both(networks.SUITE, networks.RESNET8, 2.5, 4),
    *_both(networks.SUITE, networks.RESNET18, 2, 3.5),
    *_both(layers.SUITE, layers.name_of(1024, 512, 1024), 1.3, 2.3),
    *_both(layers.SUITE, layers.name_of(4096, 256, 256), 1.3, 2.3),
    _ratio(slices.SUITE, slices.NAME, slices.LOSSY, 36),
    _ratio(slices.SUITE, slices.NAME, slices.LOSSLESS, 1.5),
    _ratio(chips.SUITE, chips.TOGETHER, chips.TEN, 7),
    _ratio(chips.SUITE, chips.TOGETHER_NOISY, chips.TEN, 7),
    _seconds(chips.SUITE, chips.WRITING, chips.WRITE, 5),
    Goal(circuit.SUITE, _TILE, circuit.FAST, 20, lambda figure: 1 / figure.ratio.median, "times as fast"),
    Goal(circuit.SUITE, _TILE, circuit.FAST, 1e-4, lambda figure: float(figure.facts["error"]), "of full scale"),
    _seconds(start_up.SUITE, start_up.NAME, start_up.HELP, 0.3),
    _seconds(start_up.SUITE, start_up.NAME, start_up.IMPORT, 0.5),
    _seconds(start_up.SUITE, start_up.NAME, start_up.RUN, 1),
)
CASES = tuple(case for suite in (networks, layers, slices, chips, circuit, start_up) for case in suite.GOALS)


def table(figures: Sequence[Figure]) -> Table:
    """A row a goal that was measured."""
    made = Table("", "side", title="goals")
    for heading in ("goal", "measured", ""):
        made.add_column(heading, justify="right")
    for goal in GOALS:
        figure = goal.of(figures)
        if figure is not None:
            found = goal.number(figure)
            made.add_row(
                goal.case,
                goal.side,
                f"{goal.limit:g} {goal.kind}",
                f"{found:.3g}",
                "met" if goal.met(found) else "missed",
            )
    return made


def main() -> int:
    """Measure what the goals are about."""
    return run_cases(__doc__ or "", CASES, lambda figures: [table(figures)])


if __name__ == "__main__":
    sys.exit(main())
