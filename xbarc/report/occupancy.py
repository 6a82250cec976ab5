"""How often tiles are read: what their idle time follows from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import reads_of_tiles
from xbarc.ir.repetitions import repetitions
from xbarc.ir.traffic import windows_of_copies
from xbarc.ir.work import layer_windows

#: Tiles, and for each how often it is read; ``None`` where windows are not known.
TileReads = tuple[np.ndarray, np.ndarray | None]


def tile_reads(graph: Graph) -> Mapping[str, TileReads]:
    """By matrix, the tiles that hold it and how often each is read for it in one inference."""
    times = repetitions(graph)
    users: dict[str, list[tuple[Layer, int | None]]] = defaultdict(list)
    for layer in layers(graph):
        users[layer.read.matrix].append((layer, times[layer.dac]))
    return {matrix: _reads(used) for matrix, used in users.items()}


def _reads(users: list[tuple[Layer, int | None]]) -> TileReads:
    """Of layers with the same matrix, each run a number of times: they take turns on its tiles."""
    owner = users[0][0]
    tiles, reads = reads_of_tiles(owner, np.zeros(owner.read.copies, dtype=np.int64))
    for layer, times in users:
        windows = layer_windows(layer)
        if windows is None or times is None:
            return tiles, None
        reads = reads + reads_of_tiles(layer, times * windows_of_copies(windows, layer.read.copies))[1]
    return tiles, reads
