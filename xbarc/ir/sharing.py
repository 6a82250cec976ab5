"""Which layers share physical tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers


def shared_tiles(graph: Graph) -> list[frozenset[str]]:
    """The sets of matrices that lie together on a tile, each set once; none before placement.

    A tile that is written anew for another segment counts as another.
    """
    found: dict[tuple[int, int], set[str]] = defaultdict(set)
    for layer in layers(graph):
        if layer.read.pieces is not None:
            for tile in np.unique(layer.read.pieces["tile"]).tolist():
                found[layer.read.segment, tile].add(layer.read.matrix)
    return list(dict.fromkeys(frozenset(matrices) for matrices in found.values() if len(matrices) > 1))


def neighbours(graph: Graph) -> Mapping[str, frozenset[str]]:
    """By matrix, the others that it shares a tile with; those without any are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for matrices in shared_tiles(graph):
        for matrix in matrices:
            found[matrix] |= matrices - {matrix}
    return {matrix: frozenset(others) for matrix, others in found.items()}
