"""Evaluations as results and pages: statistics over chips, limits of shares, and numbers that are none."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xbarc.report.evaluation import ChipFigure, Evaluation, Figure, student_95
from xbarc.report.evaluation_page import evaluation_page
from xbarc.report.rendering import plain_text

shares = st.floats(0, 1)


def chip(seed: int, value: float | None, *, snr_db: float = 10.0, **conditions: object) -> ChipFigure:
    usual = {"device": "pcm", "t0_s": 20.0, "time_s": 0.0, "compensation": "off", "read_noise": "split"}
    figure = Figure(value, None if value is not None else "it was not measured")
    return ChipFigure(
        **(usual | {"inference_s": 1e-3} | conditions), seed=seed, figure=figure, layer_snr_db={"fc": snr_db}
    )


def evaluation(*chips: ChipFigure, is_share: bool = True) -> Evaluation:
    return Evaluation(
        metric="top-1",
        unit="",
        is_share=is_share,
        output="logits",
        samples=100,
        float=Figure(1.0),
        quantized=Figure(1.0),
        ideal=Figure(1.0),
        calibrated=True,
        chips=chips,
        snr_samples=64,
    )


@given(st.lists(shares, min_size=2, max_size=6))
def test_statistics_are_those_of_the_chips_and_shares_stay_shares(values: list[float]) -> None:
    chips = [chip(seed, value) for seed, value in enumerate(values)]
    (entry,) = evaluation(*chips).statistics()
    (free,) = evaluation(*chips, is_share=False).statistics()
    assert entry.count == len(values)
    assert entry.mean == pytest.approx(sum(values) / len(values))
    assert entry.deviation == pytest.approx(statistics.stdev(values))
    assert entry.interval is not None
    assert free.interval is not None
    assert entry.interval == (max(free.interval[0], 0.0), min(free.interval[1], 1.0))
    reach = student_95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    assert free.interval[1] - free.interval[0] == pytest.approx(2 * reach)
    assert "-0." not in plain_text(evaluation_page(evaluation(*chips), title="p"))


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (99, 1.9842)]
)
def test_students_quantile_is_the_tabulated_one(freedom: int, quantile: float) -> None:
    assert student_95(freedom) == pytest.approx(quantile, rel=0.01 if freedom == 3 else 4e-3)


def test_chips_count_together_only_under_the_same_conditions() -> None:
    changes: list[dict[str, object]] = [
        {},
        {"device": "pcm:read_scale=2.0"},
        {"time_s": 60.0},
        {"compensation": "layer"},
        {"read_noise": "frozen"},
        {"inference_s": 1e-6},
    ]
    chips = [chip(seed, 0.5 + 0.1 * seed, **change) for seed in (0, 1) for change in changes]
    found = evaluation(*chips)
    entries = found.statistics()
    assert [entry.count for entry in entries] == [2] * len(changes)
    assert [entry.compensation for entry in entries] == ["off"] * 5 + ["layer"]
    assert all(entry.mean == pytest.approx(0.55) for entry in entries)
    titles = [table.title for table in evaluation_page(found, title="p")][1::2]
    assert titles == [
        "2 chips (seeds 0, 1) of pcm",
        "2 chips (seeds 0, 1) of pcm:read_scale=2.0, without drift compensation",
        "2 chips (seeds 0, 1) of pcm, without drift compensation",
        "2 chips (seeds 0, 1) of pcm, without drift compensation",
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "it was not measured"), (math.inf, "the value is inf, "), (math.nan, "the value is nan, ")],
)
def test_one_chip_without_a_number_leaves_no_mean(value: float | None, reason: str) -> None:
    found = evaluation(chip(0, 0.5), chip(3, value), is_share=False)
    (entry,) = found.statistics()
    assert (entry.count, entry.mean, entry.deviation, entry.interval) == (2, None, None, None)
    text = plain_text(evaluation_page(found, title="p"))
    assert f"0: none, the chip of seed 3 has none: {reason}" in text
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [chip["accuracy"] for chip in written["chips"]] == [0.5, None]
    assert [chip["reason"] is None for chip in written["chips"]] == [True, False]
    assert reason in written["chips"][1]["reason"]
    assert reason in written["by_time"][0]["reason"]


@given(st.lists(st.floats(-50, 150), min_size=1, max_size=5))
def test_ratios_are_joined_by_the_power_of_their_errors(ratios: list[float]) -> None:
    """An error of a power p beside a signal of power 1 is -10 log10 p; powers of errors have a mean."""
    (entry,) = evaluation(*(chip(seed, 0.5, snr_db=ratio) for seed, ratio in enumerate(ratios))).statistics()
    power = sum(10 ** (-ratio / 10) for ratio in ratios) / len(ratios)
    assert entry.layer_snr_db["fc"] == pytest.approx(-10 * math.log10(power), abs=1e-9)


@pytest.mark.parametrize(
    ("ratios", "joint", "shown"),
    [
        ([math.inf, math.inf], math.inf, "inf"),
        ([math.inf, 10.0], 10 + 10 * math.log10(2), "13.0"),
        ([math.inf, -math.inf], -math.inf, "-inf"),
        ([math.nan, 10.0], math.nan, "nan"),
    ],
)
def test_layers_without_error_or_signal(ratios: list[float], joint: float, shown: str) -> None:
    found = evaluation(*(chip(seed, 0.5, snr_db=ratio) for seed, ratio in enumerate(ratios)))
    (entry,) = found.statistics()
    assert entry.layer_snr_db["fc"] == pytest.approx(joint, nan_ok=True)
    assert f"\nfc {shown}\n" in re.sub(" +", " ", plain_text(evaluation_page(found, title="p")))
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))["by_time"][0]
    assert written["layer_snr_db"]["fc"] == (pytest.approx(joint) if math.isfinite(joint) else None)


def test_a_program_without_layers_has_no_table_of_layers() -> None:
    chips = [dataclasses.replace(chip(seed, 0.5), layer_snr_db={}) for seed in (1, 2, 4)]
    titles = [table.title for table in evaluation_page(evaluation(*chips), title="p")]
    assert titles[1:] == ["3 chips (seeds 1, 2, 4) of pcm, without drift compensation"]
