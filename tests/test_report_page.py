"""The page of a report: what comes first, what it says of losses, and that it fits a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import xbarc
from xbarc.report.cells import Cells
from xbarc.report.chip_tiles import ChipTiles
from xbarc.report.difference_page import difference_page
from xbarc.report.losses_page import free_tiles, lost_cells
from xbarc.report.page import Page
from xbarc.report.rendering import plain_text, rich_blocks
from xbarc.report.tile_map_page import tile_map_page
from xbarc.report.utilisation_page import utilisation_page

PACKED = ["tile.rows=32", "tile.columns=16", "chip.tiles=64", "core.tiles=4"]


@pytest.fixture(scope="module")
def programs(models_dir: Path) -> dict[str, xbarc.Program]:
    model, sample = models_dir / "digits_cnn.onnx", models_dir / "digits_calibration.npz"
    return {
        "generic-pcm": xbarc.compile(model, calibration=sample),
        "isaac": xbarc.compile(model, hardware="isaac", calibration=sample),
        "packed": xbarc.compile(model, overrides=PACKED, replicate="balance", pack="network", pack_mode="dense"),
    }


def lines_of(page: Page, *, width: int) -> list[str]:
    """What a terminal shows."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    for block in rich_blocks(page, width=width):
        console.print(block, crop=False)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("name", ["generic-pcm", "isaac", "packed"])
@pytest.mark.parametrize("width", [80, 120])
def test_pages_fit_the_terminal(programs: dict[str, xbarc.Program], name: str, width: int) -> None:
    program = programs[name]
    pages = (
        utilisation_page(program.report(), title="p"),
        tile_map_page(program.tile_map(), title="p"),
        difference_page(program.difference(programs["generic-pcm"])),
    )
    for page in pages:
        assert [line for line in lines_of(page, width=width) if len(line) > width] == []


def test_the_first_table_says_what_matters_most(programs: dict[str, xbarc.Program]) -> None:
    for program in programs.values():
        report = program.report()
        first, second, third, *_ = utilisation_page(report, title="p")
        said = dict(first.rows)
        assert list(said)[:4] == ["hardware", "calibration", "tiles", "cells"]
        assert {"inference", "idle", "energy"} <= set(said)
        assert f"{report.totals.physical_tiles} physical" in said["tiles"]
        assert (second.title, third.title) == ("Layers on tiles", "Cells of used tiles")
        assert [row[0] for row in second.rows] == [layer.name for layer in report.layers]


def test_causes_of_which_there_is_nothing_are_left_out(programs: dict[str, xbarc.Program]) -> None:
    def headings(name: str) -> list[str]:
        text = plain_text(utilisation_page(programs[name].report(), title="p"))
        found = re.search(r"Cells of used tiles\n(.*)\n", text)
        assert found is not None
        return found[1].split()

    assert headings("generic-pcm") == ["layer", "cells", "weights", "polarity", "edges"]
    assert headings("isaac") == ["layer", "cells", "weights", "slices", "reference", "edges"]
    assert {"copies", "packing"} <= set(headings("packed"))


def test_losses_in_words() -> None:
    cells = Cells(200, 40, 10, 30, 20, 4, 16, 60, 20)
    assert lost_cells(cells) == (
        "50.0 % of those in used tiles hold weights; 2.0 % in reference columns, 8.0 % between groups, "
        "30.0 % beyond blocks, 10.0 % beyond packed blocks"
    )
    assert lost_cells(Cells(4, 4, 0, 0, 0, 0, 0, 0, 0)) == "100 % of those in used tiles hold weights"
    chip = {"total": 1010, "used": 10}
    assert free_tiles(ChipTiles(**chip, slack=1000, fragmentation=0, spare=0)) == (
        "1,000 free: too few for more copies of the slowest layer"
    )
    assert free_tiles(ChipTiles(**chip, slack=0, fragmentation=1000, spare=0)) == (
        "1,000 free: enough for more copies of the slowest layer, but not within cores"
    )
    assert free_tiles(ChipTiles(**chip, slack=0, fragmentation=0, spare=1000)) == "1,000 free"
    assert free_tiles(ChipTiles(total=None, used=10, slack=0, fragmentation=0, spare=0)) is None


def test_a_program_without_layers_has_a_page() -> None:
    from networks import network, node

    report = xbarc.compile(network([node("Relu", ["x"], "y")], {"x": ("N", 4)}, {})).report()
    assert report.totals.cells.total == 0
    assert report.totals.chip.used == 0
    page = plain_text(utilisation_page(report, title="p"))
    assert "0 logical, 0 physical" in page
    assert np.isclose(report.totals.cell_utilisation, 0)
    assert "inference" not in page  # which would come every 0 s, and take nothing
    assert "energy" not in page


def test_one_of_a_thing_is_not_several() -> None:
    """One tile, one read, one hop."""
    from networks import network, node

    matrix = np.ones((4, 4), dtype=np.float32)
    mesh = ["tile.rows=4", "tile.columns=4", "chip.tiles=2", "chip.mesh_rows=1", "chip.mesh_columns=2"]
    nodes = [node("MatMul", ["x", "a"], "h"), node("MatMul", ["h", "b"], "y")]
    for count, said in ((1, "1 read, "), (2, "2 reads, ")):
        model = network(nodes[:count], {"x": ("N", 4)}, {"a": matrix, "b": matrix}, outputs=["h", "y"][count - 1])
        page = plain_text(utilisation_page(xbarc.compile(model, overrides=mesh).report(), title="p"))
        assert f"one inference alone  {said}" in page
        assert ("1 hop on average" in page) == (count == 2)
    assert not re.search(r"\b1 (reads|hops|tiles|operators)\b", page)
