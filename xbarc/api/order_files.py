"""The orders of lines that a chip was laid in, as arrays of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer
from xbarc.runtime.tile_parts import LineOrder, first_pieces, opposite, polarities_of, sites_of

_NAMES = ("rows", "columns", "swapped")


def order_arrays(number: int, orders: Sequence[LineOrder]) -> dict[str, np.ndarray]:
    """Those of the matrix of a number: of all its pieces, one after the other, int32 rows and columns, and bool."""
    dtypes = zip(_NAMES, (np.int32, np.int32, np.bool_), strict=True)
    return {
        f"{number}.{name}": np.concatenate([getattr(order, name) for order in orders]).astype(dtype)
        for name, dtype in dtypes
    }


def orders_of(
    read: Callable[[str], np.ndarray], number: int, layer: Layer, hardware: Hardware
) -> tuple[LineOrder, ...]:
    """The orders that :func:`order_arrays` made these of.

    Args:
        read: an array by its name.
        number: of the matrix.
        layer: that it is of.
        hardware: with tiles that it must fit.

    Raises:
        ValueError: it is something else; with the reason.
    """
    pieces = first_pieces(layer)
    sizes = {"rows": pieces["rows"], "columns": pieces["count"], "swapped": pieces["count"]}
    parts = {}
    for name, counts in sizes.items():
        array, kind = read(f"{number}.{name}"), np.dtype(np.bool_ if name == "swapped" else np.int32)
        if array.shape != (counts.sum(),) or array.dtype != kind:
            raise ValueError(f"'{number}.{name}' is {array.dtype} {array.shape}, expected {kind} ({counts.sum()},)")
        parts[name] = np.split(array, np.cumsum(counts)[:-1])
    found = tuple(LineOrder(*each) for each in zip(*(parts[name] for name in _NAMES), strict=True))
    if not all(_fits(layer, piece, order, hardware) for piece, order in zip(pieces, found, strict=True)):
        raise ValueError(f"'{number}.rows' and '{number}.columns' are no lines of a tile")
    if any(order.swapped.any() and not _in_pairs(layer, piece) for piece, order in zip(pieces, found, strict=True)):
        raise ValueError(f"'{number}.swapped' exchanges cells that are no pairs")
    return found


def _fits(layer: Layer, piece: np.void, order: LineOrder, hardware: Hardware) -> bool:
    return all(lines_fit(lines, size) for lines, size in _lines_of(layer, piece, order, hardware))


def _in_pairs(layer: Layer, piece: np.void) -> bool:
    return len(polarities_of(layer, piece)) == 2 or opposite(layer, piece) is not None


def _lines_of(layer: Layer, piece: np.void, order: LineOrder, hardware: Hardware) -> Iterator[tuple[np.ndarray, int]]:
    for polarity in polarities_of(layer, piece):
        sites = sites_of(piece, polarity, order.rows, order.columns)
        yield sites.rows, hardware.tile.rows
        yield sites.columns, hardware.tile.columns


def lines_fit(lines: np.ndarray, size: int) -> bool:
    """Whether they are lines of a tile with so many, each once."""
    return bool(lines.min() >= 0 and lines.max() < size and len(np.unique(lines)) == len(lines))
