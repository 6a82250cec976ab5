"""The map of tiles as a page."""

from __future__ import annotations

from xbarc.report.page import Column, Page, Table, numbers
from xbarc.report.tile_map import TileMap
from xbarc.report.words import exact


def tile_map_page(found: TileMap, *, title: str) -> Page:
    """All blocks, tile by tile."""
    several = any(block.segment for block in found.blocks)
    columns = (
        *numbers(*["segment"][: int(several)], "tile", "rows", "columns"),
        Column("layer"),
        *numbers("copy", "slice", "D", "of stack", "turn"),
    )
    rows = tuple(
        (
            *[exact(block.segment)][: int(several)],
            exact(block.tile),
            _span(block.row, block.rows),
            _span(block.column, block.columns),
            block.layer,
            *(exact(number) for number in (block.copy, block.slice, block.place)),
            _span(block.first, block.count),
            exact(block.turn),
        )
        for block in sorted(found.blocks, key=lambda block: (block.segment, block.tile, block.row, block.column))
    )
    notes = ("D counts diagonals and their row blocks, and the stack their columns; all numbers begin at 0",)
    return [Table(f"Map of tiles: {title}", columns, rows, notes=notes)]


def _span(first: int, count: int) -> str:
    return f"{first}..{first + count - 1}"
