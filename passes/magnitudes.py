"""A histogram of magnitudes that grows with its data, and the converter ranges that follow from it."""

from __future__ import annotations

import math

import numpy as np

from xbarc.compiled import compiled
from xbarc.errors import DataError

_BINS = 8192
_PART_BINS = 2**20  # of all parts together, but for the fewest that a part has
_FEWEST = 64
_TINY = float(np.finfo(np.float32).tiny)


@compiled
def _count(values, per_unit, bins, own, shift):  # type: ignore[no-untyped-def]
    """Add the magnitudes of a two-dimensional array to bins of the width ``1 / per_unit``; return how many.

    ``own`` bins, where there are any, are filled too, each as wide as ``2^shift`` of the others.
    """
    last, count = bins.size - 1, 0
    for row in values:
        for value in row:
            magnitude = abs(np.float64(value))
            if magnitude >= _TINY:
                place = min(np.int64(magnitude * per_unit), last)
                bins[place] += 1
                if own.size:
                    own[place >> shift] += 1
                count += 1
    return count


class Magnitudes:
    """How often each magnitude occurs, in bins of equal width from zero up.

    The width is a power of two and doubles when a larger magnitude comes, so that the result does not depend on the
    order of the data or on how it is cut into pieces.

    Zeros (and subnormal numbers) are not counted: no converter clips them, and those of a sparse input would hide all
    else behind them.

    Args:
        name: of the layer, for messages.
        parts: how many parts of the data are told apart in :meth:`beyond`; of many, in coarser bins.

    Attributes:
        reached: whether anything was seen at all.
        count: values seen that are not zero.
        largest: largest magnitude seen.
        negative: whether a negative value was seen.
    """

    def __init__(self, name: str, *, parts: int = 0) -> None:
        self.reached = False
        self.count = 0
        self.largest = 0.0
        self.negative = False
        self._name = name
        self._width = 0.0
        self._bins = np.zeros(_BINS, dtype=np.int64)
        self._shift = 0
        while parts * (_BINS >> self._shift) > _PART_BINS and _BINS >> self._shift > _FEWEST:
            self._shift += 1
        self._own = np.zeros((parts, _BINS >> self._shift), dtype=np.int64)

    def add(self, values: np.ndarray, part: int | None = None) -> None:
        """Count the magnitudes of an array of any shape, of a part of the data or of none in particular.

        Raises:
            DataError: a value that is not finite.
        """
        self.reached = True
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        largest = max(-low, high)
        if not math.isfinite(largest):
            raise DataError(
                "the calibration sample makes values that are not finite",
                where=f"layer {self._name!r}",
                fix="leave out the samples for which the network gives infinity or NaN",
            )
        if largest < _TINY:
            return
        self.negative = self.negative or low < 0.0
        self._cover(largest)
        self.largest = max(self.largest, largest)
        rows = values.reshape(len(values) if values.ndim else 1, -1)
        compiled = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
        own = self._bins[:0] if part is None else self._own[part]
        self.count += _count(compiled, 1.0 / self._width, self._bins, own, self._shift)

    def _cover(self, largest: float) -> None:
        needed = 2.0 ** (math.floor(math.log2(largest)) + 1) / _BINS
        if self._width == 0.0:
            self._width = needed
        while self._width < needed:
            self._bins, self._own = _twice_as_wide(self._bins), _twice_as_wide(self._own)
            self._width *= 2.0

    def percentile(self, percent: float) -> float:
        """The magnitude below which ``percent`` of the nonzero values lie, to the width of a bin."""
        if self.largest == 0.0:
            return 0.0
        cumulated = np.cumsum(self._bins)
        place = int(np.searchsorted(cumulated, percent / 100.0 * self.count, side="left"))
        return min((place + 1) * self._width, self.largest)

    def share_beyond(self, limit: float) -> float:
        """Share of the nonzero values whose magnitude exceeds ``limit``, to the width of a bin."""
        if self.count == 0 or limit >= self.largest:
            return 0.0
        return float(self._bins[math.ceil(limit / self._width) :].sum()) / self.count

    def beyond(self, limit: float) -> np.ndarray:
        """How many values of each part have a magnitude of ``limit`` or more, ``(parts,)`` int64.

        To the width of a bin, which is less than one for whole numbers below 4096 in up to 128 parts: those of the bin
        that holds the limit do not count.
        """
        if self._width == 0.0:
            return np.zeros(len(self._own), dtype=np.int64)
        counts: np.ndarray = self._own[:, math.ceil(limit / (self._width * 2**self._shift)) :].sum(axis=1)
        return counts

    def least_squares_limit(self, steps: int) -> float:
        """The range end that makes the mean squared error of a converter least.

        Within the range a value is off by a uniformly distributed part of one step, ``step^2 / 12`` on average; beyond
        it, by its distance from the end. ``steps`` is the number of steps from zero to the end.
        """
        if self.largest == 0.0:
            return 0.0
        centres = (np.arange(_BINS) + 0.5) * self._width
        best, least = self.largest, math.inf
        for limit in self.largest * np.arange(1, 257) / 256:
            beyond = centres > limit
            rounding = self._bins[~beyond].sum() * (limit / steps) ** 2 / 12
            error = rounding + float((self._bins[beyond] * (centres[beyond] - limit) ** 2).sum())
            if error < least:
                best, least = float(limit), error
        return best


def _twice_as_wide(bins: np.ndarray) -> np.ndarray:
    """The same counts in bins of twice the width, as many of them."""
    paired = bins[..., ::2] + bins[..., 1::2]
    return np.concatenate([paired, np.zeros_like(paired)], axis=-1)
