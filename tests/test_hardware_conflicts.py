"""Descriptions of chips that cannot work: tiles, converters, meshes and components, each error with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from chip_texts import CHIP

from xbarc.errors import HardwareError
from xbarc.hardware.load import load_hardware


@pytest.mark.parametrize(
    ("old", "new", "what", "line", "fix"),
    [
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 0",
            "adc.bits cannot be 0",
            15,
            'give a whole number from 2 to 24 or "unlimited"',
        ),
        (
            "[dac]",
            "[weights]\nslices = 9\n[dac]",
            "weights.slices = 9 of cell.levels = 256 make more than 65536 levels a weight",
            12,
            "lower weights.slices or cell.levels until cell.levels ** weights.slices is at most 65536",
        ),
        (
            "[dac]",
            "[weights]\nslices = 17\n[dac]",
            "weights.slices cannot be 17",
            12,
            "give a whole number from 1 to 16",
        ),
        (
            "columns = 64",
            "columns = 64\nactive_rows = 129",
            "tile.active_rows = 129 is more than tile.rows = 128",
            10,
            "lower tile.active_rows, or leave it out where one read drives all rows",
        ),
        (
            "columns = 64",
            'columns = 64\nread_time = "0 ns"',
            'tile.read_time: "0 ns" is zero, expected more than 0 s',
            10,
            'give a time as a string with its unit, such as "100 ns"',
        ),
        (
            "columns = 64",
            'columns = 64\nread_time = "100 mW"',
            'tile.read_time: "100 mW" has the unit "mW", expected s',
            10,
            'give a time as a string with its unit, such as "100 ns"',
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\ncolumns_per_adc = 65",
            "adc.columns_per_adc = 65 is more than tile.columns = 64",
            16,
            "give adc.columns_per_adc at most 64",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\nrate = "1.2 GHz"',
            'adc.rate: "1.2 GHz" has the unit "GHz", expected S/s',
            16,
            'give a sample rate as a string with its unit, such as "1.2 GS/s"',
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\n[chip]\nmesh_rows = 0\nmesh_columns = 4",
            "chip.mesh_rows cannot be 0",
            17,
            "give a whole number from 1 to 65536",
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\n[chip]\nmesh_rows = 3",
            "chip.mesh_rows = 3 is one side of a mesh, and chip.mesh_columns is missing",
            17,
            "give chip.mesh_columns a whole number from 1 to 65536, or remove chip.mesh_rows",
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\n[core]\ntiles = 4\n[chip]\nmesh_rows = 3\nmesh_columns = 2\ntiles = 25",
            "chip.tiles = 25 contradicts a mesh of 3 x 2 cores of 4 tiles, which has 24",
            21,
            "remove chip.tiles, which the mesh sets, or correct the mesh",
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\n[chip]\ntiles = 25\n[core]\ntiles = 4",
            "chip.tiles = 25 do not fill cores of core.tiles = 4",
            17,
            "give chip.tiles a multiple of 4, or another core.tiles",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\npowr = "1 mW"\nsource = "x"',
            "unknown key components.adc.powr",
            18,
            "did you mean components.adc.power?",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\npower = "1 mm2"\nsource = "x"',
            'components.adc.power: "1 mm2" has the unit "mm2", expected W',
            18,
            'give a power as a string with its unit, such as "16 mW"',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\npower = "1 mW"',
            "components.adc.source is missing",
            16,
            "give a string that is not empty",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\nenergy = "1 pJ"\nsource = "x"',
            "components.adc.energy is that of one use, and components.adc.use is missing",
            18,
            'say what one use is, as in use = "adc-conversion"',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\nsource = "x"',
            "the table [components.adc] has no figure",
            16,
            "give at least one of energy, latency, power, static_power and area",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\nsource = "x"\nuse = "adc-conversion"\nenergy = "1 pJ"\n'
            'power = "1 mW"\nlatency = "1 ns"',
            "components.adc.energy, power and latency are all given, and two of them make the third",
            20,
            "remove one of the three",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.x]\nlevel = "tile"\npower = "1 mW"\nsource = "x"\nscales_with = "level"',
            'components.x.scales_with = "level" follows the inputs that are applied, and components.x.use is missing',
            20,
            'set use = "dac-conversion" or "tile-read", or remove scales_with',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.x]\nlevel = "tile"\nsource = "x"\nuse = "adc-conversion"\nenergy = "1 pJ"\n'
            'scales_with = "nonzero"',
            'components.x.scales_with = "nonzero" follows the inputs that are applied, and components.x.use = '
            '"adc-conversion" applies none',
            21,
            'set use = "dac-conversion" or "tile-read", or remove scales_with',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.x]\nlevel = "tile"\nsource = "x"\npower = "1 mW"\nincludes = ["bus-bit"]\n'
            '[components.y]\nlevel = "core"\nsource = "y"\nuse = "bus-bit"\nenergy = "1 pJ"',
            'components.x.includes has "bus-bit", which components.y counts again',
            20,
            "take it out of includes, or remove the use of the other part",
        ),
        (
            "columns = 64",
            'columns = 64\ntemperature = "77 K"',
            "tile.temperature = 77 K is lower than 300 K, from which on it is known what wires resist",
            10,
            "give a higher one, or the resistances at that temperature and no temperature",
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.x]\nlevel = "tile"\npower = "1 mW"\nsource = "x"\nincludes = ["cell"]',
            'components.x.includes[0] cannot be "cell"',
            20,
            'give a list of any of "dac-conversion", "adc-conversion", "tile-read", "shift-add", "buffer-bit", '
            '"bus-bit", "network-bit", "digital-operation", "cell-write" and "cells"',
        ),
        (
            "columns = 64",
            'columns = 64\nread_voltage = "0 V"',
            'tile.read_voltage: "0 V" is zero, expected more than 0 V',
            10,
            'give a voltage as a string with its unit, such as "0.2 V"',
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\n[components]\nadc = 3",
            "the table [components.adc] cannot be 3",
            17,
            "give a table",
        ),
        (
            "[dac]",
            "[weights]\nslices = 2\nslice_levels = [4]\n[dac]",
            "weights.slice_levels lists 1 slices, and weights.slices = 2",
            13,
            "give each slice its levels",
        ),
        (
            "[dac]",
            "[weights]\nslice_levels = [\n  1,\n]\n[dac]",
            "weights.slice_levels[0] cannot be 1",
            12,
            "give a list of whole numbers from 2 to 65536",
        ),
        (
            "columns = 64",
            'columns = 64\nactive-rows = "all"',
            "unknown key tile.active-rows",
            10,
            "did you mean tile.active_rows?",
        ),
        (
            '"25 uS"',
            '"1e999 S"',
            'cell.g_max: "1e999 S" is too large, expected a number below 1.8e308',
            5,
            'give a conductance as a string with its unit, such as "25 uS"',
        ),
        (
            '"25 uS"',
            '"inf S"',
            'cell.g_max: "inf S" does not start with a number, expected a number and the unit S',
            5,
            'give a conductance as a string with its unit, such as "25 uS"',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\nuse = "adc-conversion"\nenergy = "1 mW"\nsource = "x"',
            'components.adc.energy: "1 mW" has the unit "mW", expected J',
            19,
            'give an energy as a string with its unit, such as "1.667 pJ"',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\nuse = "adc-conversion"\nenergy = "-1 pJ"\nsource = "x"',
            'components.adc.energy: "-1 pJ" is negative, expected at least 0 J',
            19,
            'give an energy as a string with its unit, such as "1.667 pJ"',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\nuse = "adc-conversion"\nenergy = "1 XJ"\nsource = "x"',
            'components.adc.energy: "1 XJ" has the prefix "X", expected one of f p n u m k M G T P or none before J',
            19,
            'give an energy as a string with its unit, such as "1.667 pJ"',
        ),
        (
            "[adc]\nbits = 8",
            '[adc]\nbits = 8\n[components.adc]\nlevel = "tile"\ncount = "2"\narea = "1 mm2"\nsource = "x"',
            'components.adc.count cannot be "2"',
            18,
            "give a number above 0 and up to 1000000000",
        ),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 8\n[chip]\nmesh_rows = nan\nmesh_columns = 2",
            "chip.mesh_rows cannot be nan",
            17,
            "give a whole number from 1 to 65536",
        ),
    ],
)
def test_one_error_says_what_on_which_line_and_what_to_do(
    tmp_path: Path, old: str, new: str, what: str, line: int, fix: str
) -> None:
    assert old in CHIP
    file = tmp_path / "chip.toml"
    file.write_text(CHIP.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(HardwareError) as caught:
        load_hardware(file)
    assert caught.value.what == what
    assert caught.value.where == f"{file}, line {line}"
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("core.tiles=0", "core.tiles cannot be 0"),
        ("chip.mesh_columns=0", "chip.mesh_columns cannot be 0"),
        ("components.adc.count=0", "components.adc.count cannot be 0"),
        ("components.adc.level=wafer", 'components.adc.level cannot be "wafer"'),
        ("components.adc.area=3 W", 'components.adc.area: "3 W" has the unit "W", expected m2'),
        ("components.adc=3", "components.adc is a table, not a key"),
        ("chip.tiles=7", "chip.tiles = 7 contradicts a mesh of 12 x 14 cores of 96 tiles, which has 16128"),
        ("published.power=1 mm2", 'published.power: "1 mm2" has the unit "mm2", expected W'),
    ],
)
def test_an_override_of_a_preset_is_the_place_of_its_error(override: str, what: str) -> None:
    with pytest.raises(HardwareError) as caught:
        load_hardware("isaac", [override])
    assert (caught.value.what, caught.value.where) == (what, f"override {override}")


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_told_all_that_it_lacks(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HardwareError) as caught:
        load_hardware(file)
    assert str(caught.value).splitlines() == [
        f"5 errors in {file}:",
        f"  {file}: name is missing; give a string that is not empty",
        f"  {file}: the table [cell] is missing; add it, with g_min and g_max",
        f"  {file}: the table [tile] is missing; add it, with rows and columns",
        f"  {file}: the table [dac] is missing; add it, with bits",
        f"  {file}: the table [adc] is missing; add it, with bits",
    ]


def test_a_component_changes_by_an_override() -> None:
    changed = load_hardware("isaac", ["components.adc.area=0.002 mm2", "components.adc.count=2"])
    assert changed.components.by_name["adc"].area == pytest.approx(0.002e-6)
    assert changed.components.by_name["adc"].count == 2
    assert changed != load_hardware("isaac")
