"""The loop of write-and-verify, compiled: read every cell, pulse what is off its target, read again.

Four neighbouring columns, which share the counters of their random numbers, are written together. A cell's numbers are
those of its place, the cycle and the pulse within it, so that nothing depends on what else is written, or in what
order.
"""

from __future__ import annotations

import math

import numpy as np

from xbarc.compiled import compiled as _compile
from xbarc.random import normal_quads

#: Pulses that one cycle, and cycles that one write may have: what their numbers have room for in a counter.
MOST_PULSES, MOST_CYCLES = 2**16, 2**16 - 1

_CHUNK = 64  # pulses whose numbers are drawn together


@_compile
def _shape(w, slope, up, law):  # type: ignore[no-untyped-def]
    """The mean step at a state over that where the shape is 1: :meth:`SwitchingModel.shape`."""
    if not law.exponential:
        return 1.0 - slope * w
    z = slope * w + law.offset
    if up:
        return max(1.0 - law.amplitude_up * math.exp(law.exponent_up * z), 0.0)
    return max(1.0 - law.amplitude_down * math.exp(-law.exponent_down * z), 0.0)


@_compile
def _pulses(error, w, up, mean, law, most):  # type: ignore[no-untyped-def]
    """How many pulses a controller gives that takes a cell for the mean of all: at least one, at most ``most``."""
    expected = (mean.up if up else mean.down) * _shape(w, mean.slope_up if up else mean.slope_down, up, law)
    distance = abs(error)
    if expected * most <= distance:  # so too where no step is expected
        return most
    return max(int(np.rint(distance / expected)), 1)


@_compile
def write_and_verify(  # type: ignore[no-untyped-def]
    target,
    start,
    band,
    read_sigma,
    up,
    down,
    low,
    high,
    slope_up,
    slope_down,
    reference,
    law,
    mean,
    max_cycles,
    max_pulses,
    keys,
    first_row,
    row_step,
    first_column,
    plane,
    state,
    cycles,
    pulses_up,
    pulses_down,
    accepted,
):
    """Write an array of cells; all states are in the unit of the switching model.

    Args:
        target: ``(rows, columns)`` float64, as are all arrays up to ``reference``: what reads should find.
        start: what reads find before, but for write noise.
        band: how far a read may be off its target.
        read_sigma: standard deviation of a read.
        up, down, low, high, slope_up, slope_down, reference: of each cell.
        law: what cells share, :class:`Law`.
        mean: the cell that the controller takes every cell for, :class:`MeanCell`.
        max_cycles, max_pulses: reads of a cell, and pulses between two reads, at most.
        keys: ``(3, 2)`` uint32: the words of the keys of pulses, of write noise and of reads.
        first_row, first_column, plane: the place of the first cell.
        row_step: from one row of cells to the next, in the numbers of rows.
        state: float64, filled: what reads find afterwards, but for their own errors.
        cycles, pulses_up, pulses_down: int64, filled.
        accepted: bool, filled: whether the last read was within the band.
    """
    rows, columns = target.shape
    first_quad, lead = first_column // 4, first_column % 4
    c0, c1, c2 = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    words, drawn = np.empty(4 * _CHUNK, np.uint32), np.zeros(4 * _CHUNK, np.float32)
    hidden, noise = np.zeros(4), np.zeros(4)
    lowest, highest, step, slope = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    count, rising = np.zeros(4, np.int64), np.zeros(4, np.bool_)

    for row in range(rows):
        c0[:] = np.uint32(first_row + row * row_step)
        for quad in range((lead + columns + 3) // 4):
            c2[:] = np.uint32(first_quad + quad)
            before = 4 * quad - lead  # column of the first of the four
            count[:] = 0
            lanes = range(max(-before, 0), min(columns - before, 4))
            for lane in lanes:
                column = before + lane
                shown = start[row, column] + reference[row, column]
                lowest[lane], highest[lane] = low[row, column], high[row, column]
                hidden[lane] = min(max(shown, lowest[lane]), highest[lane])
                cycles[row, column] = pulses_up[row, column] = pulses_down[row, column] = 0
                accepted[row, column] = False
                count[lane] = 1  # as one that was pulsed: it is to be read, and has its write noise

            for cycle in range(max_cycles):
                if law.write_noise > 0.0:
                    c1[0] = np.uint32(cycle << 16)
                    normal_quads(c0, c1, c2, plane, keys[1, 0], keys[1, 1], 1, words, drawn)
                    for lane in lanes:
                        if count[lane] > 0:
                            noise[lane] = law.write_noise * drawn[lane]
                c1[0] = np.uint32(cycle << 16)
                normal_quads(c0, c1, c2, plane, keys[2, 0], keys[2, 1], 1, words, drawn)

                most = 0
                for lane in lanes:
                    if count[lane] == 0:
                        continue
                    column = before + lane
                    state[row, column] = hidden[lane] - reference[row, column] + noise[lane]
                    read = state[row, column] + read_sigma[row, column] * drawn[lane]
                    error = target[row, column] - read
                    cycles[row, column] += 1
                    count[lane] = 0
                    if abs(error) <= band[row, column]:
                        accepted[row, column] = True
                    elif cycle + 1 < max_cycles:
                        rising[lane] = error > 0.0
                        if rising[lane]:
                            step[lane], slope[lane] = up[row, column], slope_up[row, column]
                        else:
                            step[lane], slope[lane] = -down[row, column], slope_down[row, column]
                        count[lane] = _pulses(error, read, rising[lane], mean, law, max_pulses)
                        most = max(most, count[lane])
                if most == 0:
                    break

                for first in range(0, most, _CHUNK):
                    chunk = min(_CHUNK, most - first)
                    if law.cycle_spread > 0.0:
                        for pulse in range(chunk):
                            c1[pulse] = np.uint32((cycle << 16) + first + pulse)
                        normal_quads(c0, c1, c2, plane, keys[0, 0], keys[0, 1], chunk, words, drawn)
                    else:
                        drawn[:] = 0.0
                    for pulse in range(chunk):
                        for lane in range(4):
                            if first + pulse < count[lane]:
                                w, spread = hidden[lane], law.cycle_spread * drawn[4 * pulse + lane]
                                part = _shape(w, slope[lane], rising[lane], law)
                                if law.additive:
                                    w += step[lane] * (part + spread)
                                else:
                                    w += step[lane] * part * (1.0 + spread)
                                hidden[lane] = min(max(w, lowest[lane]), highest[lane])
                for lane in lanes:
                    if rising[lane]:
                        pulses_up[row, before + lane] += count[lane]
                    else:
                        pulses_down[row, before + lane] += count[lane]
