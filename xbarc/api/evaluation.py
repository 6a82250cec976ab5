"""Evaluate a program: the float network, its quantisation, and the ideal device, over one data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from xbarc.api.chip import Chip, Progress
from xbarc.api.data import Samples, open_data, samples_from_arrays, samples_from_batches
from xbarc.api.machines import batch_size, default_threads
from xbarc.api.metrics import Accumulator, Agreement, Metric, TopK, parse_metric
from xbarc.api.source import ModelLike
from xbarc.errors import ModelError, UsageError
from xbarc.onnx_io.files import read_file
from xbarc.onnx_io.program import is_program
from xbarc.report.evaluation import Evaluation, Figure
from xbarc.runtime.host import HostModel

if TYPE_CHECKING:
    from xbarc.api.program import Program


def evaluate(
    program: Program,
    inputs: str | os.PathLike[str] | Mapping[str, np.ndarray] | np.ndarray | Iterable[Any] | Samples,
    labels: Any = None,
    *,
    metric: str | Metric = "top-1",
    output: str | None = None,
    reference: ModelLike | None = None,
    chip: Chip | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """How well a program does beside the network that it was compiled from.

    Args:
        program: compiled.
        inputs: a data file or folder, arrays by input name, one array, or batches (``(inputs, labels)`` pairs where
            the metric needs labels). An iterator is read once.
        labels: of the samples, where ``inputs`` are arrays.
        metric: ``top-1``, ``top-K``, ``mse``, ``snr`` (dB) or ``module:function``.
        output: which output to judge; the first by default.
        reference: the float network; by default the program's source, where it still is what it was.
        chip: on which to run; a new ideal one by default.
        threads: of chips and of the reference.
        progress: told after each batch.

    Raises:
        DataError: data that do not fit.
        UsageError: an unknown metric or output.
    """
    judge = parse_metric(metric) if isinstance(metric, str) else metric
    samples = _samples(program, inputs, labels, needs_labels=judge.needs_labels)
    chosen = _output(program, output)
    threads = threads or default_threads()
    ideal = chip or Chip(program, threads=threads)
    quantized = Chip(program, convert_outputs=False, threads=threads)
    source, reason = _reference(program, reference, chosen, threads)

    exact = _Run(judge, None)
    runs = {"quantized": _Run(judge, source), "ideal": _Run(judge, source)}
    done = 0
    size = batch_size(program.graph) or samples.count or 2**31
    for batch, marks in samples.labelled_batches(size):
        wanted = None
        if source is not None:
            wanted = source.run(batch, [chosen])[0]
            if not judge.needs_reference:
                exact.add(wanted, marks, None)
        for name, machine in (("quantized", quantized), ("ideal", ideal)):
            runs[name].add(machine.run_batch(batch)[chosen], marks, wanted)
        done += len(next(iter(batch.values())))
        if progress is not None:
            progress(done, samples.count)
    no_reference = f"needs the float network: {reason}" if judge.needs_reference and source is None else None
    figures = {name: Figure(None, no_reference) if no_reference else run.figure() for name, run in runs.items()}
    return Evaluation(
        metric=judge.name,
        unit=judge.unit,
        is_share=judge.is_share,
        output=chosen,
        samples=done,
        float=_float_figure(exact, judge, reason),
        quantized=figures["quantized"],
        ideal=figures["ideal"],
        calibrated=program.calibrated,
    )


class _Run:
    """One machine's metric, and its agreement with the reference."""

    def __init__(self, metric: Metric, reference: HostModel | None) -> None:
        self._skip = metric.needs_reference and reference is None
        self._metric: Accumulator = metric.start()
        agrees = isinstance(metric, TopK) and reference is not None
        self._agreement: Accumulator | None = Agreement().start() if agrees else None

    def add(self, outputs: np.ndarray, labels: np.ndarray | None, reference: np.ndarray | None) -> None:
        if self._skip:
            return
        self._metric.add(outputs, labels, reference=reference)
        if self._agreement is not None:
            self._agreement.add(outputs, reference=reference)

    def figure(self) -> Figure:
        agreement = None if self._agreement is None else self._agreement.value()
        return Figure(self._metric.value(), None, self._metric.interval(), agreement)


def _float_figure(run: _Run, metric: Metric, reason: str | None) -> Figure:
    if reason is not None:
        return Figure(None, reason)
    if metric.needs_reference:
        return Figure(None, f"the float network is itself the reference of {metric.name}")
    return run.figure()


def _samples(program: Program, inputs: Any, labels: Any, *, needs_labels: bool) -> Samples:
    if isinstance(inputs, Samples):
        return inputs
    specs = program.inputs
    if isinstance(inputs, str | os.PathLike):
        return open_data(inputs, specs, labels=needs_labels)
    if isinstance(inputs, Mapping | np.ndarray):
        return samples_from_arrays(inputs, specs, labels=labels)
    return samples_from_batches(inputs, specs, labels=needs_labels)


def _output(program: Program, name: str | None) -> str:
    names = program.graph.output_names
    if name is None:
        return names[0]
    if name not in names:
        raise UsageError(f"the program has no output {name!r}", fix=f"its outputs are {', '.join(names)}")
    return name


def _reference(
    program: Program, given: ModelLike | None, output: str, threads: int
) -> tuple[HostModel | None, str | None]:
    """The float network, or why there is none."""
    if given is None:
        given, reason = program.source_model()
        if given is None:
            return None, reason
    if isinstance(given, onnx.ModelProto):
        _refuse_other_network(given, program, output, where="the reference")
        return HostModel(given.SerializeToString(), threads=threads, optimization="all"), None
    path = os.fspath(given)
    _refuse_other_network(read_file(Path(path)), program, output, where=f"reference {path}")
    return HostModel(path, threads=threads, optimization="all"), None


def _refuse_other_network(reference: onnx.ModelProto, program: Program, output: str, *, where: str) -> None:
    """A comparison makes sense only with a network of the same inputs and the same output."""
    fix = "give the model that the program was compiled from"
    if is_program(reference):
        raise ModelError("the reference is a compiled program, not a network in floating point", where=where, fix=fix)
    constant = {tensor.name for tensor in reference.graph.initializer}
    reads = {entry.name for entry in reference.graph.input} - constant
    fed = {spec.name for spec in program.inputs}
    if reads != fed:
        names = [", ".join(sorted(each)) or "nothing" for each in (reads, fed)]
        raise ModelError(f"the reference reads {names[0]}, the program {names[1]}", where=where, fix=fix)
    made = [entry.name for entry in reference.graph.output]
    if output not in made:
        raise ModelError(f"the reference has no output {output!r}, only {', '.join(made)}", where=where, fix=fix)
