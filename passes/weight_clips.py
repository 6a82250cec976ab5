"""How far the cells of a column reach: weights beyond are clipped, so that all others use more of the levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from xbarc.compiled import compiled
from xbarc.hardware.weights import Weights
from xbarc.ir.operators import WeightClipping

_EDGE: Final = 256  # rows and columns at a time: intermediate arrays stay in the cache, in whatever order weights lie
_TRIED: Final = 128  # clips; a power of two, so that float64 holds each share of a float32 weight exactly
_WHOLE: Final = 1e-9  # a share of a count that is this near to a whole number is that number


def weight_clips(weight: np.ndarray, weights: Weights, *, largest: int | None) -> np.ndarray:
    """The magnitude that the largest integer of an encoding stands for, ``(G, N)`` float64; 1 where weights are zero.

    ==============  =================================================================================================
    max             the largest magnitude: nothing is clipped
    percentile      the smallest magnitude that ``percentile`` of the nonzero ones do not exceed (nearest rank)
    mse             of the shares ``1/128 .. 128/128`` of the largest magnitude, that with the least squared error, and
                    the largest of equals: ``sum (w - w')^2 + count * (expected_error * clip)^2``, where ``w'`` is the
                    weight as it is clipped and rounded to its integer; where nothing is rounded, it is clipped alone
    ==============  =================================================================================================

    Each column of each group has its own, or all of a layer have the same, as ``scale`` says. Zeros do not count for
    the percentile: those of a pruned network would hide all else; they do in the squared error, as their cells err too.
    Not modelled: that the error of a cell depends on its conductance, and what a weight is worth to the network.

    Args:
        weight: ``(G, K, N)``.
        weights: rule and scope.
        largest: the largest integer; ``None`` where weights are not rounded.
    """
    peaks = np.maximum(weight.max(axis=1), -weight.min(axis=1)).astype(np.float64)
    if weights.range == "max" and weights.scale == "layer":
        peaks[:] = peaks.max()
    elif weights.scale == "layer":
        peaks[:] = _clips(np.abs(weight).reshape(1, -1), weights, largest)
    elif weights.range != "max":
        for group, columns in _columns(weight.shape):
            together = np.ascontiguousarray(np.abs(weight[group, :, columns]).T)
            peaks[group, columns] = _clips(together, weights, largest)
    found: np.ndarray = np.where(peaks > 0.0, peaks, 1.0)
    return found


def weight_clipping(weight: np.ndarray, clips: np.ndarray, weights: Weights) -> WeightClipping | None:
    """What ``clips``, ``(G, N)``, do to the weights ``(G, K, N)``; ``None`` where the rule is to clip nothing."""
    if weights.range == "max":
        return None
    clipped, error, peak = 0, 0.0, 0.0
    for part in parts(weight.shape):
        magnitudes = np.abs(weight[part].astype(np.float64))
        beyond = magnitudes - clips[:, None, :][part[0], :, part[2]]
        clipped += int(np.count_nonzero(beyond > 0.0))
        error, peak = max(error, float(beyond.max())), max(peak, float(magnitudes.max()))
    return WeightClipping(_rule(weights), clipped, largest_error=error, largest_weight=peak)


def parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Pieces of an array ``(groups, rows, columns)``."""
    groups, rows, columns = shape
    together = max(1, _EDGE**2 // (rows * columns))
    for group in range(0, groups, together):
        for row in range(0, rows, _EDGE):
            for column in range(0, columns, _EDGE):
                yield slice(group, group + together), slice(row, row + _EDGE), slice(column, column + _EDGE)


def _columns(shape: tuple[int, ...]) -> Iterator[tuple[int, slice]]:
    for group in range(shape[0]):
        for column in range(0, shape[2], _EDGE):
            yield group, slice(column, column + _EDGE)


def _rule(weights: Weights) -> str:
    of = f"of a {weights.scale}"
    if weights.range == "percentile":
        return f"{weights.percentile:g} % of the nonzero weights {of}"
    error = f", each weight off by {weights.expected_error:g} of its range" if weights.expected_error else ""
    return f"least squared error {of}{error}"


def _clips(magnitudes: np.ndarray, weights: Weights, largest: int | None) -> np.ndarray:
    """One for each row of magnitudes."""
    if weights.range == "percentile":
        return _percentiles(magnitudes, weights.percentile)
    found: np.ndarray = _least_squares(magnitudes, largest or 0, weights.expected_error)
    return found


def _percentiles(magnitudes: np.ndarray, percent: float) -> np.ndarray:
    ordered = np.sort(magnitudes, axis=1)
    zeros = ordered.shape[1] - np.count_nonzero(ordered, axis=1)
    within = [math.ceil(int(count) * percent / 100.0 - _WHOLE) for count in ordered.shape[1] - zeros]
    places = np.minimum(zeros + np.maximum(within, 1), ordered.shape[1]) - 1
    found: np.ndarray = ordered[np.arange(len(ordered)), places].astype(np.float64)
    return found


@compiled
def _least_squares(magnitudes, largest, expected_error):  # type: ignore[no-untyped-def]
    """The clip of each row; ``largest`` is 0 where nothing is rounded.

    What lies beyond a clip costs more the lower it is: once that alone is more than the least, no lower clip is tried.
    """
    found = np.empty(len(magnitudes))
    for place, row in enumerate(magnitudes):
        peak = np.float64(row.max())
        best, least = peak, np.inf
        for tried in range(_TRIED, 0, -1):
            clip = peak * tried / _TRIED
            step = clip / largest if largest else 0.0
            within, beyond = row.size * (expected_error * clip) ** 2, 0.0
            for each in row:
                value = np.float64(each)
                if value > clip:
                    beyond += (value - clip) ** 2
                elif step > 0.0:
                    within += (value - np.rint(value / step) * step) ** 2
            if within + beyond < least:
                best, least = clip, within + beyond
            if beyond >= least:
                break
        found[place] = best
    return found
