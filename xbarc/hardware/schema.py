"""The hardware that a model is compiled for: cells, tiles, converters, chip.

All quantities are SI floats here; files and dictionaries spell them with a unit (``g_max = "25 uS"``). Objects are
immutable and valid: make them with :meth:`Hardware.from_dict` or ``xbarc.hardware.load.load_hardware``.

The words ``"unit"`` and *units* of a column current mean one conductance step times one input code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Self

from pydantic import Field, ValidationError, model_validator

from xbarc.hardware.components import Components, DigitalReference, Published
from xbarc.hardware.conflicts import (
    adc_conflicts,
    cell_conflicts,
    chip_conflicts,
    component_conflicts,
    error_conflicts,
    inclusion_conflicts,
    tile_conflicts,
)
from xbarc.hardware.problems import ConflictError, Problem, hardware_error, problems_of
from xbarc.hardware.quantities import Table
from xbarc.hardware.tables import Adc, Cell, Chip, Core, Dac, Network, Tile, Unlimited
from xbarc.hardware.weights import Input, Weights, input_conflicts, magnitude_levels, weight_conflicts


class Hardware(Table):
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
    core: Core = Field(default=Core(), description="tiles that share buffers and a digital unit")
    network: Network = Field(default=Network(), description="the links between neighbouring cores")
    chip: Chip = Field(default=Chip(), description="how many cores and tiles there are")
    components: Components = Field(default=Components(), description="what the chip is built of, each part by a name")
    digital_reference: DigitalReference | None = Field(
        default=None, description="the digital arithmetic that the chip is compared with"
    )
    published: Published | None = Field(
        default=None, description="figures of the whole chip as published, shown beside those derived"
    )

    @property
    def chip_tiles(self) -> int | Unlimited:
        """Physical tiles on the chip: those of the mesh, where there is one."""
        mesh = self.chip.mesh
        return self.chip.tiles if mesh is None else mesh[0] * mesh[1] * self.core.tiles

    @property
    def weight_rows(self) -> int:
        """Rows of weights that a block has at most: an even share of the tile's, where one read drives fewer."""
        reads = math.ceil(self.tile.rows / (self.tile.active_rows or self.tile.rows))
        return self.tile.rows // reads

    @property
    def weight_columns(self) -> int:
        """Columns of weights that one tile holds: what polarities and the reference column leave of its columns."""
        if self.weights.reference_column:
            return self.tile.columns - 1
        return self.tile.columns // 2 if self.tile.polarity == "adjacent-columns" else self.tile.columns

    @property
    def magnitude_levels(self) -> int | Unlimited:
        """Distinct magnitudes (codes, for encodings of one cell) that all slices of one polarity hold together."""
        return magnitude_levels(self.weights, self.cell)

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
    yield from cell_conflicts(hardware.cell)
    yield from weight_conflicts(hardware.weights, cell=hardware.cell, tile=hardware.tile)
    yield from input_conflicts(hardware.input, dac=hardware.dac)
    yield from adc_conflicts(hardware.adc, cell=hardware.cell, dac=hardware.dac)
    yield from error_conflicts(hardware.adc, hardware.dac)
    yield from tile_conflicts(hardware.tile, hardware.adc)
    yield from chip_conflicts(hardware.chip, hardware.core)
    yield from component_conflicts(hardware.components.by_name)
    yield from inclusion_conflicts(hardware.components.by_name)
