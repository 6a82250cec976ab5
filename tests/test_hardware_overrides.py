"""Overrides of a hardware description that name nothing, or cannot be: the text, the place and the remedy of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from chip_texts import CHIP

from xbarc.errors import HardwareError
from xbarc.hardware.load import load_hardware


def error_of(tmp_path: Path, text: str, *overrides: str) -> HardwareError:
    file = tmp_path / "chip.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HardwareError) as caught:
        load_hardware(file, overrides)
    return caught.value


@pytest.mark.parametrize(
    ("override", "what", "fix"),
    [
        ("adc.bitz=6", "unknown key adc.bitz", "did you mean adc.bits?"),
        ("rows=6", "unknown key rows", "did you mean tile.rows?"),
        ("adcs.bits=6", "unknown key adcs.bits", "did you mean adc.bits?"),
        ("ADC.bits=6", "unknown key ADC.bits", "did you mean adc.bits?"),
        ("adc.bits.x=6", "unknown key adc.bits.x", "did you mean adc.bits?"),
        (
            "adc.=6",
            "unknown key adc.",
            "the keys of the table [adc] are bits, range, percentile, noise_lsb, enob, gain_sigma, offset_sigma, "
            "inl_sigma, inl, fixed_lsb, columns_per_adc and rate",
        ),
        (
            "components.adc.lvel=tile",
            "unknown key components.adc.lvel",
            "did you mean components.adc.level?",
        ),
        ("chip.mesh_row=6", "unknown key chip.mesh_row", "did you mean chip.mesh_rows?"),
        ("dac=6", "dac is a table, not a key", "name dac.bits, dac.range, dac.percentile or dac.inl"),
        ("adc.bits=06", 'adc.bits cannot be "06"', 'give a whole number from 2 to 24 or "unlimited"'),
        ("adc.bits=", 'adc.bits cannot be ""', 'give a whole number from 2 to 24 or "unlimited"'),
        ("weights.slices=17", "weights.slices cannot be 17", "give a whole number from 1 to 16"),
        (
            "cell.g_max=0.5 uS",
            "cell.g_min = 1 uS is not below cell.g_max = 500 nS",
            "lower cell.g_min or raise cell.g_max",
        ),
    ],
)
def test_an_override_that_cannot_be_is_the_place_of_its_error(
    tmp_path: Path, override: str, what: str, fix: str
) -> None:
    error = error_of(tmp_path, CHIP, override)
    assert (error.what, error.where, error.fix) == (what, f"override {override}", fix)


@pytest.mark.parametrize("override", ["adc.bits", "=6", "", "  = 6"])
def test_an_override_needs_a_key_and_an_equals_sign(tmp_path: Path, override: str) -> None:
    error = error_of(tmp_path, CHIP, override)
    assert error.what == f'the override "{override}" is not key.path=value'
    assert error.fix == "write it as in adc.bits=6"


def test_an_override_into_what_is_no_table_leaves_the_error_with_the_file(tmp_path: Path) -> None:
    text = CHIP.replace("[dac]\nbits = 8\n", "").replace("[cell]", "dac = 8\n[cell]")
    assert error_of(tmp_path, text, "dac.bits=6").where == f"{tmp_path / 'chip.toml'}, line 3"


_PART = '[components.adc]\nlevel = "tile"\narea = "1 mm2"\nsource = "x"\n'


@pytest.mark.parametrize(
    ("text", "override", "table", "fix"),
    [
        (
            CHIP + _PART,
            "components.acd.area=2 mm2",
            "components.acd",
            "did you mean [components.adc]? A new one needs components.acd.level and components.acd.source too",
        ),
        (
            CHIP,
            "components.x.area=2 mm2",
            "components.x",
            "a new one needs components.x.level and components.x.source too",
        ),
        (CHIP, "published.power=2 W", "published", "a new one needs published.source too"),
    ],
)
def test_an_override_in_a_table_that_is_not_there(
    tmp_path: Path, text: str, override: str, table: str, fix: str
) -> None:
    error = error_of(tmp_path, text, override)
    assert (error.what, error.where, error.fix) == (
        f"there is no table [{table}] to change",
        f"override {override}",
        fix,
    )


def test_overrides_may_make_a_whole_table(tmp_path: Path) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(CHIP, encoding="utf-8")
    given = ["components.x.area=2 mm2", "components.x.level=core", "components.x.source=y", "core.tiles=4"]
    hardware = load_hardware(file, given)
    assert hardware.components.by_name["x"].area == pytest.approx(2e-6)
    assert hardware.core.tiles == 4
