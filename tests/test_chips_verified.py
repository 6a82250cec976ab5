"""Chips that are written in closed loop: against the loop of single arrays, and one result whatever is around it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from chips import G_MAX, bits, cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.devices.device import Device
from xbarc.devices.generic import GenericDevice
from xbarc.devices.switching.electrochemical import CurrentDrive, DrivenCell, ElectrochemicalCell, VoltageDrive
from xbarc.devices.switching.model import LinearStep
from xbarc.devices.switching.presets import SWITCHING
from xbarc.errors import DataError, UsageError
from xbarc.ir.layer import layers
from xbarc.report.writing import write_report
from xbarc.runtime.cells import cell_targets
from xbarc.runtime.programming import WriteVerify
from xbarc.runtime.write_verify import Procedure, Site, with_faults, write_cells_verified

WEIGHT = np.random.default_rng(0).normal(size=(40, 20))
X = np.random.default_rng(1).normal(size=(30, 40)).astype(np.float32)
LOOP = "ecram-li:band=0.02,max_cycles=20,read_sigma=0.003"
LEAKY = "ecram-voltage:v_oc_slope=5e4,r_leak=1e12,step_spread=0.1,cycle_spread=0.3"


@pytest.fixture(scope="module")
def program() -> xbarc.Program:
    return product(WEIGHT, calibration=X)


def only(program: xbarc.Program, chip: xbarc.Chip) -> tuple[np.ndarray, np.ndarray]:
    """Targets and programmed conductances of the one layer's cells, without padding."""
    (layer,) = layers(program.graph)
    assert chip.written is not None
    rows = len(WEIGHT)
    target = cell_targets(layer, type("Span", (), {"g_min": 0.0, "step": G_MAX / 255})())  # type: ignore[arg-type]
    return target[:, :, :, :rows], chip.written.cells[layer.read.matrix].programmed[:, :, :, :rows]


def test_a_chip_holds_what_the_loop_leaves_of_each_array(program: xbarc.Program) -> None:
    chip = program.write("generic:programming_independent=0.3", seed=5, programming=LOOP)
    target, programmed = only(program, chip)
    (layer,) = layers(program.graph)
    plan = Procedure(band=0.02, max_cycles=20, margin=0.1)
    for polarity in (0, 1):
        site = Site(seed=5, matrix=layer.read.matrix, plane=polarity)
        alone = write_cells_verified(
            target[0, polarity, 0],
            SWITCHING["ecram-li"],
            plan,
            g_min=0.0,
            g_max=G_MAX,
            site=site,
            read_sigma=0.003 * G_MAX,
        )
        np.testing.assert_array_equal(programmed[0, polarity, 0], alone.conductance.astype(np.float32))


def test_with_steps_that_are_all_alike_cells_hold_whole_steps(program: xbarc.Program) -> None:
    """Constant steps without spread, from the low end on: the nearest whole number of steps, in two reads at most."""
    step = 1 / 500
    model = LinearStep(step_up=step, step_down=step, low=-0.5, high=0.5)
    procedure = Procedure(band=0.51 * step, max_cycles=3)
    chip = program.write("generic", programming=WriteVerify(model=model, procedure=procedure, read_sigma=0.0))
    target, programmed = only(program, chip)
    np.testing.assert_allclose(programmed, np.rint(target / G_MAX / step) * step * G_MAX, atol=1e-6 * G_MAX)
    assert chip.writing is not None
    report = chip.writing.total
    assert (report.accepted, report.cycles_most, report.pulses_down) == (1.0, 2, 0)
    assert report.pulses_up == np.rint(target / G_MAX / step).sum()
    assert (report.reach_low, report.reach_high) == pytest.approx((0.0, G_MAX))


def test_a_current_and_a_voltage_without_v_oc_write_one_chip(program: xbarc.Program) -> None:
    chips = [
        program.write("generic", programming=f"ecram-{drive}:step_spread=0.1,cycle_spread=0.3")
        for drive in ("current", "voltage")
    ]
    np.testing.assert_array_equal(*(only(program, chip)[1] for chip in chips))


def test_reads_deviate_by_the_noise_of_the_device_unless_told_otherwise(program: xbarc.Program) -> None:
    noise = "generic:read_independent=0.05"
    own, told, none = (
        program.write(noise, seed=2, programming=f"ecram-li{text}")
        for text in ("", ":read_sigma=0.05", ":read_sigma=0")
    )
    np.testing.assert_array_equal(only(program, own)[1], only(program, told)[1])
    assert own.writing is not None
    assert none.writing is not None
    assert own.writing.total.residual.rms > 5 * none.writing.total.residual.rms


def test_the_rest_is_the_device_s(program: xbarc.Program) -> None:
    """Drift and read noise of a written cell are those of a one-shot chip whose cells happen to hold the same."""
    device = "generic:nu_mean=0.05,nu_sigma=0.02,read_proportional=0.01,stuck_at_gmin=0.02"
    one_shot, chip = program.write(device, seed=4), program.write(device, seed=4, programming=LOOP)
    assert one_shot.written is not None
    assert chip.written is not None
    (matrix,) = chip.written.cells
    ours, theirs = chip.written.cells[matrix], one_shot.written.cells[matrix]
    np.testing.assert_array_equal(ours.nu, theirs.nu)
    np.testing.assert_array_equal(ours.held, theirs.held)
    put = dataclasses.replace(theirs, programmed=ours.programmed)
    same = xbarc.Chip(chip.setting, dataclasses.replace(one_shot.written, cells={matrix: put}))
    assert bits(same.at("1d").run(X)) == bits(chip.at("1d").run(X))


def test_one_seed_is_one_chip_on_any_number_of_threads(program: xbarc.Program) -> None:
    chips = [program.write("pcm", seed=3, programming=LOOP, threads=threads) for threads in (1, 2, 4)]
    assert len({only(program, chip)[1].tobytes() for chip in chips}) == 1
    assert chips[0].writing == chips[1].writing == chips[2].writing
    other = program.write("pcm", seed=4, programming=LOOP)
    assert only(program, other)[1].tobytes() != only(program, chips[0])[1].tobytes()
    (again,) = program.series("pcm", seeds=[3], programming=LOOP)
    assert bits(again.run(X)) == bits(chips[0].run(X))
    assert again.writing == chips[0].writing


@pytest.mark.parametrize("loop", [LOOP, LEAKY])
def test_a_chip_comes_back_as_it_was_written(program: xbarc.Program, loop: str, tmp_path: Path) -> None:
    chip, path = program.write("pcm:stuck_at_gmax=0.01", seed=6, programming=loop), tmp_path / "chip.npz"
    chip.save(path)
    loaded = program.load_chip(path)
    assert loaded.writing == chip.writing
    assert loaded.written is not None
    assert chip.written is not None
    assert loaded.written.programming == chip.written.programming
    assert bits(loaded.at("1h").run(X)) == bits(chip.at("1h").run(X))
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def _changed(path: Path, **changes: object) -> None:
    with np.load(path) as data:
        arrays = dict(data)
    facts = {**json.loads(arrays["facts"].tobytes()), **changes}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "changes", [{"programming": "ecram-lo"}, {"programming": 3}, {"writing": {"seed": 1}}, {"writing": 5}]
)
def test_a_damaged_file_is_refused(program: xbarc.Program, changes: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "chip.npz"
    program.write("generic", programming=LOOP).save(path)
    _changed(path, **changes)
    with pytest.raises(DataError, match="the chip file is damaged: how it was written cannot be read"):
        program.load_chip(path)


def test_what_cannot_be_found_again_is_not_saved(program: xbarc.Program, tmp_path: Path) -> None:
    model = LinearStep(step_up=0.1, step_down=0.1, low=-1, high=1)
    chip = program.write("generic", programming=WriteVerify(model=model))
    with pytest.raises(UsageError, match="the model that the chip was written with cannot be found again"):
        chip.save(tmp_path / "chip.npz")
    assert not list(tmp_path.iterdir())


def test_an_ideal_chip_needs_no_loop(program: xbarc.Program) -> None:
    with pytest.raises(UsageError, match="cells of the ideal device hold their targets: there is nothing to verify"):
        program.write("ideal", programming=LOOP)
    assert program.write("pcm").writing is None
    assert program.write().writing is None


def test_evaluations_name_the_loop(program: xbarc.Program) -> None:
    chips = [program.write("generic", seed=1, programming=text) for text in (None, LOOP, "capacitor")]
    found = program.write().evaluate(X, chips=chips, metric="mse")
    texts = [None, "ecram-li:read_sigma=0.003,band=0.02,max_cycles=20", "capacitor"]
    assert [chip.programming for chip in found.chips] == texts
    assert [entry["programming"] for entry in found.to_json()["by_time"]] == texts
    facts = json.loads(json.dumps(found.to_json()))
    assert len(facts["chips"]) == 3


def stuck(held: float, target: float, model: LinearStep, plan: Procedure) -> tuple[bool, int, int, int]:
    """A cell that does not follow pulses, cycle by cycle: accepted, reads, pulses up and down."""
    unit, pulses = (model.high - model.low) / (1 + 2 * plan.margin / (1 - 2 * plan.margin)) / G_MAX, [0, 0]
    unused = plan.margin / (1 - 2 * plan.margin) * G_MAX
    state = model.low + (held + unused) * unit
    for cycle in range(1, plan.max_cycles + 1):
        error = (target - held) * unit
        if abs(target - held) <= plan.band * G_MAX:
            return True, cycle, pulses[0], pulses[1]
        if cycle == plan.max_cycles:
            break
        up = error > 0
        gamma, bound = (model.gamma_up, model.high) if up else (model.gamma_down, model.low)
        expected = (model.step_up if up else model.step_down) * (1 - gamma * state / bound)
        count = plan.max_pulses if expected * plan.max_pulses <= abs(error) else max(round(abs(error) / expected), 1)
        pulses[not up] += count
    return False, plan.max_cycles, pulses[0], pulses[1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1) | st.none()), min_size=1, max_size=6),
    st.floats(0, 0.2),
    st.integers(1, 5),
    st.integers(1, 300),
    st.floats(0, 0.3),
    st.floats(0, 1.5),
)
def test_cells_that_do_not_follow_take_pulses_until_the_controller_gives_up(
    places: list[tuple[float, float | None]], band: float, max_cycles: int, max_pulses: int, margin: float, gamma: float
) -> None:
    model = LinearStep(step_up=0.01, step_down=0.013, low=-0.8, high=1.2, gamma_up=gamma, gamma_down=gamma / 2)
    plan = Procedure(band=band, max_cycles=max_cycles, max_pulses=max_pulses, margin=margin)
    target = np.array([[G_MAX * share for share, _ in places]])
    held = np.array([[np.nan if share is None else G_MAX * share for _, share in places]])
    ends = {"g_min": 0.0, "g_max": G_MAX}
    healthy = write_cells_verified(target, model, plan, **ends)
    found = with_faults(healthy, held, model, plan, **ends)
    for column in range(len(places)):
        entry = {field.name: getattr(found, field.name)[0, column] for field in dataclasses.fields(found)}
        if np.isnan(held[0, column]):
            assert not entry["faulty"]
            assert entry["conductance"] == healthy.conductance[0, column]
            assert entry["cycles"] == healthy.cycles[0, column]
            continue
        assert (entry["faulty"], entry["conductance"], entry["asymmetry"]) == (True, held[0, column], 0.0)
        accepted, cycles, up, down = stuck(held[0, column], target[0, column], model, plan)
        assert (entry["accepted"], entry["cycles"]) == (accepted, cycles)
        # The twin adds up in another order: half a pulse may round otherwise, in each cycle.
        assert abs(entry["pulses_up"] - up) <= cycles
        assert abs(entry["pulses_down"] - down) <= cycles
        assert bool(entry["pulses_up"]) == bool(up)


def test_faulty_cells_hold_what_they_hold_and_the_report_says_so(program: xbarc.Program) -> None:
    rate = 0.05
    clear = program.write("generic", seed=8, programming=LOOP)
    chip = program.write(f"generic:stuck_at_gmax={rate}", seed=8, programming=LOOP)
    assert chip.writing is not None
    assert clear.writing is not None
    report, cells = chip.writing.total, 2 * WEIGHT.size
    assert 0.02 * cells < report.faulty < 0.09 * cells
    assert clear.writing.total.faulty == 0
    target, programmed = only(program, chip)
    np.testing.assert_array_equal(programmed, only(program, clear)[1])  # as if no cell were faulty
    (levels,) = (layer.read.levels for layer in cells_of(program, chip)[0])
    held = ~np.isnan(next(iter(chip.written.cells.values())).held)[:, :, :, : len(WEIGHT)]  # type: ignore[union-attr, arg-type]
    np.testing.assert_allclose(levels[:, :, :, : len(WEIGHT)][held], 255, rtol=1e-3)
    met = int((target[held] >= 0.98 * G_MAX).sum())
    assert report.cells * (1 - report.accepted) >= report.faulty - met
    assert report.pulses_down > clear.writing.total.pulses_down + 1000 * (report.faulty - met)
    assert report.asymmetry_rms == pytest.approx(clear.writing.total.asymmetry_rms, rel=0.05)


def test_segments_and_copies_are_written_as_the_program_alone_is() -> None:
    """Where the cells lie does not matter; the report counts pulses of all copies."""
    model = network(
        [node("Conv", ["x", "a"], "h"), node("Relu", ["h"], "r"), node("Conv", ["r", "b"], "y")],
        {"x": ("N", 3, 8, 8)},
        {
            "a": np.random.default_rng(2).normal(size=(8, 3, 3, 3)).astype(np.float32),
            "b": np.random.default_rng(3).normal(size=(8, 8, 3, 3)).astype(np.float32),
        },
    )
    plain, copied, cut = (
        xbarc.compile(model, **options)
        for options in (
            {},
            {"overrides": ["chip.tiles=9"], "replicate": "balance"},
            {"overrides": ["chip.tiles=1"], "segments": True},
        )
    )
    chips = [program.write("generic", seed=2, programming=LOOP) for program in (plain, copied, cut)]
    assert all(chip.written is not None for chip in chips)
    cells = [{name: of.programmed.tobytes() for name, of in chip.written.cells.items()} for chip in chips]  # type: ignore[union-attr]
    assert cells[0] == cells[1] == cells[2]
    one, more, parts = (chip.writing for chip in chips)
    assert one is not None
    assert more is not None
    assert parts is not None
    assert one.total == more.total == parts.total
    assert [entry.report for entry in one.layers] == [entry.report for entry in more.layers]
    assert max(entry.copies for entry in more.layers) > 1
    pulses = [entry.copies * (entry.report.pulses_up + entry.report.pulses_down) for entry in more.layers]
    assert more.pulses == sum(pulses) > one.pulses == one.total.pulses_up + one.total.pulses_down


def test_the_whole_is_what_the_layers_are_together(program: xbarc.Program) -> None:
    chip = program.write("generic", seed=2, programming=f"{LEAKY},read_s=1e-6,read_energy_j=1e-15")
    writing = chip.writing
    assert writing is not None
    (entry,) = writing.layers
    assert entry.report == writing.total
    pulses = writing.total.pulses_up + writing.total.pulses_down
    reads = round(writing.total.cycles_mean * writing.total.cells)
    assert writing.energy_j == pytest.approx(pulses * 1e-11 + reads * 1e-15)
    assert writing.total.each_in_turn_s == pytest.approx(pulses * 0.01 + reads * 1e-6)
    assert type(writing).from_json(json.loads(json.dumps(writing.to_json()))) == writing
    unknown = program.write("generic", programming=LOOP).writing
    assert unknown is not None
    assert unknown.energy_j is None


def test_gates_that_leak_lose_the_weights_before_the_device_drifts(program: xbarc.Program) -> None:
    """``g(t) = drift(relaxed(g, t), t)``, by both laws written out."""
    nu, hour = 0.05, 3600.0
    chip = program.write(f"generic:nu_mean={nu}", seed=3, programming=LEAKY)
    _, programmed = only(program, chip)
    g = programmed.astype(np.float64)
    width = G_MAX / 0.8
    resting = 10e-6 / 20e-6 * width - 0.1 * width  # the middle of the range, where V_OC is 0
    left = resting + (g - resting) * np.exp(-hour * 2e3 * 5e4 / 1e12)
    expected = left * ((hour + chip.device.t0_s) / chip.device.t0_s) ** -nu
    (layer,), _ = cells_of(program, chip.at("1h"))
    found = layer.read.levels[:, :, :, : len(WEIGHT)] * G_MAX / 255
    np.testing.assert_allclose(found, expected, atol=2e-3 * G_MAX)
    assert np.abs(found - g).max() > 0.05 * G_MAX
    (late,), _ = cells_of(program, program.write("generic", seed=3, programming=LEAKY).at("1y"))
    np.testing.assert_allclose(late.read.levels[:, :, :, : len(WEIGHT)], resting / G_MAX * 255, atol=0.5)


def test_what_relaxes_counts_as_drift(program: xbarc.Program) -> None:
    chip = program.write("generic", seed=3, programming=LEAKY)
    frozen = chip.at("1d").with_effects([kind for kind in chip.at("1d").effects if kind != "drift"])
    moved = chip.at("1d").run(X)["y"]
    np.testing.assert_allclose(frozen.run(X)["y"], chip.run(X)["y"], rtol=1e-5)
    assert not np.allclose(moved, chip.run(X)["y"], rtol=0.05)


def test_objects_and_texts_write_the_same(program: xbarc.Program) -> None:
    cell = ElectrochemicalCell(v_oc_slope=5e4, r_leak=1e12, step_spread=0.1, cycle_spread=0.3)
    plan = WriteVerify(model=DrivenCell(cell=cell, drive=VoltageDrive()))
    device: Device = GenericDevice()
    one, other = program.write(device, programming=plan), program.write(device, programming=LEAKY)
    assert one.writing == other.writing
    driven = WriteVerify(model=DrivenCell(cell=cell, drive=CurrentDrive()))
    assert program.write(device, programming=driven).writing != one.writing


def test_texts_that_are_no_loop_are_refused(program: xbarc.Program) -> None:
    with pytest.raises(UsageError, match=re.escape("there is no switching model 'ecram-lu'")):
        program.write("generic", programming="ecram-lu")
    with pytest.raises(UsageError, match=re.escape("there is no parameter 'bend'")):
        program.series("generic", seeds=[0], programming="ecram-li:bend=1")


def test_a_report_of_one_array_is_the_report_of_its_chip(program: xbarc.Program) -> None:
    chip = program.write("generic", seed=5, programming=LOOP)
    target, _ = only(program, chip)
    (layer,) = layers(program.graph)
    plan = Procedure(band=0.02, max_cycles=20, margin=0.1)
    site = Site(seed=5, matrix=layer.read.matrix, plane=0)
    found = write_cells_verified(
        target[0, 0, 0], SWITCHING["ecram-li"], plan, g_min=0.0, g_max=G_MAX, site=site, read_sigma=0.003 * G_MAX
    )
    half = write_report(found)
    assert chip.writing is not None
    assert chip.writing.total.cells == 2 * half.cells
    assert chip.writing.total.cycles_counts[0] >= half.cycles_counts[0]
    assert chip.writing.total.pulses_up > half.pulses_up
