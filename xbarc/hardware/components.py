"""What a chip is built of, with energy, time and area of each part, and the figures that others published of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import ConfigDict, Field

from xbarc.hardware.quantities import Area, Energy, Power, Table, Throughput, Time

Level = Literal["tile", "core", "chip"]
Use = Literal[
    "dac-conversion",
    "adc-conversion",
    "tile-read",
    "shift-add",
    "buffer-bit",
    "bus-bit",
    "network-bit",
    "digital-operation",
    "cell-write",
]
#: What the figures of a part may hold: uses, and the currents through the cells.
Held = Literal[Use, "cells"]
#: What a use takes by the level that is applied, over the largest: always the same, in proportion to it or to its
#: square, or nothing where it is zero.
Scaling = Literal["nothing", "level", "level-squared", "nonzero"]


class Component(Table):
    """One kind of part."""

    level: Level = Field(description="what has this part: each tile, each core, or the chip")
    count: float = Field(default=1.0, gt=0, le=1e9, description="how many each has; a part of 0.25 is shared by four")
    use: Use | None = Field(
        default=None,
        description=(
            "what one use is: one input digit on a row, one column converted, one read of a tile, one output code "
            "shifted and added, one bit to or from the buffer of a core, one bit between buffer and tiles, one bit "
            "over one link, one digital operation on a number, one cell written, its verifying reads included. Not "
            "given: the part works as long as its owner does"
        ),
    )
    energy: Energy | None = Field(default=None, description="energy of one use [J]")
    scales_with: Scaling = Field(
        default="nothing",
        description=(
            'what the energy of a "dac-conversion" or a "tile-read" is in proportion to: the level that is applied '
            "over the largest, its square, or whether it is not zero; energy is then that at the largest level"
        ),
    )
    includes: tuple[Held, ...] = Field(
        default=(),
        strict=False,
        description="other uses that these figures hold already, and the currents of the cells, if they do",
    )
    latency: Time | None = Field(default=None, description="time of one use [s]")
    power: Power | None = Field(default=None, description="power while in use, static power excepted [W]")
    static_power: Power | None = Field(default=None, description="power at all times [W]")
    area: Area | None = Field(default=None, description="area of one [m2]")
    source: str = Field(min_length=1, description="where the figures come from")

    @property
    def use_energy(self) -> float | None:
        """Joules of one use; None where nothing tells."""
        if self.energy is None and self.power is not None and self.latency is not None:
            return self.power * self.latency
        return self.energy

    @property
    def use_time(self) -> float | None:
        """Seconds of one use; None where nothing tells."""
        if self.latency is None and self.energy is not None and self.power:
            return self.energy / self.power
        return self.latency

    @property
    def full_power(self) -> float | None:
        """Watts of one that is in use all the time, static power included; None where nothing tells."""
        power = self.power
        if power is None and self.energy is not None and self.latency is not None:
            power = self.energy / self.latency
        if power is None:
            return self.static_power
        return power + (self.static_power or 0.0)


class Components(Table):
    """Parts by their names, which the description chooses."""

    # The names are no fields, so that they are free; their values are validated all the same.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Component]

    @property
    def by_name(self) -> Mapping[str, Component]:
        """The parts in their order."""
        return MappingProxyType(self.__pydantic_extra__)


class DigitalReference(Table):
    """The digital arithmetic that the chip is compared with."""

    name: str = Field(min_length=1, description="what it is")
    energy_per_mac: Energy = Field(description="energy of one multiply-accumulate [J]")
    source: str = Field(min_length=1, description="where the figure comes from, and whether memory traffic is in it")


class Published(Table):
    """Figures of the whole chip as published, shown beside those derived here."""

    throughput: Throughput | None = Field(default=None, description="peak operations in a second [OPS]")
    power: Power | None = Field(default=None, description="power of the chip at that throughput [W]")
    area: Area | None = Field(default=None, description="area of the chip [m2]")
    note: str = Field(default="", description="why derived and published figures differ, where they do")
    source: str = Field(min_length=1, description="where the figures come from")
