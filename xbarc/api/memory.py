"""How much memory a run may take, and how many samples and chips that leaves room for.

Counted is the whole process: the interpreter with its libraries, the program, the cells of its chips with all that
their reads are computed with, and what a batch makes. Inputs that are held as arrays, and outputs that are kept, are
the caller's own and come on top. onnxruntime may need more while it runs operators that unfold their inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from xbarc.errors import UsageError
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.liveness import ARENA, Memory, Need, memory
from xbarc.ir.samples import batching
from xbarc.ir.scopes import scopes
from xbarc.units import parse_quantity

#: Python with the libraries that a run uses.
_PROCESS_BYTES = 256 * 10**6
#: Panels, sums and currents that a thread works on, whatever the batch.
_THREAD_BYTES = 64 * 10**6
#: A cell on the ideal device, as it is multiplied: in digits of integers, or in floating point.
_IDEAL_CELL_BYTES = (4, 8)
#: A written cell: conductance, drift exponent and fault; level and variance at a time; both again as they are
#: multiplied.
_WRITTEN_CELL_BYTES = (28, 40)
#: A weight of the float network: in its file, in onnxruntime, and as it is laid out there.
_FLOAT_WEIGHT_BYTES = 12
#: Outputs of a float network that are kept, so that every chip is compared with what was computed once.
KEPT_BYTES = 64 * 2**20
#: What the values of a batch may take where nobody states a budget.
_BATCH_BYTES = 256 * 2**20
_LARGEST_BATCH = 1024
#: Samples that signal-to-noise ratios of layers are measured on, and what outputs of layers may take for that.
_SNR_SAMPLES = 64
_SNR_BYTES = 128 * 2**20


def bytes_of(given: float | str | None) -> float | None:
    """A budget of memory as a number of bytes; ``None``: there is none.

    Raises:
        UsageError: it is no size above 0.
    """
    if given is None:
        return None
    fix = 'write a size as in "2 GB" or "512 MiB"'
    if isinstance(given, str):
        try:
            number = parse_quantity(given, "B")
        except ValueError as error:
            raise UsageError(str(error), fix=fix) from None
    elif isinstance(given, int | float) and not isinstance(given, bool):
        number = float(given)
    else:
        raise UsageError(f"the memory is {given!r}", fix=fix)
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"the memory is {given}, expected more than 0 B", fix=fix)
    return number


@dataclass(frozen=True, slots=True)
class Load:
    """What is in memory while a program runs.

    Attributes:
        chips: written ones, run side by side, each with a batch of its own.
        ideal: machines on the ideal device.
        floats: networks in floating point.
        distorted: whether DACs have errors, for which products are taken in floating point.
        traced: samples that the outputs of all layers are kept of, on the ideal device and of each chip.
        threads: in all.
    """

    chips: int = 0
    ideal: int = 0
    floats: int = 0
    distorted: bool = False
    traced: int = 0
    threads: int = 1


def batch_size(graph: Graph, budget_bytes: float | None = None, load: Load = Load(ideal=1)) -> int | None:
    """Samples to run at a time so that memory stays bounded; ``None``: all at once, since the model mixes samples.

    Args:
        graph: of a program or a model.
        budget_bytes: for the whole process; ``None``: the values of a batch stay within a modest size.
        load: what else is in memory.

    Raises:
        UsageError: the budget has no room for one sample, or nobody can know.
    """
    kind = batching(graph)
    taken = memory(graph)
    if budget_bytes is None:
        if not kind.free:
            return kind.size
        return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // max(taken.whole.each, 1)))
    if taken.open:
        value = taken.open[0]
        raise UsageError(
            "no budget of memory can be kept: the model leaves sizes open",
            where=f"value {value.hint!r}, {value.type}",
            fix="compile with --size, or leave the budget out",
        )
    if not kind.free and kind.size is None and taken.whole.each:
        raise UsageError(
            "no budget of memory can be kept: the model mixes samples, and all have to run together",
            fix="leave the budget out, and give few samples",
        )
    need = _batch(taken, load)
    room = budget_bytes - held_bytes(graph, load)
    least = need.fixed + need.each * max(load.traced, 1)
    if room < least:
        raise UsageError(
            f"a budget of {_shown(budget_bytes)} is too small: a batch of {kind.size or max(load.traced, 1)} takes "
            f"{_shown(least)} beside {_shown(budget_bytes - room)} for the process, the program and its cells",
            fix=f"give at least {_shown(budget_bytes - room + least)}",
        )
    if kind.size is not None or not need.each:
        return kind.size
    return min(_LARGEST_BATCH, int((room - need.fixed) // need.each))


def evaluation_load(
    graph: Graph, budget_bytes: float | None, *, chips: int, has_reference: bool, distorted: bool, threads: int
) -> Load:
    """What is in memory while chips are evaluated, as many of them side by side as threads and budget allow.

    Args:
        graph: of the program.
        budget_bytes: for the whole process; ``None``: there is none.
        chips: that could run side by side.
        has_reference: whether they are compared with a network in floating point.
        distorted: whether DACs have errors.
        threads: in all.
    """
    together = min(chips, threads)
    while True:
        # the program without its tiles is gone before the first chip is written
        load = Load(
            chips=together,
            ideal=1 if together else 2,
            floats=int(has_reference),
            distorted=distorted,
            traced=snr_samples(graph) if together else 0,
            threads=threads,
        )
        if together <= 1 or budget_bytes is None:
            return load
        try:
            batch_size(graph, budget_bytes, load)
        except UsageError:
            together -= 1
        else:
            return load


def held_bytes(graph: Graph, load: Load) -> int:
    """What is in memory before the first batch."""
    own = {id(layer.read.levels): layer for layer in layers(graph)}
    constants = {
        id(value.constant): value.constant.nbytes
        for scope in scopes(graph)
        for operator in scope.operators()
        for value in operator.operands
        if value is not None and value.constant is not None
    }
    held = _PROCESS_BYTES + load.threads * _THREAD_BYTES + load.floats * KEPT_BYTES
    held += 2 * sum(constants.values())  # onnxruntime has its own
    for layer in own.values():
        partition, floating = layer.read.partition, load.distorted or not _in_bytes(layer)
        held += layer.read.levels.nbytes
        held += load.floats * _FLOAT_WEIGHT_BYTES * partition.groups * partition.rows * partition.columns
        a_cell = load.chips * _WRITTEN_CELL_BYTES[floating] + load.ideal * _IDEAL_CELL_BYTES[floating]
        held += layer.read.levels.size * a_cell
    return held


def _in_bytes(layer: Layer) -> bool:
    codes = layer.dac.codes
    return codes is not None and codes.high - codes.low < 2**8


def snr_samples(graph: Graph) -> int:
    """Samples that signal-to-noise ratios of layers are measured on: few enough to keep the outputs of all layers.

    They depend on no budget, and so neither do the ratios.
    """
    return max(1, min(_SNR_SAMPLES, _SNR_BYTES // max(memory(graph).layers.each, 1)))


def _batch(taken: Memory, load: Load) -> Need:
    """What the batches take that are in memory together: networks run one after the other, but chips side by side."""
    traces = taken.layers * (1 + load.chips)
    values = taken.values * max(load.chips, 1) + taken.arenas * (load.chips + load.ideal)
    return values + taken.values * (ARENA * load.floats) + Need(traces.fixed + traces.each * load.traced)


def _shown(size: float) -> str:
    """Rounded up, so that what is advised is enough."""
    return f"{math.ceil(size / 1e7) / 100:.2f} GB"
