"""The hardware that a model is compiled for: cells, tiles, converters, chip.

All quantities are SI floats here; files and dictionaries spell them with a unit (``g_max = "25 uS"``). Objects are
immutable and valid: make them with :meth:`Hardware.from_dict` or ``xbarc.hardware.load.load_hardware``.

The words ``"unit"`` and *units* of a column current mean one conductance step times one input code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from xbarc.hardware.keys import dotted, listed
from xbarc.hardware.problems import ConflictError, Problem, hardware_error, problems_of, shown
from xbarc.units import format_quantity, parse_quantity

Unlimited = Literal["unlimited"]
Polarity = Literal["unit-cell", "adjacent-columns", "paired-tiles"]
Encoding = Literal["differential", "constant-sum", "offset", "offset-digital", "twos-complement", "biased-flip"]
ScaleScope = Literal["column", "layer"]
Subtraction = Literal["analog", "digital"]
InputMode = Literal["parallel", "bit-serial"]
SignMode = Literal["twos-complement", "phases"]
DacRange = Literal["percentile", "mse", "max"]
AdcRange = Literal["unit", "full-scale", "percentile", "mse", "fixed"]


def _conductance_from_text(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} has no unit, expected S")
    siemens = parse_quantity(value, "S")
    if siemens < 0:
        raise ValueError(f"{shown(value)} is negative, expected at least 0 S")
    return siemens


def _conductance_to_text(siemens: float) -> str:
    return format_quantity(siemens, "S")


Conductance = Annotated[
    float,
    BeforeValidator(_conductance_from_text),
    PlainSerializer(_conductance_to_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "conductance", "examples": ["25 uS"]}),
]
"""Siemens; a string with its unit in files and dictionaries."""

Percentile = Annotated[float, Field(gt=0, le=100)]


class _Table(BaseModel):
    """What all tables have in common: no unknown keys, no conversion between types, no change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Cell(_Table):
    """One programmable conductance."""

    g_min: Conductance = Field(description="conductance of level 0 [S]")
    g_max: Conductance = Field(description="conductance of the highest level [S]")
    levels: Annotated[int, Field(ge=2, le=65536)] | Unlimited = Field(
        default=256, description='programmable conductance levels of a cell; "unlimited" leaves targets unquantised'
    )

    @property
    def g_step(self) -> float | None:
        """Siemens between neighbouring levels; None where the levels are unlimited."""
        return None if self.levels == "unlimited" else (self.g_max - self.g_min) / (self.levels - 1)


class Tile(_Table):
    """One array of cells with its converters."""

    rows: int = Field(ge=1, le=65536, description="rows of a tile: inputs of one read")
    columns: int = Field(ge=1, le=65536, description="columns of a tile: outputs of one read")
    polarity: Polarity = Field(
        default="unit-cell",
        description=(
            "where the two cells of a differential pair lie: at one site, in neighbouring columns, or in two tiles. "
            'Offset encoding has one cell a weight: "unit-cell" alone'
        ),
    )


class Weights(_Table):
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


class Input(_Table):
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


class Dac(_Table):
    """The converters on the rows."""

    bits: Annotated[int, Field(ge=2, le=16)] | Unlimited = Field(description="resolution of an input code")
    range: DacRange = Field(
        default="percentile",
        description="how the calibration sample sets the input range of a layer; of no effect where bits are unlimited",
    )
    percentile: Percentile = Field(
        default=99.99,
        description='share of the input magnitudes inside the range, in percent, for range = "percentile"',
    )


class Adc(_Table):
    """The converters on the columns."""

    # A signed code has 2^(b-1)-1 steps each way: none with one bit.
    bits: Annotated[int, Field(ge=2, le=24)] | Unlimited = Field(description="resolution of an output code")
    range: AdcRange = Field(
        default="percentile",
        description="how the output range of a layer is set; of no effect where bits are unlimited",
    )
    percentile: Percentile = Field(
        default=99.98, description='share of the column currents inside the range, in percent, for range = "percentile"'
    )
    noise_lsb: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="standard deviation of a conversion on a written chip, in output codes"
    )
    fixed_lsb: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description='column current of one output code, in conductance steps times input codes, for range = "fixed"',
    )


class Chip(_Table):
    """How many tiles there are."""

    tiles: Annotated[int, Field(ge=1)] | Unlimited = Field(
        default="unlimited", description="physical tiles on the chip"
    )


class Hardware(_Table):
    """A complete hardware description."""

    name: str = Field(min_length=1, description="what reports call this hardware")
    description: str = Field(default="", description="what this hardware is, in a sentence or two")
    # TOML and JSON give lists; a tuple keeps the description immutable.
    sources: tuple[str, ...] = Field(
        default=(), strict=False, description="citations for the figures of this description"
    )
    cell: Cell = Field(description="one programmable conductance")
    tile: Tile = Field(description="one array of cells with its converters")
    weights: Weights = Field(default=Weights(), description="how a weight becomes levels of cells")
    dac: Dac = Field(description="the converters on the rows")
    input: Input = Field(default=Input(), description="how input codes reach the rows")
    adc: Adc = Field(description="the converters on the columns")
    chip: Chip = Field(default=Chip(), description="how many tiles there are")

    @property
    def weight_columns(self) -> int:
        """Columns of weights that one tile holds: what polarities and the reference column leave of its columns."""
        if self.weights.reference_column:
            return self.tile.columns - 1
        return self.tile.columns // 2 if self.tile.polarity == "adjacent-columns" else self.tile.columns

    @property
    def magnitude_levels(self) -> int | Unlimited:
        """Distinct magnitudes (codes, for encodings of one cell) that all slices of one polarity hold together."""
        return "unlimited" if self.cell.levels == "unlimited" else math.prod(self.weights.radices(self.cell.levels))

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The hardware that :meth:`to_dict` wrote, or that a TOML file spells.

        Raises:
            HardwareError: unknown or missing keys, impossible values, wrong units. All are named, not just the first.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = problems_of(error, cls)
        raise hardware_error(problems, source="the hardware description", place=lambda _: "the hardware description")

    def to_dict(self) -> dict[str, object]:
        """All keys and values, defaults spelled out, as JSON and TOML hold them: quantities are strings with a unit."""
        return self.model_dump(mode="json", exclude_none=True)

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if problems := list(_conflicts(self)):
            raise ConflictError(problems)
        return self


def _conflicts(hardware: Hardware) -> Iterator[Problem]:
    """The rules that join several keys, each reported at the keys that it joins."""
    yield from _cell_conflicts(hardware)
    yield from _input_conflicts(hardware)
    yield from _layout_conflicts(hardware)
    yield from _adc_conflicts(hardware)


def _input_conflicts(hardware: Hardware) -> Iterator[Problem]:
    if hardware.input.mode == "bit-serial" and hardware.dac.bits == "unlimited":
        yield Problem(
            keys=(("input", "mode"), ("dac", "bits")),
            what='input.mode = "bit-serial" takes the digits of a code, and dac.bits = "unlimited" makes none',
            fix='give dac.bits a number, or set input.mode = "parallel"',
        )


def _cell_conflicts(hardware: Hardware) -> Iterator[Problem]:
    cell, slices = hardware.cell, hardware.weights.slices
    if cell.g_min >= cell.g_max:
        low, high = _conductance_to_text(cell.g_min), _conductance_to_text(cell.g_max)
        yield Problem(
            keys=(("cell", "g_min"), ("cell", "g_max")),
            what=f"cell.g_min = {low} is not below cell.g_max = {high}",
            fix="lower cell.g_min or raise cell.g_max",
        )
    if cell.levels == "unlimited":
        if slices > 1:
            yield Problem(
                keys=(("weights", "slices"), ("cell", "levels")),
                what=f"weights.slices = {slices} splits a weight that a cell of unlimited levels holds whole",
                fix="set weights.slices = 1, or give cell.levels a number",
            )
        return
    given = hardware.weights.slice_levels
    if given is not None and len(given) != slices:
        yield Problem(
            keys=(("weights", "slice_levels"), ("weights", "slices")),
            what=f"weights.slice_levels lists {len(given)} slices, and weights.slices = {slices}",
            fix="give each slice its levels",
        )
        return
    if given is not None and max(given) > cell.levels:
        yield Problem(
            keys=(("weights", "slice_levels"), ("cell", "levels")),
            what=f"weights.slice_levels asks for {max(given)} levels of a cell, and cell.levels = {cell.levels}",
            fix="lower weights.slice_levels, or raise cell.levels",
        )
        return
    if math.prod(hardware.weights.radices(cell.levels)) > 2**16:
        yield Problem(
            keys=(("weights", "slices"), ("cell", "levels")),
            what=f"weights.slices = {slices} of cell.levels = {cell.levels} make more than 65536 levels a weight",
            fix="lower weights.slices or cell.levels until cell.levels ** weights.slices is at most 65536",
        )


def _layout_conflicts(hardware: Hardware) -> Iterator[Problem]:
    tile, weights, encoding = hardware.tile, hardware.weights, f'"{hardware.weights.encoding}"'
    yield from _encoding_conflicts(hardware)
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


def _encoding_conflicts(hardware: Hardware) -> Iterator[Problem]:
    weights, keys = hardware.weights, (("weights", "encoding"), ("weights", "subtraction"))
    offset = weights.encoding in ("offset", "offset-digital", "biased-flip")
    if offset and hardware.magnitude_levels == 2:
        yield Problem(
            keys=(("cell", "levels"), ("weights", "encoding")),
            what="cell.levels = 2 in one slice leaves an offset code no level beside its middle",
            fix='give cell.levels or weights.slices a larger number, or set weights.encoding = "differential"',
        )
    if weights.encoding == "constant-sum" and hardware.magnitude_levels == 1:
        yield Problem(
            keys=(("cell", "levels"), ("weights", "encoding")),
            what="cell.levels = 2 leaves a pair around the middle no level beside it",
            fix='give cell.levels at least 3, or set weights.encoding = "differential"',
        )
    if weights.encoding == "twos-complement" and (weights.slices < 2 or hardware.cell.levels == "unlimited"):
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


def _adc_conflicts(hardware: Hardware) -> Iterator[Problem]:
    adc = hardware.adc
    if adc.range == "fixed" and adc.fixed_lsb is None:
        yield Problem(
            keys=(("adc", "fixed_lsb"), ("adc", "range")),
            what='adc.fixed_lsb is missing, which adc.range = "fixed" needs',
            fix="give adc.fixed_lsb a number above 0, in conductance steps times input codes",
        )
    if adc.range != "fixed" and adc.fixed_lsb is not None:
        yield Problem(
            keys=(("adc", "fixed_lsb"), ("adc", "range")),
            what=f'adc.fixed_lsb = {adc.fixed_lsb:g} has no effect with adc.range = "{adc.range}"',
            fix='remove adc.fixed_lsb, or set adc.range = "fixed"',
        )
    stepless = [
        path
        for path, resolution in ((("cell", "levels"), hardware.cell.levels), (("dac", "bits"), hardware.dac.bits))
        if resolution == "unlimited"
    ]
    if adc.range in ("unit", "full-scale", "fixed") and adc.bits != "unlimited" and stepless:
        names = listed(dotted(path) for path in stepless)
        yield Problem(
            keys=(("adc", "range"), *stepless),
            what=f'adc.range = "{adc.range}" counts steps of cells and input codes, and {names} = "unlimited" has none',
            fix=f"give {names} a number, or set another adc.range",
        )
