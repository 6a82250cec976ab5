"""Judge chips: the figures of a program, and of chips that it was written on, beside the network that it came from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from xbarc.api.corrections import Corrections
from xbarc.api.data import Samples
from xbarc.api.evaluation import DataLike, Network, Tell, compare, part_of, samples_of
from xbarc.api.machines import build_machine
from xbarc.api.memory import KEPT_BYTES, Load, batch_size, evaluation_load
from xbarc.api.metrics import Metric, parse_metric
from xbarc.api.reading import Reading
from xbarc.api.reference import open_reference
from xbarc.api.setting import Setting
from xbarc.api.source import ModelLike
from xbarc.api.together import Remembered, Tally, side_by_side, turns_of
from xbarc.api.writing import Written, digest
from xbarc.devices.catalogue import device_text
from xbarc.errors import DataError, UsageError
from xbarc.report.evaluation import ChipFigure, Evaluation, Figure
from xbarc.runtime.host import HostModel
from xbarc.runtime.tiles import TilesSolved


@dataclass(frozen=True, slots=True)
class Trial:
    """What chips are judged by.

    Attributes:
        metric: to measure.
        samples: with labels where the metric needs them.
        batch: samples at a time; ``None``: all at once.
        output: the one to judge.
        floating: the float network; ``None``: there is none.
        reason: why; ``None`` where there is one.
        load: what is in memory meanwhile.
    """

    metric: Metric
    samples: Samples
    batch: int | None
    output: str
    floating: Network | None
    reason: str | None
    load: Load

    @classmethod
    def of(
        cls,
        setting: Setting,
        inputs: DataLike,
        labels: Any,
        *,
        metric: str | Metric,
        output: str | None,
        reference: ModelLike | None,
        chips: int = 1,
    ) -> Self:
        """By a metric over data, as :meth:`xbarc.api.chip.Chip.evaluate` takes them; so many chips could run at once.

        Raises:
            DataError, ModelError, UsageError: as there.
        """
        judge = parse_metric(metric) if isinstance(metric, str) else metric
        samples = samples_of(inputs, labels, setting.specs, judge)
        chosen = chosen_output(setting, output)
        names = [spec.name for spec in setting.specs]
        source, reason = open_reference(reference, setting.origin, inputs=names, output=chosen, threads=setting.threads)
        floating = None if source is None else Remembered(_network(source, chosen), room_bytes=KEPT_BYTES)
        load = evaluation_load(
            setting.graph,
            setting.memory_bytes,
            chips=chips if samples.lasting else min(chips, 1),
            has_reference=source is not None,
            distorted=setting.hardware.dac.has_errors,
            threads=setting.threads,
        )
        batch = batch_size(setting.graph, setting.memory_bytes, load)
        return cls(judge, samples, batch, chosen, floating, reason, load)

    @property
    def first(self) -> Mapping[str, np.ndarray]:
        """The samples that signal-to-noise ratios are measured on."""
        return next(self.samples.batches(self.load.traced))

    def refuse_once(self, inputs: DataLike) -> None:
        """Refuse data that can be read only once.

        Raises:
            DataError: it is an iterator.
        """
        if isinstance(inputs, Iterator):
            raise DataError(
                "an iterator gives its batches once, and they are read again for every chip",
                fix="pass arrays, or a list of batches",
            )

    def figure_of_float(self, found: Figure | None) -> Figure:
        """Of the float network, or why there is none."""
        if found is None:
            return Figure(None, self.reason)
        if self.metric.needs_reference:
            return Figure(None, f"the float network is itself the reference of {self.metric.name}")
        return found


class Judged(Protocol):
    """What an evaluation asks of a chip (:class:`xbarc.api.chip.Chip`)."""

    setting: Setting
    written: Written | None
    reading: Reading
    corrections: Corrections

    @property
    def seed(self) -> int: ...

    @property
    def words(self) -> str: ...

    def with_threads(self, threads: int) -> Self: ...

    def prepare(self, progress: TilesSolved | None = None) -> None: ...

    def network(self, output: str) -> Network: ...

    def layer_outputs(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]: ...

    def snr_against(self, feeds: Mapping[str, np.ndarray], wanted: list[np.ndarray]) -> dict[str, float]: ...

    def figure_of(self, figure: Figure, snr: dict[str, float]) -> ChipFigure: ...


class Chips(Protocol):
    """Chips of a known number: a list, or a series that makes one after the other."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Judged]: ...


def evaluate_chips(
    ideal: Judged,
    inputs: DataLike,
    labels: Any = None,
    *,
    chips: Chips,
    metric: str | Metric = "top-1",
    output: str | None = None,
    reference: ModelLike | None = None,
    progress: Tell | None = None,
) -> Evaluation:
    """As :meth:`xbarc.api.chip.Chip.evaluate`, of which ``ideal`` is the chip on the ideal device.

    Raises:
        DataError, ModelError, UsageError: as there.
    """
    setting, turns = ideal.setting, turns_of(chips)
    trial = Trial.of(setting, inputs, labels, metric=metric, output=output, reference=reference, chips=len(turns))
    judge, samples = trial.metric, trial.samples
    if chips:
        trial.refuse_once(inputs)
    if isinstance(chips, list | tuple):
        for chip in chips:
            refuse_stranger(setting, chip)
        if len({_identity(chip) for chip in chips}) < len(chips):
            raise UsageError("a chip is given twice", fix="give every chip and time once: each counts once")
    figures, floating, count = compare(
        {"quantized": _without_tiles(setting, trial.output), "ideal": ideal.network(trial.output)},
        trial.floating,
        samples,
        judge,
        batch_size=trial.batch,
        progress=part_of(progress, "ideal device", 0, 1 + len(chips)),
    )
    first = trial.first if chips else {}
    wanted = ideal.layer_outputs(first) if chips else []
    workers, parts, numbers = max(trial.load.chips, 1), 1 + len(chips), itertools.count(1)
    tally = None if progress is None else Tally(progress, parts=parts, done=1)

    def judged(given: Judged) -> ChipFigure:
        refuse_stranger(setting, given)
        chip, number = given.with_threads(setting.threads // workers), next(numbers)
        tell = None if tally is None else tally.part(chip.words)
        chip.prepare(None if progress is None else wires_told(progress, chip.words, number, parts))
        ratios = chip.snr_against(first, wanted)
        results, _, _ = compare(
            {"chip": chip.network(trial.output)},
            trial.floating,
            samples,
            judge,
            batch_size=trial.batch,
            progress=tell,
        )
        return chip.figure_of(results["chip"], ratios)

    found = tuple(side_by_side(turns, judged, workers=workers))
    return Evaluation(
        metric=judge.name,
        unit=judge.unit,
        is_share=judge.is_share,
        output=trial.output,
        samples=count,
        float=trial.figure_of_float(floating),
        quantized=figures["quantized"],
        ideal=figures["ideal"],
        calibrated=setting.calibrated,
        chips=found,
        snr_samples=samples.size_of(first) if first else 0,
    )


def chosen_output(setting: Setting, name: str | None) -> str:
    """The output to judge, the first where none is named.

    Raises:
        UsageError: the program has none of that name.
    """
    names = setting.graph.output_names
    if name is None:
        return names[0]
    if name not in names:
        raise UsageError(f"the program has no output {name!r}", fix=f"its outputs are {', '.join(names)}")
    return name


def _identity(chip: Judged) -> tuple[object, ...]:
    """What tells chips of one program apart, and looks at them."""
    written = chip.written
    how = written and (device_text(written.device), written.faults, written.programming, written.placement)
    return chip.seed, how, chip.reading, chip.corrections


def refuse_stranger(own: Setting, chip: Judged) -> None:
    """Chips of another program have nothing to do with this one's figures.

    Raises:
        UsageError: it is one.
    """
    other = chip.setting
    if other.graph is not own.graph and digest(other.graph, other.hardware) != digest(own.graph, own.hardware):
        raise UsageError("a chip was written with another program", fix="evaluate each program's chips by itself")


def _without_tiles(setting: Setting, output: str) -> Network:
    """The program's quantisation alone."""
    machine, fetched = build_machine(setting.graph, convert_outputs=False, threads=setting.threads)
    name = fetched[setting.graph.output_names.index(output)]
    return lambda batch, first: machine.run(batch)[name]


def wires_told(tell: Tell, doing: str, number: int, parts: int) -> TilesSolved:
    """What is told while wires are solved."""
    return lambda done, of: tell(f"{doing}: wires of {done} of {of} tiles", number, parts)


def _network(model: HostModel, output: str) -> Network:
    return lambda batch, first: model.run(batch, [output])[0]
