"""Presets and derived values: published sums and peaks come out, sums are those of the parts, all presets compile."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xbarc
from xbarc.hardware.components import Level
from xbarc.hardware.derived import (
    Figure,
    cells_on_chip,
    component_sum,
    conversion_time,
    cores_on_chip,
    derived_figures,
    peak_throughput,
    product_time,
    read_time,
    reads_a_product,
    weights_on_chip,
)
from xbarc.hardware.keys import dotted, known_keys
from xbarc.hardware.load import load_hardware, preset_names
from xbarc.hardware.schema import Hardware
from xbarc.hardware.starting_file import starting_file
from xbarc.report.pages import hardware_page
from xbarc.report.rendering import plain_text
from xbarc.units import format_quantity

ROOT = Path(__file__).resolve().parents[1]
MM2 = 1e-6

SMALL: dict[str, Any] = {
    "name": "small",
    "cell": {"g_min": "0 S", "g_max": "25 uS"},
    "tile": {"rows": 16, "columns": 8},
    "dac": {"bits": 8},
    "adc": {"bits": 8},
}


def figures(hardware: Hardware) -> dict[str, Figure]:
    return {figure.key: figure for figure in derived_figures(hardware)}


def sums(hardware: Hardware, level: Level) -> tuple[float, float]:
    """Power and area."""
    power, area = component_sum(hardware, level, "power"), component_sum(hardware, level, "area")
    assert power is not None
    assert area is not None
    return power, area


# Published sums and peaks


def test_isaac_has_the_published_sums_and_peak() -> None:
    isaac = load_hardware("isaac")
    assert isaac.core.tiles == 12 * 8
    assert cores_on_chip(isaac) == 168
    # The paper prints three digits: a "tile" of it is a core here.
    assert sums(isaac, "core") == pytest.approx((330e-3, 0.372 * MM2), rel=2e-3)
    assert sums(isaac, "chip") == pytest.approx((65.8, 85.4 * MM2), rel=1e-3)
    # An IMA: eight tiles, four shift-and-adds, two registers.
    ima = 8 * sums(isaac, "tile")[0] + 4 * 0.05e-3 + 1.24e-3 + 0.23e-3
    assert ima == pytest.approx(24.08e-3, rel=1e-3)
    assert product_time(isaac) == pytest.approx(1.6e-6)
    assert peak_throughput(isaac) == pytest.approx(168 * 12 * 8 * 128 * 16 * 2 / 1.6e-6)
    assert figures(isaac)["peak"].text == "41.29 TOPS"


def test_puma_has_the_published_sums_and_its_own_peak() -> None:
    puma = load_hardware("puma")
    assert cores_on_chip(puma) == 138 * 8
    assert sums(puma, "core") == pytest.approx((42.37e-3, 0.036 * MM2), rel=0.02)
    assert sums(puma, "chip") == pytest.approx((62.5, 90.64 * MM2), rel=0.02)
    assert product_time(puma) == pytest.approx(2304e-9)
    peak = figures(puma)["peak"]
    assert peak.value == pytest.approx(138 * 8 * 2 * 128 * 128 * 2 / 2304e-9)
    assert (peak.text, peak.published_text) == ("31.4 TOPS", "52.3 TOPS")
    # Both published densities are the published peak; the note says what time of a product that would need.
    assert puma.published is not None
    assert puma.published.throughput is not None
    published = puma.published.throughput
    assert published == pytest.approx(577e9 * 90.64, rel=1e-3)
    assert published == pytest.approx(837e9 * 62.5, rel=1e-3)
    product = 138 * 8 * 2 * 128 * 128 * 2 / published
    assert "1383 ns" in puma.published.note
    assert product == pytest.approx(1383e-9, rel=1e-3)


def test_hermes_has_the_published_peak_and_efficiency() -> None:
    found = figures(load_hardware("hermes"))
    assert found["peak"].value == pytest.approx(63.1e12, rel=1e-3)
    assert found["peak_per_watt"].value == pytest.approx(9.76e12, rel=1e-3)
    assert found["peak_per_area"].value == pytest.approx(1.59e12 / MM2, rel=1e-2)


# Sums and counts


@given(
    tiles=st.integers(1, 4),
    mesh=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    parts=st.lists(st.tuples(st.sampled_from(["tile", "core", "chip"]), st.integers(1, 5), st.integers(1, 99))),
)
def test_sums_are_those_of_every_single_part(
    tiles: int, mesh: tuple[int, int], parts: list[tuple[str, int, int]]
) -> None:
    components = {
        f"part{number}": {"level": level, "count": count, "power": f"{milliwatts} mW", "source": "drawn"}
        for number, (level, count, milliwatts) in enumerate(parts)
    }
    chip = {"mesh_rows": mesh[0], "mesh_columns": mesh[1]}
    hardware = Hardware.from_dict(SMALL | {"core": {"tiles": tiles}, "chip": chip, "components": components})
    drawn = [
        milliwatts
        for owner in ["chip", *(["core", *["tile"] * tiles] * (mesh[0] * mesh[1]))]
        for level, count, milliwatts in parts
        if level == owner
        for _ in range(count)
    ]
    total = component_sum(hardware, "chip", "power")
    assert total == (pytest.approx(sum(drawn) * 1e-3) if drawn else None)
    assert component_sum(hardware, "chip", "area") is None


def test_two_of_energy_latency_and_power_make_the_third() -> None:
    part = {"level": "tile", "use": "tile-read", "source": "drawn"}
    components = {
        "a": part | {"energy": "3 pJ", "latency": "2 ns", "static_power": "1 mW"},
        "b": part | {"power": "1.5 mW", "latency": "2 ns"},
        "c": part | {"power": "1.5 mW", "energy": "3 pJ"},
        "d": part | {"area": "1 um2"},
    }
    found = Hardware.from_dict(SMALL | {"components": components}).components.by_name
    assert [found[name].use_energy for name in "abc"] == pytest.approx([3e-12] * 3)
    assert [found[name].full_power for name in "abc"] == pytest.approx([2.5e-3, 1.5e-3, 1.5e-3])
    assert (found["d"].use_energy, found["d"].full_power) == (None, None)


@pytest.mark.parametrize(
    ("changes", "weights", "cells"),
    [
        ({}, 6 * 16 * 8, 6 * 16 * 8 * 2),
        ({"weights": {"slices": 2}}, 3 * 16 * 8, 6 * 16 * 8 * 2),
        ({"tile": {"rows": 16, "columns": 8, "polarity": "adjacent-columns"}}, 6 * 16 * 4, 6 * 16 * 8),
        (
            {
                "tile": {"rows": 16, "columns": 8, "polarity": "paired-tiles"},
                "weights": {"subtraction": "digital"},
            },
            3 * 16 * 8,
            6 * 16 * 8,
        ),
        ({"weights": {"encoding": "offset"}}, 6 * 16 * 7, 6 * 16 * 8),
    ],
)
def test_weights_and_cells_of_a_chip_of_six_tiles(changes: dict[str, Any], weights: int, cells: int) -> None:
    hardware = Hardware.from_dict(SMALL | {"chip": {"tiles": 6}} | changes)
    assert (weights_on_chip(hardware), cells_on_chip(hardware)) == (weights, cells)


@pytest.mark.parametrize(
    ("keys", "reads"),
    [
        ({}, 1),
        ({"input": {"mode": "bit-serial"}}, 8),  # the sign and seven bits
        ({"input": {"mode": "bit-serial", "digit_bits": 2}}, 5),  # the sign, three times two bits and one
        ({"input": {"mode": "bit-serial", "sign": "phases"}}, 14),
        ({"tile": {"rows": 16, "columns": 8, "active_rows": 5}}, 4),
    ],
)
def test_reads_of_a_product(keys: dict[str, Any], reads: int) -> None:
    hardware = Hardware.from_dict(SMALL | keys)
    assert reads_a_product(hardware) == reads


def test_a_read_takes_as_long_as_its_conversions_where_nothing_else_is_given() -> None:
    adc = {"bits": 8, "columns_per_adc": 8, "rate": "1 GS/s"}
    assert product_time(Hardware.from_dict(SMALL | {"adc": adc})) == pytest.approx(8e-9)
    tile = {"rows": 16, "columns": 8, "read_time": "100 ns"}
    assert product_time(Hardware.from_dict(SMALL | {"adc": adc, "tile": tile})) == pytest.approx(100e-9)
    assert product_time(Hardware.from_dict(SMALL)) is None


# All presets


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_survives_dictionary_and_starting_file(name: str, tmp_path: Path) -> None:
    hardware = load_hardware(name)
    assert Hardware.from_dict(hardware.to_dict()) == hardware
    file = tmp_path / "chip.toml"
    file.write_text(starting_file(hardware, name=name), encoding="utf-8")
    assert load_hardware(file) == hardware


@pytest.mark.parametrize("name", [name for name in preset_names() if name != "exact"])
def test_a_preset_says_where_its_figures_come_from(name: str) -> None:
    hardware = load_hardware(name)
    assert hardware.sources
    assert hardware.digital_reference is not None
    text = (resources.files("xbarc.hardware.presets") / f"{name}.toml").read_text("utf-8")
    assert "Sources, by the short names used below" in text


def test_every_key_and_figure_is_documented() -> None:
    page = (ROOT / "docs" / "hardware.md").read_text("utf-8")
    keys = {dotted(path) for path, key in known_keys(Hardware).items() if not key.is_table}
    values = {figure.key for figure in derived_figures(load_hardware("isaac"))}
    assert {name for name in keys | values | set(preset_names()) if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("name", [name for name in preset_names() if name != "exact"])
def test_a_preset_compiles_a_network(name: str, models_dir: Path) -> None:
    program = xbarc.compile(
        models_dir / "digits_cnn.onnx", hardware=name, calibration=models_dir / "digits_calibration.npz"
    )
    report = program.report()
    assert report.hardware == name
    tiles = load_hardware(name).chip_tiles
    assert isinstance(tiles, int)
    assert report.chip_tiles == tiles
    assert 0 < report.totals.physical_tiles <= tiles


@pytest.mark.parametrize("name", preset_names())
def test_reads_do_not_follow_each_other_faster_than_a_tile_can_read(name: str) -> None:
    hardware = load_hardware(name)
    times = [part.use_time or 0.0 for part in hardware.components.by_name.values() if part.use == "tile-read"]
    conversions = conversion_time(hardware) or 0.0
    assert (read_time(hardware) or 0.0) >= max([0.99 * conversions, *times], default=0.0)


def test_a_page_tells_of_each_part_all_that_counts() -> None:
    parts = ["static_power=3 mW", 'includes=["cells", "bus-bit"]']
    hardware = load_hardware("generic-pcm", [f"components.tile.{part}" for part in parts])
    (line,) = re.findall(r"^tile +tile-read.*$", plain_text(hardware_page(hardware)), re.MULTILINE)
    assert re.split("  +", line) == ["tile", "tile-read", "133 ns", "3 mW", "cells, bus-bit"]


def test_quantities_of_components_are_written_as_they_are_read() -> None:
    adc = load_hardware("isaac").components.by_name["adc"]
    assert adc.area is not None
    assert adc.power is not None
    assert adc.use_energy is not None
    assert format_quantity(adc.area, "m2") == "0.0012 mm2"
    assert format_quantity(adc.power, "W") == "2 mW"
    assert format_quantity(adc.use_energy, "J") == "1.667 pJ"
