"""Evaluate: the metric of several machines over one data set, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xbarc.api.data import Samples, open_data, samples_from_arrays, samples_from_batches
from xbarc.api.metrics import Accumulator, Agreement, Metric, TopK, decibels
from xbarc.api.specs import InputSpec
from xbarc.errors import DataError
from xbarc.report.evaluation import Figure

#: Told after each batch: samples done, and samples in all where that is known.
Progress = Callable[[int, int | None], None]
#: Told what is going on, steps done, and steps in all where that is known.
Tell = Callable[[str, int, int | None], None]
#: What is evaluated: inputs of one batch, and the number of its first sample, to the output that is judged.
Network = Callable[[Mapping[str, np.ndarray], int], np.ndarray]
#: Data in any of the forms that :meth:`xbarc.api.chip.Chip.evaluate` takes.
DataLike = str | os.PathLike[str] | Mapping[str, np.ndarray] | np.ndarray | Iterable[Any] | Samples


def compare(
    networks: Mapping[str, Network],
    reference: Network | None,
    samples: Samples,
    metric: Metric,
    *,
    batch_size: int | None,
    progress: Progress | None = None,
) -> tuple[dict[str, Figure], Figure | None, int]:
    """The metric of each network and of the reference.

    Args:
        networks: by name.
        reference: the network in floating point, where there is one.
        samples: with labels where the metric needs them.
        metric: to measure.
        batch_size: samples at a time; ``None``: all at once.
        progress: told after each batch.

    Returns:
        The figures of the networks, that of the reference where there is one, and the number of samples.

    Raises:
        DataError: data that do not fit the model or the metric.
    """
    runs = {name: _Run(metric, has_reference=reference is not None) for name in networks}
    exact = _Run(metric, has_reference=False)
    done = 0
    for batch, labels in samples.labelled_batches(batch_size or samples.count or 2**31):
        wanted = None if reference is None else reference(batch, done)
        if wanted is not None:
            exact.add(wanted, labels, None)
        for name, network in networks.items():
            runs[name].add(network(batch, done), labels, wanted)
        done += samples.size_of(batch)
        if progress is not None:
            progress(done, samples.count)
    return {name: run.figure() for name, run in runs.items()}, exact.figure() if reference else None, done


def part_of(tell: Tell | None, doing: str, number: int, parts: int) -> Progress | None:
    """The progress of one of several equal parts of a job, told as that of the whole."""
    if tell is None:
        return None

    def told(done: int, of: int | None) -> None:
        tell(doing, number * (of or 0) + done, None if of is None else parts * of)

    return told


def layer_snr_db(ideal: np.ndarray, actual: np.ndarray) -> float:
    """Signal-to-noise ratio of a layer's output against the ideal device."""
    signal = np.square(ideal, dtype=np.float64).sum()
    error = np.square(np.subtract(ideal, actual, dtype=np.float64)).sum()
    return decibels(float(signal), float(error))


def samples_of(data: DataLike, labels: Any, specs: Sequence[InputSpec], metric: Metric) -> Samples:
    """Data in any form as samples, with labels where the metric needs them."""
    if isinstance(data, Samples):
        return data
    if isinstance(data, str | os.PathLike):
        return open_data(data, specs, labels=metric.needs_labels)
    if isinstance(data, Mapping | np.ndarray):
        return samples_from_arrays(data, specs, labels=labels)
    return samples_from_batches(data, specs, labels=metric.needs_labels)


class _Run:
    """One network's metric, and its agreement with the reference."""

    def __init__(self, metric: Metric, *, has_reference: bool) -> None:
        self._metric: Accumulator | None = None
        self._reason: str | None = None
        if metric.needs_reference and not has_reference:
            self._reason = f"{metric.name} compares with the float network"
        else:
            self._metric = metric.start()
        agrees = isinstance(metric, TopK) and has_reference
        self._agreement: Accumulator | None = Agreement().start() if agrees else None

    def add(self, outputs: Any, labels: np.ndarray | None, reference: Any) -> None:
        outputs, reference = _numbers(outputs), None if reference is None else _numbers(reference)
        if self._metric is not None:
            self._metric.add(outputs, labels, reference=reference)
        if self._agreement is not None:
            self._agreement.add(outputs, reference=reference)

    def figure(self) -> Figure:
        if self._metric is None:
            return Figure(None, self._reason)
        agreement = None if self._agreement is None else self._agreement.value()
        return Figure(self._metric.value(), None, self._metric.interval(), agreement)


def _numbers(output: Any) -> np.ndarray:
    """An output that can be judged; a single number is one sample.

    Raises:
        DataError: it is text, a sequence or the like.
    """
    if not isinstance(output, np.ndarray) or output.dtype.kind == "O":
        raise DataError(
            "the output is no array of numbers, and no metric judges another",
            fix="choose an output with --output, or run the program from Python and judge its outputs there",
        )
    return output if output.ndim else output.reshape(1)
