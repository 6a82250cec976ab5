"""Measured tables from TOML and CSV files; errors name the file and the line."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from xbarc.devices.table import TableDevice
from xbarc.devices.table_schema import DeviceTable
from xbarc.errors import DeviceError
from xbarc.hardware.keys import Path as KeyPath
from xbarc.hardware.keys import listed
from xbarc.hardware.problems import Problem, problems_of
from xbarc.hardware.toml_lines import key_lines
from xbarc.units import parse_duration, parse_quantity

#: Columns of a CSV file by the unit of their header; exponents have none.
_SIEMENS: Final = ("conductance", "programming_sigma", "drift_mean", "drift_sigma", "read_sigma")
_NUMBERS: Final = ("nu_mean", "nu_sigma")
_COLUMNS: Final = ("time", *_SIEMENS, *_NUMBERS)
_HEADER: Final = re.compile(r"\s*(\w+)\s*(?:\[\s*([^\]]*?)\s*\])?\s*")
#: What a table says of faults, as a device has it.
_SHARES: Final = ("stuck_at_gmin", "stuck_at_gmax", "dead_rows", "dead_columns")
#: What a row of time 0 says, and what a row of a later time says.
_FIRST: Final = ("conductance", "programming_sigma", "nu_mean", "nu_sigma", "read_sigma")
_LATER: Final = ("drift_mean", "drift_sigma", "read_sigma")

_Row = tuple[int, dict[str, str]]


def load_table(path: str) -> TableDevice:
    """Read a device's table.

    Args:
        path: of a TOML file, with the keys of :class:`~xbarc.devices.table_schema.DeviceTable`; or, ending in ``.csv``,
            of a table with one row for each conductance, and time. Its columns are some of ``time [h]``,
            ``conductance [uS]``, ``programming_sigma [uS]``, ``drift_mean [uS]``, ``drift_sigma [uS]``,
            ``read_sigma [uS]``, ``nu_mean`` and ``nu_sigma``, in any order and with any prefix of the units.

    Raises:
        DeviceError: no such file, what is no TOML or CSV, unknown keys or columns, gaps, wrong units, negative
            deviations.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DeviceError(
            f"the device's table cannot be read: {error.strerror}", where=path, fix="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DeviceError(
            "the device's table is not UTF-8 text", where=f"{path}, byte {error.start}", fix="save it as UTF-8"
        ) from error
    is_csv = path.lower().endswith(".csv")
    document, lines = _csv_document(text, path) if is_csv else _toml_document(text, path)
    document.setdefault("name", Path(path).stem)
    return _device(document, path, lines)


def restore_table(document: Mapping[str, Any], path: str) -> TableDevice:
    """The device of what :func:`store_table` gave.

    Raises:
        DeviceError: it is something else.
    """
    return _device(dict(document), path, {})


def store_table(device: TableDevice) -> dict[str, Any]:
    """The table of a device as plain JSON data."""
    return device.table.model_dump(mode="json", exclude_none=True)


def _device(document: dict[str, Any], path: str, lines: Mapping[KeyPath, int]) -> TableDevice:
    try:
        table = DeviceTable.model_validate(document)
    except ValidationError as error:
        problems = problems_of(error, DeviceTable, whole="a device's table")
    else:
        return TableDevice(table=table, path=path, **{name: getattr(table, name) for name in _SHARES})
    if len(problems) == 1:
        (problem,) = problems
        raise DeviceError(problem.what, where=_place(problem, path, lines), fix=problem.fix)
    said = [f"  {_place(problem, path, lines)}: {problem.what}; {problem.fix}" for problem in problems]
    raise DeviceError("\n".join([f"{len(problems)} errors in {path}:", *said]))


def _place(problem: Problem, path: str, lines: Mapping[KeyPath, int]) -> str:
    """The line of the first of the problem's keys that has one, or of the table that it stands in."""
    tables = [problem.keys[0][:length] for length in range(len(problem.keys[0]) - 1, 0, -1)]
    line = next((lines[key] for key in (*problem.keys, *tables) if key in lines), None)
    return path if line is None else f"{path}, line {line}"


def _toml_document(text: str, path: str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    try:
        return tomllib.loads(text), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"TOML syntax error: {error}", where=path, fix="correct the TOML syntax there") from error


def _csv_document(text: str, path: str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    """What a TOML file of the same figures would hold, and the line of the header for every key."""
    reader = csv.reader(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    numbers = [number for number, line in enumerate(text.splitlines(), 1) if not line.lstrip().startswith("#")]
    rows = [(numbers[reader.line_num - 1], cells) for cells in reader if any(cell.strip() for cell in cells)]
    if len(rows) < 2:
        raise DeviceError("the device's table is empty", where=path, fix=f"give the columns {listed(_COLUMNS)}")
    (line, header), *body = rows
    units = _units(header, path, line)
    by_time: dict[str, list[_Row]] = {}
    for line, cells in body:
        if len(cells) != len(units):
            raise DeviceError(
                f"there are {len(cells)} values for {len(units)} columns", where=f"{path}, line {line}", fix="give each"
            )
        row = {name: cell.strip() for name, cell in zip(units, cells, strict=True)}
        time = f"{row.get('time') or 0} {units.get('time', 's')}"
        by_time.setdefault(time if _checked("time", time, path, line) else "", []).append((line, _spelled(row, units)))
    for line, row in (row for rows in by_time.values() for row in rows):
        for name, value in row.items():
            _checked(name, value, path, line)
    first = by_time.pop("", [])
    document = _filled(first, _FIRST, units, path)
    for time, later in by_time.items():
        if [row.get("conductance") for _, row in later] != document.get("conductance"):
            raise DeviceError(
                f"the conductances at {time} are not those at time 0",
                where=f"{path}, line {later[0][0]}",
                fix="give the same conductances, in the same order, at every time; a table has no gaps",
            )
        document.setdefault("at", {})[time] = _filled(later, _LATER, units, path)
    return document, {(name,): numbers[0] for name in _COLUMNS}


def _units(header: list[str], path: str, line: int) -> dict[str, str]:
    """The unit of each column."""
    units: dict[str, str] = {}
    for text in header:
        match = _HEADER.fullmatch(text)
        name, unit = match.groups() if match else (text.strip(), None)
        if name not in _COLUMNS or name in units:
            raise DeviceError(
                f"the column {text.strip()!r} is {'there twice' if name in units else 'not known'}",
                where=f"{path}, line {line}",
                fix=f"the columns are {listed(_COLUMNS)}, each with its unit, as in 'conductance [uS]'",
            )
        _checked(name, f"1 {unit or ''}", path, line)
        units[name] = unit or ""
    if not {"conductance", "programming_sigma"} <= set(units):
        lacking = "conductance" if "conductance" not in units else "programming_sigma"
        raise DeviceError(f"the column {lacking} is missing", where=f"{path}, line {line}", fix=f"add {lacking} [uS]")
    return units


def _spelled(row: Mapping[str, str], units: Mapping[str, str]) -> dict[str, str]:
    """The values that a row has, with their units."""
    return {name: f"{value} {units[name]}".strip() for name, value in row.items() if value and name != "time"}


def _checked(name: str, text: str, path: str, line: int) -> float:
    """The value of a text.

    Raises:
        DeviceError: it is none, or negative where it cannot be.
    """
    try:
        if name in _NUMBERS:
            value = _number(text)
        else:
            value = parse_duration(text) if name == "time" else parse_quantity(text, "S")
        if not value >= 0 and name != "drift_mean":
            raise ValueError(f'"{text}" is negative, expected at least 0')
    except ValueError as error:
        raise DeviceError(
            f"{name}: {error}", where=f"{path}, line {line}", fix="correct the value or its unit"
        ) from None
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None


def _filled(rows: list[_Row], names: tuple[str, ...], units: Mapping[str, str], path: str) -> dict[str, Any]:
    """Lists of the columns that have values in these rows."""
    found: dict[str, Any] = {}
    for name in names:
        missing = [line for line, row in rows if name not in row]
        if name not in units or len(missing) == len(rows):
            continue
        if missing:
            raise DeviceError(
                f"{name} has a gap", where=f"{path}, line {missing[0]}", fix="give it for every conductance or for none"
            )
        found[name] = [float(row[name]) if name in _NUMBERS else row[name] for _, row in rows]
    return found
