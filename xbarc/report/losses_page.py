"""Where tiles and cells are lost, as words and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xbarc.report.cells import Cells
from xbarc.report.chip_tiles import ChipTiles
from xbarc.report.page import Column, Row, Table, numbers
from xbarc.report.utilisation import UtilisationReport
from xbarc.report.words import amount, exact, percent

#: What cells are for, in the order of the table.
_CAUSES: Final = ("weights", "slices", "polarity", "copies", "reference", "groups", "edges", "packing")
#: What of it holds no weight, in words.
_LOST: Final = {
    "reference": "in reference columns",
    "groups": "between groups",
    "edges": "beyond blocks",
    "packing": "beyond packed blocks",
}


def free_tiles(chip: ChipTiles) -> str | None:
    """Why tiles of the chip hold nothing; ``None`` where all hold something, or there is no end of them."""
    if chip.slack:
        return f"{exact(chip.slack)} free: too few for more copies of the slowest layer"
    if chip.fragmentation:
        return f"{exact(chip.fragmentation)} free: enough for more copies of the slowest layer, but not within cores"
    return f"{exact(chip.spare)} free" if chip.spare else None


def lost_cells(cells: Cells) -> str:
    """The share of cells that hold weights, and what becomes of the others."""
    lost = [
        f"{percent(getattr(cells, cause) / cells.total)} {words}"
        for cause, words in _LOST.items()
        if getattr(cells, cause)
    ]
    held = f"{percent(cells.utilisation)} of those in used tiles hold weights"
    return f"{held}; {', '.join(lost)}" if lost else held


def cells_table(report: UtilisationReport) -> Table:
    """The cells of each layer by cause, as shares; causes of which there is none are left out."""
    whole = report.totals.cells
    shown = [cause for cause in _CAUSES if getattr(whole, cause)]
    columns = (Column("layer"), *numbers("cells", *shown))
    rows = tuple((layer.name, *_shares(layer.cells, shown)) for layer in report.layers)
    return Table("Cells of used tiles", columns, rows, ("total", *_shares(whole, shown)), notes=tuple(_notes(shown)))


def _notes(shown: list[str]) -> Iterator[str]:
    meanings = {
        "groups": "groups: cells of a block whose row and column are of different groups",
        "edges": "edges: beyond the block of a tile that holds one",
        "packing": "packing: beyond the blocks of a tile that holds several",
    }
    if further := [cause for cause in ("slices", "polarity", "copies") if cause in shown]:
        yield f"{', '.join(further)}: further cells of the same weights"
    yield from (meaning for cause, meaning in meanings.items() if cause in shown)


def _shares(cells: Cells, shown: list[str]) -> Row:
    parts = (getattr(cells, cause) for cause in shown)
    return (amount(cells.total), *(percent(part / cells.total if cells.total else 0.0) for part in parts))
