"""Maps of faults: which cells, rows and columns of which tiles of a chip are known to be broken."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, get_args

from xbarc.errors import DeviceError

#: ``stuck-at-gmin`` and ``stuck-at-gmax``: a cell holds an end of the range. ``dead-row`` and ``dead-column``: none of
#: its cells carries a current.
FaultKind = Literal["stuck-at-gmin", "stuck-at-gmax", "dead-row", "dead-column"]

_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
_COLUMNS: Final = ("tile", "row", "column", "kind", "polarity")
_POLARITIES: Final[Mapping[str, int | None]] = {"": None, "+": 0, "-": 1}
_LARGEST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, by its place on the chip, all counted from 0.

    Attributes:
        tile: that it is in.
        kind: what is wrong.
        row: of the cell, or the dead one; ``None`` for a dead column.
        column: likewise; ``None`` for a dead row.
        polarity: of the stuck cell, where two share a site: 0 the positive one, 1 the negative; ``None``: both.
        line: of the file that it comes from.

    Raises:
        DeviceError: a number below 0, an unknown kind, a place that the kind does not have or lacks.
    """

    tile: int
    kind: FaultKind
    row: int | None = None
    column: int | None = None
    polarity: int | None = None
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise DeviceError(f"there is no fault {self.kind!r}", where=self._where, fix=f"give {', '.join(_KINDS)}")
        for name, absent in (("row", self.kind == "dead-column"), ("column", self.kind == "dead-row")):
            if absent != (getattr(self, name) is None):
                has = "has no" if absent else "needs a"
                raise DeviceError(f"a {self.kind} {has} {name}", where=self._where, fix=f"correct the {name}")
        if self.polarity is not None and (self.polarity not in (0, 1) or self.kind.startswith("dead")):
            raise DeviceError(
                f"a {self.kind} has no polarity {self.polarity!r}",
                where=self._where,
                fix="give a stuck cell 0 or 1, or + or - in a file, and leave it out for both cells of a pair",
            )
        for name in ("tile", "row", "column"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= _LARGEST:
                raise DeviceError(
                    f"the {name} {number} is out of range", where=self._where, fix=f"count from 0 to {_LARGEST}"
                )

    @property
    def _where(self) -> str | None:
        return None if self.line is None else f"line {self.line}"


@dataclass(frozen=True)
class FaultMap:
    """What is known to be broken on a chip.

    Attributes:
        faults: each once.
        source: where they come from, for messages.
    """

    faults: tuple[Fault, ...]
    source: str = field(default="the map of faults", compare=False)

    @cached_property
    def by_tile(self) -> Mapping[int, Sequence[Fault]]:
        """The faults of each tile."""
        found: dict[int, list[Fault]] = defaultdict(list)
        for fault in self.faults:
            found[fault.tile].append(fault)
        return dict(found)

    @property
    def text(self) -> str:
        """How many there are, with a hash of what they are."""
        digest = hashlib.sha256(json.dumps(stored_faults(self)).encode()).hexdigest()[:8]
        return f"{len(self.faults)} known {'fault' if len(self.faults) == 1 else 'faults'} ({digest})"

    def check(self, *, tiles: int | None, rows: int, columns: int, paired: bool) -> None:
        """Refuse faults that a chip cannot have.

        Args:
            tiles: of the chip; ``None``: without limit.
            rows, columns: of a tile.
            paired: whether the two cells of a pair share a site.

        Raises:
            DeviceError: a place outside the chip, a polarity where every cell has a site of its own, or two faults of
                one cell, row or column.
        """
        said: dict[tuple[object, ...], Fault] = {}
        for fault in self.faults:
            for name, size in (("tile", tiles), ("row", rows), ("column", columns)):
                number = getattr(fault, name)
                if number is not None and size is not None and number >= size:
                    of = "the chip" if name == "tile" else "a tile"
                    raise DeviceError(
                        f"the {name} {number} lies outside: {of} has {size} {name}s",
                        where=self._place(fault),
                        fix=f"count {name}s from 0 to {size - 1}",
                    )
            if fault.polarity is not None and not paired:
                raise DeviceError(
                    "a polarity is given, and every cell has a site of its own",
                    where=self._place(fault),
                    fix="leave the polarity out, and name the cell's own tile, row and column",
                )
            dead = fault.kind if fault.kind.startswith("dead") else ""
            for polarity in (0, 1) if fault.polarity is None else (fault.polarity,):
                place = (dead, fault.tile, fault.row, fault.column, polarity)
                if place in said:
                    raise DeviceError(
                        f"two faults of one place: {said[place].kind} and {fault.kind}",
                        where=f"{self._place(said[place])} and {self._place(fault)}",
                        fix="remove one of them",
                    )
                said[place] = fault

    def _place(self, fault: Fault) -> str:
        number = f"fault {self.faults.index(fault)}" if fault.line is None else f"line {fault.line}"
        return f"{self.source}, {number}"


def load_faults(path: str) -> FaultMap:
    """Read a map of faults from a CSV file.

    Its first line names the columns ``tile``, ``row``, ``column``, ``kind`` and, where pairs share a site, ``polarity``
    (``+``, ``-``, or nothing for both), in any order; lines that begin with ``#`` are comments. A ``dead-row`` has no
    column, a ``dead-column`` no row.

    Raises:
        DeviceError: no such file, or what is no map of faults; with the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DeviceError(
            f"the map of faults cannot be read: {error.strerror}", where=path, fix="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DeviceError(
            "the map of faults is not UTF-8 text", where=f"{path}, byte {error.start}", fix="save it as UTF-8"
        ) from error
    lines = list(_lines(text))
    if not lines:
        raise DeviceError("the map of faults is empty", where=path, fix=f"begin it with {','.join(_COLUMNS)}")
    (first, header), *body = lines
    unknown = [name for name in header if name not in _COLUMNS]
    lacking = [name for name in _COLUMNS[:4] if name not in header]
    if unknown or lacking or len(set(header)) < len(header):
        raise DeviceError(
            f"the columns of the map of faults are {', '.join(header)}",
            where=f"{path}, line {first}",
            fix=f"begin it with {','.join(_COLUMNS)}; polarity may be left out",
        )
    faults = []
    for line, cells in body:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise DeviceError(f"there are {len(cells)} values for {len(header)} columns", where=where, fix="give each")
        try:
            faults.append(_fault(dict(zip(header, cells, strict=True)), line))
        except DeviceError as error:
            raise DeviceError(error.what, where=where, fix=error.fix) from None
    return FaultMap(tuple(faults), path)


def stored_faults(faults: FaultMap) -> list[list[object]]:
    """A map as plain JSON data, from which :func:`restored_faults` makes it."""
    return [[fault.tile, fault.kind, fault.row, fault.column, fault.polarity] for fault in faults.faults]


def restored_faults(stored: Sequence[Sequence[object]]) -> FaultMap:
    """The map that :func:`stored_faults` made this of.

    Raises:
        DeviceError, TypeError: it is something else.
    """
    return FaultMap(tuple(Fault(*entry) for entry in stored))  # type: ignore[arg-type]


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        if any(cells) and not line.lstrip().startswith("#"):
            yield number, cells


def _fault(row: Mapping[str, str], line: int) -> Fault:
    polarity = row.get("polarity", "")
    if polarity not in _POLARITIES:
        raise DeviceError(f"there is no polarity {polarity!r}", fix="give +, -, or nothing for both cells of a pair")
    if not row["tile"]:
        raise DeviceError("a fault without a tile", fix="give the number of the tile")
    tile, at_row, column = (_number(name, row[name]) for name in ("tile", "row", "column"))
    # The kind is checked where the fault is made, and the tile is there.
    return Fault(tile or 0, row["kind"], at_row, column, _POLARITIES[polarity], line)  # type: ignore[arg-type]


def _number(name: str, text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit()):
        raise DeviceError(f"the {name} {text!r} is not a whole number", fix="count from 0")
    return int(text) if text else None
