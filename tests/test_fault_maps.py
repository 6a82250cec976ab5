"""Faults by place: dead rows and columns by rate, maps of known faults, and what cells, outputs and files tell."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from chips import Comparisons, bits, product
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from places import LAYOUTS, Cell, cells_of

import xbarc
from xbarc.devices.faults import Fault, FaultKind, FaultMap, load_faults
from xbarc.errors import DataError, DeviceError, UsageError
from xbarc.ir.layer import layers

ROWS, COLUMNS = 50, 30
CUT = (f"tile.rows={ROWS}", f"tile.columns={COLUMNS}", "cell.g_min=1 uS")
WEIGHT = np.random.default_rng(0).normal(size=(120, 70))
X = np.random.default_rng(1).normal(size=(20, 120)).astype(np.float32)


def held(program: xbarc.Program, chip: xbarc.Chip) -> dict[Cell, float]:
    """What each cell holds, in microsiemens, if it is faulty."""
    assert chip.written is not None
    (layer,) = layers(program.graph)
    cells = chip.written.cells["y"]
    if cells.stuck is None or cells.held is None:
        return {}
    return {
        place: round(float(cells.held[tuple(level)]) * 1e6, 3)
        for place, (copy, *level) in cells_of(layer, program.hardware)
        if copy == 0 and cells.stuck[tuple(level)]
    }


def every(program: xbarc.Program) -> set[Cell]:
    (layer,) = layers(program.graph)
    return {place for place, _ in cells_of(layer, program.hardware)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_and_columns_of_tiles_die_as_a_whole_and_as_often_as_said(layout: str) -> None:
    """Every cell of a dead row or column is dead, none else. Counts of rows and columns are binomial: two comparisons
    a layout, over eight chips, with a joint confidence of 99 %."""
    program, rates = product(WEIGHT, (*CUT, *LAYOUTS[layout])), {"dead_rows": 0.05, "dead_columns": 0.08}
    cells, compared = every(program), Comparisons()
    lines: dict[str, set[tuple[int, int]]] = {
        "dead_rows": {(tile, row) for tile, row, _, _ in cells},
        "dead_columns": {(tile, column) for tile, _, column, _ in cells},
    }
    for kind, rate in rates.items():
        counts = []
        for seed in range(8):
            chip = program.write(f"pcm:{kind}={rate}", seed=seed)
            dead = held(program, chip)
            assert set(dead.values()) <= {0.0}
            found = {(tile, row if kind == "dead_rows" else column) for tile, row, column, _ in dead}
            whole = {place for place in cells if (place[0], place[1 if kind == "dead_rows" else 2]) in found}
            assert whole == set(dead)
            counts.append(len(found))
        size = 8 * len(lines[kind])
        compared.add(kind, sum(counts) / size, rate, math.sqrt(rate * (1 - rate) / size))
    compared.check(2)


def test_a_measured_table_says_how_much_is_dead(tmp_path: Path) -> None:
    table, program = tmp_path / "mine.toml", product(WEIGHT, CUT)
    figures = 'conductance = ["0 uS", "30 uS"]\nprogramming_sigma = ["0 uS", "0 uS"]\n'
    table.write_text(f"{figures}dead_rows = 0.5\ndead_columns = 0.25\n")
    written = program.write(str(table)).written
    assert written is not None
    assert (written.device.dead_rows, written.device.dead_columns) == (0.5, 0.25)
    assert 0.5 < len(held(program, program.write(str(table)))) / len(every(program)) < 0.75


def test_dead_columns_behind_wires_read_nothing() -> None:
    wires = ("tile.row_wire=1 Ohm", "tile.column_wire=1 Ohm", "cell.g_min=1 uS")
    program, known = (
        product(WEIGHT[:20, :8], wires, calibration=X[:, :20]),
        FaultMap((Fault(0, "dead-column", column=3),)),
    )
    y = program.write("generic", faults=known).run(X[:, :20])["y"]
    assert np.all(y[:, 3] == 0)
    assert np.all(np.abs(np.delete(y, 3, axis=1)).max(axis=0) > 0)


def test_stuck_cells_are_the_same_beside_dead_rows() -> None:
    program = product(WEIGHT, CUT)
    stuck = held(program, program.write("pcm:stuck_at_gmin=0.1,stuck_at_gmax=0.1", seed=3))
    both = held(program, program.write("pcm:stuck_at_gmin=0.1,stuck_at_gmax=0.1,dead_rows=0.1", seed=3))
    dead = held(program, program.write("pcm:dead_rows=0.1", seed=3))
    assert set(stuck.values()) == {1.0, 25.0}
    assert both == {**stuck, **dead}
    assert dead.keys() & stuck.keys()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dead_row_is_a_row_without_input(layout: str) -> None:
    """All rows of one tile's height, so that a row of the tile is an input: as many columns as there may be."""
    program = product(WEIGHT[:ROWS], (*CUT, *LAYOUTS[layout]), calibration=X[:, :ROWS])
    tiles = {tile for tile, *_ in every(program)}
    broken = FaultMap(tuple(Fault(tile, "dead-row", row=row) for tile in tiles for row in (3, 17)))
    without = X[:, :ROWS].copy()
    without[:, [3, 17]] = 0.0
    expected = program.write("generic").run(without)["y"]
    found = program.write("generic", faults=broken).run(X[:, :ROWS])["y"]
    # Codes may round otherwise where a dead cell is not on the grid, by one.
    (layer,) = layers(program.graph)
    step = np.abs(layer.rescale.scale).max() * layer.accumulate.slice_weights.max()
    assert np.abs(found - expected).max() <= 2.01 * step
    assert np.abs(found - program.write("generic").run(X[:, :ROWS])["y"]).max() > 10 * step


def test_a_dead_column_reads_nothing() -> None:
    program = product(WEIGHT[:ROWS], CUT, calibration=X[:, :ROWS])
    faults = FaultMap((Fault(0, "dead-column", column=4), Fault(2, "dead-column", column=0)))
    found, whole = (program.write("generic", faults=known).run(X[:, :ROWS])["y"] for known in (faults, None))
    dead = np.isin(np.arange(70), [4, 2 * COLUMNS])
    assert np.all(found[:, dead] == 0)
    assert bits({"": found[:, ~dead]}) == bits({"": whole[:, ~dead]})


@pytest.mark.parametrize("rate", [0.01, 0.04, 0.16])
@pytest.mark.parametrize("kind", ["dead_rows", "dead_columns"])
def test_the_expected_output_shrinks_in_proportion_to_the_rate_of_what_is_dead(kind: str, rate: float) -> None:
    """E y = (1 - rate) sum w x, over 150 chips, within 3 standard errors; independent columns count one by one, those
    that share dead rows as one figure a chip."""
    model = product(WEIGHT[:64, :24], ("tile.rows=64", "tile.columns=24"), calibration=X[:, :64])
    x = X[:1, :64]
    exact = model.write().run(x)["y"][0].astype(np.float64)
    slopes = []
    for seed in range(150):
        y = model.write(f"generic:{kind}={rate}", seed=seed, threads=1).run(x)["y"][0]
        slopes.append((y - exact) @ exact / (exact @ exact))
    sample = np.array(slopes)
    assert abs(sample.mean() + rate) < 3 * sample.std(ddof=1) / math.sqrt(sample.size)


@given(st.data(), st.sampled_from(sorted(LAYOUTS)))
@settings(max_examples=30)
def test_a_map_breaks_what_it_names_and_nothing_else(data: st.DataObject, layout: str) -> None:
    program = product(WEIGHT[:60, :40], (*CUT, *LAYOUTS[layout]))
    cells = every(program)
    planes = {plane for *_, plane in cells}
    tiles = st.integers(0, max(tile for tile, *_ in cells) + 1)
    rows, columns = st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1)
    known: list[Fault] = []
    said: set[tuple[object, ...]] = set()
    for _ in range(data.draw(st.integers(0, 12))):
        kind: FaultKind = data.draw(st.sampled_from(["stuck-at-gmin", "stuck-at-gmax", "dead-row", "dead-column"]))
        tile, row, column = data.draw(tiles), data.draw(rows), data.draw(columns)
        dead = kind.startswith("dead")
        plane = data.draw(st.sampled_from([None, 0, 1])) if len(planes) == 2 and not dead else None
        at = (tile, None if kind == "dead-column" else row, None if kind == "dead-row" else column)
        if (dead, at) not in said:
            said.add((dead, at))
            known.append(Fault(tile, kind, at[1], at[2], plane))
    expected = {}
    for order in (False, True):  # what is dead is so whatever else is said
        for fault in known:
            if fault.kind.startswith("dead") == order:
                value = {"stuck-at-gmin": 1.0, "stuck-at-gmax": 25.0}.get(fault.kind, 0.0)
                for place in cells:
                    asked = (fault.tile, fault.row, fault.column, fault.polarity)
                    if all(wanted in (None, there) for wanted, there in zip(asked, place, strict=True)):
                        expected[place] = value
    assert held(program, program.write("pcm", seed=1, faults=FaultMap(tuple(known)))) == expected


def test_faults_stay_with_the_silicon_while_weights_move() -> None:
    """Other weights, other shapes, another layout of pairs: what dies at a place dies there whatever lies on it."""
    device = "generic:dead_rows=0.1,dead_columns=0.1,stuck_at_gmin=0.02"
    known = FaultMap((Fault(0, "stuck-at-gmax", 3, 5), Fault(1, "dead-row", row=0)))
    first = product(WEIGHT, (*CUT, *LAYOUTS["adjacent"]))
    second = product(WEIGHT[:70] ** 3, (*CUT, *LAYOUTS["offset"]))
    one, two = (held(program, program.write(device, seed=5, faults=known)) for program in (first, second))
    shared = every(first) & every(second)
    assert len(shared) > 2000
    assert {place: one.get(place) for place in shared} == {place: two.get(place) for place in shared}
    other = held(first, first.write(device, seed=6, faults=known))
    assert other != one


def test_what_is_written_again_is_the_same_and_a_file_brings_it_back(tmp_path: Path) -> None:
    program, known = product(WEIGHT, CUT, calibration=X), FaultMap((Fault(0, "stuck-at-gmax", 3, 5, 1),))
    chip = program.write("pcm:dead_rows=0.02", seed=5, faults=known)
    assert bits(chip.run(X)) == bits(program.write("pcm:dead_rows=0.02", seed=5, faults=known).run(X))
    assert chip.model().metadata_props[0].value.count('"faults": [[0, "stuck-at-gmax", 3, 5, 1]]') == 1
    for each in (chip, program.write("pcm", seed=5, faults=known), program.write("pcm:dead_columns=0.02", seed=5)):
        each.save(tmp_path / "chip.npz")
        loaded = program.load_chip(tmp_path / "chip.npz")
        assert loaded.written is not None
        assert each.written is not None
        assert loaded.written.faults == each.written.faults
        assert bits(loaded.at("1d").run(X)) == bits(each.at("1d").run(X))


@pytest.mark.parametrize("stored", [7, [[0, "melted", 3, 5, None]], [[0]], [[0, "dead-row", "a", None, None]]])
def test_a_damaged_map_in_a_chip_file_is_named(tmp_path: Path, stored: object) -> None:
    program, path = product(WEIGHT, CUT), tmp_path / "chip.npz"
    program.write("pcm", faults=FaultMap(())).save(path)
    with np.load(path) as saved:
        arrays = dict(saved)
    facts = {**json.loads(arrays["facts"].tobytes()), "faults": stored}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="the chip file is damaged: its map of faults cannot be read"):
        program.load_chip(path)


def test_a_series_has_its_map_on_every_chip() -> None:
    program, known = product(WEIGHT, CUT, calibration=X), FaultMap((Fault(0, "dead-row", row=1),))
    series = program.series("pcm", seeds=[1, 2], faults=known)
    for seed, chip in zip((1, 2), series, strict=True):
        assert bits(chip.run(X)) == bits(program.write("pcm", seed=seed, faults=known).run(X))
    with pytest.raises(DeviceError, match="the row 50 lies outside"):
        program.series("pcm", seeds=[1], faults=FaultMap((Fault(0, "dead-row", row=ROWS),)))
    whole = program.write("pcm", seed=1)
    evaluation = whole.evaluate({"x": X}, chips=[whole, program.write("pcm", seed=1, faults=known)], metric="mse")
    assert [entry.count for entry in evaluation.statistics()] == [1, 1]
    said = [chip["faults"] for chip in evaluation.to_json()["chips"]]
    assert said == [None, known.text]
    assert known.text.startswith("1 known fault (")
    assert known.text != FaultMap((Fault(0, "dead-row", row=2),)).text


TEXT = """# known since the test of the wafer
tile, row, column, kind, polarity
0, 3, 5, stuck-at-gmin, +
0, 3, 5, stuck-at-gmax, -

1, 7, , dead-row,
1, , 2, dead-column,
0, 4, 5, stuck-at-gmin,
"""


def test_a_file_says_what_a_map_says(tmp_path: Path) -> None:
    path = tmp_path / "faults.csv"
    path.write_text(TEXT)
    expected = (
        *(Fault(0, "stuck-at-gmin", 3, 5, 0), Fault(0, "stuck-at-gmax", 3, 5, 1)),
        *(Fault(1, "dead-row", row=7), Fault(1, "dead-column", column=2), Fault(0, "stuck-at-gmin", 4, 5)),
    )
    known = load_faults(str(path))
    assert known.faults == expected
    assert [fault.line for fault in known.faults] == [3, 4, 6, 7, 8]
    program = product(WEIGHT, CUT)
    by_file, by_map = (program.write("pcm", faults=given) for given in (path, FaultMap(expected)))
    assert held(program, by_file) == held(program, by_map)
    assert held(program, by_file)[(0, 3, 5, 1)] == 25.0
    path.write_text("kind,column,row,tile\ndead-row,,7,1\n")
    assert load_faults(str(path)).faults == (expected[2],)


def lines(*rows: str) -> str:
    return "\n".join(["tile,row,column,kind,polarity", *rows])


BAD = {
    "empty": ("# nothing\n\n", "the map of faults is empty", None, "begin it with tile,row,column,kind,polarity"),
    "header": ("tile,row,kind\n", "the columns of the map of faults are tile, row, kind", 1, "begin it with"),
    "unknown column": (
        "tile,row,column,kind,when\n",
        "the columns of the map of faults are tile, row, column, kind, when",
        1,
        "begin it with",
    ),
    "short": (lines("0,1,2"), "there are 3 values for 5 columns", 2, "give each"),
    "column of a row": (lines("0,1,1,dead-row,", "0,1,2,melted,"), "a dead-row has no column", 2, "correct the column"),
    "unknown kind": (lines("0,1,2,melted,"), "there is no fault 'melted'", 2, "give stuck-at-gmin, stuck-at-gmax"),
    "no row": (lines("0,,2,stuck-at-gmin,"), "a stuck-at-gmin needs a row", 2, "correct the row"),
    "no tile": (lines(",1,2,stuck-at-gmin,"), "a fault without a tile", 2, "give the number of the tile"),
    "number": (lines("0,1.5,2,stuck-at-gmin,"), "the row '1.5' is not a whole number", 2, "count from 0"),
    "negative": (lines("0,-1,2,stuck-at-gmin,"), "the row '-1' is not a whole number", 2, "count from 0"),
    "large": (lines(f"{2**40},1,2,stuck-at-gmin,"), f"the tile {2**40} is out of range", 2, "count from 0"),
    "polarity": (lines("0,1,2,stuck-at-gmin,both"), "there is no polarity 'both'", 2, "give +, -, or nothing"),
    "dead polarity": (lines("0,1,,dead-row,+"), "a dead-row has no polarity 0", 2, "leave it out"),
    "outside": (lines("", "0,1,30,stuck-at-gmin,"), "the column 30 lies outside: a tile has 30 columns", 3, "0 to 29"),
    "no such tile": (lines("9,1,2,stuck-at-gmin,"), "the tile 9 lies outside: the chip has 9 tiles", 2, "0 to 8"),
    "twice": (
        lines("0,1,2,stuck-at-gmin,", "0,1,2,stuck-at-gmax,-"),
        "two faults of one place: stuck-at-gmin and stuck-at-gmax",
        2,
        "remove one of them",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_map_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    text, what, line, fix = BAD[case]
    path = tmp_path / "faults.csv"
    path.write_text(text)
    program = product(WEIGHT, (*CUT, "chip.tiles=9"))
    with pytest.raises(DeviceError) as refused:
        program.write("pcm", faults=path)
    assert refused.value.what == what
    assert str(refused.value.where).startswith(str(path) if line is None else f"{path}, line {line}")
    assert fix in str(refused.value.fix)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="the map of faults cannot be read: No such file"):
        load_faults(str(tmp_path / "none.csv"))
    (tmp_path / "bytes.csv").write_bytes(b"tile\xff")
    with pytest.raises(DeviceError, match="the map of faults is not UTF-8 text"):
        load_faults(str(tmp_path / "bytes.csv"))


@pytest.mark.parametrize("layout", ["adjacent", "paired", "offset"])
def test_a_polarity_is_for_pairs_at_one_site(layout: str) -> None:
    program = product(WEIGHT, (*CUT, *LAYOUTS[layout]))
    with pytest.raises(DeviceError, match="a polarity is given, and every cell has a site of its own") as refused:
        program.write("pcm", faults=FaultMap((Fault(0, "stuck-at-gmin", 1, 2, 0),)))
    assert refused.value.where == "the map of faults, fault 0"


def test_the_ideal_device_has_no_faults() -> None:
    with pytest.raises(UsageError, match="the ideal device has no faults"):
        product(WEIGHT, CUT).write(faults=FaultMap(()))


@pytest.mark.parametrize("extra", [["run", "--output", "y.npz", "--input", "x.npz"], ["eval", "--data", "x.npz"]])
def test_commands_take_a_map(
    extra: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    command, program = Command(capsys, monkeypatch), product(WEIGHT, CUT, calibration=X)
    program.save("net.xbar.onnx")
    np.savez("x.npz", x=X)
    Path("faults.csv").write_text(lines("0,,3,dead-column,"))
    name, *options = extra
    if name == "eval":
        options = [*options, "--metric", "mse"]
    ran = command(name, "net.xbar.onnx", *options, "--device", "generic", "--faults", "faults.csv")
    assert ran.code == 0, ran.err
    if name == "run":
        with np.load("y.npz") as found:
            expected = program.write("generic", faults=FaultMap((Fault(0, "dead-column", column=3),))).run(X)["y"]
            assert np.array_equal(found["y"], expected)
    idle = command(name, "net.xbar.onnx", *options, "--faults", "faults.csv")
    assert idle.code == 2
    assert "--faults would change nothing" in idle.err
