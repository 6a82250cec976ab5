"""What one read of a tile can do, and so how many reads a window of a layer needs.

A read drives rows and converts columns; the current of a column is the sum over all driven rows. So a read serves a set
of pieces of one layer when it drives no more rows than it may, and, for every two of them, ``p`` and ``q``:

* the cells where rows of ``p`` cross columns of ``q`` hold nothing, or cells of ``q`` itself;
* where they share rows, they want the same inputs there: they are parts of the same block, or slices of it.

From the first it follows that no two share a column: their sums, which belong to different outputs, or are converted
apart, would run together. Pieces of other layers may lie anywhere else: they are read at other times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.work import layer_windows


def serial_reads(layer: Layer) -> int:
    """Reads that follow each other before every piece of a placed layer is read once; 1 before placement."""
    pieces = layer.read.pieces
    return 1 if pieces is None else int(pieces["turn"].max(initial=0)) + 1


def reads_a_window(layer: Layer) -> int:
    """Reads of a tile for one window: its serial reads, for each digit of the input."""
    return len(layer.digit_weights) * serial_reads(layer)


def windows_of_copies(windows: int, copies: int, *, first: int = 0) -> np.ndarray:
    """How many of so many windows each copy reads, int64: they take turns, and copy ``first`` begins."""
    found: np.ndarray = windows // copies + ((np.arange(copies) - first) % copies < windows % copies)
    return found


def reads_of_copies(graph: Graph) -> Mapping[str, np.ndarray | None]:
    """By matrix, how often each copy is read in one of many inferences, int64; ``None`` where windows are not known.

    A read for each digit of the input; serial reads count once. All windows of the layers that share the matrix take
    its copies in turn, in loops as often as they run.
    """
    times = repetitions(graph)
    found: dict[str, np.ndarray | None] = {}
    begun: dict[str, int] = {}
    for layer in layers(graph):
        matrix, copies = layer.read.matrix, layer.read.copies
        before = found.get(matrix, np.zeros(copies, dtype=np.int64))
        windows = repeated(layer_windows(layer), times[layer.dac])
        if windows is None or before is None:
            found[matrix] = None
            continue
        first = begun.get(matrix, 0)
        found[matrix] = before + windows_of_copies(windows, copies, first=first) * len(layer.digit_weights)
        begun[matrix] = (first + windows) % copies
    return found


def reads_of_tiles(layer: Layer, reads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tiles of a placed layer, sorted, and how often each is read for it, int64.

    Copies work side by side, each at a window of its own, so that those which share a turn share its read.

    Args:
        layer: placed.
        reads: of each copy, a read for each digit of the input; serial reads count once.
    """
    pieces = layer.read.pieces
    if pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    turns, which = np.unique(pieces[["tile", "turn"]], return_inverse=True)
    rounds = np.zeros(len(turns), dtype=np.int64)
    np.maximum.at(rounds, which, reads[pieces["copy"]])
    tiles, which = np.unique(turns["tile"], return_inverse=True)
    found = np.zeros(len(tiles), dtype=np.int64)
    np.add.at(found, which, rounds)
    return tiles, found


def take_turns(tables: Sequence[np.ndarray], *, active_rows: int | None) -> None:
    """Set ``turn`` of all pieces: first fit, so that few reads serve each layer in each tile, not always the fewest.

    Args:
        tables: of :data:`xbarc.ir.pieces.PIECE`, placed: one for each layer with tiles of its own.
        active_rows: that one read may drive; ``None``: all.
    """
    if not tables:
        return
    whole = np.concatenate(tables)
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    order = np.lexsort((owner, whole["tile"]))
    turns = np.zeros(len(whole), dtype=np.int32)
    for together in np.split(order, np.flatnonzero(np.diff(whole["tile"][order])) + 1):
        layers = owner[together]
        parts = np.split(together, np.flatnonzero(np.diff(layers)) + 1)
        if all(len(part) == 1 for part in parts):
            continue
        filled = _Filled(whole[together])
        for part in parts:
            if len(part) > 1:
                turns[part] = _first_fit(whole[part], filled, active_rows)
    for table, found in zip(tables, np.split(turns, np.cumsum([len(table) for table in tables])[:-1]), strict=True):
        table["turn"] = found


def clashes(pieces: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which pieces of one layer in one tile no read may serve together: ``(n, n)``, false on the diagonal.

    Args:
        pieces: of the layer.
        others: all pieces of the tile, the layer's too.
    """
    return _Filled(others).clashes(pieces)


class _Filled:
    """The cells of one tile that hold something, by how many of them a corner rectangle has."""

    def __init__(self, pieces: np.ndarray) -> None:
        ends = [int((pieces[begin] + pieces[size]).max()) for begin, size in (("row", "rows"), ("column", "columns"))]
        cells = np.zeros((ends[0] + 1, ends[1] + 1), dtype=np.int32)
        for piece in pieces:
            top, left = piece["row"] + 1, piece["column"] + 1
            cells[top : top + piece["rows"], left : left + piece["columns"]] = 1
        self._counts = cells.cumsum(axis=0).cumsum(axis=1)

    def clashes(self, pieces: np.ndarray) -> np.ndarray:
        """As :func:`clashes`."""
        top, left = pieces["row"], pieces["column"]
        bottom, right = top + pieces["rows"], left + pieces["columns"]
        shared = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
        alike = (
            (pieces["copy"][:, None] == pieces["copy"])
            & (pieces["place"][:, None] == pieces["place"])
            & (top[:, None] == top)
        )
        within = self._counts[bottom] - self._counts[top]
        crossed = within[:, right] - within[:, left]
        foreign = crossed > np.maximum(shared, 0) * pieces["columns"]
        across = np.minimum(right[:, None], right) > np.maximum(left[:, None], left)
        found: np.ndarray = ((shared > 0) & ~alike) | foreign | foreign.T | across
        np.fill_diagonal(found, val=False)
        return found


def _first_fit(pieces: np.ndarray, filled: _Filled, active_rows: int | None) -> np.ndarray:
    """The turn of each piece of one layer in one tile."""
    clash = filled.clashes(pieces)
    turns = np.zeros(len(pieces), dtype=np.int32)
    barred = np.zeros((0, len(pieces)), dtype=np.bool_)  # for each turn, the pieces that clash with one of it
    driven: list[dict[int, int]] = []  # for each turn, the rows that it drives from each first row on
    for index, piece in enumerate(pieces):
        row, rows = int(piece["row"]), int(piece["rows"])

        def drives(turn: int, row: int = row, rows: int = rows) -> bool:
            found = driven[turn]
            return active_rows is None or row in found or sum(found.values()) + rows <= active_rows

        free = np.flatnonzero(~barred[: len(driven), index]).tolist()
        turn = next((turn for turn in free if drives(turn)), len(driven))
        if turn == len(driven):
            driven.append({})
            if turn == len(barred):
                barred = np.concatenate([barred, np.zeros((max(turn, 1), len(pieces)), dtype=np.bool_)])
        turns[index] = turn
        barred[turn] |= clash[index]
        driven[turn][row] = rows
    return turns
