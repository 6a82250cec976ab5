"""Chips: a program written on a device, ready to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xbarc.api.data import Samples, samples_from_arrays
from xbarc.api.evaluation import DataLike, Network, Progress, compare, samples_of
from xbarc.api.machines import batch_size, build_machine, default_threads
from xbarc.api.metrics import Metric, parse_metric
from xbarc.api.reference import Origin, open_reference
from xbarc.api.source import ModelLike, input_specs
from xbarc.errors import UsageError
from xbarc.ir.graph import Graph
from xbarc.report.evaluation import Evaluation, Figure
from xbarc.runtime.host import HostModel, Optimization


class Chip:
    """A program on the ideal device: every cell at its target, every converter exact. Deterministic.

    Made by :meth:`xbarc.api.program.Program.write`.

    Args:
        graph: of the program.
        origin: of the program, for comparisons with the network in floating point.
        calibrated: whether the program's ranges came from real data.
        threads: all that the process may use by default.
        optimization: how far onnxruntime may rewrite host operators.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        origin: Origin,
        calibrated: bool,
        threads: int | None = None,
        optimization: Optimization = "basic",
    ) -> None:
        self._graph = graph
        self._origin = origin
        self._calibrated = calibrated
        self._threads = threads or default_threads()
        self._specs = input_specs(graph)
        self._batch_size = batch_size(graph)
        self._machine, self._fetched = build_machine(graph, threads=self._threads, optimization=optimization)

    def run(self, inputs: Mapping[str, np.ndarray] | np.ndarray | Samples) -> dict[str, np.ndarray]:
        """Outputs by name, for any number of samples, in bounded memory besides inputs and outputs.

        Args:
            inputs: arrays by input name, or one array where the model has one input; any numeric type.

        Raises:
            DataError: names, shapes or types that do not fit the model.
        """
        if not self._specs:
            return self.run_batch({})
        samples = inputs if isinstance(inputs, Samples) else samples_from_arrays(inputs, self._specs)
        pieces = list(self.run_batches(samples))
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def run_batches(self, samples: Samples, *, progress: Progress | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Outputs of one batch after the other, each as large as memory should hold."""
        done = 0
        for batch in samples.batches(self._batch_size or samples.count or 2**31):
            yield self.run_batch(batch)
            done += len(next(iter(batch.values())))
            if progress is not None:
                progress(done, samples.count)

    def run_batch(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of one batch, run at once."""
        results = self._machine.run(batch)
        return {name: results[fetched] for name, fetched in zip(self._graph.output_names, self._fetched, strict=True)}

    def evaluate(
        self,
        inputs: DataLike,
        labels: Any = None,
        *,
        metric: str | Metric = "top-1",
        output: str | None = None,
        reference: ModelLike | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """How well the chip does beside the network that its program was compiled from.

        Args:
            inputs: a data file or folder, arrays by input name, one array, or batches (``(inputs, labels)`` pairs where
                the metric needs labels). An iterator is read once.
            labels: of the samples, where ``inputs`` are arrays.
            metric: ``top-1``, ``top-K``, ``agreement``, ``mse``, ``snr`` (dB) or ``module:function``.
            output: which output to judge; the first by default.
            reference: the float network; by default the program's source, where it still is what it was.
            progress: told after each batch.

        Raises:
            DataError: data that do not fit.
            ModelError: a reference that cannot be read, or is another network.
            UsageError: an unknown metric or output.
        """
        judge = parse_metric(metric) if isinstance(metric, str) else metric
        samples = samples_of(inputs, labels, self._specs, judge)
        chosen = self._output(output)
        names = [spec.name for spec in self._specs]
        source, reason = open_reference(reference, self._origin, inputs=names, output=chosen, threads=self._threads)
        exact, fetched = build_machine(self._graph, convert_outputs=False, threads=self._threads)
        place = self._graph.output_names.index(chosen)
        networks: dict[str, Network] = {
            "quantized": lambda batch: exact.run(batch)[fetched[place]],
            "ideal": lambda batch: self.run_batch(batch)[chosen],
        }
        figures, floating, count = compare(
            networks,
            None if source is None else _network(source, chosen),
            samples,
            judge,
            batch_size=self._batch_size,
            progress=progress,
        )
        if floating is None:
            floating = Figure(None, reason)
        elif judge.needs_reference:
            floating = Figure(None, f"the float network is itself the reference of {judge.name}")
        return Evaluation(
            metric=judge.name,
            unit=judge.unit,
            is_share=judge.is_share,
            output=chosen,
            samples=count,
            float=floating,
            quantized=figures["quantized"],
            ideal=figures["ideal"],
            calibrated=self._calibrated,
        )

    def _output(self, name: str | None) -> str:
        names = self._graph.output_names
        if name is None:
            return names[0]
        if name not in names:
            raise UsageError(f"the program has no output {name!r}", fix=f"its outputs are {', '.join(names)}")
        return name


def _network(model: HostModel, output: str) -> Network:
    return lambda batch: model.run(batch, [output])[0]
