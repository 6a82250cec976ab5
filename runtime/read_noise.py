"""Noise that is drawn anew at every read: of cells, applied to columns, and of conversions.

The sum of many independent normal deviates is one normal deviate with the sum of their variances, so a column's noise
costs a second product, of squared codes and cell variances, and one draw a conversion: exact in distribution.
"""

from __future__ import annotations

import math

import numpy as np

from xbarc.random import Key, fill_normals
from xbarc.runtime import kernels
from xbarc.runtime.layer_plan import LayerNoise, LayerPlan


class LayerReads:
    """The reads of a layer for one batch, each with its place in the stream of random numbers.

    Args:
        plan: with noise.
        noise: of the plan.
        shape: of the layer's input.
        windows: of one image.
        first_sample: number of the batch's first sample in its data set.
        again: other numbers give other noise for the same inputs: the repeat, then the repetitions of loops.
    """

    def __init__(
        self,
        plan: LayerPlan,
        noise: LayerNoise,
        *,
        shape: tuple[int, ...],
        windows: int,
        first_sample: int,
        again: tuple[int, ...],
    ) -> None:
        self._plan, self._seed = plan, noise.seed
        self._words = window_words(plan, shape, windows, first_sample)
        deviation = noise.adc_noise_lsb * plan.lsb if plan.adc_codes else 0.0
        self._deviation = plan.dtype.type(deviation)
        # variances of cells are in float32 where products are in integers, else in float64
        self._converters = (np.float64 if plan.zero is None else np.float32)(deviation**2)
        self._again = again
        self._keys: dict[tuple[int, int, int, int, str], Key] = {}

    def _key(self, place: tuple[int, int, int, int], side: str) -> Key:
        """Of one read, or of its reference columns."""
        found = self._keys.get((*place, side))
        if found is None:
            counted = place if self._plan.digits else place[:3]
            found = Key.stream(self._seed, "read", self._plan.name, *counted, side, *self._again)
            self._keys[*place, side] = found
        return found

    def drawn(
        self, place: tuple[int, int, int, int], first: int, count: int
    ) -> tuple[np.floating, np.floating, np.ndarray, np.ndarray]:
        """What one read of some windows is drawn with, for kernels: variance and deviation of the converters, the two
        words of the key ``(2,)`` and those of each window ``(count, 2)``, uint32.
        """
        key = self._key(place, "column")
        words = np.array([key.low, key.high], dtype=np.uint32)
        return self._converters, self._deviation, words, self._words[first : first + count]

    def add(
        self,
        place: tuple[int, int, int, int],
        currents: np.ndarray,
        first: int,
        count: int,
        *,
        variance: np.ndarray | None,
        reference_variance: np.ndarray | None,
    ) -> None:
        """Add the noise of one read to its currents.

        Args:
            place: diagonal, row block, matrix and digit.
            currents: ``(windows of all panels, columns)``.
            first, count: which windows of the batch these are.
            variance: of the cells behind each column, of the shape of the currents; ``None``: they are quiet.
            reference_variance: of the reference columns that are subtracted in the currents, ``(windows, column
                blocks)``; ``None``: there are none.
        """
        words = self._words[first : first + count]
        deviates = np.empty((count, currents.shape[1]), dtype=np.float32)
        fill_normals(deviates, self._key(place, "column"), words, 0, 0)
        if variance is None:
            kernels.add_constant_noise(currents, count, self._deviation, deviates)
        else:
            kernels.add_noise(currents, count, variance, self._converters, deviates)
        if reference_variance is not None:
            common = np.empty((count, reference_variance.shape[1]), dtype=np.float32)
            fill_normals(common, self._key(place, "reference"), words, 0, 0)
            kernels.add_reference_noise(currents, count, reference_variance, common, self._plan.block_columns)


def window_words(plan: LayerPlan, shape: tuple[int, ...], windows: int, first_sample: int) -> np.ndarray:
    """``(windows of the batch, 2)``: of each window its sample in the data set, and which window of the sample it is.

    A layer whose windows mix samples counts its windows through, from the first sample of the batch.
    """
    if plan.windows.rank:
        words = np.empty((shape[0], windows, 2), dtype=np.uint32)
        words[..., 0] = np.arange(first_sample, first_sample + shape[0])[:, None]
        words[..., 1] = np.arange(windows)
        return words.reshape(-1, 2)
    leading = shape[:-1]
    words = np.empty((*leading, 2), dtype=np.uint32)
    if plan.sample_axis is None or plan.sample_axis >= len(leading):  # mixed: numbered through
        words[..., 0] = first_sample
        words[..., 1] = np.arange(math.prod(leading)).reshape(leading)
    else:
        axis = plan.sample_axis
        inner = leading[:axis] + leading[axis + 1 :]
        samples = np.arange(first_sample, first_sample + leading[axis])
        words[..., 0] = samples.reshape(-1, *[1] * (len(leading) - axis - 1))
        words[..., 1] = np.expand_dims(np.arange(math.prod(inner)).reshape(inner), axis)
    return words.reshape(-1, 2)
