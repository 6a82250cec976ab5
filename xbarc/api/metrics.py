"""How good outputs are: metrics that take the outputs of a set batch by batch.

A value does not depend, not even in its last bit, on how the set was cut into batches.
"""

from __future__ import annotations

import difflib
import importlib
import math
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xbarc.errors import DataError, InternalError, UsageError, XbarcError

_NAMES = ("top-1", "top-5", "mse", "snr", "agreement")
_Z_95 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution


class Accumulator(ABC):
    """The running state of one metric over one set."""

    @abstractmethod
    def add(
        self, outputs: np.ndarray, labels: np.ndarray | None = None, *, reference: np.ndarray | None = None
    ) -> None:
        """Takes one batch.

        Args:
            outputs: `(samples, ...)`, the output to judge.
            labels: `(samples, ...)`, for a metric with `needs_labels`.
            reference: the shape of `outputs`; the reference's output, for a metric with `needs_reference`.

        Raises:
            DataError: what the metric needs is missing, or shapes or values do not fit.
        """

    @abstractmethod
    def value(self) -> float:
        """The metric over everything added so far; raises DataError before the first sample."""

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the value by the number of samples; None where the metric is no share of samples."""
        return None


class Metric(ABC):
    """A measure of outputs, by the labels of the samples or by the outputs of a reference model."""

    needs_labels: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    less_is_better: ClassVar[bool] = False
    """Whether it counts errors."""
    is_share: ClassVar[bool] = False
    """Whether the value is a share, 0..1, that one prints in percent."""
    unit: ClassVar[str] = ""

    @property
    @abstractmethod
    def name(self) -> str:
        """What :func:`parse_metric` reads back as this metric."""

    @abstractmethod
    def start(self) -> Accumulator:
        """An empty accumulator."""


def parse_metric(text: str) -> Metric:
    """Reads `top-K` (or `topK`), `mse`, `snr`, `agreement` or `module:function`, which is imported here.

    Raises:
        UsageError: no such metric, module or function.
    """
    if ":" in text:
        return Custom(text, _import_function(text))
    name = text.strip().lower()
    if (match := re.fullmatch(r"top-?(\d+)", name)) and int(match[1]) > 0:
        return TopK(int(match[1]))
    simple: dict[str, type[Metric]] = {"mse": MeanSquaredError, "snr": SignalToNoise, "agreement": Agreement}
    if name in simple:
        return simple[name]()
    near = difflib.get_close_matches(name, _NAMES, n=1)
    raise UsageError(
        f"unknown metric '{text}'",
        fix=(f"did you mean '{near[0]}'? " if near else "")
        + "Metrics are top-K (K >= 1), mse, snr, agreement, module:function",
    )


@dataclass(frozen=True)
class TopK(Metric):
    """The share of labels that are among the `k` highest scores; the last axis of the output is the classes.

    Labels have the shape of the output without that axis, so labels of pixels work as labels of images do. Of equal
    scores the lower class counts as the higher score: top-1 is the share of `argmax == label`.
    """

    k: int
    needs_labels: ClassVar[bool] = True
    is_share: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"top-{self.k}"

    def start(self) -> Accumulator:
        return _Share(self.name, self._hits)

    def _hits(self, outputs: np.ndarray, labels: np.ndarray | None, reference: np.ndarray | None) -> np.ndarray:
        _refuse_single_score(self.name, outputs)
        classes = outputs.shape[-1]
        if self.k >= classes:
            raise UsageError(
                f"{self.name} of an output with {classes} classes is always 1",
                fix="choose a smaller K, or another output with --output",
            )
        _refuse_values(self.name, np.isnan(outputs), outputs)
        chosen = _class_labels(self.name, labels, outputs.shape)[..., None]
        score = np.take_along_axis(outputs, chosen, axis=-1)
        above = (outputs > score) | ((outputs == score) & (np.arange(classes) < chosen))
        return np.asarray(np.count_nonzero(above, axis=-1) < self.k)


@dataclass(frozen=True)
class Agreement(Metric):
    """The share of equal `argmax` over the last axis between the output and the reference's output."""

    needs_reference: ClassVar[bool] = True
    is_share: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "agreement"

    def start(self) -> Accumulator:
        return _Share(self.name, self._hits)

    def _hits(self, outputs: np.ndarray, labels: np.ndarray | None, reference: np.ndarray | None) -> np.ndarray:
        wanted = _checked_reference(self.name, outputs, reference)
        _refuse_single_score(self.name, outputs)
        for scores in (outputs, wanted):
            _refuse_values(self.name, np.isnan(scores), scores)
        return np.asarray(outputs.argmax(axis=-1) == wanted.argmax(axis=-1))


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """The mean over all elements of `(output - reference)^2`, in float64."""

    needs_reference: ClassVar[bool] = True
    less_is_better: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "mse"

    def start(self) -> Accumulator:
        return _Squares(self.name, lambda signal, error, elements: error / elements)


@dataclass(frozen=True)
class SignalToNoise(Metric):
    """`10 log10(sum reference^2 / sum (output - reference)^2)`, in dB; infinite where the two are equal."""

    needs_reference: ClassVar[bool] = True
    unit: ClassVar[str] = "dB"

    @property
    def name(self) -> str:
        return "snr"

    def start(self) -> Accumulator:
        return _Squares(self.name, lambda signal, error, elements: decibels(signal, error))


@dataclass(frozen=True)
class Custom(Metric):
    """A function of the user, called once with the `(outputs, labels)` of the whole set, which returns a number."""

    spelling: str
    function: Callable[[np.ndarray, np.ndarray], float]
    needs_labels: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.spelling

    def start(self) -> Accumulator:
        return _Collected(self)


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion, `hits` of `trials` independent trials.

    `(p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)` with `p = hits/n`: E. B. Wilson, "Probable inference,
    the law of succession, and statistical inference", J. Am. Stat. Assoc. 22 (1927), 209-212.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise InternalError(f"{hits} hits of {trials} trials are no proportion")
    share, spread = hits / trials, _Z_95**2 / trials
    centre = share + spread / 2
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4)
    # At no hit and at all hits an end is 0 or 1 by algebra; rounding must not move it.
    low = 0.0 if hits == 0 else (centre - half) / (1 + spread)
    high = 1.0 if hits == trials else (centre + half) / (1 + spread)
    return low, high


_Hits = Callable[[np.ndarray, np.ndarray | None, np.ndarray | None], np.ndarray]


class _Share(Accumulator):
    """Counts the hits that `hits` marks, one for each label."""

    def __init__(self, metric: str, hits: _Hits) -> None:
        self._metric = metric
        self._hits_of = hits
        self._hits = 0
        self._trials = 0
        self._one_a_sample = True

    def add(
        self, outputs: np.ndarray, labels: np.ndarray | None = None, *, reference: np.ndarray | None = None
    ) -> None:
        hits = self._hits_of(outputs, labels, reference)
        self._hits += int(np.count_nonzero(hits))
        self._trials += hits.size
        self._one_a_sample &= hits.size == len(outputs)

    def value(self) -> float:
        _refuse_nothing(self._metric, self._trials)
        return self._hits / self._trials

    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval; None for several labels a sample (pixels), which are not independent."""
        _refuse_nothing(self._metric, self._trials)
        return wilson_interval(self._hits, self._trials) if self._one_a_sample else None


class _Squares(Accumulator):
    """Sums of squares of the reference and of the deviation from it; keeps 16 bytes a sample.

    One sum a sample, in the order of its elements, and one exact sum over samples: the cut into batches cannot matter.
    """

    def __init__(self, metric: str, result: Callable[[float, float, int], float]) -> None:
        self._metric = metric
        self._result = result
        self._signal: list[np.ndarray] = []
        self._error: list[np.ndarray] = []
        self._elements = 0

    def add(
        self, outputs: np.ndarray, labels: np.ndarray | None = None, *, reference: np.ndarray | None = None
    ) -> None:
        wanted = _checked_reference(self._metric, outputs, reference)
        for values in (outputs, wanted):
            _refuse_values(self._metric, ~np.isfinite(values), values)
        rows = (len(outputs), math.prod(outputs.shape[1:]))
        signal = wanted.reshape(rows).astype(np.float64)
        self._signal.append(np.square(signal).sum(axis=1))
        self._error.append(np.square(outputs.reshape(rows) - signal).sum(axis=1))
        self._elements += outputs.size

    def value(self) -> float:
        _refuse_nothing(self._metric, self._elements)
        signal, error = (math.fsum(np.concatenate(sums)) for sums in (self._signal, self._error))
        return self._result(signal, error, self._elements)


class _Collected(Accumulator):
    """Keeps all outputs and labels for a function that wants to see the whole set."""

    def __init__(self, metric: Custom) -> None:
        self._metric = metric
        self._outputs: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def add(
        self, outputs: np.ndarray, labels: np.ndarray | None = None, *, reference: np.ndarray | None = None
    ) -> None:
        given = _checked_labels(self._metric.name, labels)
        if len(given) != len(outputs):
            raise DataError(
                f"{len(given)} labels for {len(outputs)} outputs",
                where=f"metric {self._metric.name}",
                fix="give one label, or one row of labels, for each sample",
            )
        self._outputs.append(outputs)
        self._labels.append(given)

    def value(self) -> float:
        _refuse_nothing(self._metric.name, sum(map(len, self._outputs)))
        outputs, labels = np.concatenate(self._outputs), np.concatenate(self._labels)
        try:
            with _importing_from_here():
                return float(self._metric.function(outputs, labels))
        except Exception as error:
            raise XbarcError(
                f"the metric {self._metric.name} failed: {type(error).__name__}: {error}",
                where=f"called with outputs {outputs.shape} and labels {labels.shape}",
                fix="return one number from (outputs, labels)",
            ) from error


def decibels(signal: float, error: float) -> float:
    """A ratio of powers; infinite without an error, minus infinite with nothing but."""
    if error == 0:
        return math.inf
    return 10 * (math.log10(signal) - math.log10(error)) if signal else -math.inf


def _import_function(text: str) -> Callable[[np.ndarray, np.ndarray], float]:
    module_name, _, function_name = text.partition(":")
    try:
        with _importing_from_here():
            module = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(
            f"cannot import the metric's module '{module_name}': {type(error).__name__}: {error}",
            where=f"metric {text}, from {os.getcwd()}",
            fix="write module:function, of an installed module or a file of the current folder without its .py",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        near = difflib.get_close_matches(function_name, functions, n=1)
        raise UsageError(
            f"the module '{module_name}' has no function '{function_name}'",
            where=f"metric {text}",
            fix=f"did you mean '{module_name}:{near[0]}'?" if near else "define it as a function of (outputs, labels)",
        )
    return function  # type: ignore[no-any-return]  # whatever it is, it can be called


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """Lets imports find modules of the current folder first, as `python -m` does."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


def _refuse_nothing(metric: str, seen: int) -> None:
    if seen == 0:
        raise DataError("no samples to judge", where=f"metric {metric}", fix="give at least one sample")


def _refuse_single_score(metric: str, outputs: np.ndarray) -> None:
    if outputs.ndim < 2 or outputs.shape[-1] == 1:
        raise DataError(
            f"{metric} needs a score for each class, but the output has shape {outputs.shape}: one score a sample",
            where=f"metric {metric}",
            fix="its threshold is not guessed: write a metric as module:function, or choose an output with --output",
        )


def _refuse_values(metric: str, bad: np.ndarray, values: np.ndarray) -> None:
    if bad.any():
        index = np.unravel_index(int(bad.argmax()), bad.shape)
        raise DataError(
            f"an output holds {values[index]}",
            where=f"metric {metric}, sample {int(index[0])} of the batch",
            fix="feed inputs for which the model's outputs are finite",
        )


def _checked_reference(metric: str, outputs: np.ndarray, reference: np.ndarray | None) -> np.ndarray:
    if reference is None:
        raise DataError(
            f"{metric} compares with a reference, and there is none",
            where=f"metric {metric}",
            fix="name the source model with --reference",
        )
    if reference.shape != outputs.shape:
        raise DataError(
            f"the output has shape {outputs.shape}, the reference's output {reference.shape}",
            where=f"metric {metric}",
            fix="compare the same output of the same network",
        )
    return reference


def _checked_labels(metric: str, labels: np.ndarray | None) -> np.ndarray:
    if labels is None:
        raise DataError(
            f"{metric} needs labels, and there are none",
            where=f"metric {metric}",
            fix="add an array 'labels' to the data, or choose mse, snr or agreement",
        )
    return labels


def _class_labels(metric: str, labels: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """`labels` as class indices, for outputs of `shape`."""
    given = _checked_labels(metric, labels)
    where = f"metric {metric}"
    if given.shape != shape[:-1]:
        if given.shape == shape:
            fix = "these look one-hot: take their argmax over the last axis"
        elif given.shape == (*shape[:-1], 1):
            fix = "drop the last axis of the labels"
        else:
            fix = "the last axis of the output is the classes: give labels without it, or write module:function"
        raise DataError(f"labels of shape {given.shape} for an output of shape {shape}", where=where, fix=fix)
    wrong = (given != np.trunc(given)) | (given < 0) | (given >= shape[-1])
    if wrong.any():
        index = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise DataError(
            f"the label {given[index]} is no class of an output with {shape[-1]} classes",
            where=f"{where}, sample {int(index[0])} of the batch",
            fix=f"number the classes 0 to {shape[-1] - 1} in whole numbers",
        )
    return given.astype(np.intp)
