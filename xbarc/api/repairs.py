"""Repair a written chip with a calibration sample: tune converter ranges anew, fit a scale and an offset a column."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, get_args

import numpy as np

from xbarc.api.corrections import Affine, Corrections
from xbarc.api.data import Samples
from xbarc.api.executor import MachineExecutor
from xbarc.api.machines import build_machine
from xbarc.api.memory import batch_size
from xbarc.api.setting import Setting
from xbarc.errors import DataError, InternalError, UsageError
from xbarc.ir.executor import Batch
from xbarc.ir.graph import Graph, Value
from xbarc.ir.layer import Layer, layer_of, layers
from xbarc.ir.naming import unique_names
from xbarc.ir.operators import Dac
from xbarc.ir.scopes import bodies
from xbarc.passes.calibrate_adc import SeenCurrents
from xbarc.runtime.layer_plan import LayerNoise, layer_plan
from xbarc.runtime.layer_run import Place
from xbarc.runtime.machine import Machine
from xbarc.runtime.steps import LayerStep, Routine

Repair = Literal["retune", "recalibrate"]
#: Runs a batch, and returns all that one layer made.
_Run = Callable[[Batch, Place], list[np.ndarray]]

#: Windows that a layer must be given: a fit of two numbers to n windows leaves about 2 / n more error power than the
#: best.
LEAST_WINDOWS: Final = 32
#: Reads for repairs have noise of their own: users number theirs below.
_REPEAT: Final = 2**31


@dataclass(frozen=True, slots=True)
class FoundChip:
    """A chip as a reading finds it, without corrections.

    Attributes:
        setting: the program and how it runs.
        graph: with what the cells hold.
        noise: of each read.
        time_s: of the reading.
    """

    setting: Setting
    graph: Graph
    noise: Mapping[str, LayerNoise]
    time_s: float


def repairs_of(names: Iterable[str]) -> tuple[Repair, ...]:
    """Repairs by name, in the order in which they are done: ranges first, since they change what columns give.

    Raises:
        UsageError: an unknown repair.
    """
    known: tuple[Repair, ...] = get_args(Repair)
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no repair {name!r}", fix=f"the repairs are {' and '.join(known)}")
    return tuple(name for name in known if name in wanted)


def retune(chip: FoundChip, samples: Samples) -> Corrections:
    """Choose the range of each layer's ADCs anew, by the hardware's policy, from currents of the chip.

    As :class:`xbarc.passes.calibrate_adc.CalibrateAdc` does for the program, but from the cells as they are, and with
    what is drawn at every read. Each layer is driven with its inputs on the ideal device: those on a chip whose errors
    nobody corrected would give ranges that are too small as soon as somebody does.

    Raises:
        DataError: data that do not fit the model, or that make values that are not finite.
    """
    setting = chip.setting
    driven = {layer.name: _Driven(layer, chip) for layer in layers(chip.graph) if layer.adc.codes is not None}
    readers: dict[Value, list[_Driven]] = {}
    for layer in layers(setting.graph):
        if layer.name in driven:
            readers.setdefault(layer.input, []).append(driven[layer.name])
    visitors = {value: partial(_drive, found) for value, found in readers.items()}

    def batches() -> Iterator[Batch]:
        done = 0
        for batch in samples.batches(_batch(setting, samples)):
            for each in driven.values():
                each.start(done)
            yield batch
            done += samples.size_of(batch)

    MachineExecutor(threads=setting.threads).observe(setting.graph, batches(), visitors)
    ranges = {name: each.seen.range(measured=True) for name, each in driven.items()}
    return Corrections(
        {name: dataclasses.replace(found, basis=f"{found.basis}, on the chip") for name, found in ranges.items()},
        retuned_s=chip.time_s,
    )


def recalibrate(chip: FoundChip, corrections: Corrections, samples: Samples) -> Corrections:
    """Fit a scale and an offset to every column of every layer, by least squares against the ideal device's outputs.

    Layer by layer in the order of execution, each with the earlier ones corrected: for each layer one pass over the
    samples, as far as the layer needs. This does for any layer what re-estimating the statistics of batch normalisation
    on the chip does where there is one that was not folded into the weights (AdaBS: Joshi et al., "Accurate deep neural
    network inference using computational phase-change memory", Nature Communications 11, 2473, 2020), with outputs to
    compare with instead of their moments alone. A layer in a loop is fitted over all its steps, fed by what it gave
    before.

    Columns that do not vary, on the chip or on the ideal device, get an offset alone. Layers that the samples never
    reach stay as they are.

    Args:
        chip: as it is read.
        corrections: to replace; ranges among them stay.
        samples: to compare on.

    Raises:
        DataError: data that do not fit the model, too few windows of a layer, or values that are not finite.
    """
    found = dataclasses.replace(corrections, affine={}, recalibrated_s=chip.time_s)
    short = {}
    for layer in layers(chip.setting.graph):
        pairs = _Pairs(layer.rescale.unit_scale.size)
        for ideal, actual in _outputs(chip, found.applied(chip.graph), layer.name, samples):
            pairs.add(_by_column(layer, actual), _by_column(layer, ideal))
        if 0 < pairs.count < LEAST_WINDOWS:
            short[layer.name] = pairs.count
        elif pairs.count:
            found = dataclasses.replace(found, affine={**found.affine, layer.name: pairs.fit(layer.name)})
    if short:
        raise DataError(
            f"the calibration sample is too small: a layer needs at least {LEAST_WINDOWS} windows to be recalibrated",
            where=", ".join(f"layer {name!r} got {count}" for name, count in short.items()),
            fix="give more samples",
        )
    return found


def _batch(setting: Setting, samples: Samples) -> int:
    return batch_size(setting.graph) or samples.count or 2**31


class _Driven:
    """One layer of a chip by itself, and what is seen of its currents.

    Attributes:
        seen: currents of all inputs that it was driven with.
    """

    def __init__(self, layer: Layer, chip: FoundChip) -> None:
        self.seen = SeenCurrents(layer, chip.setting.hardware.adc)
        self._name = layer.name
        step = LayerStep(layer_plan(layer, noise=chip.noise.get(layer.name)), "x", "y")
        self._machine = Machine(Routine([step], inputs=["x"], outputs=["y"]), threads=chip.setting.threads)
        self.start(0)

    def start(self, first_sample: int) -> None:
        """Begin a batch: each input of it is another step of a loop."""
        self._first_sample = first_sample
        self._steps = 0

    def add(self, x: np.ndarray) -> None:
        """Drive the layer with an input."""
        place = Place(self._first_sample, _REPEAT, (self._steps,))
        self._machine.run({"x": x}, currents={self._name: self.seen.add}, place=place)
        self._steps += 1


def _drive(driven: Iterable[_Driven], x: np.ndarray) -> None:
    for each in driven:
        each.add(x)


def _outputs(chip: FoundChip, corrected: Graph, name: str, samples: Samples) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Outputs of a layer on the ideal device and on the chip, for each batch, and for each step where it is in a loop.

    A network that decides by its numbers may do other steps on the chip, or of other sizes: only those alike count.
    """
    setting, done = chip.setting, 0
    ideal = _run_up_to(name, setting.graph, {}, setting.threads)
    actual = _run_up_to(name, corrected, chip.noise, setting.threads)
    for batch in samples.batches(_batch(setting, samples)):
        place = Place(done, _REPEAT)
        pairs = zip(ideal(batch, place), actual(batch, place), strict=False)
        yield from ((wanted, given) for wanted, given in pairs if wanted.shape == given.shape)
        done += samples.size_of(batch)


def _run_up_to(name: str, graph: Graph, noise: Mapping[str, LayerNoise], threads: int) -> _Run:
    """What runs a graph as far as one layer needs."""
    part = _up_to(name, graph)
    machine, _ = build_machine(part, noise=noise, threads=threads)
    names = unique_names(part)
    watched = next(names[layer.output] for layer in layers(part) if layer.name == name)

    def run(batch: Batch, place: Place) -> list[np.ndarray]:
        made: list[np.ndarray] = []
        machine.run(batch, values={watched: made.append}, place=place)
        return made

    return run


def _up_to(name: str, graph: Graph) -> Graph:
    """The part of a graph that one layer needs; where it is in a body, the whole of its operator."""
    part = graph.copy()
    names = unique_names(part)
    for operator in part.operators():
        if isinstance(operator, Dac) and operator.name == name:
            part.outputs = [layer_of(operator).output]
        elif any(layer.name == name for body in bodies(operator) for layer in layers(body)):
            part.outputs = list(operator.results)
        else:
            continue
        part.output_names = [names[value] for value in part.outputs]
        part.prune()
        return part
    raise InternalError(f"there is no layer {name!r}")


def _by_column(layer: Layer, output: np.ndarray) -> np.ndarray:
    """``(windows, columns)`` float64."""
    last = np.moveaxis(output, 1, -1) if layer.read.windows.rank else output
    return last.reshape(-1, last.shape[-1]).astype(np.float64)


class _Pairs:
    """Moments of pairs of windows, column by column, in the memory of some numbers a column.

    Means and centred sums of parts are joined as Chan, Golub and LeVeque (1983) do, so that nothing cancels.
    """

    def __init__(self, columns: int) -> None:
        self.count = 0
        self._mean = np.zeros((2, columns))
        self._squares, self._products = np.zeros((2, columns))
        self._lowest, self._highest = np.full((2, columns), np.inf), np.full((2, columns), -np.inf)

    def add(self, actual: np.ndarray, wanted: np.ndarray) -> None:
        """Count windows, ``(windows, columns)`` each."""
        if not len(actual):
            return
        both = np.stack([actual, wanted])
        mean = both.mean(axis=1)
        x, y = both - mean[:, None]
        step, joint = mean - self._mean, self.count + len(actual)
        share = self.count * len(actual) / joint
        self._squares += np.square(x).sum(axis=0) + step[0] ** 2 * share
        self._products += (x * y).sum(axis=0) + step[0] * step[1] * share
        self._mean += step * (len(actual) / joint)
        self._lowest = np.minimum(self._lowest, both.min(axis=1))
        self._highest = np.maximum(self._highest, both.max(axis=1))
        self.count = joint

    def fit(self, name: str) -> Affine:
        """Scale and offset that bring what is actual nearest to what is wanted, on average over squares.

        Raises:
            DataError: values that are not finite.
        """
        if not np.isfinite(self._products).all():
            raise DataError(
                "the calibration sample makes values that are not finite",
                where=f"layer {name!r}",
                fix="leave out the samples for which the network gives infinity or NaN",
            )
        varies = (self._highest > self._lowest).all(axis=0)
        scale = np.divide(self._products, self._squares, out=np.ones(len(self._squares)), where=varies)
        return Affine(scale, self._mean[1] - scale * self._mean[0])
