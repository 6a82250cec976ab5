"""Fast read noise of cells whose products are taken in integers: the variances behind columns, for squared codes.

As little is computed as the noise needs: nothing where the ADC cannot tell; a sum of squares where the cells of every
column are alike; a product with squares in one byte, rounded where that cannot be told; else squares in two bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.runtime import read_kernels, square_kernels
from xbarc.runtime.code_product import BoundProduct, Buffers, CodeProduct

#: Steps that the largest variance of a column is counted in: one digit, less one for rounding.
_STEPS: Final = 62
#: Noise whose standard deviation stays below this share of the ADC's step, whatever the input, is left out.
UNSEEN_DEVIATION: Final = 0.01
#: Squares are rounded to a byte where the variance is off by less than this share of the ADC's step squared (one
#: standard deviation of the rounding): a third of what rounding to codes itself makes.
UNSEEN_VARIANCE: Final = 0.03
_GOLDEN: Final = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class CellNoise:
    """What is behind the columns of a block.

    Attributes:
        product: of squared codes with the steps of the cells' variances behind each matrix; ``None``: all cells of a
            column are alike, and the sum of the squares is the product.
        steps: of each matrix ``(columns,)`` float32: what a unit of the product counts.
        references, reference_steps: the same of reference columns that are subtracted in the currents.
        gain: squares times this, in 16 bits, of which the upper eight are taken; 0: both bytes are.
        rounding: ``(rows,)`` uint16: added before, another for each row, so that their errors cancel.
    """

    product: CodeProduct | None
    steps: tuple[np.ndarray, ...]
    references: CodeProduct | None
    reference_steps: tuple[np.ndarray, ...]
    gain: int
    rounding: np.ndarray


def cell_noise(
    variances: list[np.ndarray], references: list[np.ndarray], *, largest: int, lsb: float | None
) -> CellNoise | None:
    """The noise of a block; ``None``: there is none that anything behind it could tell.

    Args:
        variances: ``(rows, columns)`` behind each matrix.
        references: likewise, behind reference columns that are subtracted in the currents.
        largest: magnitude of a code or digit.
        lsb: step of the ADC, in the root of the variances' unit; ``None``: it passes currents as they are.
    """
    both, most = [*variances, *references], float(largest) ** 2
    if not any(variance.any() for variance in both):
        return None
    if lsb is not None and max(float(one.sum(axis=0).max()) for one in both) * most <= (UNSEEN_DEVIATION * lsb) ** 2:
        return None
    rows = len(variances[0])
    gain = min(256, 2 ** int(np.log2((2**16 - 2**8) / max(most, 1.0))))
    rounding = np.floor(256 * np.modf(_GOLDEN * np.arange(1, rows + 1))[0]).astype(np.uint16)
    if not references and rows * most < 2**31 and all((one == one[:1]).all() for one in variances):
        alike = tuple(one[0].astype(np.float32) for one in variances)
        return CellNoise(None, alike, None, (), gain, rounding)
    unit = 256 // gain  # of squares in a byte
    off = unit / 6**0.5 * max(float(np.sqrt(np.square(one).sum(axis=0)).max()) for one in both)
    if unit > 1 and (lsb is None or off > UNSEEN_VARIANCE * lsb**2):
        gain, unit = 0, 1
    product, steps = _stepped(variances, unit)
    common, reference_steps = _stepped(references, unit)
    return CellNoise(product, steps, common, reference_steps, gain, rounding)


class NoiseReads:
    """The variances of a block for some windows.

    Args:
        noise: of the block.
        applied: ``(windows, rows)`` bytes, which hold the codes of a read when :meth:`multiply` is called.
        lines: windows that lie side by side.
        buffers: to work in.
    """

    def __init__(self, noise: CellNoise, applied: np.ndarray, lines: int, buffers: Buffers) -> None:
        self._noise, self._applied = noise, applied
        windows, rows = applied.shape
        self._lines, self._columns = lines, len(noise.steps[0])
        self._squares = buffers.take("squares", (1 if noise.gain else 2, windows, rows), np.uint8)
        flat = self._squares.reshape(-1, rows)
        self._own = self._references = None
        if noise.product is not None:
            self._own = BoundProduct("noise", noise.product, noise.steps, flat, lines, buffers)
        else:
            self._totals = buffers.take("noise", (windows, self._columns), np.int32)
            self._steps = tuple(np.concatenate([step] * lines) for step in noise.steps)
        if noise.references is not None:
            self._references = BoundProduct("references", noise.references, noise.reference_steps, flat, 1, buffers)
        self._variance = buffers.take("variance", (windows, self._columns), np.float32)
        self._none = np.empty((0, 0), dtype=np.int32)

    @property
    def whole(self) -> bool:
        """Whether a read with its noise is one kernel: squares are one byte, and nothing is subtracted in currents."""
        return self._noise.gain > 0 and self._references is None

    def multiply(self, zero: int) -> None:
        """Take the products of what is applied, of which this byte is 0."""
        if self._own is None:
            square_kernels.total_squares(self._applied, np.int32(zero), self._totals)
            return
        if self._noise.gain:
            numbers = np.uint16(zero), np.uint16(self._noise.gain), self._noise.rounding
            square_kernels.round_squares(self._applied, *numbers, self._squares[0])
        else:
            low, high = self._squares
            square_kernels.halve_squares(self._applied.reshape(-1), zero, low.reshape(-1), high.reshape(-1))
        self._own.multiply()
        if self._references is not None:
            self._references.multiply()

    def steps(self, read: int, windows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Variances of some windows in a read as whole steps, ``(lines, columns)`` int32, and what a step counts.

        Only where :attr:`whole`.
        """
        if self._own is None:
            some = self._totals[windows]
            return some.reshape(len(some) // self._lines, -1), self._steps[read]
        return self._own.of(read, windows), self._own.each[read]

    def variance(self, read: int, windows: slice) -> np.ndarray:
        """Of some windows in a read, ``(windows, columns)`` float32."""
        variance = self._variance[windows]
        if self._own is None:
            low, step = self.steps(read, windows)
            read_kernels.scale_variances(low, self._none, step, variance.reshape(low.shape))
            return variance
        return self._scaled(self._own, read, windows, variance)

    def reference_variance(self, read: int, windows: slice) -> np.ndarray | None:
        """Of the reference columns of a read, ``(windows, column blocks)``; ``None``: there are none."""
        if self._references is None:
            return None
        shape = windows.stop - windows.start, self._references.columns
        return self._scaled(self._references, read, windows, np.empty(shape, dtype=np.float32))

    def _scaled(self, bound: BoundProduct, read: int, windows: slice, variance: np.ndarray) -> np.ndarray:
        low, high = bound.of(read, windows), self._none
        if not self._noise.gain:
            whole = len(self._applied)
            high = bound.of(read, slice(whole + windows.start, whole + windows.stop))
        read_kernels.scale_variances(low, high, bound.each[read], variance.reshape(len(low), -1))
        return variance


def _stepped(variances: list[np.ndarray], unit: int) -> tuple[CodeProduct | None, tuple[np.ndarray, ...]]:
    """Variances of cells in whole steps of each column, such that a product with squared codes is exact.

    A cell is off by a step at most; what is left over is carried on to the next row, so that the sums of columns stay
    what they are.
    """
    if not variances:
        return None, ()
    whole, steps = [], []
    for variance in variances:
        step = variance.max(axis=0) / _STEPS
        counted = np.cumsum(variance / np.where(step > 0, step, 1.0), axis=0)
        whole.append(np.diff(np.rint(counted), axis=0, prepend=0.0).astype(np.int32))
        steps.append((step * unit).astype(np.float32))
    return CodeProduct(whole), tuple(steps)
