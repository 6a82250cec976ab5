"""The tables of a hardware description that stand alone: cell, tile, converters, core, network, chip.

All quantities are SI floats here; files and dictionaries spell them with a unit (``g_max = "25 uS"``).
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field

from xbarc.hardware.quantities import (
    Conductance,
    Frequency,
    Resistance,
    SampleRate,
    Size,
    Table,
    Temperature,
    Time,
    Voltage,
)

Unlimited = Literal["unlimited"]
Polarity = Literal["unit-cell", "adjacent-columns", "paired-tiles"]
DacRange = Literal["percentile", "mse", "max"]
AdcRange = Literal["unit", "full-scale", "percentile", "mse", "fixed"]

#: Kelvins, of the resistances of wires as they are given.
WIRES_GIVEN_AT: Final = 300.0

Percentile = Annotated[float, Field(gt=0, le=100)]
Inl = Annotated[tuple[float, ...], Field(min_length=2, max_length=4097)]


class Cell(Table):
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


class Tile(Table):
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
    active_rows: int | None = Field(
        default=None, ge=1, le=65536, description="rows that one read drives at most; all of them where not given"
    )
    read_time: Time | None = Field(
        default=None, description="time of one read of a tile, the conversion of all its columns included [s]"
    )
    write_time: Time | None = Field(
        default=None,
        description="time in which all cells of one row of a tile are written, their verifying reads included [s]",
    )
    read_voltage: Voltage | None = Field(
        default=None,
        description=(
            "voltage on a row at the largest input code or digit, smaller ones in proportion: for cells that are no "
            "resistors, on a written chip, and for the energy of the cells where no component's figures include it [V]"
        ),
    )
    temperature: Temperature | None = Field(
        default=None,
        description=(
            "temperature of the wires, from 300 K on: the resistances of row_wire and column_wire are those at 300 K, "
            "which it is where not given [K]"
        ),
    )
    row_wire: Resistance = Field(
        default=0.0,
        description=(
            "resistance of a row's wire from one cell to the next, and from the driver, left of the first column, to "
            "the first cell; without any of the four resistances, written chips have no IR drop [Ohm]"
        ),
    )
    column_wire: Resistance = Field(
        default=0.0,
        description=(
            "resistance of a column's wire from one cell to the next, and from the cell of the last row to the end "
            "where its current is sensed [Ohm]"
        ),
    )
    source_resistance: Resistance = Field(default=0.0, description="resistance of the driver of a row [Ohm]")
    sense_resistance: Resistance = Field(
        default=0.0, description="resistance between a column's wire and the virtual ground where it is sensed [Ohm]"
    )

    @property
    def has_wires(self) -> bool:
        """Whether anything between drivers, cells and virtual grounds resists."""
        return any((self.row_wire, self.column_wire, self.source_resistance, self.sense_resistance))

    @property
    def wire_factor(self) -> float:
        """What wires resist at the temperature, over what they do at 300 K: ``1 + 0.00451 (T - 300 K)``.

        As 3D NeuroSim has it, where it is the same below 300 K as above; metals resist less there.
        """
        return 1.0 if self.temperature is None else 1.0 + 0.00451 * (self.temperature - WIRES_GIVEN_AT)


class Dac(Table):
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
    inl: Annotated[Inl, Field(strict=False)] | None = Field(
        default=None,
        description=(
            "how much higher than the code the applied level is on a written chip, in input codes: of codes at equal "
            "steps from 0 to the largest that one read applies, straight lines between; negative codes mirrored"
        ),
    )

    @property
    def has_errors(self) -> bool:
        """Whether applied levels are others than the codes on a written chip."""
        return any(self.inl or ())


class Adc(Table):
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
    enob: Annotated[float, Field(gt=0, le=24)] | None = Field(
        default=None,
        description="effective bits at full scale: what they lack of the resolution is noise on a written chip",
    )
    gain_sigma: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="standard deviation of a converter's relative gain error, on a written chip"
    )
    offset_sigma: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="standard deviation of a converter's offset, in output codes, on a written chip"
    )
    inl_sigma: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="root mean square of a converter's own smooth nonlinearity, in output codes, on a written chip",
    )
    inl: Annotated[Inl, Field(strict=False)] | None = Field(
        default=None,
        description=(
            "integral nonlinearity of every converter on a written chip, in output codes: at equal steps from the "
            "lowest code to the highest, straight lines between"
        ),
    )
    fixed_lsb: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description='column current of one output code, in conductance steps times input codes, for range = "fixed"',
    )
    columns_per_adc: int | None = Field(
        default=None, ge=1, le=65536, description="columns of a tile that take turns at one converter"
    )
    rate: SampleRate | None = Field(default=None, description="conversions of one converter in a second [S/s]")

    @property
    def has_errors(self) -> bool:
        """Whether converters have gain, offset or nonlinearity on a written chip."""
        return any((self.gain_sigma, self.offset_sigma, self.inl_sigma, *(self.inl or ())))

    @property
    def conversion_noise_lsb(self) -> float:
        """Standard deviation of a conversion on a written chip, in output codes: ``noise_lsb`` and what ``enob`` says.

        A converter whose only error is its rounding has the noise ``lsb^2 / 12`` and all its bits; effective bits are
        those whose rounding would be as large as all its errors (IEEE Std 1241): ``lsb^2 4^(bits - enob) / 12``. What
        is beyond the rounding is taken as white noise: ``lsb^2 (4^(bits - enob) - 1) / 12``.
        """
        excess = 0.0 if self.enob is None or self.bits == "unlimited" else (4.0 ** (self.bits - self.enob) - 1) / 12
        return math.hypot(self.noise_lsb, math.sqrt(max(excess, 0.0)))


class Core(Table):
    """Tiles that share buffers and a digital unit."""

    tiles: int = Field(default=1, ge=1, le=1048576, description="physical tiles of a core")
    buffer: Size | None = Field(default=None, description="memory for inputs and outputs that its tiles share [B]")


class Network(Table):
    """The links between neighbouring cores."""

    link_bits: int | None = Field(default=None, ge=1, le=65536, description="bits that a link carries in a clock cycle")
    clock: Frequency | None = Field(default=None, description="clock of the links [Hz]")


class Chip(Table):
    """How many cores and tiles there are."""

    tiles: Annotated[int, Field(ge=1)] | Unlimited = Field(
        default="unlimited", description="physical tiles on the chip; a mesh sets it, where one is given"
    )
    mesh_rows: int | None = Field(default=None, ge=1, le=65536, description="rows of cores on the mesh")
    mesh_columns: int | None = Field(default=None, ge=1, le=65536, description="columns of cores on the mesh")
    tiles_written: int = Field(
        default=1, ge=1, le=1048576, description="tiles that are written at the same time, each row by row"
    )

    @property
    def mesh(self) -> tuple[int, int] | None:
        """Rows and columns of cores; None where the description gives no mesh."""
        return None if self.mesh_rows is None or self.mesh_columns is None else (self.mesh_rows, self.mesh_columns)
