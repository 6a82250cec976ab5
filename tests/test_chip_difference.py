"""What two chips differ by, against their cells taken one by one, and against what they do to unit vectors."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from chips import G_MAX, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.errors import UsageError
from xbarc.report.chip_difference import CellsDifference
from xbarc.report.chip_difference_page import chip_difference_page
from xbarc.report.rendering import plain_text

WEIGHT = np.random.default_rng(0).normal(size=(40, 20))
#: Converters without rounding: unit vectors then show the weights that cells hold.
CLEAR = ("dac.bits=unlimited", "adc.bits=unlimited")


@pytest.fixture(scope="module")
def program() -> xbarc.Program:
    return product(WEIGHT, CLEAR)


def shown(chip: xbarc.Chip) -> np.ndarray:
    weights: np.ndarray = chip.run(np.eye(len(WEIGHT), dtype=np.float32))["y"].astype(np.float64)
    return weights


def programmed(chip: xbarc.Chip) -> np.ndarray:
    """Both cells of every weight, faulty ones as they are."""
    assert chip.written is not None
    (cells,) = chip.written.cells.values()
    actual = cells.programmed if cells.held is None else np.where(np.isnan(cells.held), cells.programmed, cells.held)
    return actual[:, :, :, : len(WEIGHT)].astype(np.float64).ravel()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.floats(0, 0.1), st.floats(0, 0.05))
def test_cells_differ_by_what_they_hold(one: int, other: int, error: float, stuck: float) -> None:
    made = product(WEIGHT, CLEAR)
    device = f"generic:programming_independent={error},stuck_at_gmax={stuck}"
    first, second = made.write(device, seed=one), made.write("generic:programming_independent=0.02", seed=other)
    found, a, b = first.compare(second).total, programmed(first), programmed(second)
    assert found.cells == a.size == 2 * WEIGHT.size
    assert found.mean_siemens == pytest.approx((b - a).mean(), abs=1e-12)
    assert found.rms_siemens == pytest.approx(math.sqrt(np.square(b - a).mean()), rel=1e-6)
    assert found.rms_share == pytest.approx(found.rms_siemens / G_MAX)
    assert found.largest_siemens == pytest.approx(np.abs(b - a).max(), rel=1e-6)
    assert found.correlation == pytest.approx(np.corrcoef(a, b)[0, 1], rel=1e-6)
    assert found.over_a_level == (np.abs(b - a) > G_MAX / 255).sum()
    assert first.written is not None
    (cells,) = first.written.cells.values()
    held = 0 if cells.held is None else int((~np.isnan(cells.held)).sum())
    assert (found.stuck_first, found.stuck_second, found.stuck_both) == (held, 0, 0)
    seen = shown(first), shown(second)
    wanted = shown(made.write())
    share = math.sqrt(np.square(seen[1] - seen[0]).mean() / np.square(wanted).mean())
    assert found.weights_share == pytest.approx(share, rel=1e-3)
    assert found.weights_correlation == pytest.approx(np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1], abs=1e-5)


@pytest.mark.parametrize("encoding", ["offset-digital", "differential", "twos-complement"])
def test_weights_of_slices_are_what_slices_are_together(encoding: str) -> None:
    how = (f"weights.encoding={encoding}", "weights.subtraction=digital", "cell.levels=16", "weights.slices=2")
    made = product(WEIGHT, (*CLEAR, *how))
    chip = made.write("generic:programming_independent=0.03", seed=3)
    found, ideal = chip.compare(made.write()), shown(made.write())
    share = math.sqrt(np.square(shown(chip) - ideal).mean() / np.square(ideal).mean())
    assert found.total.weights_share == pytest.approx(share, rel=1e-3)
    assert found.second.seed is None
    assert found.second.device == "ideal"


def test_a_chip_differs_from_itself_at_another_time(program: xbarc.Program) -> None:
    """By what drift takes, the same share of every cell."""
    chip = program.write("generic:nu_mean=0.05", seed=2)
    later = chip.compare(chip.at("1d"))
    left = ((86400 + chip.device.t0_s) / chip.device.t0_s) ** -0.05
    a = programmed(chip)
    assert later.total.rms_siemens == pytest.approx((1 - left) * math.sqrt(np.square(a).mean()), rel=1e-4)
    assert later.total.weights_share == pytest.approx(1 - left, rel=1e-4)
    assert later.total.correlation == pytest.approx(1.0)
    assert (later.first.time_s, later.second.time_s) == (0.0, 86400.0)
    same = chip.compare(chip).total
    assert (same.rms_siemens, same.largest_siemens, same.over_a_level, same.weights_share) == (0.0, 0.0, 0, 0.0)


def test_the_other_way_round_only_the_sign_changes(program: xbarc.Program) -> None:
    one, two = program.write("pcm", seed=1), program.write("pcm:dead_rows=0.05", seed=1)
    there, back = one.compare(two).total, two.compare(one).total
    assert there.mean_siemens == -back.mean_siemens
    assert (there.stuck_first, there.stuck_second) == (back.stuck_second, back.stuck_first) != (0, 0)
    assert there.rms_siemens == back.rms_siemens
    assert there.correlation == pytest.approx(back.correlation)


def test_the_total_is_of_all_layers_and_pages_name_them() -> None:
    rng = np.random.default_rng(4)
    model = network(
        [node("MatMul", ["x", "a"], "h"), node("Relu", ["h"], "r"), node("MatMul", ["r", "b"], "y")],
        {"x": ("N", 12)},
        {"a": rng.normal(size=(12, 30)).astype(np.float32), "b": 9 * rng.normal(size=(30, 5)).astype(np.float32)},
    )
    made = xbarc.compile(model)
    first = made.write("pcm:stuck_at_gmin=0.02", seed=1)
    found = first.compare(made.write("generic", seed=5, programming="ecram-mo:band=0.02"))
    parts = [entry.difference for entry in found.layers]
    assert [part.cells for part in parts] == [2 * 12 * 30, 2 * 30 * 5]
    squares = sum(part.cells * part.rms_siemens**2 for part in parts)
    assert found.total.rms_siemens == pytest.approx(math.sqrt(squares / found.total.cells))
    assert found.total.largest_siemens == max(part.largest_siemens for part in parts)
    assert found.total.stuck_first == sum(part.stuck_first for part in parts)
    assert found.second.programming == "ecram-mo:band=0.02"
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["total"]["cells"] == found.total.cells
    text = plain_text(chip_difference_page(found))
    for word in ("pcm:stuck_at_gmin=0.02, chip 1 at 0 s", "written with ecram-mo:band=0.02", "\nall ", "over the"):
        assert word in text
    for entry in found.layers:
        assert f"\n{entry.name} " in text


def test_what_does_not_vary_has_no_correlation() -> None:
    made = product(np.zeros((8, 4)), ["cell.levels=unlimited"])
    total = made.write().compare(made.write("generic:programming_independent=0.1")).total
    absent = (total.correlation, total.over_a_level, total.weights_share, total.weights_correlation)
    assert absent == (None, None, None, None)
    assert total.rms_siemens > 0
    assert isinstance(total, CellsDifference)
    assert "-" in plain_text(chip_difference_page(made.write().compare(made.write())))


def test_chips_of_other_programs_are_refused(program: xbarc.Program) -> None:
    other = product(2 * WEIGHT**3, CLEAR)
    with pytest.raises(UsageError, match="chips of different programs have no cells to compare"):
        program.write("pcm").compare(other.write("pcm"))
    again = product(WEIGHT, CLEAR)  # the same program, compiled once more
    assert program.write("pcm").compare(again.write("pcm")).total.rms_siemens == 0.0
