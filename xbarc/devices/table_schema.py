"""What a measured table of a device may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from xbarc.hardware.keys import Path, dotted
from xbarc.hardware.problems import ConflictError, Problem, shown
from xbarc.hardware.quantities import Conductance, Quantity, Table
from xbarc.units import format_duration, parse_duration, parse_quantity


@dataclass(frozen=True)
class _Change(Quantity):
    """A quantity that may be negative."""

    def read(self, value: object) -> float:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} has no unit, expected {self.unit}")
        return parse_quantity(value, self.unit)


@dataclass(frozen=True)
class _Duration(Quantity):
    """A time in any unit up to years."""

    def read(self, value: object) -> float:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} has no unit, expected a time")
        seconds = parse_duration(value)
        if seconds == 0:
            raise ValueError(f"{shown(value)} is zero, expected more than 0 s")
        return seconds

    def write(self, value: float) -> str:
        return format_duration(value)


Change = Annotated[float, _Change("S", "change of conductance", "-0.2 uS")]
Duration = Annotated[float, _Duration("s", "time", "1 h")]
Exponent = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Later(Table):
    """What is known at a time after the reference moment, one figure a conductance."""

    drift_mean: list[Change] | None = Field(default=None, description="mean change since time 0 [S]")
    drift_sigma: list[Conductance] | None = Field(
        default=None, description="standard deviation of the change since time 0, from cell to cell [S]"
    )
    read_sigma: list[Conductance] | None = Field(
        default=None, description="standard deviation of the read noise; that of time 0 where not given [S]"
    )


class Times(Table):
    """What is known by the time since time 0, such as ``"1 h"``: the names of tables are times."""

    # No fields, but names that the table chooses; their values are validated all the same.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Later]


class DeviceTable(Table):
    """A device as its user measured it. All lists have one figure for each conductance."""

    name: str = Field(min_length=1, description="what reports call the device")
    description: str = Field(default="", description="what it is, in a sentence")
    sources: list[str] = Field(default=[], description="where the figures come from")
    t0: Duration = Field(default=1.0, description="time 0: how long after the last pulse the first figures hold [s]")
    t_max: Duration | None = Field(default=None, description="the latest time at which drift exponents hold [s]")
    conductance: list[Conductance] = Field(description="target conductances, ascending [S]")
    programming_sigma: list[Conductance] = Field(description="standard deviation of the programming error [S]")
    levels_only: bool = Field(default=False, description="whether cells hold these conductances and none between")
    nu_mean: list[Exponent] | None = Field(default=None, description="mean of the drift exponent")
    nu_sigma: list[Exponent] | None = Field(default=None, description="standard deviation of the drift exponent")
    read_sigma: list[Conductance] | None = Field(
        default=None, description="standard deviation of the read noise at time 0 [S]"
    )
    read_pulse: Duration | None = Field(
        default=None, description="width of a read pulse: the read noise is then 1/f noise; white where not given [s]"
    )
    stuck_at_gmin: Share = Field(default=0.0, description="share of cells that are stuck at g_min")
    stuck_at_gmax: Share = Field(default=0.0, description="share of cells that are stuck at g_max")
    dead_rows: Share = Field(default=0.0, description="share of rows of tiles whose cells carry no current")
    dead_columns: Share = Field(default=0.0, description="share of columns of tiles whose cells carry no current")
    at: Times = Field(default=Times(), description="what is known at later times, by the time since time 0")

    @property
    def later(self) -> Mapping[str, Later]:
        """What is known at later times, by these times as they are spelled."""
        return self.at.__pydantic_extra__

    def seconds(self, time: str) -> float:
        """The seconds of one of the times of :attr:`later`."""
        return parse_duration(time)

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if problems := list(_conflicts(self)):
            raise ConflictError(problems)
        return self


def _conflicts(table: DeviceTable) -> Iterator[Problem]:
    count = len(table.conductance)
    if count < 2 or any(low >= high for low, high in zip(table.conductance, table.conductance[1:], strict=False)):
        what = "the conductances do not ascend" if count > 1 else "there are fewer than two conductances"
        yield Problem(keys=(("conductance",),), what=what, fix="give each conductance once, the lowest first")
    for path, values in _lists(table):
        if values is not None and len(values) != count:
            yield Problem(
                keys=(path,),
                what=f"{dotted(path)} has {len(values)} figures for {count} conductances",
                fix="give one for each; a table has no gaps",
            )
    yield from _drift_conflicts(table)
    if table.read_pulse is not None and table.read_pulse >= table.t0:
        yield Problem(
            keys=(("read_pulse",), ("t0",)),
            what=f"a read pulse of {format_duration(table.read_pulse)} does not fit into t0",
            fix=f"give less than t0, which is {format_duration(table.t0)}",
        )
    if table.stuck_at_gmin + table.stuck_at_gmax > 1:
        what = f"stuck_at_gmin and stuck_at_gmax add up to {table.stuck_at_gmin + table.stuck_at_gmax:g}"
        yield Problem(keys=(("stuck_at_gmin",), ("stuck_at_gmax",)), what=what, fix="give shares of all cells")


def _drift_conflicts(table: DeviceTable) -> Iterator[Problem]:
    given = [name for name in ("nu_mean", "nu_sigma") if getattr(table, name) is not None]
    if len(given) == 1:
        yield Problem(
            keys=((given[0],),),
            what=f"{given[0]} is given alone",
            fix="give nu_mean and nu_sigma; 0 where there is no spread",
        )
    seconds: dict[float, str] = {}
    for time, later in table.later.items():
        path: Path = ("at", time)
        try:
            time_s = table.seconds(time)
        except ValueError as error:
            yield Problem(keys=(path,), what=str(error), fix='name the table by a time, as in [at."1 h"]')
            continue
        if time_s == 0 or time_s in seconds:
            what = f"the time {time} is {'given twice' if time_s else 'the reference moment'}"
            yield Problem(keys=(path,), what=what, fix="give each time after 0 once")
        seconds[time_s] = time
        if given and (later.drift_mean or later.drift_sigma):
            yield Problem(
                keys=(path,),
                what="drift is given both by exponents and by changes at a time",
                fix="give nu_mean and nu_sigma, or drift_mean and drift_sigma",
            )


def _lists(table: DeviceTable) -> Iterator[tuple[Path, list[float] | None]]:
    for name in ("programming_sigma", "nu_mean", "nu_sigma", "read_sigma"):
        yield (name,), getattr(table, name)
    for time, later in table.later.items():
        for name in ("drift_mean", "drift_sigma", "read_sigma"):
            yield ("at", time, name), getattr(later, name)
