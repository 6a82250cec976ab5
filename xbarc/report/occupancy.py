"""How often tiles are read: what their idle time follows from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.reads import reads_of_copies, reads_of_tiles

#: Tiles, and for each how often it is read; ``None`` where windows are not known.
TileReads = tuple[np.ndarray, np.ndarray | None]


def tile_reads(graph: Graph) -> Mapping[str, TileReads]:
    """By matrix, the tiles that hold it and how often each is read for it in one of many inferences."""
    owners = {layer.read.matrix: layer for layer in layers(graph)}
    found: dict[str, TileReads] = {}
    for matrix, reads in reads_of_copies(graph).items():
        owner = owners[matrix]
        tiles, counts = reads_of_tiles(owner, np.zeros(owner.read.copies, dtype=np.int64) if reads is None else reads)
        found[matrix] = tiles, None if reads is None else counts
    return found
