"""Squares of codes, compiled: what variances of cells are multiplied with."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from xbarc.compiled import compiled as _compile


def _type_square_byte(_: Any, code: Any, zero: Any, gain: Any, rounding: Any) -> Any:
    """As numba would compute in 64 bits, of which a quarter as many fit a vector."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        half = ir.IntType(16)
        wide = builder.sub(builder.zext(given[0], half), given[1])
        square = builder.mul(builder.mul(wide, wide), given[2])
        return builder.trunc(builder.lshr(builder.add(square, given[3]), half(8)), ir.IntType(8))

    return types.uint8(types.uint8, types.uint16, types.uint16, types.uint16), generate


_square_byte: Any = intrinsic(_type_square_byte)


@_compile
def halve_squares(codes, zero, low, high):  # type: ignore[no-untyped-def]
    """Squares of codes in two bytes, ``low + 256 * high``; all are bytes, flat."""
    for place in range(codes.shape[0]):
        code = np.int16(codes[place]) - np.int16(zero)
        square = np.uint16(code * code)  # of 16 bits, so that as many fit a vector as can
        low[place] = np.uint8(square)
        high[place] = np.uint8(square >> np.uint16(8))


@_compile
def round_squares(panel, zero, gain, rounding, squares):  # type: ignore[no-untyped-def]
    """Squares of codes in one byte, ``(gain * code^2 + rounding[row]) >> 8``, of 16 bits on the way.

    Args:
        panel: ``(windows, rows)`` bytes, so much above ``zero``.
        zero, gain: uint16.
        rounding: ``(rows,)`` uint16.
        squares: ``(windows, rows)`` bytes.
    """
    for window in range(panel.shape[0]):
        source, target = panel[window], squares[window]
        for row in range(source.shape[0]):
            target[row] = _square_byte(source[row], zero, gain, rounding[row])


@_compile
def total_squares(panel, zero, totals):  # type: ignore[no-untyped-def]
    """The sum of the squares of a window's codes, which are so much above ``zero``, once for each of its columns.

    Args:
        panel: ``(windows, rows)`` bytes.
        totals: ``(windows, columns)`` int32.
    """
    for window in range(panel.shape[0]):
        total = np.int32(0)
        source = panel[window]
        for row in range(source.shape[0]):
            code = np.int32(source[row]) - np.int32(zero)
            total = np.int32(total + np.int32(code * code))
        totals[window] = total
