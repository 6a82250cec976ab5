"""Bit-serial input: a code is applied digit by digit, one read of the array for each.

Every digit is a number of at least 0. Signed codes are two's complement, whose sign is a digit of its own that counts
negatively, or come in two phases, the positive codes and then the magnitudes of the negative ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

#: Where a digit is taken from: the code itself, its two's complement without the sign, the sign, either phase.
DigitSource = Literal["code", "complement", "sign", "positive", "negative"]
#: How signed codes are applied.
SignMode = Literal["twos-complement", "phases"]


@dataclass(frozen=True, slots=True)
class Digit:
    """One read.

    Attributes:
        source: what part of the code it is taken from.
        shift, width: its lowest bit there, and how many bits it has.
        weight: what it counts in the code.
    """

    source: DigitSource
    shift: int
    width: int
    weight: int

    @property
    def high(self) -> int:
        """The largest digit."""
        return int(2**self.width - 1)


@dataclass(frozen=True, slots=True)
class Digits:
    """How codes are parted.

    Attributes:
        bits: of a code's magnitude, the sign of a signed code excepted.
        width: bits of a digit; the last of a code may have fewer.
        sign: how signed codes are applied; ``None``: there are none.
    """

    bits: int
    width: int
    sign: SignMode | None

    @property
    def reads(self) -> tuple[Digit, ...]:
        """The digits, most significant first."""
        if self.sign is None:
            return self._part("code", 1)
        if self.sign == "phases":
            return (*self._part("positive", 1), *self._part("negative", -1))
        return (Digit("sign", 0, 1, -(2**self.bits)), *self._part("complement", 1))

    @property
    def high(self) -> int:
        """The largest digit of any read."""
        return max(digit.high for digit in self.reads)

    def split(self, codes: np.ndarray) -> np.ndarray:
        """The digits of integer codes, ``(reads, *shape)`` int64."""
        whole = codes.astype(np.int64)
        sources = {
            "code": whole,
            "complement": np.where(whole < 0, whole + 2**self.bits, whole),
            "sign": (whole < 0).astype(np.int64),
            "positive": np.maximum(whole, 0),
            "negative": np.maximum(-whole, 0),
        }
        return np.stack([(sources[digit.source] >> digit.shift) & digit.high for digit in self.reads])

    def _part(self, source: DigitSource, sign: int) -> tuple[Digit, ...]:
        shifts = reversed(range(0, self.bits, self.width))
        return tuple(Digit(source, shift, min(self.width, self.bits - shift), sign * 2**shift) for shift in shifts)
