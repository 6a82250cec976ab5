"""Hardware descriptions that are wrong: the text, the place and the remedy of every error."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from chip_texts import CHIP
from hypothesis import given
from hypothesis import strategies as st

from xbarc.errors import HardwareError
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware


def error_of(tmp_path: Path, text: str, *overrides: str) -> HardwareError:
    file = tmp_path / "chip.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HardwareError) as caught:
        load_hardware(file, overrides)
    return caught.value


# Files that are wrong in one place: what is said, on which line, and what to do


@pytest.mark.parametrize(
    ("old", "new", "what", "line", "fix"),
    [
        ("bits = 8\n\n[adc]", "bitz = 8\nbits = 8\n\n[adc]", "unknown key dac.bitz", 12, "did you mean dac.bits?"),
        ("[cell]", "rows = 4\n[cell]", "unknown key rows", 3, "did you mean tile.rows?"),
        ("[cell]", "[weight]\n[cell]", "unknown key weight", 3, "did you mean the table [weights]?"),
        (
            "rows = 128",
            "rows = 128\nfrequency = 3",
            "unknown key tile.frequency",
            9,
            "the keys of the table [tile] are rows, columns, polarity, active_rows, read_time, write_time, "
            "read_voltage, temperature, row_wire, column_wire, source_resistance and sense_resistance",
        ),
        (
            "[cell]",
            "[zzz]\n[cell]",
            "unknown key zzz",
            3,
            "the keys of a hardware description are name, description, sources, cell, tile, weights, dac, input, adc, "
            "core, network, chip, components, digital_reference and published",
        ),
        ("rows = 128\n", "", "tile.rows is missing", 7, "give a whole number from 1 to 65536"),
        ("rows = 128", "rows = 0", "tile.rows cannot be 0", 8, "give a whole number from 1 to 65536"),
        ("rows = 128", "rows = 128.0", "tile.rows cannot be 128.0", 8, "give a whole number from 1 to 65536"),
        ("rows = 128", "rows = true", "tile.rows cannot be true", 8, "give a whole number from 1 to 65536"),
        ("rows = 128", 'rows = "128"', 'tile.rows cannot be "128"', 8, "give a whole number from 1 to 65536"),
        (
            "[adc]\nbits = 8",
            "[adc]\nbits = 1",
            "adc.bits cannot be 1",
            15,
            'give a whole number from 2 to 24 or "unlimited"',
        ),
        (
            "[dac]\nbits = 8",
            "[dac]\nbits = 17",
            "dac.bits cannot be 17",
            12,
            'give a whole number from 2 to 16 or "unlimited"',
        ),
        (
            "rows = 128",
            'rows = 128\npolarity = "unitcell"',
            'tile.polarity cannot be "unitcell"',
            9,
            'give "unit-cell", "adjacent-columns" or "paired-tiles"',
        ),
        ("[dac]", "[dac]\npercentile = 0", "dac.percentile cannot be 0", 12, "give a number above 0 and up to 100"),
        ("[dac]", "[dac]\npercentile = nan", "dac.percentile cannot be nan", 12, "give a number above 0 and up to 100"),
        ("[adc]", "[adc]\nfixed_lsb = inf", "adc.fixed_lsb cannot be inf", 15, "give a number above 0"),
        ('name = "chip"', 'name = ""', 'name cannot be ""', 1, "give a string that is not empty"),
        ("[cell]", 'sources = ["a", 3]\n[cell]', "sources[1] cannot be 3", 3, "give a list of strings"),
        (
            "25 uS",
            "25 uV",
            'cell.g_max: "25 uV" has the unit "uV", expected S',
            5,
            'give a conductance as a string with its unit, such as "25 uS"',
        ),
        (
            '"25 uS"',
            "25e-6",
            "cell.g_max: 2.5e-05 has no unit, expected S",
            5,
            'give a conductance as a string with its unit, such as "25 uS"',
        ),
        (
            "1 uS",
            "-1 uS",
            'cell.g_min: "-1 uS" is negative, expected at least 0 S',
            4,
            'give a conductance as a string with its unit, such as "25 uS"',
        ),
        (
            "1 uS",
            "25 uS",
            "cell.g_min = 25 uS is not below cell.g_max = 25 uS",
            4,
            "lower cell.g_min or raise cell.g_max",
        ),
        (
            "[dac]",
            "[weights]\nslices = 3\n[dac]",
            "weights.slices = 3 of cell.levels = 256 make more than 65536 levels a weight",
            12,
            "lower weights.slices or cell.levels until cell.levels ** weights.slices is at most 65536",
        ),
        (
            "[tile]",
            'levels = "unlimited"\n[weights]\nslices = 2\n[tile]',
            "weights.slices = 2 splits a weight that a cell of unlimited levels holds whole",
            9,
            "set weights.slices = 1, or give cell.levels a number",
        ),
        (
            "columns = 64",
            'columns = 64\npolarity = "paired-tiles"\n[weights]\nencoding = "offset"',
            'tile.polarity = "paired-tiles" places pairs, and weights.encoding = "offset" has none',
            10,
            'set tile.polarity = "unit-cell", or weights.encoding = "differential"',
        ),
        (
            "columns = 64",
            'columns = 1\n[weights]\nencoding = "offset"',
            "tile.columns = 1 has no room beside the reference column of offset encoding",
            9,
            "give tile.columns at least 2",
        ),
        (
            "columns = 64",
            'columns = 1\npolarity = "adjacent-columns"',
            'tile.columns = 1 has no room for the pairs of tile.polarity = "adjacent-columns"',
            9,
            "give tile.columns at least 2",
        ),
        (
            "columns = 64",
            'columns = 64\npolarity = "paired-tiles"',
            'weights.subtraction = "analog" needs both cells of a pair at one ADC, and paired tiles have one each',
            10,
            'set weights.subtraction = "digital", or another tile.polarity',
        ),
        (
            "[adc]",
            '[adc]\nrange = "fixed"',
            'adc.fixed_lsb is missing, which adc.range = "fixed" needs',
            15,
            "give adc.fixed_lsb a number above 0, in conductance steps times input codes",
        ),
        (
            "[adc]",
            "[adc]\nfixed_lsb = 16",
            'adc.fixed_lsb = 16 has no effect with adc.range = "percentile"',
            15,
            'remove adc.fixed_lsb, or set adc.range = "fixed"',
        ),
        (
            "[dac]\nbits = 8\n\n[adc]",
            '[dac]\nbits = "unlimited"\n\n[adc]\nrange = "unit"',
            'adc.range = "unit" counts steps of cells and input codes, and dac.bits = "unlimited" has none',
            15,
            "give dac.bits a number, or set another adc.range",
        ),
    ],
)
def test_one_error_says_what_where_and_what_to_do(
    tmp_path: Path, old: str, new: str, what: str, line: int, fix: str
) -> None:
    assert old in CHIP
    error = error_of(tmp_path, CHIP.replace(old, new, 1))
    assert error.what == what
    assert error.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert error.fix == fix


def test_a_value_where_a_table_belongs(tmp_path: Path) -> None:
    error = error_of(tmp_path, CHIP.replace("[dac]\nbits = 8\n", "").replace("[cell]", "dac = 8\n[cell]"))
    assert (error.what, error.fix) == ("the table [dac] cannot be 8", "give a table")
    assert error.where == f"{tmp_path / 'chip.toml'}, line 3"


def test_a_missing_table_names_what_it_must_hold(tmp_path: Path) -> None:
    error = error_of(tmp_path, CHIP.replace("[tile]  # a comment\nrows = 128\ncolumns = 64\n", ""))
    assert (error.what, error.fix) == ("the table [tile] is missing", "add it, with rows and columns")
    assert error.where == str(tmp_path / "chip.toml")


# Several errors


def test_all_errors_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    text = CHIP.replace("rows = 128", "rows = 0").replace("25 uS", "25").replace("[adc]\nbits", "[adc]\nbitz")
    file = tmp_path / "chip.toml"
    error = error_of(tmp_path, text, "dac.bits=40", "dac.bit=4")
    assert str(error) == "\n".join(
        [
            f"6 errors in {file}:",
            "  override dac.bit=4: unknown key dac.bit; did you mean dac.bits?",
            f'  {file}, line 5: cell.g_max: "25" has no unit, expected S; '
            'give a conductance as a string with its unit, such as "25 uS"',
            f"  {file}, line 8: tile.rows cannot be 0; give a whole number from 1 to 65536",
            '  override dac.bits=40: dac.bits cannot be 40; give a whole number from 2 to 16 or "unlimited"',
            f'  {file}, line 14: adc.bits is missing; give a whole number from 2 to 24 or "unlimited"',
            f"  {file}, line 15: unknown key adc.bitz; did you mean adc.bits?",
        ]
    )


def test_all_conflicts_are_told_at_once(tmp_path: Path) -> None:
    error = error_of(tmp_path, CHIP, "cell.g_min=30 uS", "weights.slices=4", "adc.range=fixed")
    heading, *lines = str(error).splitlines()
    assert heading.startswith("3 errors in ")
    assert [line.split(":")[0] for line in lines] == [
        "  override cell.g_min=30 uS",
        "  override weights.slices=4",
        "  override adc.range=fixed",
    ]


# Sources that cannot be read


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (CHIP.replace("rows = 128", "rows 128"), "line 8"),
        ("a = 1\n[a]\nb = 2\n", "line 2"),
        (CHIP + 'range = """', "end of the file"),
    ],
)
def test_a_syntax_error_has_its_line(tmp_path: Path, text: str, place: str) -> None:
    error = error_of(tmp_path, text)
    assert error.what.startswith("TOML syntax error: ")
    assert "(at " not in error.what
    assert error.where is not None
    assert error.where.startswith(f"{tmp_path / 'chip.toml'}, {place}")


@pytest.mark.parametrize(
    ("more", "name", "first", "second"),
    [
        ("bits = 9\n", "adc.bits", 15, 16),
        ("[adc]\nrange = 'mse'\n", "adc", 14, 16),
        ("[core]\ntiles = 2\n\n[chip]\n\n[core]\n", "core", 16, 21),
        ("[core]\nbuffer = '''a\n[core]'''\ntiles = 2\ntiles = 3\n", "core.tiles", 19, 20),
        ("[chip]\ntiles = 4\n[components.x]\narea = 1\n[components.x]\narea = 2\n", "components.x", 18, 20),
    ],
)
def test_what_is_given_twice_has_both_lines(tmp_path: Path, more: str, name: str, first: int, second: int) -> None:
    error = error_of(tmp_path, CHIP + more)
    assert error.what == f"{name} is given twice, on line {first} and on line {second}"
    assert error.where == f"{tmp_path / 'chip.toml'}, line {second}"
    assert error.fix == "remove one of them"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("generic-pmc", "did you mean generic-pcm? "), ("exakt", "did you mean exact? "), ("zzz", ""), ("", "")],
)
def test_an_unknown_preset(name: str, hint: str) -> None:
    with pytest.raises(HardwareError) as caught:
        load_hardware(name)
    assert caught.value.what == f'there is no hardware preset "{name}"'
    presets = "exact, generic-pcm, generic-reram-128, hermes, isaac, neurram, puma, rpu-4096 and sonos-1152"
    assert caught.value.fix == f"{hint}The presets are {presets}; a file is given by its path or as NAME.toml"


def test_a_file_that_is_not_there_or_no_file_or_no_text(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"name = '\xff'")
    for path, what, where in [
        (tmp_path / "none.toml", "the hardware file cannot be read: No such file or directory", tmp_path / "none.toml"),
        (tmp_path, "the hardware file cannot be read: Is a directory", tmp_path),
        (binary, "the hardware file is not UTF-8 text", f"{binary}, byte 8"),
    ]:
        with pytest.raises(HardwareError) as caught:
            load_hardware(str(path))
        assert (caught.value.what, caught.value.where) == (what, str(where))


def test_a_dictionary_is_refused_with_the_same_words() -> None:
    values = tomllib.loads(CHIP)
    values["tile"]["rows"] = 0
    with pytest.raises(HardwareError) as caught:
        Hardware.from_dict(values)
    assert caught.value.what == "tile.rows cannot be 0"
    assert caught.value.where == "the hardware description"
    assert caught.value.__context__ is None


# Anything else: an error of ours or a hardware, never an error of a library

words = st.sampled_from(["name", "cell", "tile", "dac", "adc", "bits", "rows", "g_min", "sources", "x", ""])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("25 uS")
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


@given(values=st.dictionaries(words, trees, max_size=6))
def test_any_dictionary_without_the_required_keys_is_refused_by_name(values: dict[str, object]) -> None:
    values.pop("tile", None)
    with pytest.raises(HardwareError) as caught:
        Hardware.from_dict(values)
    assert "the table [tile] is missing" in str(caught.value)
    assert "pydantic" not in str(caught.value)


@given(path=st.lists(words, min_size=1, max_size=4), value=st.text(alphabet="0123456789.e-[]{}\"', nuS=", max_size=6))
def test_any_override_gives_a_hardware_or_an_error_that_shows_it(path: list[str], value: str) -> None:
    override = f"{'.'.join(path)}={value}"
    try:
        message = None if load_hardware("generic-pcm", [override]) else ""
    except HardwareError as error:
        message = str(error)
    assert message is None or override in message
