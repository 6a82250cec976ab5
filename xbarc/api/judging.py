"""Judge chips: the figures of a program, and of chips that it was written on, beside the network that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from xbarc.api.evaluation import DataLike, Network, Tell, compare, part_of, samples_of
from xbarc.api.machines import batch_size, build_machine
from xbarc.api.metrics import Metric, parse_metric
from xbarc.api.reading import Reading
from xbarc.api.reference import open_reference
from xbarc.api.setting import Setting
from xbarc.api.source import ModelLike
from xbarc.api.writing import Written, digest
from xbarc.errors import DataError, UsageError
from xbarc.report.evaluation import ChipFigure, Evaluation, Figure
from xbarc.runtime.host import HostModel
from xbarc.runtime.tiles import TilesSolved

#: Samples that signal-to-noise ratios are measured on.
_SNR_SAMPLES = 64


class Judged(Protocol):
    """What an evaluation asks of a chip (:class:`xbarc.api.chip.Chip`)."""

    setting: Setting
    written: Written | None
    reading: Reading

    @property
    def seed(self) -> int: ...

    @property
    def words(self) -> str: ...

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
    judge = parse_metric(metric) if isinstance(metric, str) else metric
    setting = ideal.setting
    batch = batch_size(setting.graph)
    samples = samples_of(inputs, labels, setting.specs, judge)
    chosen = chosen_output(setting, output)
    names = [spec.name for spec in setting.specs]
    source, reason = open_reference(reference, setting.origin, inputs=names, output=chosen, threads=setting.threads)
    floating_network = None if source is None else _network(source, chosen)
    if chips and isinstance(inputs, Iterator):
        raise DataError(
            "an iterator gives its batches once, and they are read again for every chip",
            fix="pass arrays, or a list of batches",
        )
    if isinstance(chips, list | tuple):
        for chip in chips:
            _refuse_stranger(setting, chip)
        if len({(chip.seed, chip.written and chip.written.faults, chip.reading) for chip in chips}) < len(chips):
            raise UsageError("a chip is given twice", fix="give every chip and time once: each counts once")
    figures, floating, count = compare(
        {"quantized": _without_tiles(setting, chosen), "ideal": ideal.network(chosen)},
        floating_network,
        samples,
        judge,
        batch_size=batch,
        progress=part_of(progress, "ideal device", 0, 1 + len(chips)),
    )
    if floating is None:
        floating = Figure(None, reason)
    elif judge.needs_reference:
        floating = Figure(None, f"the float network is itself the reference of {judge.name}")
    first = next(samples.batches(min(batch or count, _SNR_SAMPLES))) if chips else {}
    wanted = ideal.layer_outputs(first) if chips else []

    def judged(number: int, chip: Judged) -> ChipFigure:
        _refuse_stranger(setting, chip)
        tell = part_of(progress, chip.words, number, 1 + len(chips))
        chip.prepare(None if progress is None else _wires_told(progress, chip.words, number, 1 + len(chips)))
        ratios = chip.snr_against(first, wanted)
        results, _, _ = compare(
            {"chip": chip.network(chosen)},
            floating_network,
            samples,
            judge,
            batch_size=batch,
            progress=tell,
        )
        return chip.figure_of(results["chip"], ratios)

    # Not a loop: its variable would keep one chip in memory while the next is written.
    found = tuple(map(judged, range(1, 1 + len(chips)), chips))
    return Evaluation(
        metric=judge.name,
        unit=judge.unit,
        is_share=judge.is_share,
        output=chosen,
        samples=count,
        float=floating,
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


def _refuse_stranger(own: Setting, chip: Judged) -> None:
    """Chips of another program have nothing to do with this one's figures."""
    other = chip.setting
    if other.graph is not own.graph and digest(other.graph, other.hardware) != digest(own.graph, own.hardware):
        raise UsageError("a chip was written with another program", fix="evaluate each program's chips by itself")


def _without_tiles(setting: Setting, output: str) -> Network:
    """The program's quantisation alone."""
    machine, fetched = build_machine(setting.graph, convert_outputs=False, threads=setting.threads)
    name = fetched[setting.graph.output_names.index(output)]
    return lambda batch, first: machine.run(batch)[name]


def _wires_told(tell: Tell, doing: str, number: int, parts: int) -> TilesSolved:
    return lambda done, of: tell(f"{doing}: wires of {done} of {of} tiles", number, parts)


def _network(model: HostModel, output: str) -> Network:
    return lambda batch, first: model.run(batch, [output])[0]
