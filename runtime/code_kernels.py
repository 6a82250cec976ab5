"""The periphery around products in integers, compiled: codes of eight bits, and what their sums mean.

Codes are bytes above a zero: 0 where they are unsigned, 128 where they have a sign. As in
:mod:`xbarc.runtime.kernels`, nothing here reorders or fuses floating-point operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from xbarc.compiled import compiled as _compile

#: Bytes that are copied at once: arrays that are copied from or to are so many longer than what is in them.
COPIED = 64
_TOGETHER = 1024  # elements of a channel that are converted together: what stays in the first-level cache


@_compile
def convert_to_codes(x, codes, quads, sizes, begin, scale, low, high, zero):  # type: ignore[no-untyped-def]
    """DAC: ``codes = clip(round_half_even(x / scale), low, high) + zero``, channels last, in the middle of padding.

    Args:
        x: ``(images, channels, a * b * c)`` float32; unused spatial axes have size 1.
        codes: ``(images, padded a, padded b, padded c, channels)`` uint8, ``zero`` where there is padding; any number
            where the input is none.
        quads: the same memory as uint32, of little endian, ``(..., channels / 4)``, or ``(..., 0)`` where channels are
            not fours.
        sizes, begin: ``(a, b, c)``, and the padding before each of these axes.
        scale, low, high: float32; the ends of the range are integers.
        zero: float32.

    Returns:
        Whether some of the input is no number.
    """
    images, channels, elements = x.shape
    size_b, size_c = sizes[1], sizes[2]
    rows, most = elements // size_c, max(1, _TOGETHER // size_c)
    line = np.empty(most * size_c, dtype=np.uint32)
    lost = False
    for image in range(images):
        for first in range(0, rows, most):
            last = min(first + most, rows)
            start, stop = first * size_c, last * size_c
            for quad in range(quads.shape[4]):
                one, two = x[image, 4 * quad, start:stop], x[image, 4 * quad + 1, start:stop]
                three, four = x[image, 4 * quad + 2, start:stop], x[image, 4 * quad + 3, start:stop]
                for place in range(stop - start):
                    p, q, r, s = one[place], two[place], three[place], four[place]
                    lost |= (p != p) | (q != q) | (r != r) | (s != s)
                    lower = _code(p, scale, low, high, zero) | (_code(q, scale, low, high, zero) << 8)
                    upper = (_code(r, scale, low, high, zero) << 16) | (_code(s, scale, low, high, zero) << 24)
                    line[place] = np.uint32(lower | upper)
                for row in range(first, last):
                    a, b = divmod(row, size_b)
                    source = line[(row - first) * size_c : (row - first + 1) * size_c]
                    target = quads[image, a + begin[0], b + begin[1], begin[2] : begin[2] + size_c]
                    for c in range(size_c):
                        target[c, quad] = source[c]
            for channel in range(4 * quads.shape[4], channels):
                one = x[image, channel, start:stop]
                for place in range(stop - start):
                    lost |= one[place] != one[place]
                    line[place] = _code(one[place], scale, low, high, zero)
                for row in range(first, last):
                    a, b = divmod(row, size_b)
                    source = line[(row - first) * size_c : (row - first + 1) * size_c]
                    into = codes[image, a + begin[0], b + begin[1], begin[2] : begin[2] + size_c]
                    for c in range(size_c):
                        into[c, channel] = np.uint8(source[c])
    return lost


@_compile
def convert_flat(x, codes, scale, low, high, zero):  # type: ignore[no-untyped-def]
    """As :func:`convert_to_codes`, of arrays without padding and without spatial axes, flat."""
    lost = False
    for place in range(x.shape[0]):
        lost |= x[place] != x[place]
        codes[place] = np.uint8(_code(x[place], scale, low, high, zero))
    return lost


@_compile
def _code(number, scale, low, high, zero):  # type: ignore[no-untyped-def]
    return np.uint32(np.int32(np.rint(min(max(number / scale, low), high)) + zero))


def _type_copy(_: Any, source: Any, start: Any, target: Any, begin: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        line = ir.VectorType(ir.IntType(8), COPIED).as_pointer()
        arrays = (context.make_array(signature.args[at])(context, builder, given[at]).data for at in (0, 2))
        places = given[1], given[3]
        here, there = (
            builder.bitcast(builder.gep(array, [place]), line) for array, place in zip(arrays, places, strict=True)
        )
        builder.store(builder.load(here, align=1), there, align=1)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


_copy: Any = intrinsic(_type_copy)


@_compile
def gather_codes(codes, first, count, image_size, window_offset, starts, lengths, panel):  # type: ignore[no-untyped-def]
    """Collect windows ``first .. first + count`` of all images into a panel, one behind the other.

    Args:
        codes: flat; image after image of ``image_size`` bytes, and :data:`COPIED` more.
        window_offset: of each window in its image.
        starts, lengths: of neighbouring bytes that a window takes, from its offset on.
        panel: flat, of all windows and :data:`COPIED` more bytes; what lies behind the last window may be overwritten.
    """
    windows = window_offset.shape[0]
    image, window = divmod(first, windows)
    begin = 0
    for _ in range(count):
        base = image * image_size + window_offset[window]
        for run in range(starts.shape[0]):
            start, length = base + starts[run], lengths[run]
            for done in range(0, length, COPIED):  # what is copied too much lies where the next run goes
                _copy(codes, start + done, panel, begin + done)
            begin += length
        window += 1
        if window == windows:
            image, window = image + 1, 0


@_compile
def take_code_digit(codes, zero, source, bits, shift, width, digit):  # type: ignore[no-untyped-def]
    """One digit of every code, as :func:`xbarc.runtime.kernels.take_digit`, from bytes above a zero to bytes."""
    mask = np.int32((1 << width) - 1)
    for place in range(codes.shape[0]):
        code = np.int32(codes[place]) - np.int32(zero)
        if source == 1 and code < 0:
            code += np.int32(1 << bits)
        elif source == 2:
            code = np.int32(code < 0)
        elif source == 3:
            code = code if code > 0 else np.int32(0)
        elif source == 4:
            code = -code if code < 0 else np.int32(0)
        digit[place] = np.uint8((code >> np.int32(shift)) & mask)


@_compile
def part_into_digits(matrix, bits, digits):  # type: ignore[no-untyped-def]
    """Signed digits of so many bits of a matrix of integers, from the least significant one on.

    Args:
        matrix: ``(rows, columns)``.
        digits: ``(rows, columns, digits)`` int8.
    """
    half, mask = np.int64(1 << (bits - 1)), np.int64((1 << bits) - 1)
    for row in range(digits.shape[0]):
        for column in range(digits.shape[1]):
            left = np.int64(matrix[row, column])
            for place in range(digits.shape[2]):
                digit = ((left + half) & mask) - half
                digits[row, column, place] = digit
                left = (left - digit) >> bits
