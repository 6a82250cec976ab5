"""What the converters of single tile reads would need, and what a sample made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ReadConversions:
    """The reads of one window of a layer, each by itself.

    A read is one of ``shape``: slices, the sides of each that are converted apart (one where their currents are
    subtracted), blocks (the ``D`` of :class:`xbarc.ir.partition.Partition`) and input digits. Of all columns of the
    block together. Lists hold one entry a read, the last axis fastest; they are plain, so that files and reports hold
    them as they are.

    Attributes:
        shape: ``(slices, sides, blocks, digits)``.
        bits: the fewest bits of an ADC that loses nothing of the read, whatever its range; ``None`` where the read has
            no such number: its currents are no whole numbers.
        lossless: whether nothing of the read is lost with the layer's bits and range.
        conversions: of the sample, by each read of a block, ``(blocks,)``.
        clipped: how many of them met the end of the range.
    """

    shape: tuple[int, int, int, int]
    bits: tuple[int, ...] | None
    lossless: tuple[bool, ...]
    conversions: tuple[int, ...]
    clipped: tuple[int, ...]

    def clipped_share(self) -> float | None:
        """Share of all conversions that met the end of the range; ``None`` where there were none."""
        slices, sides, _, digits = self.shape
        total = slices * sides * digits * sum(self.conversions)
        return sum(self.clipped) / total if total else None

    def clipped_shares(self) -> np.ndarray:
        """Share of each read's conversions that met the end of the range, of ``shape``; 0 where there were none."""
        counts = np.maximum(np.array(self.conversions, dtype=np.float64), 1.0)
        shares: np.ndarray = np.array(self.clipped, dtype=np.float64).reshape(self.shape) / counts[:, None]
        return shares
