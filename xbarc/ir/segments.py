"""Reload segments: the chip is written for one after the other, each of layers that follow each other.

A network that is larger than the chip is cut into segments that fit. When the layers of one have read their last
windows, the chip is written with those of the next.
"""

from __future__ import annotations

import itertools

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.scopes import bodies


def owners_by_segment(graph: Graph) -> list[list[Layer]]:
    """The first layer of each matrix, in the order of execution, segment by segment; at least one segment."""
    found: list[dict[str, Layer]] = [{}]
    for layer in layers(graph):
        while len(found) <= layer.read.segment:
            found.append({})
        found[layer.read.segment].setdefault(layer.read.matrix, layer)
    return [[*owners.values()] for owners in found]


def follow_each_other(graph: Graph) -> bool:
    """Whether segments begin with 0 and follow each other, and none ends within the body of a control operator, or
    between layers that share a matrix.
    """
    found = layers(graph)
    of_matrix = {layer.read.matrix: layer.read.segment for layer in found}
    if any(of_matrix[layer.read.matrix] != layer.read.segment for layer in found):
        return False
    for operator in graph.operators():
        if len({layer.read.segment for body in bodies(operator) for layer in layers(body)}) > 1:
            return False
    steps = itertools.pairwise([0, *(layer.read.segment for layer in found)])
    return all(after - before in (0, 1) for before, after in steps)


def tile_keys(layer: Layer) -> np.ndarray:
    """A number for the tile of each piece of a placed layer, int64; in another segment, a tile has another.

    Raises:
        ValueError: the layer is not placed.
    """
    if layer.read.pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    keys: np.ndarray = layer.read.pieces["tile"].astype(np.int64) + (layer.read.segment << 32)
    return keys


def tiles_in_use(graph: Graph) -> int:
    """Tiles of the chip that hold something, in whatever segments; 0 before placement."""
    tables = [layer.read.pieces["tile"] for layer in layers(graph) if layer.read.pieces is not None]
    return len(np.unique(np.concatenate(tables))) if tables else 0
