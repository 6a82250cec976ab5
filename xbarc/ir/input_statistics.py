"""What a calibration sample applies to the rows of a layer: what the energy of DACs and cells depends on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DigitStatistics:
    """One digit of the input codes, or the whole codes where these are applied at once.

    A level is the magnitude of a digit or code over the largest that its layer applies. The means are over all windows
    of the sample and all rows of the layer's matrix, padding included.

    Attributes:
        level: mean level.
        squared: mean of the square of the level.
        nonzero: share of levels that are not zero.
        cell_squared: mean over all cells of the layer of the square of the level at their row.
        cell_levels: likewise, of that times the level that the cell holds.
    """

    level: float
    squared: float
    nonzero: float
    cell_squared: float
    cell_levels: float


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """What the DACs of one layer make of a sample, whose values come as they do in calibration.

    Attributes:
        windows: that the sample has.
        histogram: of input codes, each input once, in at most 256 bins of equal width from the lowest code up to the
            highest.
        digits: in the order of the reads.
    """

    windows: int
    histogram: tuple[int, ...]
    digits: tuple[DigitStatistics, ...]
