"""Faults of a chip: drawn by rate for each place on its tiles, and known from a map. They stay with the silicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.devices.device import Device
from xbarc.devices.faults import Fault, FaultMap
from xbarc.ir.layer import Layer
from xbarc.random import Key, fill_uniforms
from xbarc.runtime.tile_parts import LineOrder, Sites, tile_parts


@dataclass(frozen=True, slots=True)
class FaultyCells:
    """Which cells are faulty: of a layer, ``(S, P, D, R, C)``, or of some sites, rows by columns; each in one at most.

    Attributes:
        at_gmin, at_gmax: stuck at an end of the range.
        dead: without any current.
    """

    at_gmin: np.ndarray
    at_gmax: np.ndarray
    dead: np.ndarray

    def held(self, *, g_min: float, g_max: float) -> np.ndarray:
        """What they hold, float32 siemens of the same shape; NaN where a cell is not faulty."""
        held = np.full(self.dead.shape, np.nan, dtype=np.float32)
        for which, siemens in ((self.at_gmin, g_min), (self.at_gmax, g_max), (self.dead, 0.0)):
            held[which] = siemens
        return held


def can_fail(device: Device, known: FaultMap | None) -> bool:
    """Whether any cell can be faulty."""
    rates = device.stuck_at_gmin, device.stuck_at_gmax, device.dead_rows, device.dead_columns
    return known is not None or any(rates)


def faulty_cells(
    layer: Layer, device: Device, known: FaultMap | None, *, seed: int, orders: Sequence[LineOrder] | None = None
) -> FaultyCells | None:
    """The faults of a layer; ``None`` where there can be none.

    Args:
        layer: of a placed program.
        device: how often faults occur.
        known: faults by their places, beside those that are drawn.
        seed: of the chip.
        orders: in which its lines lie (:func:`xbarc.runtime.tile_parts.tile_parts`).
    """
    if not can_fail(device, known):
        return None
    found = FaultyCells(*(np.zeros(layer.read.levels.shape, dtype=bool) for _ in range(3)))
    for part in tile_parts(layer, orders):
        here = faulty_sites(part.sites, device, known, seed=seed)
        for name in ("at_gmin", "at_gmax", "dead"):
            getattr(found, name)[part.index] = getattr(here, name)
    return found


def faulty_sites(sites: Sites, device: Device, known: FaultMap | None, *, seed: int) -> FaultyCells:
    """The faults of some sites of a tile, whatever lies there.

    A cell that is known to be stuck is so whatever is drawn for it, and in a dead row or column it is dead.
    """
    low, high = device.stuck_at_gmin, device.stuck_at_gmax
    at_gmin, at_gmax, dead = (np.zeros((len(sites.rows), len(sites.columns)), dtype=bool) for _ in range(3))
    if low or high:
        chance = _chances(Key.stream(seed, "stuck"), sites)
        at_gmin, at_gmax = chance < low, chance >= 1.0 - high
    if device.dead_rows:
        dead |= _row_chances(Key.stream(seed, "dead row"), sites) < device.dead_rows
    if device.dead_columns:
        dead |= _column_chances(Key.stream(seed, "dead column"), sites) < device.dead_columns
    for fault in () if known is None else known.by_tile.get(sites.tile, ()):
        _put(fault, sites, at_gmin, at_gmax, dead)
    return FaultyCells(at_gmin & ~dead, at_gmax & ~dead, dead)


def _chances(key: Key, sites: Sites) -> np.ndarray:
    """A uniform number for each cell, ``(rows, columns)``. Those of a pair at one site are told apart by the plane."""
    return _drawn(key, _row_words(sites), sites.plane, sites.columns)


def _row_chances(key: Key, sites: Sites) -> np.ndarray:
    """One for each row, ``(rows, 1)``."""
    return _drawn(key, _row_words(sites), 0, np.zeros(1, dtype=np.int64))


def _column_chances(key: Key, sites: Sites) -> np.ndarray:
    """One for each column, ``(1, columns)``."""
    return _drawn(key, np.array([[sites.tile, 0]], dtype=np.uint32), 0, sites.columns)


def _drawn(key: Key, row_words: np.ndarray, plane: int, columns: np.ndarray) -> np.ndarray:
    first = int(columns.min())
    drawn = np.empty((len(row_words), int(columns.max()) - first + 1), dtype=np.float32)
    fill_uniforms(drawn, key, row_words, plane, first)
    return drawn[:, columns - first]


def _row_words(sites: Sites) -> np.ndarray:
    return np.stack([np.full_like(sites.rows, sites.tile), sites.rows], axis=1).astype(np.uint32)


def _put(fault: Fault, sites: Sites, at_gmin: np.ndarray, at_gmax: np.ndarray, dead: np.ndarray) -> None:
    """Enter a known fault of the sites' tile, if it meets them."""
    row = slice(None) if fault.row is None else np.flatnonzero(sites.rows == fault.row)
    column = slice(None) if fault.column is None else np.flatnonzero(sites.columns == fault.column)
    if fault.kind.startswith("dead"):
        dead[row, column] = True
    elif fault.polarity is None or fault.polarity == sites.plane:
        at_gmin[row, column] = fault.kind == "stuck-at-gmin"
        at_gmax[row, column] = fault.kind == "stuck-at-gmax"
