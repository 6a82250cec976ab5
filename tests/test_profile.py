"""Where the time of a run goes: all of it, under the right names. The clocks here are counters."""

from __future__ import annotations

import itertools
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.api.data import samples_from_arrays
from xbarc.api.profiling import Profiler
from xbarc.api.program import Program
from xbarc.ir.layer import layers
from xbarc.report.json_form import json_schema
from xbarc.report.profile import PhaseSeconds, RunProfile
from xbarc.runtime.stopwatch import PHASES, Clock, Phase, Profile, Stopwatch


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ticks() -> Clock:
    """A clock that is a second later at every look."""
    counter = itertools.count()
    return lambda: float(next(counter))


def nothing() -> dict[Phase, float]:
    return dict.fromkeys(PHASES, 0.0)


Laps = st.lists(st.tuples(st.sampled_from(PHASES), st.integers(0, 1000)), max_size=20)


def walk(watch: Stopwatch, clock: Hands, laps: list[tuple[Phase, int]]) -> None:
    for phase, seconds in laps:
        clock.now += seconds
        watch.lap(phase)


@given(Laps)
def test_each_lap_goes_to_its_phase_and_nothing_is_lost(laps: list[tuple[Phase, int]]) -> None:
    clock, seconds = Hands(), nothing()
    walk(Stopwatch(clock, seconds), clock, laps)
    assert seconds == {phase: sum(length for of, length in laps if of == phase) for phase in PHASES}
    assert sum(seconds.values()) == clock.now


@given(st.lists(Laps, min_size=1, max_size=4), st.integers(0, 1000))
def test_parts_side_by_side_count_their_mean_and_waiting_is_other(
    parts: list[list[tuple[Phase, int]]], late: int
) -> None:
    """The parts begin together, on clocks that run beside each other; the slowest ends ``late`` before the join."""
    clock, seconds = Hands(), nothing()
    watch = Stopwatch(clock, seconds)
    clock.now = 7.0
    watch.lap("dac")
    watches = watch.split(len(parts))
    longest = 0.0
    for part, laps in zip(watches, parts, strict=True):
        clock.now = 7.0
        walk(part, clock, laps)
        longest = max(longest, clock.now)
    clock.now = longest + late
    watch.join(watches)
    flat = [lap for laps in parts for lap in laps]
    for phase in set(PHASES) - {"other", "dac"}:
        assert seconds[phase] == pytest.approx(sum(length for of, length in flat if of == phase) / len(parts))
    assert sum(seconds.values()) == pytest.approx(clock.now)
    clock.now += 3
    watch.lap("adc")
    assert sum(seconds.values()) == pytest.approx(clock.now)


def test_calls_of_a_step_add_up() -> None:
    clock = Hands()
    profile = Profile(clock)
    for length in (1, 20):
        watch = profile.watch("layer", "fc")
        clock.now += length
        watch.lap("product")
    assert profile.steps["layer", "fc"].calls == 2
    assert profile.steps["layer", "fc"].seconds["product"] == 21
    assert list(profile.steps) == [("layer", "fc")]


@pytest.fixture(scope="module")
def program(models_dir: Path) -> Program:
    return xbarc.compile(models_dir / "digits_cnn.onnx", calibration=models_dir / "digits_calibration.npz")


@pytest.fixture(scope="module")
def inputs(models_dir: Path) -> np.ndarray:
    with np.load(models_dir / "digits_test.npz") as data:
        found: np.ndarray = data["input"][:60]
    return found


def profiled(program: Program, inputs: np.ndarray, device: str = "ideal", threads: int = 2) -> RunProfile:
    """A run by a clock that counts how often it is looked at; the outputs are those of a run without one."""
    chip = program.write(device, threads=threads)
    profiler = Profiler(chip, clock=ticks())
    samples = samples_from_arrays(inputs, program.inputs)
    (outputs,) = profiler.run_batches(samples)
    for name, wanted in chip.run(inputs).items():
        np.testing.assert_array_equal(outputs[name], wanted)
    return profiler.result(load_s=2.0, write_s=3.0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("device", ["ideal", "pcm"])
def test_phases_and_steps_add_up_to_the_run(program: Program, inputs: np.ndarray, device: str, threads: int) -> None:
    profile = profiled(program, inputs, device, threads)
    assert profile.seconds.total == pytest.approx(profile.run_s)
    assert sum(step.seconds.total for step in profile.steps) <= profile.run_s
    assert profile.seconds.other >= sum(step.seconds.other for step in profile.steps)
    for phase in set(PHASES) - {"other"}:
        assert getattr(profile.seconds, phase) == pytest.approx(
            sum(getattr(step.seconds, phase) for step in profile.steps)
        )
    assert (profile.samples, profile.threads, profile.load_s, profile.write_s) == (60, threads, 2.0, 3.0)
    assert profile.first_s > 0


def test_steps_have_the_names_of_layers_and_operators(program: Program, inputs: np.ndarray) -> None:
    profile = profiled(program, inputs)
    assert [step.name for step in profile.steps if step.kind == "layer"] == [
        layer.name for layer in layers(program.graph)
    ]
    regions = [step.name for step in profile.steps if step.kind == "host"]
    assert regions[0].split(" ... ")[0] == "relu1"
    assert all(step.calls == 1 for step in profile.steps)


def test_layers_and_host_have_phases_of_their_own(program: Program, inputs: np.ndarray) -> None:
    """Nothing is drawn on the ideal device, and some layers need no windows there; on a chip with fast read noise
    every layer draws.
    """
    for device, drawn in (("ideal", False), ("pcm", True)):
        for step in profiled(program, inputs, device).steps:
            found = {phase for phase in PHASES if getattr(step.seconds, phase)} - {"other"}
            expected = {"dac", "product", "adc"} | ({"windows", "noise"} if drawn else found & {"windows"})
            assert found == (expected if step.kind == "layer" else {"host"})


def test_products_in_floating_point_are_timed_too(models_dir: Path, inputs: np.ndarray) -> None:
    exact = xbarc.compile(models_dir / "digits_cnn.onnx", hardware="exact")
    for step in profiled(exact, inputs).steps:
        if step.kind == "layer":
            assert all(getattr(step.seconds, phase) > 0 for phase in ("dac", "windows", "product", "adc"))
            assert step.seconds.noise == 0


def test_digits_of_codes_are_made_by_the_dac(models_dir: Path, inputs: np.ndarray) -> None:
    """One look at the clock a digit and a block, and one for the codes."""
    whole, serial = (
        xbarc.compile(models_dir / "digits_mlp.onnx", overrides=overrides)
        for overrides in ((), ("input.mode=bit-serial",))
    )
    flat = inputs.reshape(len(inputs), *[size for size in whole.inputs[0].shape[1:] if isinstance(size, int)])
    once, often = (profiled(made, flat, threads=1).steps for made in (whole, serial))
    for one, many in zip(once, often, strict=True):
        if one.kind == "layer":
            assert many.seconds.dac >= one.seconds.dac + 7


def test_a_layer_in_a_loop_counts_every_repetition() -> None:
    weights = {"W": np.ones((1, 12, 4), np.float32), "R": np.ones((1, 12, 3), np.float32)}
    steps = [node("Transpose", ["x"], "t", perm=[1, 0, 2]), node("LSTM", ["t", "W", "R"], "y", hidden_size=3)]
    program = xbarc.compile(network(steps, {"x": ["batch", 5, 4]}, weights))
    profile = profiled(program, np.ones((6, 5, 4), np.float32))
    calls = {step.calls for step in profile.steps if step.kind == "layer"}
    assert 5 in calls
    assert profile.seconds.total == pytest.approx(profile.run_s)


def test_a_program_without_inputs_is_profiled() -> None:
    draws = node("RandomNormal", [], "x", shape=[3, 4], seed=1.0)
    program = xbarc.compile(network([draws, node("MatMul", ["x", "W"], "y")], {}, {"W": np.eye(4, dtype=np.float32)}))
    profiler = Profiler(program.write(), clock=ticks())
    (outputs,) = profiler.run_batches(None)
    assert [array.shape for array in outputs.values()] == [(3, 4)]
    assert profiler.result().seconds.product > 0


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def test_run_shows_a_profile(command: Command, program: Program, inputs: np.ndarray) -> None:
    program.save("p.xbar.onnx")
    np.savez("in.npz", input=inputs)
    run = ("run", "p.xbar.onnx", "--input", "in.npz", "--output")
    assert command(*run, "plain.npz").out == ""
    ran = command(*run, "out.npz", "--profile", "--threads", 2, "--device", "pcm")
    assert ran.code == 0
    assert "where the time of 60 samples on 2 threads went" in ran.out
    columns = "step calls ms share DAC windows product noise ADC host other".split()
    assert columns in [line.split() for line in ran.out.splitlines()]
    starts = {line.split()[0] for line in ran.out.splitlines() if line}
    assert {layer.name for layer in layers(program.graph)} | {"share", "all"} <= starts
    profile = command(*run, "json.npz", "--profile", "--json", "--threads", 1).json()["profile"]
    schema = json_schema(RunProfile, version=1, title="profile")
    jsonschema.validate({"schema": 1, **profile}, schema)
    assert set(profile["seconds"]) == {*PHASES, "total"}
    assert profile["seconds"]["total"] == pytest.approx(profile["run_s"])
    assert profile["seconds"]["noise"] == 0
    with np.load("plain.npz") as plain, np.load("json.npz") as with_profile:
        assert plain.files == with_profile.files
        assert all(np.array_equal(plain[name], with_profile[name]) for name in plain.files)
    assert command(*run, "last.npz", "--json").json() == {"schema": 1, "output": "last.npz", "profile": None}


def test_phases_of_the_report_are_those_of_the_runtime() -> None:
    assert set(PhaseSeconds.__dataclass_fields__) == set(PHASES)
