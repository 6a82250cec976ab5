"""Fault-aware placement: the lines of blocks are laid on the rows and columns of tiles where faults do little harm.

Digital buffers bring any input to any row and take any output from any column, and exchange the sign of an output where
the two cells of its pairs are exchanged. So nothing changes but which cells of the silicon a weight meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from xbarc.devices.device import Device
from xbarc.devices.faults import FaultMap
from xbarc.ir.layer import Layer
from xbarc.runtime.cells import Conductances
from xbarc.runtime.faults import can_fail, faulty_sites
from xbarc.runtime.line_assignment import Patch, assign_lines
from xbarc.runtime.tile_parts import LineOrder, first_pieces, polarities_of, sites_of


def fault_aware_orders(
    layers: Sequence[Layer],
    device: Device,
    known: FaultMap | None,
    *,
    seed: int,
    span: Conductances,
    tile: tuple[int, int],
) -> dict[str, tuple[LineOrder, ...]]:
    """Lay the lines of all blocks on a chip whose faults a tester has found, those of a map and those that are drawn.

    What is made small is the summed squared error of the weights that meet a faulty cell, in the output's units
    (:func:`~xbarc.runtime.line_assignment.assign_lines`); slices of one weight count apart. A row or column may lie on
    one of the tile that nothing takes. Pieces that one read drives share the order of their rows. The two tiles of a
    pair share that of rows and of columns, unless its sides are cut apart differently: then each has its own, for their
    codes are subtracted digitally. Reference columns stay, and count as often as columns are subtracted from them.

    Not modelled: how large the inputs of a row are, errors that add up over the rows of a column, what routing costs.
    Further copies of a layer lie as compiled, and have the faults of the first all the same.

    Args:
        layers: placed. Of those that share a matrix, the first is looked at.
        device: how often faults occur.
        known: faults by their places, beside those that are drawn.
        seed: of the chip.
        span: the conductances of the levels.
        tile: rows and columns of each.

    Returns:
        For each matrix, one order for each piece of :func:`~xbarc.runtime.tile_parts.first_pieces`; nothing where no
        cell can fail.
    """
    if not can_fail(device, known):
        return {}
    owners = {layer.read.matrix: layer for layer in reversed(layers)}
    spare = _SpareLines(list(owners.values()), tile)
    chip = _Silicon(device, known, seed, span)
    return {layer.read.matrix: _lay(layer, chip, spare) for layer in layers if owners[layer.read.matrix] is layer}


@dataclass(frozen=True, slots=True)
class _Silicon:
    """What is known of a chip before it is written."""

    device: Device
    known: FaultMap | None
    seed: int
    span: Conductances

    def held(
        self, pieces: Sequence[np.void], polarities: Sequence[int], rows: np.ndarray, columns: np.ndarray
    ) -> np.ndarray:
        """What the sites of a block hold for ever, ``(P, rows, columns)`` levels; NaN where they are sound."""
        span = self.span
        found = [
            faulty_sites(sites_of(piece, polarity, rows, columns), self.device, self.known, seed=self.seed)
            for piece, polarity in zip(pieces, polarities, strict=True)
        ]
        return np.stack([(each.held(g_min=span.g_min, g_max=span.g_max) - span.g_min) / span.step for each in found])


class _SpareLines:
    """The rows and columns of tiles that nothing takes: no copy of any layer, in the reload segment."""

    def __init__(self, layers: Sequence[Layer], tile: tuple[int, int]) -> None:
        self._sizes = tile
        self._taken: dict[tuple[int, int, int], np.ndarray] = {}
        for layer in layers:
            for piece in () if layer.read.pieces is None else layer.read.pieces:
                for axis, (begin, count) in enumerate((("row", "rows"), ("column", "columns"))):
                    first = int(piece[begin])
                    self._of(layer, piece, axis)[first : first + int(piece[count])] = True

    def beside(self, layer: Layer, pieces: Sequence[np.void], axis: int) -> np.ndarray:
        """The lines that are free for all of some pieces, counted from the first of each, in steps of its columns.

        None where two of them lie in one tile and begin apart: a line of one would be another line of the other.
        """
        free: set[int] | None = None
        begun: dict[int, int] = {}
        for piece in pieces:
            first, step = _first_and_step(piece, axis)
            if begun.setdefault(int(piece["tile"]), first) != first:
                return np.zeros(0, dtype=np.intp)
            taken = self._of(layer, piece, axis)[first % step :]
            steps = taken[: len(taken) - len(taken) % step].reshape(-1, step)
            here = set((np.flatnonzero(~steps.any(axis=1)) - first // step).tolist())
            free = here if free is None else free & here
        return np.array(sorted(free or ()), dtype=np.intp)

    def take(self, layer: Layer, pieces: Sequence[np.void], axis: int, lines: np.ndarray) -> None:
        """Take lines of each piece, counted likewise."""
        self._mark(layer, pieces, axis, lines, taken=True)

    def leave(self, layer: Layer, pieces: Sequence[np.void], axis: int, lines: np.ndarray) -> None:
        """Give lines of each piece back."""
        self._mark(layer, pieces, axis, lines, taken=False)

    def _mark(self, layer: Layer, pieces: Sequence[np.void], axis: int, lines: np.ndarray, *, taken: bool) -> None:
        for piece in pieces:
            first, step = _first_and_step(piece, axis)
            self._of(layer, piece, axis)[(first + step * lines[:, None] + np.arange(step)).ravel()] = taken

    def _of(self, layer: Layer, piece: np.void, axis: int) -> np.ndarray:
        """Which lines of a piece's tile are taken."""
        key = layer.read.segment, int(piece["tile"]), axis
        return self._taken.setdefault(key, np.zeros(self._sizes[axis], dtype=bool))


def _first_and_step(piece: np.void, axis: int) -> tuple[int, int]:
    return (int(piece["row"]), 1) if axis == 0 else (int(piece["column"]), int(piece["columns"]) // int(piece["count"]))


def _lay(layer: Layer, chip: _Silicon, spare: _SpareLines) -> tuple[LineOrder, ...]:
    """The orders of a layer's pieces."""
    pieces = first_pieces(layer)
    found: dict[int, LineOrder] = {}
    for group in _groups(layer, pieces):
        together = [pieces[number] for unit in group for number in unit]
        rows = _lines(int(together[0]["rows"]), spare.beside(layer, together, 0))
        patches, columns = [], []
        for place, unit in enumerate(group):
            mine = [pieces[number] for number in unit]
            beside = spare.beside(layer, mine, 1)
            # They are laid at once, so that each is offered columns of its own.
            columns.append(_lines(int(mine[0]["count"]), beside[: len(beside) // (len(group) - place)]))
            spare.take(layer, mine, 1, columns[-1])
            patches.append(_patch(layer, mine, chip, rows, columns[-1]))
        laid = assign_lines(patches)
        spare.take(layer, together, 0, rows[laid.rows])
        for unit, across, chosen, swapped in zip(group, columns, laid.columns, laid.swapped, strict=True):
            # Its own columns may hold other blocks above or below.
            unused = np.setdiff1d(across[len(chosen) :], across[chosen])
            spare.leave(layer, [pieces[number] for number in unit], 1, unused)
            found |= dict.fromkeys(unit, LineOrder(rows[laid.rows], across[chosen], swapped))
    return tuple(found[number] for number in range(len(pieces)))


def _lines(own: int, beside: np.ndarray) -> np.ndarray:
    """The lines that a block may take: first those where it lies as compiled, in their order."""
    return np.concatenate([np.arange(own), beside])


def _groups(layer: Layer, pieces: np.ndarray) -> list[list[tuple[int, ...]]]:
    """Pieces by number: one, or the two of a pair that lie in two tiles; those together that the same rows drive."""
    names = ("slice", "place", "first", "count")
    sides = {(*(int(piece[name]) for name in names), int(piece["side"])): n for n, piece in enumerate(pieces)}
    units: list[tuple[int, ...]] = []
    for (*what, side), number in sides.items():
        other = sides.get((*what, 1 - side)) if side in (0, 1) else None
        if other is None:
            units.append((number,))
        elif side == 0:
            units.append((number, other))
    drives = nx.Graph()
    for unit in units:
        for number in unit:
            drives.add_edge(unit, tuple(int(pieces[number][name]) for name in ("tile", "row", "place", "turn")))
    whole = set(units)
    return [sorted(whole & part) for part in nx.connected_components(drives)]


def _patch(layer: Layer, pieces: Sequence[np.void], chip: _Silicon, rows: np.ndarray, columns: np.ndarray) -> Patch:
    """A block on the lines that it may take.

    Args:
        pieces: one, or the two of a pair.
        rows, columns: counted from the first of each piece.
    """
    piece, partition = pieces[0], layer.read.partition
    alone = len(pieces) == 1
    polarities = list(polarities_of(layer, piece)) if alone else [0, 1]
    stack = slice(int(piece["first"]), int(piece["first"]) + int(piece["count"]))
    targets = layer.read.levels[int(piece["slice"]), polarities, int(piece["place"]), : int(piece["rows"]), stack]
    return Patch(
        targets=targets,
        held=chip.held(list(pieces) * len(polarities) if alone else pieces, polarities, rows, columns),
        counts=_counts(layer, piece)[stack],
        movable=~np.isin(np.arange(stack.start, stack.stop), partition.reference_columns),
    )


def _counts(layer: Layer, piece: np.void) -> np.ndarray:
    """What the squared error of a cell counts, ``(C,)``, in squared units of the output per input code and level."""
    partition, place, slice_ = layer.read.partition, int(piece["place"]), int(piece["slice"])
    first = place // partition.row_blocks * partition.diagonal_columns
    scale = np.zeros(partition.diagonal_columns)
    held = layer.rescale.unit_scale[first : first + partition.diagonal_columns]
    scale[: len(held)] = np.square(held * layer.accumulate.slice_weights[slice_])
    counts = np.zeros(partition.stack_columns)
    counts[partition.data_columns] = scale
    if partition.reference_column:
        how = layer.accumulate.recombination
        times = np.ones_like(scale) if how is None else how.references[slice_, place]
        np.add.at(counts, partition.reference_columns, scale * np.square(times))
    return counts
