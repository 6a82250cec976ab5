"""Quantities in hardware descriptions: strings with a unit in files and dictionaries, SI floats in objects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from xbarc.hardware.problems import shown
from xbarc.units import format_quantity, parse_quantity


class Table(BaseModel):
    """What all tables have in common: no unknown keys, no conversion between types, no change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Quantity:
    """What a text with a unit is read as.

    Attributes:
        unit: as it stands in the text, without a prefix.
        kind: what is measured, for messages.
        example: a text.
        positive: whether 0 is refused; negative numbers always are.
    """

    unit: str
    kind: str
    example: str
    positive: bool = False

    def read(self, value: object) -> float:
        """The SI value of a text.

        Raises:
            ValueError: the value is no text, has no or another unit, or is below what is allowed.
        """
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} has no unit, expected {self.unit}")
        number = parse_quantity(value, self.unit)
        if number < 0:
            raise ValueError(f"{shown(value)} is negative, expected at least 0 {self.unit}")
        if self.positive and number == 0:
            raise ValueError(f"{shown(value)} is zero, expected more than 0 {self.unit}")
        return number

    def write(self, value: float) -> str:
        """The text of an SI value."""
        return format_quantity(value, self.unit)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self.read,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.write, return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": self.kind, "examples": [self.example]}


Conductance = Annotated[float, Quantity("S", "conductance", "25 uS")]
"""Siemens."""
Voltage = Annotated[float, Quantity("V", "voltage", "0.2 V", positive=True)]
"""Volts, more than 0."""
Resistance = Annotated[float, Quantity("Ohm", "resistance", "2.5 Ohm")]
"""Ohms."""
Temperature = Annotated[float, Quantity("K", "temperature", "350 K", positive=True)]
"""Kelvins, more than 0."""
Power = Annotated[float, Quantity("W", "power", "16 mW")]
"""Watts."""
Energy = Annotated[float, Quantity("J", "energy", "1.667 pJ")]
"""Joules."""
Area = Annotated[float, Quantity("m2", "area", "0.0096 mm2")]
"""Square metres."""
Time = Annotated[float, Quantity("s", "time", "100 ns", positive=True)]
"""Seconds, more than 0."""
SampleRate = Annotated[float, Quantity("S/s", "sample rate", "1.2 GS/s", positive=True)]
"""Samples a second, more than 0."""
Frequency = Annotated[float, Quantity("Hz", "frequency", "1 GHz", positive=True)]
"""Hertz, more than 0."""
Throughput = Annotated[float, Quantity("OPS", "throughput", "41.3 TOPS", positive=True)]
"""Operations a second, more than 0; a multiply-accumulate is two."""
Size = Annotated[float, Quantity("B", "size", "64 KiB")]
"""Bytes."""


def rounded(value: float, unit: str) -> str:
    """A figure for people to read: four digits and a unit."""
    return format_quantity(float(f"{value:.4g}"), unit) if math.isfinite(value) else str(value)
