"""Measured tables as devices: TOML and CSV, what they make of cells, and what is no table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from chips import DAY, HOUR, product
from hypothesis import given
from hypothesis import strategies as st

from xbarc.devices.catalogue import device_text, find_device, restored_device, stored_device
from xbarc.devices.device import check_time
from xbarc.devices.table import TableDevice
from xbarc.errors import DeviceError, UsageError

TOML = """\
name = "my-reram"
description = "a table"
sources = ["lab book 7"]
t0 = "1 s"
conductance       = ["10 uS", "20 uS", "40 uS"]
programming_sigma = ["0.5 uS", "1 uS", "0.8 uS"]
read_sigma        = ["0.1 uS", "0.2 uS", "0.4 uS"]

[at."1 h"]
drift_mean  = ["-0.2 uS", "-0.4 uS", "-0.4 uS"]
drift_sigma = ["0.1 uS", "0.2 uS", "0.3 uS"]

[at."1 day"]
drift_mean  = ["-0.4 uS", "-0.8 uS", "-0.8 uS"]
drift_sigma = ["0.3 uS", "0.4 uS", "0.5 uS"]
read_sigma  = ["0.2 uS", "0.3 uS", "0.5 uS"]
"""
CSV = """\
# the same figures
time [h], conductance [uS], programming_sigma [nS], read_sigma [uS], drift_mean [uS], drift_sigma [uS]
, 10, 500, 0.1,,
0, 20, 1000, 0.2,,
0, 40, 800, 0.4,,

1, 10,,, -0.2, 0.1
1, 20,,, -0.4, 0.2
1, 40,,, -0.4, 0.3
24, 10,, 0.2, -0.4, 0.3
24, 20,, 0.3, -0.8, 0.4
24, 40,, 0.5, -0.8, 0.5
"""


def written(folder: Path, text: str, name: str = "my.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(params=["toml", "csv"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> TableDevice:
    found = find_device(written(tmp_path, TOML if request.param == "toml" else CSV, f"my.{request.param}"))
    assert isinstance(found, TableDevice)
    return found


# What a table says.


def test_figures_are_those_of_the_table_and_linear_between(device: TableDevice) -> None:
    g = np.array([10e-6, 15e-6, 40e-6])
    np.testing.assert_allclose(device.programming_sigma(g, 40e-6), [0.5e-6, 0.75e-6, 0.8e-6])
    np.testing.assert_allclose(device.programmed(g, np.ones(3), 40e-6), [10.5e-6, 15.75e-6, 40.8e-6])
    np.testing.assert_allclose(device.read_sigma(g, g, t_s=0.0, g_max=40e-6), [0.1e-6, 0.15e-6, 0.4e-6])
    # On a range of half the size everything is half.
    np.testing.assert_allclose(device.programming_sigma(g / 2, 20e-6), [0.25e-6, 0.375e-6, 0.4e-6])
    assert (device.t0_s, device.t_max_s, device.g_max_reference, device.lowest_share) == (1.0, DAY, 40e-6, 0.25)


def test_changes_are_those_of_the_table_and_linear_in_the_logarithm_of_time_between(device: TableDevice) -> None:
    g = np.array([10e-6, 20e-6])
    assert device.relaxation(g, t_s=0.0, g_max=40e-6) is None
    halfway = float(np.sqrt((1 + HOUR) * (1 + DAY)) - 1)
    cases = {
        HOUR: ([-0.2, -0.4], [0.1, 0.2], [0.1, 0.2]),
        DAY: ([-0.4, -0.8], [0.3, 0.4], [0.2, 0.3]),
        halfway: ([-0.3, -0.6], [0.2, 0.3], [0.15, 0.25]),
        float(np.sqrt(1 + HOUR) - 1): ([-0.1, -0.2], [0.05, 0.1], [0.1, 0.2]),
    }
    for t_s, (mean, sigma, read) in cases.items():
        found = device.relaxation(g, t_s=t_s, g_max=40e-6)
        assert found is not None
        np.testing.assert_allclose(np.array(found) * 1e6, [mean, sigma], rtol=1e-9)
        np.testing.assert_allclose(device.read_sigma(g, g, t_s=t_s, g_max=40e-6) * 1e6, read, rtol=1e-9)


def test_beyond_the_table_is_refused_unless_asked_for(device: TableDevice) -> None:
    check_time(device, DAY)
    with pytest.raises(UsageError, match="is beyond what the device"):
        check_time(device, DAY + 1)
    weight = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(UsageError, match="go down to 0 S"):
        product(weight).write(device)
    asked = find_device(f"table:{device.path},extrapolate=1")
    check_time(asked, 9 * DAY)
    g = np.array([20e-6])
    held = (asked.relaxation(g, t_s=t_s, g_max=40e-6) for t_s in (DAY, 9 * DAY))
    assert len({repr(each) for each in held}) == 1
    assert product(weight).write(asked).written is not None


def test_exponents_drift_by_a_power_law_up_to_the_time_that_is_given(tmp_path: Path) -> None:
    table = """
        t0 = "20 s"
        t_max = "1 y"
        conductance = ["0 uS", "20 uS"]
        programming_sigma = ["0 uS", "1 uS"]
        nu_mean = [0.1, 0.05]
        nu_sigma = [0.04, 0.01]
        read_sigma = ["0 uS", "1 uS"]
        read_pulse = "250 ns"
        stuck_at_gmin = 0.01
    """
    device = find_device(written(tmp_path, table, "nu.toml"))
    g = np.array([0, 10e-6, 20e-6])
    np.testing.assert_allclose(device.drift_exponent(g, 20e-6), [[0.1, 0.075, 0.05], [0.04, 0.025, 0.01]])
    np.testing.assert_allclose(device.drift(g, np.full(3, 0.1), t_s=180.0), g * 10**-0.1)
    assert (device.name, device.t_max_s, device.stuck_at_gmin) == ("nu", 365 * DAY, 0.01)
    assert device.fast_share(t_s=0.0, t_inference_s=1e-3) == pytest.approx(7.6 / 17.5, abs=1e-3)


def test_cells_of_a_level_table_hold_its_conductances_and_none_between(tmp_path: Path) -> None:
    table = """
        levels_only = true
        conductance = ["0 uS", "5 uS", "20 uS"]
        programming_sigma = ["0 uS", "0 uS", "0 uS"]
    """
    device = find_device(written(tmp_path, table))
    g = np.array([0.0, 2.4e-6, 2.6e-6, 12.4e-6, 12.6e-6, 20e-6])
    np.testing.assert_allclose(device.programmed(g, np.ones(6), 20e-6), [0, 0, 5e-6, 5e-6, 20e-6, 20e-6])


@given(
    columns=st.integers(2, 5).flatmap(
        lambda count: st.tuples(
            st.lists(st.integers(0, 10**6), min_size=count, max_size=count, unique=True).map(sorted),
            st.lists(st.integers(0, 10**5), min_size=count, max_size=count),
        )
    )
)
def test_a_table_is_the_same_in_toml_and_in_csv(
    columns: tuple[list[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    conductances, sigmas = columns
    columns_by_name = {"conductance": conductances, "programming_sigma": sigmas}
    toml = "\n".join(f"{name} = {[f'{value} nS' for value in values]}" for name, values in columns_by_name.items())
    rows = [("programming_sigma [nS]", "conductance [nS]"), *zip(sigmas, conductances, strict=True)]
    with open(folder / "same.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    one, other = (find_device(path) for path in (written(folder, toml, "same.toml"), str(folder / "same.csv")))
    assert isinstance(one, TableDevice)
    assert isinstance(other, TableDevice)
    assert one.table == other.table


# How it is named and kept.


def test_a_table_is_named_by_its_file_and_takes_parameters(tmp_path: Path) -> None:
    path = written(tmp_path, TOML)
    plain, changed = find_device(path), find_device(f"table:{path},read_scale=2,stuck_at_gmin=0.01")
    assert find_device(f"table:{path}") == plain
    assert device_text(plain) == f"table:{path}"
    assert device_text(changed) == f"table:{path},stuck_at_gmin=0.01,read_scale=2.0"
    assert find_device(device_text(changed)) == changed
    with pytest.raises(UsageError, match="there is no parameter 'scale'"):
        find_device(f"table:{path},scale=2")


def test_a_saved_chip_keeps_its_table_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    program = product(np.random.default_rng(0).normal(size=(6, 5)), ["cell.g_min=10 uS", "cell.g_max=40 uS"])
    path = written(tmp_path, TOML)
    chip = program.write(f"table:{path},read_scale=0", seed=3)
    chip.save(tmp_path / "chip.npz")
    Path(path).unlink()
    loaded = program.load_chip(tmp_path / "chip.npz")
    assert loaded.device == chip.device
    x = np.ones((1, 6), np.float32)
    assert loaded.at("1h").run(x)["y"].tobytes() == chip.at("1h").run(x)["y"].tobytes()


def test_a_stored_table_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    stored = stored_device(find_device(written(tmp_path, TOML)))
    table = stored["table"]
    assert isinstance(table, Mapping)
    with pytest.raises(DeviceError, match="programming_sigma has 1 figures for 3 conductances"):
        restored_device({**stored, "table": {**table, "programming_sigma": ["1 uS"]}})


# What is no table.

FIGURES = 'conductance = ["0 uS", "9 uS"]\nprogramming_sigma = ["0 uS", "1 uS"]\n'


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        (FIGURES + "nu_mean = [0.1, 0.2]", "nu_mean is given alone", 3),
        (FIGURES + 'read_sigma = ["0 uS"]', "read_sigma has 1 figures for 2 conductances", 3),
        (FIGURES + 'read_sigma = ["0 uS", "-1 uS"]', 'read_sigma[1]: "-1 uS" is negative', 3),
        (FIGURES + 'read_sigma = ["0 uS", "1 s"]', 'read_sigma[1]: "1 s" has the unit "s", expected S', 3),
        (FIGURES + "read_sigma = [0, 1]", "read_sigma[0]: 0 has no unit, expected S", 3),
        (FIGURES + 'read_pulse = "2 s"', "a read pulse of 2 s does not fit into t0", 3),
        (FIGURES + "stuck_at_gmin = 0.6\nstuck_at_gmax = 0.6", "stuck_at_gmin and stuck_at_gmax add up to 1.2", 3),
        (FIGURES + "t0 = 1", "t0: 1 has no unit, expected a time", 3),
        (FIGURES + 't0 = "0 s"', 't0: "0 s" is zero', 3),
        (FIGURES + 'read_sygma = ["0 uS"]', "unknown key read_sygma", 3),
        (FIGURES + "colour = 1", "unknown key colour", 3),
        (FIGURES + "levels_only = 1", "levels_only cannot be 1", 3),
        (FIGURES + '[at."1 h"]\ndrift = ["0 uS", "0 uS"]', "unknown key at.1 h.drift", 4),
        (FIGURES + '[at."soon"]', '"soon" does not start with a number', 3),
        (FIGURES + '[at."0 s"]', "the time 0 s is the reference moment", 3),
        (FIGURES + '[at."1 h"]\n[at."60 min"]', "the time 60 min is given twice", 4),
        (FIGURES + '[at."1 h"]\ndrift_mean = ["0 uS"]', "at.1 h.drift_mean has 1 figures for 2 conductances", 4),
        (FIGURES + '[at."1 h"]\ndrift_mean = [0, 0]', "0 has no unit, expected S", 4),
        (
            FIGURES + 'nu_mean = [0, 0]\nnu_sigma = [0, 0]\n[at."1 h"]\ndrift_mean = ["0 uS", "0 uS"]',
            "drift is given both by exponents and by changes at a time",
            5,
        ),
        ('conductance = ["9 uS", "1 uS"]\nprogramming_sigma = ["0 uS", "1 uS"]', "the conductances do not ascend", 1),
        ('conductance = ["9 uS"]\nprogramming_sigma = ["0 uS"]', "there are fewer than two conductances", 1),
        ('conductance = ["0 uS", "9 uS"]', "programming_sigma is missing", None),
        ("conductance = ", "TOML syntax error: ", None),
    ],
)
def test_what_is_no_toml_table_is_refused_with_its_line(text: str, what: str, line: int | None, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DeviceError) as caught:
        find_device(path)
    assert what in caught.value.what
    assert caught.value.fix
    assert caught.value.where == (path if line is None else f"{path}, line {line}")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, 'conductance = ["9 uS"]\nprogramming_sigma = []\nnu_mean = [0.1]')
    with pytest.raises(DeviceError) as caught:
        find_device(path)
    assert caught.value.what.startswith(f"3 errors in {path}:\n")
    for line, said in ((1, "fewer than two"), (2, "has 0 figures for 1"), (3, "is given alone")):
        assert any(f"line {line}: " in row and said in row for row in caught.value.what.splitlines())


HEADER = "time [h], conductance [uS], programming_sigma [uS], drift_mean [uS]\n"
ROWS = "0, 1, 0.1,\n0, 2, 0.2,\n"


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("", "the device's table is empty", None),
        ("conductance [uS], colour\n1, 2", "the column 'colour' is not known", 1),
        ("conductance [uS], conductance [uS]\n1, 2", "the column 'conductance [uS]' is there twice", 1),
        ("conductance, programming_sigma [uS]\n1, 2", 'conductance: "1 " has no unit, expected S', 1),
        ("conductance [V], programming_sigma [uS]\n1, 2", 'conductance: "1 V" has the unit "V", expected S', 1),
        ("conductance [uS], nu_mean [uS]\n1, 2", 'nu_mean: "1 uS" is not a number', 1),
        ("# note\nprogramming_sigma [uS]\n1", "the column conductance is missing", 2),
        (HEADER + ROWS + "0, 3, 0.1", "there are 3 values for 4 columns", 4),
        (HEADER + "0, 1, 0.1,\n0, 2, -0.2,", 'programming_sigma: "-0.2 uS" is negative, expected at least 0', 3),
        (HEADER + "0, 1, 0.1,\n\n# note\n0, two, 0.2,", 'conductance: "two uS" does not start with a number', 5),
        (HEADER + "0, 1, 0.1,\n0, 2,,", "programming_sigma has a gap", 3),
        (HEADER + ROWS + "later, 1,, 0", 'time: "later h" does not start with a number', 4),
        (HEADER + ROWS + "1, 1,, 0", "the conductances at 1 h are not those at time 0", 4),
        (HEADER + ROWS + "1, 1,, 0\n1, 2,,", "drift_mean has a gap", 5),
        (HEADER + "1, 1,, 0", "the conductances at 1 h are not those at time 0", 2),
        (HEADER + "0, 2, 0.1,\n0, 1, 0.1,", "the conductances do not ascend", 1),
        (HEADER, "the device's table is empty", None),
    ],
)
def test_what_is_no_csv_table_is_refused_with_its_line(text: str, what: str, line: int | None, tmp_path: Path) -> None:
    path = written(tmp_path, text, "my.csv")
    with pytest.raises(DeviceError) as caught:
        find_device(path)
    assert what in caught.value.what
    assert caught.value.fix
    assert caught.value.where == (path if line is None else f"{path}, line {line}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="the device's table cannot be read: No such file"):
        find_device(str(tmp_path / "none.csv"))
    (tmp_path / "bytes.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(DeviceError, match="the device's table is not UTF-8 text"):
        find_device(str(tmp_path / "bytes.toml"))


@given(text=st.text(max_size=60) | st.sampled_from(HEADER + ROWS).map(str))
def test_any_text_is_a_table_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("any.toml", "any.csv"):
        try:
            said = find_device(written(folder, text, name)).name
        except DeviceError as error:
            said = error.what
        assert said
