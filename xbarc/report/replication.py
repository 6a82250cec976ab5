"""Copies of layers: what they bring, and what the chip has left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.replication import Demand, bottleneck, fewest_copies, least_bottleneck, tiles_of
from xbarc.ir.segments import tile_keys
from xbarc.ir.work import matrix_windows
from xbarc.passes.place_blocks import tiles_of_copy
from xbarc.units import parse_quantity


@dataclass(frozen=True, slots=True)
class ReplicationUsage:
    """How often the chip holds the cells of each layer, and how many rounds that leaves for one inference.

    A round is one window on every copy of a layer. All figures are of layers whose windows are known. Copies are chosen
    before blocks are packed: their tiles are counted as if no blocks shared one.

    Attributes:
        asked: ``none``, ``balance``, how many rounds the slowest layer may take, or inferences a second (``"5 k/s"``).
        bottleneck: rounds of the slowest layer; 0 where there is none.
        slowest: name of the slowest layer; ``None`` where there is none.
        single: rounds of the slowest layer if each layer had one copy.
        optimum: the fewest rounds for which the chip has tiles, wherever they lie, of the reload segment that takes
            most; ``None`` on an unlimited chip.
        copies: tiles of all copies but the first.
        saved: tiles that all copies take less than that, as their blocks share some.
        core_tiles: tiles of a core.
        cores_used: cores that hold something.
        core_free: tiles that hold nothing, in cores that hold something.
        scattered: names of layers one of whose copies reaches over more cores than its size asks for.
        short: tiles that the chip lacks for what was asked; 0 where it was reached, or misses only room within cores.
        unknown: names of layers whose windows are not known, and which have one copy.
    """

    asked: str | int
    bottleneck: int
    slowest: str | None
    single: int
    optimum: int | None
    copies: int
    saved: int
    core_tiles: int
    cores_used: int
    core_free: int
    scattered: tuple[str, ...]
    short: int
    unknown: tuple[str, ...]

    @property
    def rate(self) -> float | None:
        """Inferences a second that were asked for; ``None`` where rounds were, or nothing."""
        return parse_quantity(str(self.asked), "/s") if str(self.asked).endswith("/s") else None

    @property
    def fragmentation(self) -> int | None:
        """Rounds that are lost since copies lie within cores; ``None`` unless as few as possible were asked for."""
        return self.bottleneck - self.optimum if self.asked == "balance" and self.optimum is not None else None

    @property
    def missed(self) -> str | None:
        """What was asked for and is not reached, and why, for people; ``None``: nothing."""
        if isinstance(self.asked, str) or self.bottleneck <= self.asked:
            return None
        why = f"the chip is {self.short:,} tiles short" if self.short else "its copies find no room within cores"
        return f"{self.slowest} takes {self.bottleneck:,} rounds where at most {self.asked:,} were asked for: {why}"


def replication_usage(graph: Graph, hardware: Hardware, facts: Mapping[str, Any]) -> ReplicationUsage:
    """The copies of a placed graph's layers; arguments as for the utilisation report."""
    owners: dict[str, Layer] = {}
    for layer in layers(graph):
        owners.setdefault(layer.read.matrix, layer)
    windows = matrix_windows(graph)
    placed = {matrix: copies_of(layer) for matrix, layer in owners.items()}
    demands = [Demand(windows[matrix], tiles_of_copy(layer, hardware)) for matrix, layer in owners.items()]
    numbers = [layer.read.segment for layer in owners.values()]
    copies = [len(tiles) for tiles in placed.values()]
    together = [[demand for demand, at in zip(demands, numbers, strict=True) if at == each] for each in set(numbers)]
    held = np.unique(np.concatenate([tile_keys(layer) for layer in owners.values()] or [np.zeros(0, int)]))
    available, core_tiles = hardware.chip_tiles, hardware.core.tiles
    capacity = None if available == "unlimited" else available
    asked = facts["options"].get("replicate", "none")
    rounds = bottleneck(demands, copies)
    single = [1] * len(demands)
    used = np.unique(np.concatenate([tiles for each in placed.values() for tiles in each] or [np.zeros(0, int)]))
    cores_used = len(np.unique(used // core_tiles))
    wanted = [0 if isinstance(asked, str) else tiles_of(each, fewest_copies(each, asked)) for each in together]
    optima = [] if capacity is None else [least_bottleneck(each, capacity) for each in together]
    known = [rounds for rounds in optima if rounds is not None]
    return ReplicationUsage(
        asked=asked,
        bottleneck=rounds,
        slowest=next(
            (
                matrix
                for matrix, demand, count in zip(placed, demands, copies, strict=True)
                if demand.windows is not None and math.ceil(demand.windows / count) == rounds
            ),
            None,
        ),
        single=bottleneck(demands, single),
        optimum=max(known, default=1) if capacity is not None and len(known) == len(optima) else None,
        copies=tiles_of(demands, copies) - tiles_of(demands, single),
        saved=tiles_of(demands, copies) - len(held),
        core_tiles=core_tiles,
        cores_used=cores_used,
        core_free=cores_used * core_tiles - len(used),
        scattered=tuple(matrix for matrix, tiles in placed.items() if _is_scattered(tiles, core_tiles)),
        short=0 if capacity is None else max([0, *(tiles - capacity for tiles in wanted)]),
        unknown=tuple(matrix for matrix, demand in zip(placed, demands, strict=True) if demand.windows is None),
    )


def copies_of(layer: Layer) -> list[np.ndarray]:
    """The physical tiles of each copy of a placed layer, each once.

    Raises:
        ValueError: the layer is not placed.
    """
    pieces = layer.read.pieces
    if pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    return [np.unique(pieces["tile"][pieces["copy"] == copy]) for copy in range(layer.read.copies)]


def _is_scattered(copies: Sequence[np.ndarray], core_tiles: int) -> bool:
    return any(len(np.unique(tiles // core_tiles)) > math.ceil(len(tiles) / core_tiles) for tiles in copies)
