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

from xbarc.api.chip_files import save_cells
from xbarc.api.data import Samples, samples_from_arrays
from xbarc.api.evaluation import DataLike, Network, Progress, Tell, layer_snr_db
from xbarc.api.feeding import feeds_of
from xbarc.api.judging import Chips, evaluate_chips
from xbarc.api.machines import batch_size, build_machine
from xbarc.api.metrics import Metric
from xbarc.api.model_files import save_program
from xbarc.api.reading import Reading, check_reading, read_chip
from xbarc.api.setting import Setting
from xbarc.api.source import ModelLike
from xbarc.api.times import seconds_of
from xbarc.api.writing import Written, beside_cells
from xbarc.devices.catalogue import device_text
from xbarc.devices.device import Device, ReadNoise
from xbarc.devices.faults import stored_faults
from xbarc.devices.ideal import IdealDevice
from xbarc.errors import DataError, UsageError
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.naming import unique_names
from xbarc.ir.samples import outputs_join
from xbarc.onnx_io.program import StoredProgram, write_program
from xbarc.report.evaluation import ChipFigure, Evaluation, Figure
from xbarc.runtime.layer_plan import LayerNoise
from xbarc.runtime.layer_run import Place
from xbarc.runtime.machine import Machine
from xbarc.runtime.tiles import TilesSolved
from xbarc.units import format_duration


class Chip:
    """A program on one chip, read at one time. Made by :meth:`xbarc.api.program.Program.write`.

    Looking at a chip at another time, or with compensation, gives another object; the cells stay as they were written.
    They are read when the chip is first used, so that looking costs nothing.

    Args:
        setting: the program and how it runs.
        written: the cells; ``None`` on the ideal device, where every cell holds its target and nothing is drawn.
        reading: the time, and what is done about noise and drift.

    Raises:
        UsageError: a reading that the device cannot speak of.
    """

    def __init__(self, setting: Setting, written: Written | None = None, reading: Reading | None = None) -> None:
        self.setting = setting
        self.written = written
        self.reading = reading or Reading()
        self._batch_size = batch_size(setting.graph)
        check_reading(self.device, self.reading)

    @property
    def device(self) -> Device:
        """What the cells are made of."""
        return IdealDevice() if self.written is None else self.written.device

    @property
    def noisy(self) -> bool:
        """Whether something is drawn anew at every read."""
        return bool(self._cells[1])

    def at(self, time: float | str) -> Self:
        """The chip at a time: seconds from the device's reference moment on, or a text such as ``"1d"``.

        Raises:
            UsageError: a time before 0, one that cannot be read, or one beyond what the device's model speaks of.
        """
        return self._looked_at(time_s=seconds_of(time))

    def compensated(self, on: bool = True) -> Self:
        """The chip with, or without, global drift compensation: one factor a layer, measured on the chip."""
        return self._looked_at(compensated=on)

    def with_read_noise(self, read_noise: ReadNoise) -> Self:
        """The chip with another convention of what of the cells' read noise is frozen."""
        return self._looked_at(read_noise=read_noise)

    def with_inference_time(self, inference: float | str) -> Self:
        """The chip with inferences of another duration, seconds or a text: it parts slow from fast read noise.

        Raises:
            UsageError: a duration that is not above 0 or cannot be read.
        """
        return self._looked_at(inference_s=seconds_of(inference))

    def with_ir_drop(self, on: bool = True) -> Self:
        """The chip with, or without, what is lost on the wires of its tiles, where the hardware has any.

        With it is the default. The ideal device has none.
        """
        return self._looked_at(ir_drop=on)

    @property
    def ir_drop(self) -> bool:
        """Whether anything is lost on wires."""
        return self.written is not None and self.reading.ir_drop and self.setting.hardware.tile.has_wires

    def prepare(self, progress: TilesSolved | None = None) -> None:
        """Read the cells now, not when they are first needed: where tiles have wires, that may take long.

        Args:
            progress: told how many tiles of how many are solved.

        Raises:
            HardwareError: wires out of all proportion to the cells.
        """
        if "_cells" not in vars(self):
            self._cells = self._read(progress)

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
        if not self.setting.specs:
            return self._run({}, Place(first_sample, repeat))
        samples = inputs if isinstance(inputs, Samples) else samples_from_arrays(inputs, self.setting.specs)
        pieces = list(self.run_batches(samples, repeat=repeat, first_sample=first_sample))
        if len(pieces) == 1:
            return pieces[0]
        if not outputs_join(self.setting.graph):
            raise DataError(
                "the outputs of several batches cannot be joined: not every output has its samples along axis 0",
                where=f"{samples.count} samples for a model that takes {self._batch_size} at a time",
                fix="run one batch at a time",
            )
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def run_batches(
        self, samples: Samples, *, repeat: int = 0, first_sample: int = 0, progress: Progress | None = None
    ) -> Iterator[dict[str, Any]]:
        """Outputs of one batch after the other, each as large as memory should hold."""
        done = 0
        for batch in samples.batches(self._batch_size or samples.count or 2**31):
            yield self._run(batch, Place(first_sample + done, repeat))
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
        """
        return write_program(self._stored())

    def _stored(self) -> StoredProgram:
        facts = {**self.setting.facts, "hardware": self.setting.hardware.to_dict()}
        if self.written is not None:
            facts["chip"] = {
                "device": self.written.device.name,
                "seed": self.written.seed,
                **self._facts,
            }
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

        Raises:
            UsageError: the ideal device has no cells to save.
            XbarcError: the file cannot be written.
        """
        if self.written is None:
            raise UsageError("a chip on the ideal device has nothing to save", fix="save its program")
        save_cells(path, self.setting.graph, self.setting.hardware, self.written)

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
            chips: written chips to evaluate too, one after the other; this one by default, unless it is ideal. Of a
                series, as :meth:`xbarc.api.program.Program.series` makes, only one takes memory at a time.
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

    def _run(self, feeds: Mapping[str, Any], place: Place) -> dict[str, Any]:
        machine, fetched = self._machine
        results = machine.run(feeds, place=place)
        return {name: results[found] for name, found in zip(self.setting.graph.output_names, fetched, strict=True)}

    @cached_property
    def _cells(self) -> tuple[Graph, dict[str, LayerNoise]]:
        """The program with what the cells hold, and the noise of each read."""
        return self._read()

    def _read(self, progress: TilesSolved | None = None) -> tuple[Graph, dict[str, LayerNoise]]:
        setting = self.setting
        if self.written is None:
            return setting.graph, {}
        return read_chip(
            setting.graph, setting.hardware, self.written, self.reading, threads=setting.threads, progress=progress
        )

    @cached_property
    def _machine(self) -> tuple[Machine, list[str]]:
        graph, noise = self._cells
        return build_machine(graph, noise=noise, threads=self.setting.threads, optimization=self.setting.optimization)

    def _looked_at(self, **changes: Any) -> Self:
        return type(self)(self.setting, self.written, dataclasses.replace(self.reading, **changes))

    @property
    def seed(self) -> int:
        """That it was drawn from.

        Raises:
            UsageError: the ideal device has none.
        """
        if self.written is None:
            raise UsageError("the ideal device has no chips to tell apart", fix="write on another device")
        return self.written.seed

    @property
    def _facts(self) -> dict[str, Any]:
        """The reading as plain data."""
        return {**dataclasses.asdict(self.reading), "ir_drop": self.ir_drop}

    @property
    def words(self) -> str:
        """What it is called while something is done with it."""
        compensated = ", compensated" if self.reading.compensated else ""
        return f"chip {self.seed} at {format_duration(self.reading.time_s)}{compensated}"

    def figure_of(self, figure: Figure, snr: dict[str, float]) -> ChipFigure:
        """A figure that was measured on it, with all that it depends on."""
        return ChipFigure(
            device=device_text(self.device),
            t0_s=self.device.t0_s,
            **self._facts,
            **beside_cells(self.setting.hardware, self.written),
            seed=self.seed,
            figure=figure,
            layer_snr_db=snr,
        )

    def network(self, output: str) -> Network:
        """What an evaluation runs for one output."""
        return lambda batch, first: self._run(batch, Place(first))[output]

    def layer_outputs(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Each layer's output as one flat array; of layers in loops, all that they made, one after the other."""
        graph, noise = self._cells
        names = unique_names(graph)
        seen: dict[str, list[np.ndarray]] = {names[layer.output]: [] for layer in layers(graph)}
        machine, _ = build_machine(graph, noise=noise, threads=self.setting.threads)
        machine.run(feeds, values={name: _collect(pieces) for name, pieces in seen.items()})
        return [np.concatenate(pieces) if pieces else np.zeros(0, np.float32) for pieces in seen.values()]

    def snr_against(self, feeds: Mapping[str, np.ndarray], wanted: list[np.ndarray]) -> dict[str, float]:
        """Signal-to-noise ratio of each layer's output against what :meth:`layer_outputs` of another chip gave."""
        found = zip(layers(self.setting.graph), wanted, self.layer_outputs(feeds), strict=True)
        # A loop may run more or fewer times on a chip than on the ideal device: what both did is compared.
        return {layer.name: layer_snr_db(ideal[: actual.size], actual[: ideal.size]) for layer, ideal, actual in found}


def _collect(pieces: list[np.ndarray]) -> Callable[[np.ndarray], None]:
    return lambda array: pieces.append(array.reshape(-1))
