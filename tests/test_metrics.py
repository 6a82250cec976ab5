"""Metrics against one line of numpy over the whole set, whatever the batches; every refusal in its words."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xbarc.api.metrics import Accumulator, Agreement, Metric, TopK, parse_metric, wilson_interval
from xbarc.errors import DataError, InternalError, UsageError, XbarcError

# Few different scores, so that ties are the rule; 16-bit codes of a quantised network are no different.
scores = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0])
reals = st.floats(-1e3, 1e3, width=32)


def over(metric: Metric, cuts: list[int], outputs: np.ndarray, **others: np.ndarray) -> Accumulator:
    """The metric, fed in the batches that `cuts` makes."""
    accumulator = metric.start()
    for part in np.split(np.arange(len(outputs)), sorted(cuts)):
        accumulator.add(outputs[part], **{name: array[part] for name, array in others.items()})
    return accumulator


def error_text(error: pytest.ExceptionInfo[Any]) -> tuple[str, str, str]:
    return error.value.what, error.value.where, error.value.fix


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    classes = draw(st.integers(2, 7))
    outputs = draw(hnp.arrays(np.float32, (*shape, classes), elements=scores))
    labels = draw(
        hnp.arrays(draw(st.sampled_from([np.int64, np.uint8, np.float64])), shape, elements=st.integers(0, classes - 1))
    )
    return outputs, labels, draw(st.lists(st.integers(0, shape[0]), max_size=3))


@given(case=classified(), k=st.integers(1, 6))
def test_top_k_is_membership_in_the_first_k_of_a_stable_sort(
    case: tuple[np.ndarray, np.ndarray, list[int]], k: int
) -> None:
    outputs, labels, cuts = case
    assume(k < outputs.shape[-1])
    best = np.argsort(-outputs, axis=-1, kind="stable")[..., :k]
    accumulator = over(TopK(k), cuts, outputs, labels=labels)
    assert accumulator.value() == np.mean(np.any(best == labels[..., None], axis=-1))
    if labels.ndim == 1:
        assert accumulator.interval() == wilson_interval(round(accumulator.value() * labels.size), labels.size)
    elif labels[0].size > 1:
        assert accumulator.interval() is None


@given(case=classified())
def test_top_1_is_the_share_of_argmax(case: tuple[np.ndarray, np.ndarray, list[int]]) -> None:
    outputs, labels, cuts = case
    assert over(parse_metric("top1"), cuts, outputs, labels=labels).value() == np.mean(outputs.argmax(-1) == labels)


@given(case=classified(), data=st.data())
def test_agreement_is_the_share_of_equal_argmax(
    case: tuple[np.ndarray, np.ndarray, list[int]], data: st.DataObject
) -> None:
    outputs, _, cuts = case
    other = data.draw(hnp.arrays(np.float32, outputs.shape, elements=scores))
    value = over(Agreement(), cuts, outputs, reference=other).value()
    assert value == np.mean(outputs.argmax(-1) == other.argmax(-1))


@st.composite
def compared(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    shape = draw(hnp.array_shapes(max_dims=3, max_side=12))
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    wanted = seed.standard_normal(shape).astype(np.float32)
    outputs = wanted + draw(st.sampled_from([1e-6, 0.1, 1e4])) * seed.standard_normal(shape).astype(np.float32)
    return outputs, wanted, draw(st.lists(st.integers(0, shape[0]), max_size=3))


@given(case=compared())
def test_mse_and_snr_are_the_formulas(case: tuple[np.ndarray, np.ndarray, list[int]]) -> None:
    outputs, wanted, cuts = case
    y, ref = outputs.astype(np.float64), wanted.astype(np.float64)
    mse = over(parse_metric("mse"), cuts, outputs, reference=wanted).value()
    snr = over(parse_metric("snr"), cuts, outputs, reference=wanted).value()
    assert mse == pytest.approx(np.mean((y - ref) ** 2), rel=1e-12)
    if (y != ref).any():
        assert snr == pytest.approx(10 * np.log10(np.sum(ref**2) / np.sum((y - ref) ** 2)), rel=1e-9, abs=1e-9)


@given(case=compared())
def test_the_cut_into_batches_does_not_change_a_bit(case: tuple[np.ndarray, np.ndarray, list[int]]) -> None:
    outputs, wanted, cuts = case
    for metric in (parse_metric("mse"), parse_metric("snr")):
        whole = over(metric, [], outputs, reference=wanted).value()
        assert over(metric, cuts, outputs, reference=wanted).value() == whole
        assert over(metric, list(range(len(outputs))), outputs, reference=wanted).value() == whole


def test_snr_at_its_ends() -> None:
    some, none = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    assert over(parse_metric("snr"), [], some, reference=some).value() == math.inf
    assert over(parse_metric("snr"), [], none, reference=none).value() == math.inf
    assert over(parse_metric("snr"), [], some, reference=none).value() == -math.inf
    assert over(parse_metric("snr"), [], 1.1 * some, reference=some).value() == pytest.approx(20, abs=1e-4)


@given(trials=st.integers(1, 10**6), data=st.data())
def test_the_wilson_ends_are_where_the_score_test_turns(trials: int, data: st.DataObject) -> None:
    """An end `p` of the interval is where the share lies 1.96 of the deviations of `p` away from `p`."""
    hits = data.draw(st.integers(0, trials))
    low, high = wilson_interval(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        distance = abs(hits / trials - end) / math.sqrt(end * (1 - end) / trials)
        assert distance == pytest.approx(1.95996, rel=1e-4)
    assert (low == 0) == (hits == 0)
    assert (high == 1) == (hits == trials)


def test_the_wilson_interval_of_a_known_case() -> None:
    """81 of 263: Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    with pytest.raises(InternalError, match="3 hits of 2 trials are no proportion"):
        wilson_interval(3, 2)


# --- reading a metric


@pytest.mark.parametrize(
    ("text", "name", "labels", "reference", "share", "unit"),
    [
        ("top-1", "top-1", True, False, True, ""),
        ("top5", "top-5", True, False, True, ""),
        (" Top-10 ", "top-10", True, False, True, ""),
        ("mse", "mse", False, True, False, ""),
        ("SNR", "snr", False, True, False, "dB"),
        ("agreement", "agreement", False, True, True, ""),
        ("math:hypot", "math:hypot", True, False, False, ""),
    ],
)
def test_a_metric_says_what_it_is_and_needs(
    text: str, name: str, labels: bool, reference: bool, share: bool, unit: str
) -> None:
    metric = parse_metric(text)
    assert metric.name == name
    assert (metric.needs_labels, metric.needs_reference) == (labels, reference)
    assert (metric.is_share, metric.unit) == (share, unit)
    assert parse_metric(metric.name) == metric


@pytest.mark.parametrize(
    ("text", "hint"),
    [("top-0", "did you mean 'top-5'? "), ("snrr", "did you mean 'snr'? "), ("", ""), ("perplexity", "")],
)
def test_an_unknown_metric_is_told_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_metric(text)
    assert str(error.value) == (
        f"unknown metric '{text}'\n  fix:   {hint}Metrics are top-K (K >= 1), mse, snr, agreement, module:function"
    )


# --- functions of the user


@pytest.fixture
def module_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with a module `my_metric_of_tests`, forgotten afterwards."""
    (tmp_path / "my_metric_of_tests.py").write_text(
        "import numpy as np\n"
        "def rmse(outputs, labels):\n"
        "    return np.sqrt(np.mean((outputs[:, 0] - labels) ** 2))\n"
        "def late(outputs, labels):\n"
        "    import my_late_import_of_tests as late\n"
        "    return late.VALUE\n"
        "def breaks(outputs, labels):\n"
        "    raise ValueError('no idea')\n"
        "def text(outputs, labels):\n"
        "    return 'good'\n"
        "number = 3\n"
    )
    (tmp_path / "my_late_import_of_tests.py").write_text("VALUE = 7\n")
    (tmp_path / "my_broken_module_of_tests.py").write_text("def (:\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_of_tests")]:
        del sys.modules[name]


def test_a_function_of_the_current_folder_sees_the_whole_set(module_here: Path) -> None:
    path_before = list(sys.path)
    outputs, labels = np.arange(6.0).reshape(6, 1), np.arange(6) + 2.0
    accumulator = over(parse_metric("my_metric_of_tests:rmse"), [1, 4], outputs, labels=labels)
    assert accumulator.value() == 2.0
    assert accumulator.interval() is None
    assert over(parse_metric("my_metric_of_tests:late"), [], outputs, labels=labels).value() == 7.0
    assert sys.path == path_before


def test_a_function_that_fails_is_told(module_here: Path) -> None:
    outputs, labels = np.zeros((2, 3)), np.zeros(2)
    where, fix = "called with outputs (2, 3) and labels (2,)", "return one number from (outputs, labels)"
    with pytest.raises(XbarcError) as error:
        over(parse_metric("my_metric_of_tests:breaks"), [], outputs, labels=labels).value()
    assert error_text(error) == ("the metric my_metric_of_tests:breaks failed: ValueError: no idea", where, fix)
    with pytest.raises(XbarcError) as error:
        over(parse_metric("my_metric_of_tests:text"), [], outputs, labels=labels).value()
    assert error.value.what.startswith("the metric my_metric_of_tests:text failed: ValueError: could not convert")


def test_a_function_that_cannot_be_found_is_told(module_here: Path) -> None:
    with pytest.raises(UsageError) as error:
        parse_metric("no_module_of_tests:f")
    assert error_text(error) == (
        "cannot import the metric's module 'no_module_of_tests': "
        "ModuleNotFoundError: No module named 'no_module_of_tests'",
        f"metric no_module_of_tests:f, from {module_here}",
        "write module:function, of an installed module or a file of the current folder without its .py",
    )
    with pytest.raises(UsageError, match="cannot import the metric's module 'my_broken_module_of_tests': SyntaxError"):
        parse_metric("my_broken_module_of_tests:f")
    with pytest.raises(UsageError, match="cannot import the metric's module ''"):
        parse_metric(":f")
    with pytest.raises(UsageError) as error:
        parse_metric("my_metric_of_tests:rsme")
    assert error_text(error) == (
        "the module 'my_metric_of_tests' has no function 'rsme'",
        "metric my_metric_of_tests:rsme",
        "did you mean 'my_metric_of_tests:rmse'?",
    )
    with pytest.raises(UsageError) as error:
        parse_metric("my_metric_of_tests:number")
    assert error.value.fix == "define it as a function of (outputs, labels)"


def test_a_function_needs_a_label_for_each_output() -> None:
    with pytest.raises(DataError) as error:
        parse_metric("math:hypot").start().add(np.zeros((3, 2)), np.zeros(2))
    assert error_text(error) == (
        "2 labels for 3 outputs",
        "metric math:hypot",
        "give one label, or one row of labels, for each sample",
    )


# --- what does not fit


@pytest.mark.parametrize("text", ["top-1", "mse", "snr", "agreement", "math:hypot"])
def test_no_samples_have_no_value(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_metric(text).start().value()
    assert error_text(error) == ("no samples to judge", f"metric {text}", "give at least one sample")


@pytest.mark.parametrize("text", ["top-1", "math:hypot"])
def test_labels_are_needed(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_metric(text).start().add(np.zeros((2, 3)))
    assert error_text(error) == (
        f"{text} needs labels, and there are none",
        f"metric {text}",
        "add an array 'labels' to the data, or choose mse, snr or agreement",
    )


@pytest.mark.parametrize("text", ["mse", "snr", "agreement"])
def test_a_reference_is_needed_and_of_the_same_shape(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_metric(text).start().add(np.zeros((2, 3)))
    assert error_text(error) == (
        f"{text} compares with a reference, and there is none",
        f"metric {text}",
        "name the source model with --reference",
    )
    with pytest.raises(DataError) as error:
        parse_metric(text).start().add(np.zeros((2, 3)), reference=np.zeros((2, 1)))
    assert error_text(error) == (
        "the output has shape (2, 3), the reference's output (2, 1)",
        f"metric {text}",
        "compare the same output of the same network",
    )


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_single_logit_is_not_guessed(shape: tuple[int, ...]) -> None:
    outputs = np.zeros(shape)
    for metric, others in ((TopK(1), {"labels": np.zeros(4)}), (Agreement(), {"reference": outputs})):
        with pytest.raises(DataError) as error:
            metric.start().add(outputs, **others)
        assert error_text(error) == (
            f"{metric.name} needs a score for each class, but the output has shape {shape}: one score a sample",
            f"metric {metric.name}",
            "its threshold is not guessed: write a metric as module:function, or choose an output with --output",
        )


def test_a_k_that_takes_every_class_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        TopK(5).start().add(np.zeros((2, 5)), np.zeros(2))
    assert error.value.what == "top-5 of an output with 5 classes is always 1"
    assert error.value.fix == "choose a smaller K, or another output with --output"


@pytest.mark.parametrize(
    ("outputs", "labels", "fix"),
    [
        ((4, 3), (4, 3), "these look one-hot: take their argmax over the last axis"),
        ((4, 3), (4, 1), "drop the last axis of the labels"),
        (
            (4, 3, 8, 8),
            (4, 8, 8),
            "the last axis of the output is the classes: give labels without it, or write module:function",
        ),
    ],
)
def test_labels_have_the_shape_of_the_output_without_its_classes(
    outputs: tuple[int, ...], labels: tuple[int, ...], fix: str
) -> None:
    with pytest.raises(DataError) as error:
        TopK(1).start().add(np.zeros(outputs), np.zeros(labels, int))
    assert error_text(error) == (f"labels of shape {labels} for an output of shape {outputs}", "metric top-1", fix)


@pytest.mark.parametrize("label", [-1, 3, 0.5, np.nan])
def test_a_label_is_a_class(label: float) -> None:
    with pytest.raises(DataError) as error:
        TopK(1).start().add(np.zeros((4, 3)), np.array([0, 1, label, label]))
    assert error_text(error) == (
        f"the label {label} is no class of an output with 3 classes",
        "metric top-1, sample 2 of the batch",
        "number the classes 0 to 2 in whole numbers",
    )


@pytest.mark.parametrize(
    ("text", "value"), [("top-1", np.nan), ("agreement", np.nan), ("mse", np.nan), ("snr", np.inf)]
)
def test_outputs_that_are_no_numbers_are_not_judged(text: str, value: float) -> None:
    metric = parse_metric(text)
    good, bad = np.zeros((3, 2)), np.array([[0, 0], [0, value], [0, 0]])
    pairs = [(bad, good), (good, bad)] if metric.needs_reference else [(bad, good)]
    for outputs, reference in pairs:
        with pytest.raises(DataError) as error:
            metric.start().add(outputs, np.zeros(3, int), reference=reference)
        assert error_text(error) == (
            f"an output holds {value}",
            f"metric {text}, sample 1 of the batch",
            "feed inputs for which the model's outputs are finite",
        )


def test_minus_infinity_is_a_score_and_truth_values_are_labels() -> None:
    """Masked classes score minus infinity."""
    outputs = np.array([[-np.inf, 0], [0, -np.inf]], np.float32)
    assert over(TopK(1), [], outputs, labels=np.array([True, True])).value() == 0.5
