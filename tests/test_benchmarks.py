"""What the benchmarks do with times, on clocks that are counters: no time decides a test."""

from __future__ import annotations

import importlib
import io
import json
import math
import statistics
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console


@pytest.fixture(scope="module", autouse=True)
def _beside_the_benchmarks() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    return importlib.import_module("harness")


class Machine:
    """A clock that sides move: each takes what it is told to, call by call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, *seconds: float) -> object:
        """A side that takes these seconds, one after the other, and then the last for ever."""
        left = list(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def options(harness: ModuleType, machine: Machine, **given: object) -> object:
    stands = Machine()
    return harness.Options(**{"threads": 2, "wall": machine, "processor": stands, "budget_s": 1e9, **given})


def test_sides_take_turns_and_what_they_load_does_not_count(harness: ModuleType) -> None:
    machine = Machine()
    sides = {"a": machine.side("a", 100.0, 1.0), "b": machine.side("b", 50.0, 2.0)}
    found = harness.rounds_of(sides, options(harness, machine, most=3))
    assert found == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert machine.calls[-6:] == ["a", "b"] * 3


def test_a_short_side_runs_several_times_a_round(harness: ModuleType) -> None:
    machine = Machine()
    found = harness.rounds_of(
        {"short": machine.side("s", 1e-4), "long": machine.side("l", 1.0)}, options(harness, machine, most=2)
    )
    assert found["short"] == pytest.approx([1e-4, 1e-4])
    assert machine.calls == ["s"] * 2 + ["l"] * 2 + (["s"] * 10 + ["l"]) * 2


def test_no_round_begins_after_the_budget(harness: ModuleType) -> None:
    machine = Machine()
    for budget_s, least, most, rounds in ((4.5, 1, 9, 5), (0.0, 3, 9, 3), (100.0, 1, 7, 7)):
        found = harness.rounds_of(
            {"a": machine.side("a", 1.0)}, options(harness, machine, budget_s=budget_s, least=least, most=most)
        )
        assert len(found["a"]) == rounds


def test_one_thread_is_timed_by_the_processor(harness: ModuleType) -> None:
    """The wall clock runs three times as fast, as if two others had the processor in between."""
    machine = Machine()
    alone = harness.Options(threads=1, wall=lambda: 3 * machine.now, processor=machine, most=3, budget_s=1e9)
    (figure,) = harness.compare("s", "c", {"a": machine.side("a", 2.0)}, alone)
    assert (figure.clock, figure.value.median) == ("processor", 2.0)


def test_ratios_are_taken_within_rounds(harness: ModuleType) -> None:
    """A machine that becomes ten times slower half way: times spread, ratios do not."""
    machine = Machine()
    slow = [1.0] * 2 + [1.0, 1.0, 10.0, 10.0, 10.0]
    sides = {"a": machine.side("a", *slow), "b": machine.side("b", *(3 * each for each in slow))}
    a, b = harness.compare("s", "c", sides, options(harness, machine, most=5), facts={"k": 1})
    assert (a.reference, b.reference) == ("a", "a")
    assert (b.ratio.lower, b.ratio.median, b.ratio.upper) == pytest.approx((3, 3, 3))
    assert (a.value.lower, a.value.median, a.value.upper) == pytest.approx((1, 10, 10))
    assert (dict(a.facts), dict(b.facts)) == ({"k": 1}, {"k": 1})
    assert (b.rounds, b.threads, b.clock, b.unit) == (5, 2, "wall", "s")


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=9))
def test_a_spread_is_the_median_between_its_quartiles(numbers: list[float]) -> None:
    spread = importlib.import_module("harness").Spread.of(numbers)
    expected = statistics.quantiles(numbers, n=4, method="inclusive")
    assert [spread.lower, spread.median, spread.upper] == pytest.approx(expected)


@given(st.floats(-2, 3), st.floats(1e-6, 1e3))
def test_the_slope_of_a_power_is_its_exponent(exponent: float, factor: float) -> None:
    harness = importlib.import_module("harness")
    sizes = [1.0, 4.0, 16.0, 64.0]
    assert harness.slope(sizes, [factor * size**exponent for size in sizes]) == pytest.approx(exponent, abs=1e-9)


def test_peaks_are_held_against_the_first(harness: ModuleType) -> None:
    first, second = harness.peaks("memory", "c", {"float": 100, "tiles": 250}, harness.Options(threads=2))
    assert (first.ratio.median, second.ratio.median, second.value.median) == (1.0, 2.5, 250.0)
    assert (second.unit, second.clock) == ("B", "peak")


def test_a_document_is_json_with_the_machine_and_what_was_left_out(harness: ModuleType) -> None:
    machine = Machine()
    figures = harness.compare("s", "c", {"a": machine.side("a", 1.0)}, options(harness, machine))
    found = json.loads(json.dumps(harness.document(figures, {"s: d": "no data"})))
    assert set(found) == {"schema", "host", "figures", "skipped"}
    assert found["schema"] == harness.SCHEMA
    assert {"processor", "cores", "load", "platform", "python", "versions"} == set(found["host"])
    assert found["host"]["cores"] >= 1
    assert {"numpy", "onnxruntime", "xbarc"} <= set(found["host"]["versions"])
    assert found["skipped"] == {"s: d": "no data"}
    (figure,) = found["figures"]
    assert set(figure) == {
        "suite", "case", "side", "unit", "clock", "threads", "rounds", "value", "reference", "ratio", "facts",
    }  # fmt: skip
    assert figure["value"] == {"median": 1.0, "lower": 1.0, "upper": 1.0}


def test_amounts_have_three_digits(harness: ModuleType) -> None:
    assert [harness.amount(value, "s") for value in (12.345, 0.012345, 1.2345e-5)] == ["12.3 s", "12.3 ms", "12.3 us"]
    assert harness.amount(3 * 2**20, "B") == "3 MiB"


def test_goals_are_met_on_the_right_side_of_their_limits(harness: ModuleType) -> None:
    goals = importlib.import_module("goals")
    for goal in goals.GOALS:
        better, worse = (1.1, 0.9) if goal.kind == "times as fast" else (0.9, 1.1)
        assert goal.met(better * goal.limit)
        assert goal.met(goal.limit)
        assert not goal.met(worse * goal.limit)
        assert goal.of([]) is None


def test_every_goal_is_of_a_side_that_is_measured(harness: ModuleType) -> None:
    """Sides of a case in a figure made of nothing: a goal finds its own, and reads what it speaks of."""
    goals = importlib.import_module("goals")
    for goal in goals.GOALS:
        spread = harness.Spread(goal.limit, goal.limit, goal.limit)
        inverse = harness.Spread(1 / goal.limit, 1 / goal.limit, 1 / goal.limit)
        figure = harness.Figure(
            suite=goal.suite,
            case=goal.case,
            side=goal.side,
            unit="s",
            clock="wall",
            threads=1,
            rounds=1,
            value=spread,
            reference="",
            ratio=inverse if goal.kind == "times as fast" else spread,
            facts={"error": goal.limit},
        )
        assert goal.of([figure]) is figure
        assert goal.number(figure) == pytest.approx(goal.limit)
    suites = {case.suite for case in goals.CASES}
    assert {goal.suite for goal in goals.GOALS} == suites


def test_growth_is_read_off_the_upper_half(harness: ModuleType) -> None:
    """What a call costs whatever its size hides growth where sizes are small."""
    growth = importlib.import_module("suite_growth")
    sizes = [4.0**power for power in range(6)]
    for exponent in (1.0, 2.0):
        machine = Machine()
        curve = [
            harness.compare(
                "growth", "c", {"a": machine.side("a", 1e-9 + 1e3 * size**exponent)},
                options(harness, machine), facts={"axis": "windows", "size": size},
            )[0]
            for size in sizes
        ]  # fmt: skip
        assert growth.curve_slope(curve) == pytest.approx(exponent, rel=1e-3)


def test_converters_that_should_lose_nothing_lose_nothing() -> None:
    """Bits beyond 11 change no output of the sliced layer, those beyond 8 do."""
    slices, made, sides = (importlib.import_module(name) for name in ("suite_slices", "random_networks", "sides"))
    numbers = sides.normals(8, 256)
    subject = sides.Subject(made.dense(256, 4), numbers, {"x": numbers}, slices.SLICED)
    few, enough, many = (
        subject.compiled(*how).write(threads=1).run(numbers)
        for how in (slices.BITS_LOST, slices.NOTHING_LOST, ("adc.range=unit", "adc.bits=20"))
    )
    for name, wanted in many.items():
        np.testing.assert_array_equal(enough[name], wanted)
        assert not np.array_equal(few[name], wanted)


def test_random_networks_are_what_their_names_say() -> None:
    """ResNet-18 has 11,689,512 parameters, of which 9,600 are of normalisations and 1,000 are biases."""
    made = importlib.import_module("random_networks")
    model = made.resnet18()
    matrices = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    assert sum(math.prod(tensor.dims) for tensor in matrices) == 11_689_512 - 9_600 - 1000
    assert [node.op_type for node in model.graph.node].count("Conv") == 20


def test_tables_hold_every_figure_beside_its_reference(harness: ModuleType) -> None:
    """Cases of one suite that are held against different sides stand in different tables."""
    machine = Machine()
    given = options(harness, machine)
    figures = [
        *harness.compare("s", "first", {"a": machine.side("a", 2.0), "b": machine.side("b", 3.0)}, given),
        *harness.compare("s", "second", {"c": machine.side("c", 1.0), "b": machine.side("b", 5.0)}, given),
    ]
    console = Console(file=io.StringIO(), width=120)
    tables = harness.tables(figures)
    for table in tables:
        console.print(table)
    text = console.file.getvalue()
    assert [len(table.columns) for table in tables] == [3, 3]
    for words in ("s: 2 threads, wall", "first", "second", "1.5x (1.5 to 1.5)", "5x (5 to 5)", "3 s"):
        assert words in text


def test_the_command_prints_tables_or_json_and_names_what_it_skips(
    harness: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = importlib.import_module("runner")

    def lacking(options: object) -> None:
        raise harness.SkippedError("net.onnx is not there")

    seen: list[tuple[int, int]] = []

    def found(options: Any) -> list[object]:
        seen.append((options.threads, options.most))
        return []

    cases = [harness.Case("s", "one", found), harness.Case("s", "two", lacking)]
    quick = {"quick": [harness.Case("s", "three", found)]}

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        assert runner.run_cases("text", cases, lambda figures: [], subsets=quick) == 0
        return capsys.readouterr().out

    assert call("--threads", "2") == "skipped s: two: net.onnx is not there\n"
    assert json.loads(call("--json"))["skipped"] == {"s: two": "net.onnx is not there"}
    assert call("--only", "one") == ""
    assert call("--quick", "--threads", "1") == ""
    assert len(seen) == 4
    assert (seen[0], seen[-1]) == ((2, harness.Options().most), (1, 7))
