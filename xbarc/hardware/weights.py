"""How a weight becomes levels of cells and an input becomes codes on rows, and which of these rules go together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from xbarc.hardware.problems import Problem
from xbarc.hardware.quantities import Table
from xbarc.hardware.tables import Cell, Dac, Percentile, Tile, Unlimited

Encoding = Literal["differential", "constant-sum", "offset", "offset-digital", "twos-complement", "biased-flip"]
ScaleScope = Literal["column", "layer"]
WeightRange = Literal["max", "percentile", "mse"]
Subtraction = Literal["analog", "digital"]
InputMode = Literal["parallel", "bit-serial"]
SignMode = Literal["twos-complement", "phases"]


class Weights(Table):
    """How a weight becomes levels of cells."""

    encoding: Encoding = Field(
        default="differential",
        description=(
            "signed weights as pairs of cells, one of them at level 0 (differential) or both around the middle "
            "(constant-sum); as one cell with an offset that a reference column (offset) or the digital unit takes off "
            "(offset-digital); as two's complement with the sign in the first slice (twos-complement); or as ISAAC's "
            "offset code with columns flipped and a unit column (biased-flip)"
        ),
    )
    slices: int = Field(default=1, ge=1, le=16, description="cells that share the digits of one weight")
    slice_levels: tuple[Annotated[int, Field(ge=2, le=65536)], ...] | None = Field(
        default=None,
        strict=False,
        description="levels that each slice uses, most significant first; all that a cell has by default",
    )
    scale: ScaleScope = Field(default="column", description="what has one weight scale: each column, or the layer")
    range: WeightRange = Field(
        default="max",
        description="which weight of a column (or of the layer) takes the highest level; larger ones are clipped to it",
    )
    percentile: Percentile = Field(
        default=99.9,
        description='share of the nonzero weights inside the range, in percent, for range = "percentile"',
    )
    expected_error: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "standard deviation of a weight's error on a written chip, over the weight of the highest level, that "
            'range = "mse" reckons with besides rounding'
        ),
    )
    subtraction: Subtraction = Field(
        default="analog",
        description="whether polarities (or the reference column) are subtracted before or after the ADC",
    )

    @property
    def polarities(self) -> int:
        """Cells a weight and slice: 2 for pairs, 1 for other encodings."""
        return 2 if self.encoding in ("differential", "constant-sum") else 1

    @property
    def reference_column(self) -> bool:
        """Whether each column block of a tile ends in a reference column."""
        return self.encoding in ("offset", "biased-flip")

    def radices(self, levels: int) -> tuple[int, ...]:
        """Digits that each slice can hold of a weight, in cells of so many levels.

        Of a pair around the middle, half the levels go up and half go down. The sign of two's complement takes two.
        """
        given = self.slice_levels or (levels,) * self.slices
        if self.encoding == "constant-sum":
            return tuple((each - 1) // 2 + 1 for each in given)
        if self.encoding == "twos-complement":
            return (2, *given[1:])
        return given


class Input(Table):
    """How input codes reach the rows."""

    mode: InputMode = Field(
        default="parallel", description="a code at once, or one digit of it after the other, one read each"
    )
    digit_bits: int = Field(
        default=1, ge=1, le=8, description='bits of a digit, for mode = "bit-serial"; without effect otherwise'
    )
    sign: SignMode = Field(
        default="twos-complement",
        description=(
            "how signed codes are applied digit by digit: the sign as a digit of its own that counts negatively, or "
            'positive and negative codes in two phases; without effect in mode = "parallel"'
        ),
    )


def magnitude_levels(weights: Weights, cell: Cell) -> int | Unlimited:
    """Distinct magnitudes (codes, for encodings of one cell) that all slices of one polarity hold together."""
    return "unlimited" if cell.levels == "unlimited" else math.prod(weights.radices(cell.levels))


def weight_conflicts(weights: Weights, *, cell: Cell, tile: Tile) -> Iterator[Problem]:
    """Slices and encodings that cells of these levels, or tiles of this layout, do not allow."""
    yield from _range_conflicts(weights)
    yield from _slice_conflicts(weights, cell)
    yield from _encoding_conflicts(weights, cell)
    yield from _layout_conflicts(weights, tile)


def input_conflicts(given: Input, *, dac: Dac) -> Iterator[Problem]:
    """Digits of codes that there are none of."""
    if given.mode == "bit-serial" and dac.bits == "unlimited":
        yield Problem(
            keys=(("input", "mode"), ("dac", "bits")),
            what='input.mode = "bit-serial" takes the digits of a code, and dac.bits = "unlimited" makes none',
            fix='give dac.bits a number, or set input.mode = "parallel"',
        )


def _range_conflicts(weights: Weights) -> Iterator[Problem]:
    if weights.expected_error and weights.range != "mse":
        yield Problem(
            keys=(("weights", "expected_error"), ("weights", "range")),
            what=f"weights.expected_error = {weights.expected_error:g} has no effect with "
            f'weights.range = "{weights.range}"',
            fix='remove weights.expected_error, or set weights.range = "mse"',
        )


def _slice_conflicts(weights: Weights, cell: Cell) -> Iterator[Problem]:
    slices, given = weights.slices, weights.slice_levels
    if given is not None and len(given) != slices:
        yield Problem(
            keys=(("weights", "slice_levels"), ("weights", "slices")),
            what=f"weights.slice_levels lists {len(given)} slices, and weights.slices = {slices}",
            fix="give each slice its levels",
        )
    elif cell.levels == "unlimited":
        if slices > 1:
            yield Problem(
                keys=(("weights", "slices"), ("cell", "levels")),
                what=f"weights.slices = {slices} splits a weight that a cell of unlimited levels holds whole",
                fix="set weights.slices = 1, or give cell.levels a number",
            )
    elif given is not None and max(given) > cell.levels:
        yield Problem(
            keys=(("weights", "slice_levels"), ("cell", "levels")),
            what=f"weights.slice_levels asks for {max(given)} levels of a cell, and cell.levels = {cell.levels}",
            fix="lower weights.slice_levels, or raise cell.levels",
        )
    elif math.prod(weights.radices(cell.levels)) > 2**16:
        yield Problem(
            keys=(("weights", "slices"), ("cell", "levels")),
            what=f"weights.slices = {slices} of cell.levels = {cell.levels} make more than 65536 levels a weight",
            fix="lower weights.slices or cell.levels until cell.levels ** weights.slices is at most 65536",
        )


def _encoding_conflicts(weights: Weights, cell: Cell) -> Iterator[Problem]:
    keys = (("weights", "encoding"), ("weights", "subtraction"))
    levels = magnitude_levels(weights, cell)
    offset = weights.encoding in ("offset", "offset-digital", "biased-flip")
    if offset and levels == 2:
        yield Problem(
            keys=(("cell", "levels"), ("weights", "encoding")),
            what="cell.levels = 2 in one slice leaves an offset code no level beside its middle",
            fix='give cell.levels or weights.slices a larger number, or set weights.encoding = "differential"',
        )
    if weights.encoding == "constant-sum" and levels == 1:
        yield Problem(
            keys=(("cell", "levels"), ("weights", "encoding")),
            what="cell.levels = 2 leaves a pair around the middle no level beside it",
            fix='give cell.levels at least 3, or set weights.encoding = "differential"',
        )
    if weights.encoding == "twos-complement" and (weights.slices < 2 or cell.levels == "unlimited"):
        yield Problem(
            keys=(("weights", "slices"), ("weights", "encoding")),
            what='weights.encoding = "twos-complement" has its sign in a slice of its own, beside those of the digits',
            fix="give weights.slices at least 2, and cell.levels a number",
        )
    if weights.encoding in ("offset-digital", "twos-complement", "biased-flip") and weights.subtraction == "analog":
        yield Problem(
            keys=keys,
            what=f'weights.encoding = "{weights.encoding}" adds up codes: nothing is subtracted before the ADC',
            fix='set weights.subtraction = "digital"',
        )


def _layout_conflicts(weights: Weights, tile: Tile) -> Iterator[Problem]:
    encoding = f'"{weights.encoding}"'
    if weights.polarities == 1:
        if tile.polarity != "unit-cell":
            yield Problem(
                keys=(("tile", "polarity"), ("weights", "encoding")),
                what=f'tile.polarity = "{tile.polarity}" places pairs, and weights.encoding = {encoding} has none',
                fix='set tile.polarity = "unit-cell", or weights.encoding = "differential"',
            )
        if tile.columns < 2 and weights.reference_column:
            yield Problem(
                keys=(("tile", "columns"), ("weights", "encoding")),
                what=f"tile.columns = 1 has no room beside the reference column of {encoding[1:-1]} encoding",
                fix="give tile.columns at least 2",
            )
        return
    if tile.polarity == "adjacent-columns" and tile.columns < 2:
        yield Problem(
            keys=(("tile", "columns"), ("tile", "polarity")),
            what='tile.columns = 1 has no room for the pairs of tile.polarity = "adjacent-columns"',
            fix="give tile.columns at least 2",
        )
    if tile.polarity == "paired-tiles" and weights.subtraction == "analog":
        yield Problem(
            keys=(("weights", "subtraction"), ("tile", "polarity")),
            what='weights.subtraction = "analog" needs both cells of a pair at one ADC, and paired tiles have one each',
            fix='set weights.subtraction = "digital", or another tile.polarity',
        )
