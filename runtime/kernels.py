"""The periphery around the products, compiled: converters, windows, accumulation. Arrays and numbers only.

All kernels release the interpreter lock, so that panels can run on several threads, and all stand in one file: a
cached kernel does not notice that a callee in another file has changed. None allows the compiler to reorder or to fuse
floating-point operations: results must equal those of onnxruntime bit for bit.
"""

from __future__ import annotations

import numpy as np

from xbarc.compiled import compiled as _compile


@_compile
def convert_inputs(x, codes, begin, scale, low, high):  # type: ignore[no-untyped-def]
    """DAC: ``codes = clip(round_half_even(x / scale), low, high)``, written into the middle of a padded array.

    Args:
        x: ``(planes, a, b, c)`` float32; ``planes`` are images times channels, unused spatial axes have size 1.
        codes: ``(planes, padded a, padded b, padded c)``, zero where there is padding.
        begin: padding before each spatial axis.
        scale, low, high: float32; the ends of the range are integers, so that rounding and clipping may change places.
    """
    planes, size_a, size_b, size_c = x.shape
    for plane in range(planes):
        for a in range(size_a):
            for b in range(size_b):
                source = x[plane, a, b]
                target = codes[plane, a + begin[0], b + begin[1]]
                for c in range(size_c):
                    target[c + begin[2]] = np.rint(min(max(source[c] / scale, low), high))


@_compile
def copy_inputs(x, codes, begin):  # type: ignore[no-untyped-def]
    """As :func:`convert_inputs`, for a DAC of unlimited resolution."""
    planes, size_a, size_b, size_c = x.shape
    for plane in range(planes):
        for a in range(size_a):
            for b in range(size_b):
                for c in range(size_c):
                    codes[plane, a + begin[0], b + begin[1], c + begin[2]] = x[plane, a, b, c]


@_compile
def gather_windows(codes, first, count, image_size, window_offset, row_offset, panel):  # type: ignore[no-untyped-def]
    """Collect windows ``first .. first + count`` of all images into a panel, one a row; further rows become zero.

    Args:
        codes: flat; image after image of ``image_size`` elements.
        window_offset, row_offset: element ``row`` of window ``w`` lies at ``window_offset[w] + row_offset[row]`` of
            its image.
        panel: ``(windows a panel, rows)``.
    """
    windows = window_offset.shape[0]
    for place in range(panel.shape[0]):
        target = panel[place]
        if place < count:
            image, window = divmod(first + place, windows)
            base = image * image_size + window_offset[window]
            for row in range(row_offset.shape[0]):
                target[row] = codes[base + row_offset[row]]
        else:
            target[:] = 0


@_compile
def take_digit(codes, source, bits, shift, width, digit):  # type: ignore[no-untyped-def]
    """One digit of every code: ``width`` bits from bit ``shift`` on.

    Args:
        codes: integers as floating-point numbers, of any shape, flat; what is no number stays none.
        source: 0 the code, 1 its two's complement without the sign, 2 the sign, 3 positive codes, 4 the magnitudes of
            negative ones.
        bits: of a code without its sign.
        digit: where they go, as flat.
    """
    mask = (1 << width) - 1
    for place in range(codes.shape[0]):
        if np.isnan(codes[place]):
            digit[place] = codes[place]
            continue
        code = np.int64(codes[place])
        if source == 1 and code < 0:
            code += 1 << bits
        elif source == 2:
            code = np.int64(code < 0)
        elif source == 3:
            code = code if code > 0 else np.int64(0)
        elif source == 4:
            code = -code if code < 0 else np.int64(0)
        digit[place] = (code >> shift) & mask


@_compile
def total_codes(panel, zero, totals):  # type: ignore[no-untyped-def]
    """The sum of each window's codes, which are so much above ``zero``."""
    for window in range(panel.shape[0]):
        total = np.float64(0.0)
        for row in range(panel.shape[1]):
            total += panel[window, row]
        totals[window] = total - zero * panel.shape[1]


@_compile
def add_pedestal(totals, currents, pedestal):  # type: ignore[no-untyped-def]
    """Add what the ``g_min`` of every cell carries: ``pedestal`` units for each code, by the totals of windows."""
    for window in range(currents.shape[0]):
        extra = currents.dtype.type(totals[window]) * pedestal
        for column in range(currents.shape[1]):
            currents[window, column] = currents[window, column] + extra


@_compile
def add_noise(currents, count, variance, extra, deviates):  # type: ignore[no-untyped-def]
    """Noise of one read: ``currents += sqrt(variance + extra) * deviates``, with ``extra`` that of the converters."""
    for window in range(count):
        target, spread, drawn = currents[window], variance[window], deviates[window]
        for column in range(target.shape[0]):
            target[column] = target[column] + np.sqrt(spread[column] + extra) * drawn[column]


@_compile
def add_constant_noise(currents, count, deviation, deviates):  # type: ignore[no-untyped-def]
    """Noise of one read of quiet cells: ``currents += deviation * deviates``."""
    for window in range(count):
        target, drawn = currents[window], deviates[window]
        for column in range(target.shape[0]):
            target[column] = target[column] + deviation * drawn[column]


@_compile
def add_reference_noise(currents, count, variance, deviates, block_columns):  # type: ignore[no-untyped-def]
    """Noise of reference columns that are subtracted in the currents: one number for all columns of a block."""
    for window in range(count):
        target = currents[window]
        for block in range(variance.shape[1]):
            common = np.sqrt(variance[window, block]) * deviates[window, block]
            for column in range(block * block_columns, min((block + 1) * block_columns, target.shape[0])):
                target[column] = target[column] - common


@_compile
def distort(currents, count, lsb, low, high, gain, offset, inl):  # type: ignore[no-untyped-def]
    """Errors of converters: currents become codes before rounding, ``v + inl(v)``, ``v = currents / lsb * gain +
    offset``.

    Args:
        lsb, low, high: of the currents' type.
        gain, offset: ``(columns,)`` of the currents' type.
        inl: ``(values, columns)`` at equal steps from ``low`` to ``high``, straight lines between; no values: none.
    """
    last = inl.shape[0] - 1
    steps = currents.dtype.type(last) / (high - low)
    for window in range(count):
        target = currents[window]
        for column in range(target.shape[0]):
            code = target[column] / lsb * gain[column] + offset[column]
            if last > 0:
                place = min(max((code - low) * steps, currents.dtype.type(0)), currents.dtype.type(last))
                before = min(np.floor(place), currents.dtype.type(last - 1))
                left = inl[np.int64(before), column]
                right = inl[np.int64(before) + 1, column]
                code = code + (left + (place - before) * (right - left))
            target[column] = code


@_compile
def apply_levels(codes, levels, low, applied):  # type: ignore[no-untyped-def]
    """What a DAC applies: ``applied = levels[codes - low]``, flat, codes integers as floating-point numbers.

    What is no number stays none.
    """
    for place in range(codes.shape[0]):
        applied[place] = codes[place] if np.isnan(codes[place]) else levels[np.int64(codes[place]) - low]


@_compile
def convert_and_add(currents, count, lsb, low, high, weight, sums):  # type: ignore[no-untyped-def]
    """ADC and accumulation: ``sums += weight * clip(round_half_even(currents / lsb), low, high)``."""
    for window in range(count):
        source, target = currents[window], sums[window]
        for column in range(source.shape[0]):
            target[column] += weight * np.rint(min(max(source[column] / lsb, low), high))


@_compile
def convert_subtract_and_add(  # type: ignore[no-untyped-def]
    currents, count, lsb, low, high, weight, data_columns, reference_columns, sums
):
    """As :func:`convert_and_add` for single-ended columns, each less the code of its reference column."""
    for window in range(count):
        source, target = currents[window], sums[window]
        for column in range(source.shape[0]):
            source[column] = np.rint(min(max(source[column] / lsb, low), high))
        for column in range(data_columns.shape[0]):
            target[column] += weight * (source[data_columns[column]] - source[reference_columns[column]])


@_compile
def add(currents, count, weight, sums):  # type: ignore[no-untyped-def]
    """Accumulation behind an ADC of unlimited resolution."""
    for window in range(count):
        source, target = currents[window], sums[window]
        for column in range(source.shape[0]):
            target[column] += weight * source[column]


@_compile
def subtract_and_add(currents, count, weight, data_columns, reference_columns, sums):  # type: ignore[no-untyped-def]
    """As :func:`add` for single-ended columns, each less its reference column."""
    for window in range(count):
        source, target = currents[window], sums[window]
        for column in range(data_columns.shape[0]):
            target[column] += weight * (source[data_columns[column]] - source[reference_columns[column]])


@_compile
def convert_recombine_and_add(  # type: ignore[no-untyped-def]
    currents, count, lsb, low, high, weight, data_columns, reference_columns, signs, references, sums
):
    """As :func:`convert_and_add` for columns that count with a sign, and so often their reference column."""
    for window in range(count):
        source, target = currents[window], sums[window]
        for column in range(source.shape[0]):
            source[column] = np.rint(min(max(source[column] / lsb, low), high))
        for column in range(data_columns.shape[0]):
            own, common = source[data_columns[column]], source[reference_columns[column]]
            target[column] += weight * (signs[column] * own + references[column] * common)


@_compile
def recombine_and_add(  # type: ignore[no-untyped-def]
    currents, count, weight, data_columns, reference_columns, signs, references, sums
):
    """As :func:`convert_recombine_and_add` behind an ADC of unlimited resolution."""
    for window in range(count):
        source, target = currents[window], sums[window]
        for column in range(data_columns.shape[0]):
            own, common = source[data_columns[column]], source[reference_columns[column]]
            target[column] += weight * (signs[column] * own + references[column] * common)


@_compile
def correct(totals, count, correction, sums):  # type: ignore[no-untyped-def]
    """Take off what the digital unit knows: ``correction`` a column, times the sum of a window's input codes."""
    for window in range(count):
        total = totals[window]
        target = sums[window]
        for column in range(correction.shape[0]):
            target[column] -= total * correction[column]


@_compile
def convert_images(x, codes, scale, low, high):  # type: ignore[no-untyped-def]
    """DAC: ``codes = clip(round_half_even(x / scale), low, high)``, of ``(images, elements)``."""
    for image in range(x.shape[0]):
        source, target = x[image], codes[image]
        for place in range(source.shape[0]):
            target[place] = np.rint(min(max(source[place] / scale, low), high))


@_compile
def convert_and_rescale_images(  # type: ignore[no-untyped-def]
    currents, lsb, low, high, weight, first, last, scale, bias, y
):
    """ADC, accumulation and, of the last read, scaling: as :func:`convert_and_add`, then
    :func:`xbarc.runtime.rescaling.rescale`.

    Args:
        currents: ``(images, columns, windows)`` float32.
        lsb, low, high, weight: float32.
        first, last: of the reads that add up.
        scale, bias: ``(columns,)`` float32.
        y: as the currents: sums of codes until the last read.
    """
    for image in range(currents.shape[0]):
        for column in range(currents.shape[1]):
            source, target = currents[image, column], y[image, column]
            factor, offset = scale[column], bias[column]
            for window in range(source.shape[0]):
                code = weight * np.rint(min(max(source[window] / lsb, low), high))
                before = np.float32(0.0) if first else target[window]
                total = before + code
                target[window] = total * factor + offset if last else total


@_compile
def rescale_images(currents, scale, bias, y):  # type: ignore[no-untyped-def]
    """``y = currents * scale + bias``, of ``(images, columns, windows)`` float32."""
    for image in range(currents.shape[0]):
        for column in range(currents.shape[1]):
            source, target = currents[image, column], y[image, column]
            factor, offset = scale[column], bias[column]
            for window in range(source.shape[0]):
                target[window] = source[window] * factor + offset
