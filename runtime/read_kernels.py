"""From sums of integers to currents, and to accumulated codes, compiled.

Whole reads (:func:`read_quiet`, :func:`read_noisy`) do what their parts do one after the other, to the last bit, in
pieces that stay in the first-level cache: :func:`combine_digits`, :func:`scale_variances`,
:func:`xbarc.random.fill_normals`, :func:`xbarc.runtime.kernels.add_noise`,
:func:`xbarc.runtime.kernels.convert_and_add`. A line is several windows side by side where one is narrow. As in
:mod:`xbarc.runtime.kernels`, nothing here reorders or fuses floating-point operations.
"""

from __future__ import annotations

import numpy as np

from xbarc.compiled import compiled as _compile
from xbarc.random import normal_quads

_PIECE = 1024  # numbers that are drawn together


@_compile
def read_quiet(sums, digits, bits, offset, grid, lsb, low, high, weight, fresh, totals):  # type: ignore[no-untyped-def]
    """A read that nothing is drawn at.

    Args:
        sums: ``(lines, digits of all columns)`` int32.
        digits, bits, offset, grid: as for :func:`combine_digits`; currents are float32.
        lsb, low, high, weight: as for :func:`xbarc.runtime.kernels.convert_and_add`.
        fresh: whether totals are overwritten, as if they were 0.
        totals: ``(lines, columns)``, to which codes are added.
    """
    currents = np.empty(totals.shape[1], np.float32)
    for line in range(totals.shape[0]):
        _combine(sums[line], digits, bits, offset, grid, currents)
        _convert(currents, lsb, low, high, weight, fresh, totals[line])


@_compile
def read_noisy(  # type: ignore[no-untyped-def]
    sums,
    digits,
    bits,
    offset,
    grid,
    spread,
    step,
    extra,
    deviation,
    key,
    words,
    columns,
    lsb,
    low,
    high,
    weight,
    fresh,
    totals,
):
    """A read with noise.

    Args:
        sums, digits, bits, offset, grid, lsb, low, high, weight, fresh, totals: as for :func:`read_quiet`.
        spread: ``(lines, columns)`` int32: variances of the cells behind each column, in steps; none: they are quiet.
        step: ``(columns,)`` float32.
        extra, deviation: float32: variance of the converters, and its root.
        key: ``(2,)`` uint32.
        words: ``(windows, 2)`` uint32 that name windows; lines may hold more windows, of any noise.
        columns: of a window.
    """
    width = totals.shape[1]
    abreast, quads = width // columns, (columns + 3) // 4
    lines = max(1, _PIECE // width)
    most = lines * abreast * quads
    c0, c1, c2 = np.empty(most, np.uint32), np.empty(most, np.uint32), np.empty(most, np.uint32)
    scratch, drawn = np.empty(4 * most, np.uint32), np.zeros(4 * most, np.float32)
    currents, quiet = np.empty(width, np.float32), spread.shape[0] == 0
    for place in range(most):
        c2[place] = place % quads  # pieces begin with a window
    for first in range(0, totals.shape[0], lines):
        last = min(first + lines, totals.shape[0])
        count = 0
        for window in range(first * abreast, min(last * abreast, words.shape[0])):
            c0[count : count + quads] = words[window, 0]
            c1[count : count + quads] = words[window, 1]
            count += quads
        normal_quads(c0, c1, c2, np.uint32(0), key[0], key[1], count, scratch, drawn)
        if columns % 4:  # the last counter of a window gives more than it has columns
            for window in range(1, count // quads):
                for column in range(columns):
                    drawn[window * columns + column] = drawn[window * 4 * quads + column]
        for line in range(first, last):
            _combine(sums[line], digits, bits, offset, grid, currents)
            deviates = drawn[(line - first) * width : (line - first + 1) * width]
            if quiet:
                for column in range(width):
                    currents[column] = currents[column] + deviation * deviates[column]
            else:
                steps = spread[line]
                for column in range(width):
                    variance = np.float32(steps[column]) * step[column]
                    currents[column] = currents[column] + np.sqrt(variance + extra) * deviates[column]
            _convert(currents, lsb, low, high, weight, fresh, totals[line])


@_compile
def combine_digits(sums, digits, bits, offset, grid, currents):  # type: ignore[no-untyped-def]
    """Currents from the sums of their digits: ``grid * (sum_d 2^(bits d) sums_d - offset)``.

    Args:
        sums: ``(lines, digits of all columns)`` int32, the digits of a column side by side.
        digits, bits: how many there are, from 1 to 3, and the bits of one.
        offset: ``(columns,)``: what the zero of codes makes of each column; of a type of integers that holds the
            result. What overflows on the way comes back.
        grid: of the currents' type.
        currents: ``(lines, columns)``, of a type that holds them exactly.
    """
    for line in range(currents.shape[0]):
        _combine(sums[line], digits, bits, offset, grid, currents[line])


@_compile
def scale_variances(low, high, step, variance):  # type: ignore[no-untyped-def]
    """Variances of columns, ``step * (low + 256 * high)``, from products of squared codes with steps of cells.

    Args:
        low, high: ``(lines, columns)`` int32; no lines of ``high``: there is none.
        step: ``(columns,)`` float32.
        variance: ``(lines, columns)`` float32.
    """
    for line in range(variance.shape[0]):
        lower, target = low[line], variance[line]
        if high.shape[0] == 0:
            for column in range(target.shape[0]):
                target[column] = np.float32(lower[column]) * step[column]
        else:
            upper = high[line]
            for column in range(target.shape[0]):
                whole = np.float32(lower[column]) + np.float32(256.0) * np.float32(upper[column])
                target[column] = whole * step[column]


@_compile
def _combine(source, digits, bits, offset, grid, currents):  # type: ignore[no-untyped-def]
    as_current, as_integer = currents.dtype.type, offset.dtype.type
    second, third = np.int64(bits), np.int64(2 * bits)
    if digits == 1:
        for column in range(currents.shape[0]):
            currents[column] = as_current(as_integer(source[column] - offset[column])) * grid
    elif digits == 2:
        for column in range(currents.shape[0]):
            whole = source[2 * column] + (source[2 * column + 1] << second)
            currents[column] = as_current(as_integer(whole - offset[column])) * grid
    else:
        for column in range(currents.shape[0]):
            whole = source[3 * column] + (source[3 * column + 1] << second) + (source[3 * column + 2] << third)
            currents[column] = as_current(as_integer(whole - offset[column])) * grid


@_compile
def _convert(currents, lsb, low, high, weight, fresh, target):  # type: ignore[no-untyped-def]
    if fresh:
        for column in range(currents.shape[0]):  # added to 0, lest a zero has a sign
            target[column] = np.float32(0.0) + weight * np.rint(min(max(currents[column] / lsb, low), high))
    else:
        for column in range(currents.shape[0]):
            target[column] += weight * np.rint(min(max(currents[column] / lsb, low), high))
