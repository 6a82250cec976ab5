"""Explanations: what each effect and each layer costs, against evaluations of each look by itself."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.api.evaluation import layer_snr_db
from xbarc.errors import DataError, UsageError
from xbarc.ir.effects import MEANINGS
from xbarc.report.evaluation import Figure
from xbarc.report.explanation import Cost, Explanation, Measured, Outcome, outcome, ranked
from xbarc.report.explanation_page import explanation_page
from xbarc.report.json_form import json_schema
from xbarc.report.rendering import plain_text

SCHEMA = json_schema(Explanation, version=1, title="explanation")
KEYS = ("tile.rows=16", "tile.columns=12", "adc.gain_sigma=0.02", "tile.row_wire=20 Ohm")
RNG = np.random.default_rng(5)
INPUTS = RNG.normal(size=(100, 20)).astype(np.float32)
WEIGHTS = [RNG.normal(size=shape).astype(np.float32) for shape in ((20, 24), (24, 9))]
DEVICE = "generic:programming_independent=0.05,nu_mean=0.03,read_independent=0.03,stuck_at_gmin=0.01"


def compiled(*overrides: str) -> xbarc.Program:
    nodes = [node("MatMul", ["input", "a"], "fc1"), node("Relu", ["fc1"], "r"), node("MatMul", ["r", "b"], "logits")]
    constants = dict(zip("ab", WEIGHTS, strict=True))
    model = network(nodes, {"input": ("N", 20)}, constants, outputs=["logits"])
    return xbarc.compile(model, overrides=(*KEYS, *overrides), calibration=INPUTS)


@pytest.fixture(scope="module")
def program() -> xbarc.Program:
    return compiled()


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    """The float network is right, but where it is in doubt."""
    scores = np.maximum(INPUTS @ WEIGHTS[0], 0) @ WEIGHTS[1]
    return {"input": INPUTS, "labels": (scores + RNG.normal(size=scores.shape)).argmax(axis=1)}


@pytest.fixture(scope="module")
def explanation(program: xbarc.Program, data: dict[str, np.ndarray]) -> Explanation:
    chips = program.series(DEVICE, seeds=[4, 7], times=["1d"])
    return program.write().explain({"input": data["input"]}, data["labels"], chips=chips)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def accuracy(chip: xbarc.Chip, data: dict[str, np.ndarray]) -> float:
    return float(np.mean(chip.run(data["input"])["logits"].argmax(axis=1) == data["labels"]))


# Figures


def test_figures_are_those_of_each_look_by_itself(
    program: xbarc.Program, data: dict[str, np.ndarray], explanation: Explanation
) -> None:
    chips = [program.write(DEVICE, seed=seed).at("1d") for seed in (4, 7)]
    names = [layer.name for layer in program.report().layers]
    feeds = {"input": data["input"][:64]}
    clear = program.write().with_effects(())
    levels, wanted = accuracy(clear, data), clear.layer_outputs(feeds)
    full = [accuracy(chip, data) for chip in chips]
    assert explanation.levels.mean == levels
    assert explanation.everything.mean == pytest.approx(np.mean(full))
    assert explanation.everything.cost == pytest.approx(levels - np.mean(full))
    assert {cost.name for cost in explanation.effects} == set(chips[0].effects)
    assert {cost.name for cost in explanation.layers} == set(names)
    assert explanation.seeds == (4, 7)
    assert (explanation.samples, explanation.snr_samples) == (100, 64)
    effects = set(chips[0].effects)
    looks = {(cost.name, which): cost for cost in explanation.effects for which in ("alone", "without")} | {
        (cost.name, which): cost for cost in explanation.layers for which in ("alone", "without")
    }
    for (name, which), cost in looks.items():
        if name in effects:
            kinds, within = ({name} if which == "alone" else effects - {name}), names
        else:
            kinds, within = effects, ([name] if which == "alone" else [other for other in names if other != name])
        seen = [chip.with_effects(kinds, layers=within) for chip in chips]
        values = np.array([accuracy(chip, data) for chip in seen])
        found: Outcome = getattr(cost, which)
        lost = levels - values if which == "alone" else values - np.array(full)
        assert found.mean == pytest.approx(values.mean()), (name, which)
        assert found.deviation == pytest.approx(values.std(ddof=1))
        assert found.cost == pytest.approx(lost.mean())
        assert found.cost_deviation == pytest.approx(lost.std(ddof=1))
        ratios = [layer_snr_db(wanted[-1], chip.layer_outputs(feeds)[-1]) for chip in seen]
        joint = -10 * np.log10(np.mean(10 ** (-np.array(ratios) / 10)))
        assert found.last_snr_db == (pytest.approx(joint) if np.isfinite(joint) else None)


def test_effects_and_layers_come_by_cost(explanation: Explanation) -> None:
    for costs in (explanation.effects, explanation.layers):
        lost = [cost.alone.cost for cost in costs]
        assert lost == sorted(lost, key=lambda each: -(each or 0.0))
    assert explanation.effects[0].alone.cost is not None


@given(st.lists(st.tuples(*[st.none() | st.floats(-1, 1)] * 3), min_size=1))
def test_ranks(found: list[tuple[float | None, float | None, float | None]]) -> None:
    """By what they cost alone, then on top of all others, then by noise; what is not known comes last."""

    def made(cost: float | None, ratio: float | None = None) -> Outcome:
        return Outcome(
            mean=None, deviation=None, cost=cost, cost_deviation=None, reason=None, layer_snr_db={"a": 0.0, "z": ratio}
        )

    costs = [Cost(str(place), made(alone, ratio), made(added)) for place, (alone, added, ratio) in enumerate(found)]
    order = [found[int(cost.name)] for cost in ranked(costs)]
    for one, other in itertools.pairwise(order):
        keys = [
            [np.inf if value is None else sign * value for value, sign in zip(each, (-1, -1, 1), strict=True)]
            for each in (one, other)
        ]
        assert keys[0] <= keys[1]


def test_errors_that_are_counted_cost_what_they_grow_by() -> None:
    one, two = Measured(Figure(0.25), {"a": 20.0}), Measured(Figure(0.75), {"a": np.inf})
    assert outcome([two], better=[one], worse=[two], less_is_better=True).cost == 0.5
    assert outcome([two], better=[one], worse=[two], less_is_better=False).cost == -0.5
    both = outcome([one, two], less_is_better=False)
    assert both.layer_snr_db["a"] == pytest.approx(20 + 10 * np.log10(2))
    assert (both.mean, both.cost) == (0.5, None)
    assert outcome([two], less_is_better=False).layer_snr_db == {"a": None}
    lacking = outcome([one, Measured(Figure(None, "why not"), {"a": 0.0})], less_is_better=False)
    assert (lacking.mean, lacking.deviation, lacking.reason) == (None, None, "why not")


def test_the_ideal_device_has_codes_alone(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    found = program.write().explain({"input": data["input"]}, data["labels"], metric="mse")
    assert {cost.name for cost in found.effects} == {"input-codes", "output-codes"}
    assert found.seeds == ()
    assert found.less_is_better
    assert all(cost.alone.cost is not None and cost.alone.cost > 0 for cost in found.effects)
    both = program.write().evaluate({"input": data["input"]}, data["labels"], metric="mse")
    assert found.everything.mean == both.ideal.value
    assert (found.source, found.source_reason) == (None, "the float network is itself the reference of mse")
    jsonschema.validate(json.loads(json.dumps(found.to_json(), allow_nan=False)), SCHEMA)
    assert "ideal device" in plain_text(explanation_page(found, title="p"))


def test_within_a_look_the_rest_does_not_count(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    chip = program.write(DEVICE).at("1d").with_effects(["drift", "programming", "adc-noise"], layers=["logits"])
    found = chip.explain({"input": data["input"]}, data["labels"])
    assert {cost.name for cost in found.effects} == {"drift", "programming"}
    assert [cost.name for cost in found.layers] == ["logits"]
    assert found.layers[0].alone.mean == found.everything.mean == accuracy(chip, data)
    assert found.layers[0].without.mean == found.levels.mean
    assert found.condition.effects == "programming, drift, adc-noise; in logits"


def test_progress_comes_to_its_end(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    told: list[tuple[str, int, int | None]] = []
    chips = program.series(DEVICE, seeds=[1, 2])
    labelled = {"input": data["input"][:10]}, data["labels"][:10]
    program.write().explain(*labelled, chips=chips, progress=lambda *told_now: told.append(told_now))
    assert told[0][0] == "weight levels"
    shares = [done / of for _, done, of in told if of is not None and "wires" not in _]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("chip 2 at 0 s, all but faults" in doing for doing, _, _ in told)
    assert any("chip 1 at 0 s, fc1 alone" in doing for doing, _, _ in told)


# How they are shown


def test_json_is_as_its_types_say(explanation: Explanation) -> None:
    written = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(written, SCHEMA)
    assert written["condition"]["device"].startswith("generic:")
    assert [cost["name"] for cost in written["effects"]] == [cost.name for cost in explanation.effects]
    assert written["effects"][0]["alone"]["mean"] == explanation.effects[0].alone.mean


def test_the_documentation_has_every_key(explanation: Explanation) -> None:
    text = (Path(__file__).parents[1] / "docs" / "json.md").read_text("utf-8")
    section = text.partition("## `xbarc eval --explain`")[2].partition("\n## ")[0]
    outcome_keys = set(SCHEMA["$defs"]["Outcome"]["properties"]) | set(SCHEMA["$defs"]["Cost"]["properties"])
    for key in {*SCHEMA["properties"], *outcome_keys} - {"schema"}:
        assert f"`{key}`" in section, key
    for effect in MEANINGS:
        assert f"`{effect}`" in (Path(__file__).parents[1] / "docs" / "explain.md").read_text("utf-8"), effect


def test_the_page_ranks_effects_and_layers(explanation: Explanation) -> None:
    figures, effects, by_layer, layers = explanation_page(explanation, title="p.xbar.onnx")
    assert [row[0] for row in effects.rows] == [cost.name for cost in explanation.effects]
    assert [row[0] for row in layers.rows] == [cost.name for cost in explanation.layers]
    first = explanation.effects[0].alone
    assert effects.rows[0][1] == f"{100 * (first.mean or 0):.2f} %"
    assert effects.rows[0][2] == f"{100 * (first.cost or 0):.2f}"
    assert effects.rows[0][3] == f"{100 * (first.cost_deviation or 0):.2f}"
    assert len(by_layer.columns) == len(explanation.effects) + 2
    assert [row[0] for row in figures.rows] == ["float", "weight levels alone", "with all effects"]
    assert any(note.startswith("with all effects: 2 chips (seeds 4, 7) of generic:") for note in figures.notes)
    assert any(note.startswith("weight levels alone: the program's levels in all cells") for note in figures.notes)
    assert {note.partition(":")[0] for note in effects.notes} >= {cost.name for cost in explanation.effects}
    assert "UNCALIBRATED" not in plain_text([figures])


@pytest.fixture(scope="module")
def saved(program: xbarc.Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program.save(tmp_path_factory.mktemp("program") / "p.xbar.onnx")


@pytest.fixture(scope="module")
def stored(data: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, **{name: array[:20] for name, array in data.items()})
    return path


def test_the_command_shows_it(command: Command, program: xbarc.Program, saved: Path, stored: Path) -> None:
    asked = (
        "eval",
        saved,
        "--data",
        stored,
        "--device",
        DEVICE,
        "--times",
        "1h",
        "--chips",
        2,
        "--seed",
        3,
        "--explain",
    )
    found: dict[str, Any] = command(*asked, "--json").json()
    chips = program.series(DEVICE, seeds=[3, 4], times=["1h"])
    same = xbarc.load(saved).write().explain(stored, chips=chips)
    assert found == json.loads(json.dumps(same.to_json()))
    printed = command(*asked).out
    for title in ("What each effect costs", "with each effect alone", "What each layer costs"):
        assert title in printed
    without = command(*asked, "--ir-drop", "off", "--json").json()
    assert {cost["name"] for cost in found["effects"]} - {cost["name"] for cost in without["effects"]} == {"ir-drop"}
    assert "input-codes" in command("eval", saved, "--data", stored, "--explain").out


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--times", "0,1d"), "--explain is of one time and one compensation, and several are given"),
        (("--compensation", "both"), "--explain is of one time and one compensation, and several are given"),
        (("--repair", "retune"), "--explain is of chips as they are: repairs fit them with all their effects"),
    ],
)
def test_the_command_explains_one_condition(
    command: Command, saved: Path, stored: Path, options: tuple[str, ...], message: str
) -> None:
    refused = command("eval", saved, "--data", stored, "--device", DEVICE, "--explain", *options)
    assert refused.code == 2
    assert message in refused.err
    assert refused.out == ""


def test_chips_of_one_explanation_differ_in_seeds_alone(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    few = {"input": data["input"][:4]}, data["labels"][:4]
    chip = program.write(DEVICE)
    with pytest.raises(UsageError, match="chips of one explanation differ in more than their seeds"):
        chip.explain(*few, chips=[chip, program.write(DEVICE, seed=1).at("1d")])
    with pytest.raises(UsageError, match="a chip is given twice"):
        chip.explain(*few, chips=[chip, chip])
    with pytest.raises(UsageError, match="a chip is given twice"):
        chip.explain(*few, chips=[program.write(), program.write()])
    with pytest.raises(UsageError, match="a repaired chip cannot be explained"):
        chip.recalibrated(data["input"]).explain(*few)
    with pytest.raises(DataError, match="an iterator gives its batches once"):
        chip.explain(iter([few]))
    with pytest.raises(UsageError, match="a chip was written with another program"):
        chip.explain(*few, chips=[compiled("cell.levels=16").write(DEVICE)])


def test_a_model_of_a_chip_has_no_effects_to_tell(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    """Its levels are what the chip holds, not what it was to hold."""
    stored = xbarc.load(program.write("pcm", seed=1).model())
    with pytest.raises(UsageError, match="this is a chip that was written already, and its effects cannot be told"):
        stored.write().explain({"input": data["input"]}, data["labels"])
