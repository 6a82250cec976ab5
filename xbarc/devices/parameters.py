"""Parameters of devices: dataclass fields with a range and a meaning, checked when a device is made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xbarc.devices.plain import PlainDevice
from xbarc.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a device, as it is declared.

    Attributes:
        name: its name; ends in the unit, where it has one.
        default: its value where none is given.
        low: the lowest value that it may have.
        high: the highest value that it may have.
        meaning: what it says.
        choices: the only values that it may have; none given: any in its range.
    """

    name: str
    default: float
    low: float
    high: float
    meaning: str
    choices: tuple[float, ...] = ()

    @property
    def range(self) -> str:
        """What it may be, in short."""
        return " or ".join(f"{value:g}" for value in self.choices) or f"{self.low:g} .. {self.high:g}"

    def checked(self, value: object, *, where: str) -> float:
        """The value as a float.

        Raises:
            UsageError: it is no number, or out of range.
        """
        expected = self.range if self.choices else f"a number from {self.low:g} to {self.high:g}"
        fix = f"give {self.name} {expected}"
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise UsageError(f"{self.name} = {value!r} is not a number", where=where, fix=fix)
        if not self.low <= value <= self.high or (self.choices and value not in self.choices):
            raise UsageError(f"{self.name} = {value} is out of range", where=where, fix=fix)
        return float(value)


def parameter(default: float, meaning: str, *, low: float = 0.0, high: float = 1.0) -> float:
    """Declare a parameter, as the default of a dataclass field; 0 to 1 is the range of shares."""
    declared = {"default": default, "low": low, "high": high, "meaning": meaning}
    return dataclasses.field(default=default, metadata=declared)


def choice(default: float, meaning: str, *others: float) -> float:
    """Declare a parameter that has one of a few values, as the default of a dataclass field."""
    choices = tuple(sorted((default, *others)))
    declared = {"default": default, "low": choices[0], "high": choices[-1], "meaning": meaning, "choices": choices}
    return dataclasses.field(default=default, metadata=declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametricDevice(PlainDevice):
    """What devices with parameters inherit: that some cells are stuck or dead, and the check of all their parameters.

    What a device does not say otherwise, its cells do as :class:`~xbarc.devices.plain.PlainDevice` says: nothing.

    Raises:
        UsageError: a parameter is no number or out of its range, or more than all cells are stuck.
    """

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

    stuck_at_gmin: float = parameter(0.0, "share of cells that are stuck at g_min")
    stuck_at_gmax: float = parameter(0.0, "share of cells that are stuck at g_max")
    dead_rows: float = parameter(0.0, "share of rows of tiles whose cells carry no current")
    dead_columns: float = parameter(0.0, "share of columns of tiles whose cells carry no current")

    def __post_init__(self) -> None:
        where = f"the device {self.name}"
        for declared in parameters_of(self):
            # A float whatever kind of number was given, so that equal devices are spelled alike.
            object.__setattr__(self, declared.name, declared.checked(getattr(self, declared.name), where=where))
        if self.stuck_at_gmin + self.stuck_at_gmax > 1:
            raise UsageError(
                f"stuck_at_gmin = {self.stuck_at_gmin} and stuck_at_gmax = {self.stuck_at_gmax} add up to more than 1",
                where=where,
                fix="give shares of all cells",
            )


def parameters_of(device: DataclassInstance) -> tuple[Parameter, ...]:
    """The parameters of a device, in the order of their declaration; none for a device without."""
    return tuple(Parameter(field.name, **field.metadata) for field in dataclasses.fields(device) if field.metadata)
