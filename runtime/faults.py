"""Faults of a chip: drawn by rate for each place on its tiles, and known from a map. They stay with the silicon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarc.devices.device import Device
from xbarc.devices.faults import Fault, FaultMap
from xbarc.ir.layer import Layer
from xbarc.random import Key, fill_uniforms
from xbarc.runtime.tile_parts import TilePart, tile_parts


@dataclass(frozen=True, slots=True)
class FaultyCells:
    """Which cells of a layer are faulty: ``(S, P, D, R, C)``, each in one of these at most.

    Attributes:
        at_gmin, at_gmax: stuck at an end of the range.
        dead: without any current.
    """

    at_gmin: np.ndarray
    at_gmax: np.ndarray
    dead: np.ndarray


def faulty_cells(layer: Layer, device: Device, known: FaultMap | None, *, seed: int) -> FaultyCells | None:
    """The faults of a layer; ``None`` where there can be none.

    A cell that is known to be stuck is so whatever is drawn for it, and in a dead row or column it is dead.

    Args:
        layer: of a placed program.
        device: how often faults occur.
        known: faults by their places, beside those that are drawn.
        seed: of the chip.
    """
    low, high, rows, columns = device.stuck_at_gmin, device.stuck_at_gmax, device.dead_rows, device.dead_columns
    if low == high == rows == columns == 0.0 and known is None:
        return None
    by_tile = {} if known is None else known.by_tile
    stuck, row_key, column_key = (Key.stream(seed, kind) for kind in ("stuck", "dead row", "dead column"))
    at_gmin, at_gmax, dead = (np.zeros(layer.read.levels.shape, dtype=bool) for _ in range(3))
    for part in tile_parts(layer):
        if low or high:
            chance = _chances(stuck, part)
            at_gmin[part.index], at_gmax[part.index] = chance < low, chance >= 1.0 - high
        if rows:
            dead[part.index] |= _row_chances(row_key, part) < rows
        if columns:
            dead[part.index] |= _column_chances(column_key, part) < columns
        for fault in by_tile.get(part.tile, ()):
            _put(fault, part, at_gmin[part.index], at_gmax[part.index], dead[part.index])
    at_gmin &= ~dead
    at_gmax &= ~dead
    return FaultyCells(at_gmin, at_gmax, dead)


def _chances(key: Key, part: TilePart) -> np.ndarray:
    """A uniform number for each cell, ``(rows, columns)``. Those of a pair at one site are told apart by the plane."""
    drawn = np.empty((part.rows, (part.columns - 1) * part.column_step + 1), dtype=np.float32)
    fill_uniforms(drawn, key, _row_words(part), part.site, part.column)
    return drawn[:, :: part.column_step]


def _row_chances(key: Key, part: TilePart) -> np.ndarray:
    """One for each row, ``(rows, 1)``."""
    drawn = np.empty((part.rows, 1), dtype=np.float32)
    fill_uniforms(drawn, key, _row_words(part), 0, 0)
    return drawn


def _column_chances(key: Key, part: TilePart) -> np.ndarray:
    """One for each column, ``(1, columns)``."""
    drawn = np.empty((1, (part.columns - 1) * part.column_step + 1), dtype=np.float32)
    fill_uniforms(drawn, key, np.array([[part.tile, 0]], dtype=np.uint32), 0, part.column)
    return drawn[:, :: part.column_step]


def _row_words(part: TilePart) -> np.ndarray:
    rows = np.arange(part.row, part.row + part.rows, dtype=np.uint32)
    return np.stack([np.full_like(rows, part.tile), rows], axis=1)


def _put(fault: Fault, part: TilePart, at_gmin: np.ndarray, at_gmax: np.ndarray, dead: np.ndarray) -> None:
    """Enter a known fault of the part's tile, if it meets the part."""
    row, column = slice(None), slice(None)
    if fault.row is not None:
        place = fault.row - part.row
        if not 0 <= place < part.rows:
            return
        row = slice(place, place + 1)
    if fault.column is not None:
        place, beside = divmod(fault.column - part.column, part.column_step)
        if beside or not 0 <= place < part.columns:
            return
        column = slice(place, place + 1)
    if fault.kind.startswith("dead"):
        dead[row, column] = True
    elif fault.polarity is None or fault.polarity == part.site:
        at_gmin[row, column] = fault.kind == "stuck-at-gmin"
        at_gmax[row, column] = fault.kind == "stuck-at-gmax"
