"""Chips: a program written on a device, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarc.api.data import Samples, samples_from_arrays
from xbarc.api.machines import batch_size, build_machine, default_threads
from xbarc.api.source import input_specs
from xbarc.runtime.host import Optimization

if TYPE_CHECKING:
    from xbarc.api.program import Program
    from xbarc.report.evaluation import Evaluation

#: Told after each batch: samples done, and samples in all where that is known.
Progress = Callable[[int, int | None], None]


class Chip:
    """A program on the ideal device: every cell at its target, every converter exact. Deterministic.

    Made by :meth:`xbarc.api.program.Program.write`.

    Args:
        program: what was written.
        convert_outputs: without it, ADCs pass currents as they are: the program's quantisation without its tiles.
        threads: all that the process may use by default.
        optimization: how far onnxruntime may rewrite host operators.
    """

    def __init__(
        self,
        program: Program,
        *,
        convert_outputs: bool = True,
        threads: int | None = None,
        optimization: Optimization = "basic",
    ) -> None:
        self.program = program
        self._specs = input_specs(program.graph)
        self._batch_size = batch_size(program.graph)
        self._machine, self._fetched = build_machine(
            program.graph,
            convert_outputs=convert_outputs,
            threads=threads or default_threads(),
            optimization=optimization,
        )

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
        names = self.program.graph.output_names
        return {name: results[fetched] for name, fetched in zip(names, self._fetched, strict=True)}

    def evaluate(
        self,
        inputs: Mapping[str, np.ndarray] | np.ndarray | Iterable[Any] | Samples,
        labels: Any = None,
        **options: Any,
    ) -> Evaluation:
        """Compare with the floating-point network; see :func:`xbarc.api.evaluation.evaluate`."""
        return self.program.evaluate(inputs, labels, chip=self, **options)
