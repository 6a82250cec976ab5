"""Hardware descriptions: presets, files, overrides, derived values, round trips; errors stand apart."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from chip_texts import CHIP
from hypothesis import given
from hypothesis import strategies as st

from xbarc.hardware.derived import derived_figures
from xbarc.hardware.describe import describe
from xbarc.hardware.load import load_hardware, preset_names
from xbarc.hardware.schema import Hardware
from xbarc.hardware.starting_file import starting_file
from xbarc.units import format_quantity


def values_of(**tables: dict[str, object]) -> dict[str, Any]:
    """The smallest description as a dictionary, with the tables given merged into it."""
    values = tomllib.loads(CHIP)
    for name, table in tables.items():
        values[name] = values.get(name, {}) | table
    return values


# Presets


def test_presets_are_listed_and_bear_their_names() -> None:
    assert preset_names() == [
        "exact",
        "generic-pcm",
        "generic-reram-128",
        "hermes",
        "isaac",
        "neurram",
        "puma",
        "rpu-4096",
        "sonos-1152",
    ]
    for name in preset_names():
        assert load_hardware(name).name == name


def test_generic_pcm_is_the_documented_default() -> None:
    pcm = load_hardware("generic-pcm")
    assert (pcm.tile.rows, pcm.tile.columns, pcm.tile.polarity) == (256, 256, "unit-cell")
    assert (pcm.cell.g_min, pcm.cell.g_max, pcm.cell.levels) == (0.0, 25e-6, 256)
    assert (pcm.weights.encoding, pcm.weights.slices, pcm.weights.scale) == ("differential", 1, "column")
    assert (pcm.weights.subtraction, pcm.dac.bits, pcm.adc.bits) == ("analog", 8, 8)
    assert (pcm.adc.range, pcm.adc.percentile) == ("percentile", 99.98)
    assert pcm.chip.tiles == 4096
    assert any("arXiv 2109.01262" in source for source in pcm.sources)
    # The promise of exact integer products in float32: 255 * 255 * 256 <= 2^24.
    assert 255 * 255 * pcm.tile.rows <= 2**24


def test_exact_has_unlimited_resolution() -> None:
    exact = load_hardware("exact")
    assert {exact.cell.levels, exact.dac.bits, exact.adc.bits, exact.chip.tiles} == {"unlimited"}
    assert exact.cell.g_step is None
    assert exact.magnitude_levels == "unlimited"


# Defaults and derived values


def test_a_small_description_is_completed_with_the_documented_defaults() -> None:
    hardware = Hardware.from_dict(values_of())
    assert hardware.to_dict() == {
        "name": "chip",
        "description": "",
        "sources": [],
        "cell": {"g_min": "1 uS", "g_max": "25 uS", "levels": 256},
        "tile": {
            "rows": 128,
            "columns": 64,
            "polarity": "unit-cell",
            "row_wire": "0 Ohm",
            "column_wire": "0 Ohm",
            "source_resistance": "0 Ohm",
            "sense_resistance": "0 Ohm",
        },
        "weights": {
            "encoding": "differential",
            "slices": 1,
            "scale": "column",
            "range": "max",
            "percentile": 99.9,
            "expected_error": 0.0,
            "subtraction": "analog",
        },
        "dac": {"bits": 8, "range": "percentile", "percentile": 99.99},
        "input": {"mode": "parallel", "digit_bits": 1, "sign": "twos-complement"},
        "adc": {
            "bits": 8,
            "range": "percentile",
            "percentile": 99.98,
            "noise_lsb": 0.0,
            "gain_sigma": 0.0,
            "offset_sigma": 0.0,
            "inl_sigma": 0.0,
        },
        "core": {"tiles": 1},
        "network": {},
        "chip": {"tiles": "unlimited", "tiles_written": 1},
        "components": {},
    }


@pytest.mark.parametrize(
    ("tile", "weights", "polarities", "weight_columns"),
    [
        ({"columns": 64}, {}, 2, 64),
        ({"columns": 64, "polarity": "adjacent-columns"}, {}, 2, 32),
        ({"columns": 65, "polarity": "adjacent-columns"}, {}, 2, 32),
        ({"columns": 64, "polarity": "paired-tiles"}, {"subtraction": "digital"}, 2, 64),
        ({"columns": 64}, {"encoding": "offset"}, 1, 63),
    ],
)
def test_polarity_and_encoding_set_what_a_tile_holds(
    tile: dict[str, object], weights: dict[str, object], polarities: int, weight_columns: int
) -> None:
    hardware = Hardware.from_dict(values_of(tile=tile, weights=weights))
    assert (hardware.weights.polarities, hardware.weight_columns) == (polarities, weight_columns)


def test_a_mesh_sets_the_tiles_of_the_chip() -> None:
    mesh = {"mesh_rows": 3, "mesh_columns": 5}
    assert Hardware.from_dict(values_of(core={"tiles": 4}, chip=mesh)).chip_tiles == 60
    assert Hardware.from_dict(values_of(core={"tiles": 4}, chip=mesh | {"tiles": 60})).chip_tiles == 60
    assert Hardware.from_dict(values_of(core={"tiles": 4}, chip={"tiles": 8})).chip_tiles == 8
    assert Hardware.from_dict(values_of()).chip_tiles == "unlimited"


def test_a_description_without_the_tables_of_today_is_read() -> None:
    """Programs that were compiled before hold such ones."""
    before = {
        name: table
        for name, table in Hardware.from_dict(values_of()).to_dict().items()
        if name not in ("input", "core", "network", "components")
    }
    assert Hardware.from_dict(before) == Hardware.from_dict(values_of())


def test_levels_and_slices_set_steps_and_magnitudes() -> None:
    hardware = Hardware.from_dict(values_of(cell={"levels": 4}, weights={"slices": 3}))
    assert hardware.cell.g_step == pytest.approx(8e-6)
    assert hardware.magnitude_levels == 64


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("tile", {"rows": 1, "columns": 1}),
        ("tile", {"rows": 65536, "columns": 65536}),
        ("cell", {"levels": 2}),
        ("cell", {"levels": 65536}),
        ("cell", {"g_min": "0 S"}),
        ("weights", {"slices": 2}),  # of 256 levels: 65536 together
        ("dac", {"bits": 2}),
        ("dac", {"bits": 16, "percentile": 100}),
        ("adc", {"bits": 2}),
        ("adc", {"bits": 24}),
        ("chip", {"tiles": 1}),
    ],
)
def test_the_ends_of_the_allowed_ranges_are_allowed(table: str, values: dict[str, object]) -> None:
    kept = Hardware.from_dict(values_of(**{table: values})).to_dict()[table]
    assert isinstance(kept, dict)
    assert kept | values == kept


def test_descriptions_do_not_change_and_can_be_keys() -> None:
    hardware = load_hardware("generic-pcm")
    with pytest.raises(ValueError, match="frozen"):
        hardware.tile.rows = 3  # type: ignore[misc]
    assert {hardware: 1}[load_hardware("generic-pcm")] == 1


def test_describe_gives_every_key_and_what_follows() -> None:
    hardware = load_hardware("generic-pcm", ["weights.encoding=offset"])
    rows = {row.key: row for row in describe(hardware)}
    assert rows["cell.g_max"].value == "25 uS"
    assert rows["adc.fixed_lsb"].value == "not given"
    assert rows["sources"].value.count("; ") == 3
    assert all(row.meaning for row in rows.values())
    derived = {figure.key: figure.text for figure in derived_figures(hardware)}
    assert derived["cell.g_step"] == "98.04 nS"
    assert derived["weights.polarities"] == "1"
    assert derived["magnitude_levels"] == "256"
    assert derived["weight_columns"] == "255"


# Overrides


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("adc.bits=6", ("adc", "bits", 6)),
        (" adc.bits = 6 ", ("adc", "bits", 6)),
        ("adc.bits=unlimited", ("adc", "bits", "unlimited")),
        ('adc.bits="unlimited"', ("adc", "bits", "unlimited")),
        ("cell.g_max=30 uS", ("cell", "g_max", 30e-6)),
        ('cell.g_max="30 uS"', ("cell", "g_max", 30e-6)),
        ("chip.tiles=7", ("chip", "tiles", 7)),  # a table that the file does not have
        ("dac.percentile=99.5", ("dac", "percentile", 99.5)),
        ("tile.polarity=adjacent-columns", ("tile", "polarity", "adjacent-columns")),
    ],
)
def test_an_override_replaces_one_value(tmp_path: Path, override: str, expected: tuple[str, str, object]) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(CHIP)
    table, key, value = expected
    hardware = load_hardware(file, [override])
    assert getattr(getattr(hardware, table), key) == value
    plain: dict[str, Any] = load_hardware(file).to_dict()
    changed: dict[str, Any] = hardware.to_dict()
    differing = {
        (name, inner)
        for name in ("cell", "tile", "weights", "dac", "adc", "chip")
        for inner in changed[name]
        if changed[name][inner] != plain[name][inner]
    }
    assert differing == {(table, key)}


def test_overrides_come_as_a_mapping_a_sequence_or_one_string() -> None:
    expected = load_hardware("generic-pcm", ["adc.bits=6", "name=x = y"])
    assert (expected.adc.bits, expected.name) == (6, "x = y")
    assert load_hardware("generic-pcm", {"adc.bits": "6", "name": "x = y"}) == expected
    assert load_hardware("generic-pcm", {"adc.bits": 6, "name": "x = y"}) == expected
    assert load_hardware("generic-pcm", "adc.bits=6") == load_hardware("generic-pcm", ["adc.bits=6"])


def test_the_later_override_wins_and_an_override_can_mend_a_file(tmp_path: Path) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(CHIP.replace("rows = 128", "rows = 0"))
    assert load_hardware(file, ["tile.rows=-1", "tile.rows=5"]).tile.rows == 5


def test_an_override_of_several_lines_sets_no_second_key() -> None:
    assert load_hardware("exact", {"name": '"a"\nvalue2 = 3'}).name == '"a"\nvalue2 = 3'


# Files


def test_a_path_or_a_name_that_ends_in_toml_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("exact", "chip.toml"):
        (tmp_path / name).write_text(CHIP)
    assert load_hardware("exact").name == "exact"
    assert (
        load_hardware("./exact").name == load_hardware(Path("exact")).name == load_hardware("chip.toml").name == "chip"
    )


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "chip.toml"
    file.write_bytes(b"\xef\xbb\xbf" + CHIP.replace("\n", "\r\n").encode())
    assert load_hardware(file) == Hardware.from_dict(values_of())


def test_unit_range_of_an_unlimited_adc_needs_no_steps() -> None:
    assert load_hardware("exact", ["adc.range=unit"]).adc.range == "unit"


# Round trips


def quantities(unit: str) -> st.SearchStrategy[str]:
    """Texts of positive quantities as they are written."""
    return st.floats(min_value=1e-12, max_value=1e6).map(lambda value: format_quantity(value, unit))


sides = st.integers(1, 65536)
parts = st.fixed_dictionaries(
    {"level": st.sampled_from(["tile", "core", "chip"]), "area": quantities("m2"), "source": st.text(min_size=1)},
    optional={
        "count": st.floats(min_value=1e-3, max_value=1e6),
        "use": st.sampled_from(["tile-read", "buffer-bit"]),
        "power": quantities("W"),
        "static_power": quantities("W"),
    },
)


@st.composite
def descriptions(draw: st.DrawFn) -> dict[str, Any]:
    """Valid descriptions over the whole schema, leaving out what has a default now and then."""
    g_min = draw(st.floats(min_value=0, max_value=1e-3))
    g_max = g_min + draw(st.floats(min_value=1e-9, max_value=1e-3))
    slices = draw(st.integers(1, 4))
    encoding = draw(st.sampled_from(["differential", "offset"]))
    least = 3 if (encoding, slices) == ("offset", 1) else 2  # an offset code has a middle and something beside it
    levels = draw(st.integers(least, 16) | (st.just("unlimited") if slices == 1 else st.nothing()))
    polarity, subtraction = draw(
        st.sampled_from([("unit-cell", "analog"), ("unit-cell", "digital")])
        | (
            st.sampled_from([("adjacent-columns", "analog"), ("paired-tiles", "digital")])
            if encoding == "differential"
            else st.nothing()
        )
    )
    dac_bits = draw(st.integers(2, 16) | st.just("unlimited"))
    stepped = "unlimited" not in (levels, dac_bits)
    adc_range = draw(st.sampled_from(["percentile", "mse", *(["unit", "full-scale", "fixed"] if stepped else [])]))
    percentiles = st.floats(min_value=0, max_value=100, exclude_min=True) | st.integers(1, 100)
    core_tiles = draw(st.integers(1, 64))
    chip: dict[str, Any] = draw(
        st.just({"tiles": "unlimited"})
        | st.builds(lambda cores: {"tiles": cores * core_tiles}, st.integers(1, 10**6))
        | st.builds(lambda rows, columns: {"mesh_rows": rows, "mesh_columns": columns}, sides, sides)
    )
    values: dict[str, Any] = {
        "name": draw(st.text(min_size=1)),
        "description": draw(st.text()),
        "sources": draw(st.lists(st.text(), max_size=3)),
        "cell": {"g_min": format_quantity(g_min, "S"), "g_max": format_quantity(g_max, "S"), "levels": levels},
        "tile": {"rows": draw(st.integers(1, 65536)), "columns": draw(st.integers(2, 65536)), "polarity": polarity},
        "weights": {"encoding": encoding, "slices": slices, "subtraction": subtraction},
        "dac": {"bits": dac_bits, "range": draw(st.sampled_from(["percentile", "mse", "max"]))},
        "adc": {"bits": draw(st.integers(2, 24) | st.just("unlimited")), "range": adc_range},
        "core": {"tiles": core_tiles},
        "chip": chip,
        "components": draw(st.dictionaries(st.text(max_size=8), parts, max_size=3)),
    }
    if adc_range == "fixed":
        values["adc"]["fixed_lsb"] = draw(st.floats(min_value=1e-6, max_value=1e6))
    for table, key, value in [
        ("weights", "scale", draw(st.sampled_from(["column", "layer"]))),
        ("dac", "percentile", draw(percentiles)),
        ("adc", "percentile", draw(percentiles)),
    ]:
        if draw(st.booleans()):
            values[table][key] = value
    return values


@given(values=descriptions())
def test_dictionary_and_json_give_the_same_hardware(values: dict[str, Any]) -> None:
    hardware = Hardware.from_dict(values)
    assert Hardware.from_dict(hardware.to_dict()) == hardware
    assert Hardware.from_dict(json.loads(json.dumps(hardware.to_dict()))) == hardware
    assert within(values, hardware.to_dict())


@given(values=descriptions())
def test_a_file_gives_the_same_hardware_as_a_dictionary(
    values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("hardware") / "chip.toml"
    file.write_bytes("\n".join(toml_lines(values)).encode("utf-8"))
    assert load_hardware(file) == Hardware.from_dict(values)


@given(values=descriptions())
def test_a_starting_file_gives_the_same_hardware(
    values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    hardware = Hardware.from_dict(values)
    file = tmp_path_factory.mktemp("hardware") / "chip.toml"
    file.write_bytes(starting_file(hardware, name=hardware.name).encode("utf-8"))
    assert load_hardware(file) == hardware


def within(given: Any, kept: Any) -> bool:
    """Whether all that is given is kept; tables may have more."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return all(name in kept and within(value, kept[name]) for name, value in given.items())
    return bool(given == kept)


def toml_lines(values: dict[str, Any], path: str = "") -> list[str]:
    """Values before tables, tables by their full name."""
    lines = [
        # JSON's strings, numbers and lists are TOML's, as long as they are free of DEL and escaped surrogate pairs.
        f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
        for name, value in values.items()
        if not isinstance(value, dict)
    ]
    for name, value in values.items():
        if isinstance(value, dict):
            inner = (path + json.dumps(name, ensure_ascii=False)).replace("\x7f", "\\u007f")
            lines += [f"[{inner}]", *toml_lines(value, f"{inner}.")]
    return lines
