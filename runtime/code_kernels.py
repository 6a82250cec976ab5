"""The periphery around products in integers, compiled: codes of eight bits, and what their sums mean.

Codes are bytes above a zero: 0 where they are unsigned, 128 where they have a sign. As in
:mod:`xbarc.runtime.kernels`, nothing here reorders or fuses floating-point operations.
"""

from __future__ import annotations

import numpy as np

from xbarc.compiled import compiled as _compile


@_compile
def convert_to_codes(x, codes, begin, scale, low, high, zero):  # type: ignore[no-untyped-def]
    """DAC: ``codes = clip(round_half_even(x / scale), low, high) + zero``, channels last, in the middle of padding.

    Args:
        x: ``(images, channels, a, b, c)`` float32; unused spatial axes have size 1.
        codes: ``(images, padded a, padded b, padded c, channels)`` uint8, ``zero`` where there is padding; any number
            where the input is none.
        begin: padding before each spatial axis.
        scale, low, high: float32; the ends of the range are integers.
        zero: float32.
    """
    images, channels, size_a, size_b, size_c = x.shape
    line = np.empty(size_c, dtype=np.uint8)
    for image in range(images):
        for a in range(size_a):
            for b in range(size_b):
                target = codes[image, a + begin[0], b + begin[1], begin[2] : begin[2] + size_c]
                for channel in range(channels):
                    source = x[image, channel, a, b]
                    for c in range(size_c):
                        code = np.rint(min(max(source[c] / scale, low), high))
                        line[c] = np.uint8(np.int32(code + zero))
                    for c in range(size_c):
                        target[c, channel] = line[c]


@_compile
def convert_flat(x, codes, scale, low, high, zero):  # type: ignore[no-untyped-def]
    """As :func:`convert_to_codes`, of arrays without padding and without spatial axes, flat."""
    for place in range(x.shape[0]):
        codes[place] = np.uint8(np.int32(np.rint(min(max(x[place] / scale, low), high)) + zero))


@_compile
def gather_codes(codes, first, count, image_size, window_offset, starts, lengths, panel):  # type: ignore[no-untyped-def]
    """Collect windows ``first .. first + count`` of all images into a panel, one a row.

    Args:
        codes: flat; image after image of ``image_size`` bytes.
        window_offset: of each window in its image.
        starts, lengths: of neighbouring bytes that a window takes, from its offset on.
        panel: ``(windows a panel, rows)``.
    """
    windows = window_offset.shape[0]
    for place in range(count):
        image, window = divmod(first + place, windows)
        base = image * image_size + window_offset[window]
        target = panel[place]
        begin = 0
        for run in range(starts.shape[0]):
            length = lengths[run]
            start = base + starts[run]
            source, into = codes[start : start + length], target[begin : begin + length]
            for row in range(length):
                into[row] = source[row]
            begin += length


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
