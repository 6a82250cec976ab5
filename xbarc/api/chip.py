"""Chips: a program written on a device, ready to run at some time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx

from xbarc.api.calibration import SampleLike, open_sample
from xbarc.api.chip_files import save_cells
from xbarc.api.comparing import compare_chips
from xbarc.api.corrections import Corrections
from xbarc.api.data import Samples, samples_from_arrays
from xbarc.api.evaluation import DataLike, Network, Progress, Tell, layer_snr_db
from xbarc.api.explanation import ExplainedChips, explain_chips
from xbarc.api.feeding import feeds_of
from xbarc.api.judging import Chips, evaluate_chips
from xbarc.api.looks import Look
from xbarc.api.machines import build_machine
from xbarc.api.metrics import Metric
from xbarc.api.model_files import save_program
from xbarc.api.reading import read_chip, read_program
from xbarc.api.repairs import FoundChip, recalibrate, retune
from xbarc.api.source import ModelLike
from xbarc.devices.faults import stored_faults
from xbarc.errors import DataError, UsageError
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.naming import unique_names
from xbarc.ir.samples import outputs_join
from xbarc.onnx_io.program import StoredProgram, write_program
from xbarc.report.chip_difference import ChipDifference
from xbarc.report.chip_writing import ChipWriting
from xbarc.report.evaluation import ChipFigure, Evaluation, Figure
from xbarc.report.explanation import Explanation
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.layer_run import Place
from xbarc.runtime.machine import Machine
from xbarc.runtime.programming import write_verify_text
from xbarc.runtime.stopwatch import Watches, unwatched
from xbarc.runtime.tiles import TilesSolved


class Chip(Look):
    """A program on one chip, read at one time. Made by :meth:`xbarc.api.program.Program.write`.

    Looking at a chip at another time, or with compensation, gives another object; the cells stay as they were written.
    They are read when the chip is first used, so that looking costs nothing.

    Args:
        setting: the program and how it runs.
        written: the cells; ``None`` on the ideal device, where every cell holds its target and nothing is drawn.
        reading: the time, and what is done about noise and drift.
        corrections: what repairs have changed.

    Raises:
        UsageError: a reading that the device cannot speak of.
    """

    @property
    def writing(self) -> ChipWriting | None:
        """What writing it in closed loop came to; ``None``: it was written in one shot, or is ideal."""
        return None if self.written is None else self.written.writing

    @property
    def noisy(self) -> bool:
        """Whether something is drawn anew at every read."""
        return bool(self._cells[1])

    def retuned(self, sample: SampleLike) -> Self:
        """The chip with ranges of its ADCs that are tuned anew, by the hardware's policy, on its own currents.

        :func:`xbarc.api.repairs.retune` says how.

        Corrections hold for the chip as it is looked at now; a look at another time keeps them, and another call makes
        fresh ones. Ranges come first: an earlier recalibration, which was fitted to other ranges, is dropped.

        Args:
            sample: a data file or folder, arrays by input name, one array, or a list of batches.

        Raises:
            DataError: data that do not fit the model, or that make values that are not finite.
            UsageError: the ideal device has nothing to repair.
        """
        return self._repaired(retune(self._to_repair, self._sample(sample)))

    def recalibrated(self, sample: SampleLike) -> Self:
        """The chip with a scale and an offset for every column, fitted to the ideal device's outputs, layer by layer.

        :func:`xbarc.api.repairs.recalibrate` says how. Lifetime as of :meth:`retuned`, whose ranges are kept.

        Args:
            sample: as for :meth:`retuned`.

        Raises:
            DataError: as :meth:`retuned`; also a sample of which a layer gets too few windows.
            UsageError: the ideal device has nothing to repair.
        """
        return self._repaired(recalibrate(self._to_repair, self.corrections, self._sample(sample)))

    def prepare(self, progress: TilesSolved | None = None) -> None:
        """Read the cells now, not when they are first needed: where tiles have wires, that may take long.

        Args:
            progress: told how many tiles of how many are solved.

        Raises:
            HardwareError: wires out of all proportion to the cells.
        """
        if "_found" not in vars(self):
            self._found = self._read(progress)

    def run(
        self, inputs: Mapping[str, Any] | np.ndarray | Samples, *, repeat: int = 0, first_sample: int = 0
    ) -> dict[str, Any]:
        """Outputs by name, for any number of samples, in bounded memory besides inputs and outputs.

        Inputs with a dynamic first axis hold samples along it, and so do those of a model that fixes one number for
        all; others are the same for every sample. A model without samples is run once.

        Args:
            inputs: by input name, or alone where the model has one input: arrays of any numeric type or of strings,
                lists for sequences, ``None`` for an empty optional.
            repeat: another number gives fresh read noise for the same samples.
            first_sample: number of the first sample in its data set, so that a set may be given in several calls.

        Raises:
            DataError: names, shapes or types that do not fit the model.
            UsageError: what is no number of a sample or repeat.
        """
        for what, number in (("first_sample", first_sample), ("repeat", repeat)):
            if not (isinstance(number, int | np.integer) and 0 <= number < 2**31):
                raise UsageError(f"{what} is {number!r}", fix="give an integer from 0 to 2**31 - 1")
        samples = None
        if self.setting.specs:
            samples = inputs if isinstance(inputs, Samples) else samples_from_arrays(inputs, self.setting.specs)
        pieces = list(self.run_batches(samples, repeat=repeat, first_sample=first_sample))
        if samples is None or len(pieces) == 1:
            return pieces[0]
        if not outputs_join(self.setting.graph):
            raise DataError(
                "the outputs of several batches cannot be joined: not every output has its samples along axis 0",
                where=f"{samples.count} samples for a model that takes {self._batch_size} at a time",
                fix="run one batch at a time",
            )
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def run_batches(
        self,
        samples: Samples | None,
        *,
        repeat: int = 0,
        first_sample: int = 0,
        progress: Progress | None = None,
        watches: Watches = unwatched,
    ) -> Iterator[dict[str, Any]]:
        """Outputs of one batch after the other, each as large as memory should hold.

        Args:
            samples: of the inputs; ``None`` where the model has none: it is run once.
            repeat, first_sample: as for :meth:`run`.
            progress: told how many samples of how many are done.
            watches: told where the time goes.
        """
        if samples is None:
            yield self._run({}, Place(first_sample, repeat), watches)
            return
        done = 0
        for batch in samples.batches(self._batch_size or samples.count or 2**31):
            yield self._run(batch, Place(first_sample + done, repeat), watches)
            done += samples.size_of(batch)
            if progress is not None:
                progress(done, samples.count)

    def run_batch(self, batch: Mapping[str, Any], place: Place | None = None) -> dict[str, Any]:
        """Outputs of one batch, run at once; ``place`` says where it stands in its data set.

        Inputs are what onnxruntime takes, as for :meth:`run`; numbers may be infinite, and a batch empty.

        Raises:
            DataError: names, shapes or types that do not fit the model.
        """
        return self._run(feeds_of(batch, self.setting.specs), place or Place())

    def model(self) -> onnx.ModelProto:
        """The deterministic part of the chip at its time as an ONNX model that onnxruntime executes.

        Errors of converters are spelled out: gain, offset and nonlinearity of ADCs, levels that DACs apply.

        Without fast read noise and ADC noise it computes what :meth:`run` computes, bit for bit.

        Raises:
            UsageError: a look without the codes of converters, which such a model has.
        """
        return write_program(self._stored())

    def _stored(self) -> StoredProgram:
        if any(not (layer.dac.quantises and layer.adc.quantises) for layer in layers(self._cells[0])):
            raise UsageError(
                "an ONNX model of a chip has the codes of its converters, and this look at it leaves some out",
                fix="leave the effects input-codes and output-codes in, in all layers",
            )
        facts = {**self.setting.facts, "hardware": self.setting.hardware.to_dict()}
        if self.written is not None:
            facts["chip"] = {
                "device": self.written.device.name,
                "seed": self.written.seed,
                **self._facts,
            }
            if self.written.programming is not None:
                facts["chip"]["programming"] = write_verify_text(self.written.programming)
            if self.written.placement != "as-compiled":
                facts["chip"]["placement"] = self.written.placement
            if self.written.faults is not None:
                facts["chip"]["faults"] = stored_faults(self.written.faults)
        return StoredProgram(self._cells[0], facts)

    def save_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`model` to a file, and beside it a file of weights where it is too large for one.

        Raises:
            XbarcError: the file cannot be written.
        """
        return save_program(self._stored(), path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the cells to a file, to be read back by :meth:`xbarc.api.program.Program.load_chip`.

        The look at them is not saved, nor are corrections: time, compensation and repairs are asked for again.

        Raises:
            UsageError: the ideal device has no cells to save.
            XbarcError: the file cannot be written.
        """
        if self.written is None:
            raise UsageError("a chip on the ideal device has nothing to save", fix="save its program")
        save_cells(path, self.setting.graph, self.setting.hardware, self.written)

    def compare(self, other: Chip) -> ChipDifference:
        """What cells and weights of this chip and another, or of this one at another time, differ by, layer by layer.

        Raises:
            UsageError: a chip of another program.
        """
        return compare_chips(self, other)

    def layer_snr(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """Signal-to-noise ratio of each layer's output against the ideal device, in decibels, for one batch.

        Errors of earlier layers are part of a layer's error. Infinite where there is none.

        Raises:
            DataError: as :meth:`run_batch`.
        """
        feeds = feeds_of(inputs, self.setting.specs)
        return self.snr_against(feeds, Chip(self.setting).layer_outputs(feeds))

    def evaluate(
        self,
        inputs: DataLike,
        labels: Any = None,
        *,
        chips: Chips = (),
        metric: str | Metric = "top-1",
        output: str | None = None,
        reference: ModelLike | None = None,
        progress: Tell | None = None,
    ) -> Evaluation:
        """How well chips do beside the network that their program was compiled from.

        Args:
            inputs: a data file or folder, arrays by input name, one array, or batches (``(inputs, labels)`` pairs where
                the metric needs labels). Where several chips are evaluated, they are read once for each.
            labels: of the samples, where ``inputs`` are arrays.
            chips: written chips to evaluate too, as many side by side as there are threads; this one by default, unless
                it is ideal. Of a series, as :meth:`xbarc.api.program.Program.series` makes, only those take memory.
            metric: ``top-1``, ``top-K``, ``agreement``, ``mse``, ``snr`` (dB) or ``module:function``.
            output: which output to judge; the first by default.
            reference: the float network; by default the program's source, where it still is what it was.
            progress: told what is evaluated, and how much of all that there is to do.

        Raises:
            DataError: data that do not fit, or that can be read only once where chips are evaluated.
            ModelError: a reference that cannot be read, or is another network.
            UsageError: an unknown metric or output, or an ideal chip among ``chips``.
        """
        ideal = self if self.written is None else Chip(self.setting)
        return evaluate_chips(
            ideal,
            inputs,
            labels,
            chips=chips or ([self] if self.written is not None else []),
            metric=metric,
            output=output,
            reference=reference,
            progress=progress,
        )

    def explain(
        self,
        inputs: DataLike,
        labels: Any = None,
        *,
        chips: ExplainedChips = (),
        metric: str | Metric = "top-1",
        output: str | None = None,
        reference: ModelLike | None = None,
        progress: Tell | None = None,
    ) -> Explanation:
        """What costs chips their accuracy: each effect alone and all but each, for the whole network and by layer.

        Args:
            inputs, labels, metric, output, reference, progress: as for :meth:`evaluate`.
            chips: written chips to explain together, which differ in nothing but their seeds; this one by default.

        Raises:
            DataError, ModelError: as :meth:`evaluate`.
            UsageError: as there; also chips that were repaired, or that differ in more than their seeds.
        """
        return explain_chips(
            Chip(self.setting),
            inputs,
            labels,
            chips=chips or [self],
            metric=metric,
            output=output,
            reference=reference,
            progress=progress,
        )

    def _run(self, feeds: Mapping[str, Any], place: Place, watches: Watches = unwatched) -> dict[str, Any]:
        machine, fetched = self._machine
        results = machine.run(feeds, place=place, watches=watches)
        return {name: results[found] for name, found in zip(self.setting.graph.output_names, fetched, strict=True)}

    @cached_property
    def _cells(self) -> tuple[Graph, dict[str, LayerNoise]]:
        """The program with what the cells hold and what repairs corrected, and the noise of each read."""
        graph, noise = self._found
        return self.corrections.applied(graph), noise

    @cached_property
    def _found(self) -> tuple[Graph, dict[str, LayerNoise]]:
        """The same without repairs."""
        return self._read()

    def _read(self, progress: TilesSolved | None = None) -> tuple[Graph, dict[str, LayerNoise]]:
        setting = self.setting
        if self.written is None:
            return read_program(setting.graph, self.reading.effects), {}
        return read_chip(
            setting.graph, setting.hardware, self.written, self.reading, threads=setting.threads, progress=progress
        )

    @cached_property
    def _machine(self) -> tuple[Machine, list[str]]:
        graph, noise = self._cells
        return build_machine(graph, noise=noise, threads=self.setting.threads, optimization=self.setting.optimization)

    @property
    def _to_repair(self) -> FoundChip:
        if self.written is None:
            raise UsageError("the ideal device has nothing to repair", fix="write on another device")
        return FoundChip(self.setting, *self._found, self.reading.time_s)

    def _sample(self, given: SampleLike) -> Samples:
        return open_sample(given, self.setting.specs)[0]

    def _repaired(self, corrections: Corrections) -> Self:
        other = type(self)(self.setting, self.written, self.reading, corrections)
        other._found = self._found  # the same look at the same cells
        return other

    def figure_of(self, figure: Figure, snr: dict[str, float]) -> ChipFigure:
        """A figure that was measured on it, with all that it depends on."""
        return ChipFigure(
            **dataclasses.asdict(self.condition),
            seed=self.seed,
            figure=figure,
            layer_snr_db=snr,
        )

    def network(self, output: str) -> Network:
        """What an evaluation runs for one output."""
        return lambda batch, first: self._run(batch, Place(first))[output]

    def layer_outputs(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Each layer's output as one flat array; of layers in loops, all that they made, one after the other."""
        graph = self._cells[0]
        names = unique_names(graph)
        seen: dict[str, list[np.ndarray]] = {names[layer.output]: [] for layer in layers(graph)}
        machine, _ = self._machine
        machine.run(feeds, values={name: _collect(pieces) for name, pieces in seen.items()})
        return [np.concatenate(pieces) if pieces else np.zeros(0, np.float32) for pieces in seen.values()]

    def snr_against(self, feeds: Mapping[str, np.ndarray], wanted: list[np.ndarray]) -> dict[str, float]:
        """Signal-to-noise ratio of each layer's output against what :meth:`layer_outputs` of another chip gave."""
        found = zip(layers(self.setting.graph), wanted, self.layer_outputs(feeds), strict=True)
        # A loop may run more or fewer times on a chip than on the ideal device: what both did is compared.
        return {layer.name: layer_snr_db(ideal[: actual.size], actual[: ideal.size]) for layer, ideal, actual in found}


def _collect(pieces: list[np.ndarray]) -> Callable[[np.ndarray], None]:
    return lambda array: pieces.append(array.reshape(-1))
