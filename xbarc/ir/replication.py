"""How many copies of each layer's cells a chip should hold.

Copies of a layer take turns at its windows, so ``c`` copies need ``ceil(windows / c)`` rounds for one inference. Layers
work at the same time on different inferences, so the layer of most rounds, the bottleneck, sets how often one is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What one layer asks of a chip.

    Attributes:
        windows: input vectors of one inference; ``None``: not known, and the layer keeps one copy.
        tiles: tiles of one copy.
    """

    windows: int | None
    tiles: int


def bottleneck(demands: Sequence[Demand], copies: Sequence[int]) -> int:
    """Rounds of the slowest layer whose windows are known; 0 where there is none."""
    return max(
        (
            math.ceil(demand.windows / count)
            for demand, count in zip(demands, copies, strict=True)
            if demand.windows is not None
        ),
        default=0,
    )


def tiles_of(demands: Sequence[Demand], copies: Sequence[int]) -> int:
    """Tiles of all copies of all layers."""
    return sum(demand.tiles * count for demand, count in zip(demands, copies, strict=True))


def fewest_copies(demands: Sequence[Demand], rounds: int) -> list[int]:
    """The fewest copies with which no layer whose windows are known takes more than ``rounds``, at least 1."""
    return [1 if demand.windows is None else max(math.ceil(demand.windows / rounds), 1) for demand in demands]


def least_bottleneck(demands: Sequence[Demand], capacity: int) -> int | None:
    """The smallest bottleneck for which so many tiles suffice, at least 1; ``None`` where one copy each is too much.

    Exact: the fewest copies, and so their tiles, never grow with the bottleneck, so halving the range finds it.
    """
    low, high = 1, max(bottleneck(demands, [1] * len(demands)), 1)
    if tiles_of(demands, [1] * len(demands)) > capacity:
        return None
    while low < high:
        middle = (low + high) // 2
        if tiles_of(demands, fewest_copies(demands, middle)) <= capacity:
            high = middle
        else:
            low = middle + 1
    return low


def balance(
    demands: Sequence[Demand], capacity: int | None, *, target: int = 1, fits: Callable[[Sequence[int]], bool]
) -> list[int] | None:
    """The fewest copies for a bottleneck of at most ``target`` or, where that is too much, the smallest that goes.

    Args:
        demands: of the layers.
        capacity: tiles of the chip; ``None``: unlimited.
        target: the bottleneck that is fast enough, at least 1.
        fits: whether the chip has room for so many copies whose tiles it has; it need not be monotonic, so one
            bottleneck after the other is tried. Not asked about one copy of each.

    Returns:
        Copies of each layer; ``None`` where one copy of each takes more than ``capacity``.
    """
    least = 1 if capacity is None else least_bottleneck(demands, capacity)
    if least is None:
        return None
    copies = fewest_copies(demands, max(least, target))
    while max(copies, default=1) > 1 and not fits(copies):
        # The next bottleneck at which some layer needs a copy less.
        copies = fewest_copies(
            demands,
            min(
                math.ceil(demand.windows / (count - 1))
                for demand, count in zip(demands, copies, strict=True)
                if demand.windows is not None and count > 1
            ),
        )
    return copies
