"""How often tiles are read: what their idle time follows from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.work import layer_windows

#: Tiles, and for each how often it is read; ``None`` where windows are not known.
TileReads = tuple[np.ndarray, np.ndarray | None]


def tile_reads(graph: Graph) -> Mapping[str, TileReads]:
    """By matrix, the tiles that hold it and how often each is read for it in one inference, on average.

    Every copy reads a window of its own at the same time, and each has its share of them: that takes, in each tile,
    one read for each digit of the input and for each turn that the layer has there. Copies that share a turn share its
    read.
    """
    times = repetitions(graph)
    users: dict[str, list[tuple[Layer, int | None]]] = defaultdict(list)
    for layer in layers(graph):
        users[layer.read.matrix].append((layer, repeated(layer_windows(layer), times[layer.dac])))
    return {matrix: _reads(used) for matrix, used in users.items()}


def _reads(users: list[tuple[Layer, int | None]]) -> TileReads:
    read = users[0][0].read
    if read.pieces is None:
        raise ValueError(f"layer {read.name!r} is not placed")
    turns = np.unique(read.pieces[["tile", "turn"]])
    tiles, counts = np.unique(turns["tile"], return_counts=True)
    reads = 0.0
    for layer, windows in users:
        if windows is None:
            return tiles, None
        reads += windows * len(layer.digit_weights) / read.copies
    return tiles, counts * reads
