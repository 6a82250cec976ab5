"""What one inference uses of the parts of a chip, counted: layer by layer, and by the digital operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.hardware.components import Held
from xbarc.hardware.network import digital_bits, mesh_of
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.mesh import bit_hops_by_operator
from xbarc.ir.operations import host_operations, is_counted, layer_operations
from xbarc.ir.operators import HostOp
from xbarc.ir.pieces import ALL
from xbarc.ir.reads import reads_of_tiles, windows_of_copies
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.samples import sample_axes
from xbarc.ir.traffic import Traffic, input_bits, sum_bits, traffic
from xbarc.ir.work import layer_windows


@dataclass(frozen=True, slots=True)
class Counts:
    """Uses of one inference. ``None``: not known, since sizes are not, or, of the network, since there is no mesh.

    Attributes:
        tile_reads: reads of a tile, its serial reads and each input digit by itself; copies that share one count once.
        dac_conversions: input digits on rows that a read drives.
        adc_conversions: columns converted: a pair once where it is subtracted before, else both; a reference column
            too, where it is subtracted after.
        shift_adds: output codes shifted and added: all, where an output is made of more than one.
        buffer_bits: to and from the buffers of cores: input codes, read once a window for each tile and its rows;
            outputs, written once, as codes; partial sums that come from other cores, written and read again.
        bus_bits: between buffers and tiles: the same input codes, and the sums that a core makes of each output.
        network_bits: over each link between cores.
        digital_operations: on single numbers.
        cell_reads: cells of rows that a read drives and columns that it is for.
    """

    tile_reads: int | None
    dac_conversions: int | None
    adc_conversions: int | None
    shift_adds: int | None
    buffer_bits: int | None
    bus_bits: int | None
    network_bits: int | None
    digital_operations: int | None
    cell_reads: int | None

    def of(self, use: Held) -> int | None:
        """How many uses of a kind."""
        found: int | None = getattr(self, "cell_reads" if use == "cells" else f"{use.replace('-', '_')}s")
        return found


UNKNOWN: Final = Counts(None, None, None, None, None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class ProgramCounts:
    """Of a program.

    Attributes:
        layers: in the order of execution.
        digital: of all operators on the host: their operations, and what travels to them and off the chip.
        uncounted: kinds of operators on the host whose operations are not in it.
    """

    layers: tuple[Counts, ...]
    digital: Counts
    uncounted: tuple[str, ...]


def program_counts(graph: Graph, hardware: Hardware) -> ProgramCounts:
    """The uses of a placed graph."""
    found = traffic(graph, core_tiles=hardware.core.tiles, digital_bits=digital_bits(hardware))
    hops, times = _hops(found, hardware), repetitions(graph)
    listed = layers(graph)
    counts = tuple(
        _layer_counts(layer, times[layer.dac], found, hops=hops, code_bits=digital_bits(hardware)) for layer in listed
    )
    axes, names = sample_axes(graph), {layer.name for layer in listed}
    operations, uncounted = 0, dict[str, None]()
    for operator, count in times.items():
        if isinstance(operator, HostOp):
            done = repeated(host_operations(operator, axes), count)
            operations += done or 0
            if done is None:
                uncounted[operator.kind if not is_counted(operator) else f"{operator.kind} of unknown size"] = None
    elsewhere = None
    if hops is not None and not found.unknown - names:
        elsewhere = round(sum(bits for name, bits in hops.items() if name not in names))
    digital = Counts(0, 0, 0, 0, 0, 0, elsewhere, operations, 0)
    return ProgramCounts(counts, digital, tuple(uncounted))


def _hops(found: Traffic, hardware: Hardware) -> Mapping[str, float] | None:
    """Bits over links by the layer or operator that takes them; ``None`` without a mesh."""
    mesh = mesh_of(hardware)
    return None if mesh is None else bit_hops_by_operator(found.flows, mesh)


def _layer_counts(
    layer: Layer, times: int | None, found: Traffic, *, hops: Mapping[str, float] | None, code_bits: int
) -> Counts:
    each = layer_windows(layer)
    if each is None or times is None:
        return UNKNOWN
    read, windows = layer.read, each * times
    pieces = read.pieces
    if pieces is None:
        raise ValueError(f"layer {layer.name!r} is not placed")
    digits = len(layer.digit_weights)
    of_copies = windows_of_copies(windows, read.copies)

    def total(table: np.ndarray, numbers: np.ndarray) -> int:
        """Over all windows, of a table with a number of things for each window of a copy."""
        return int(of_copies[table["copy"]] @ numbers)

    driven = _different(pieces, ("copy", "tile", "turn", "row", "rows"))
    fed = _different(pieces, ("copy", "tile", "place", "row", "rows"))
    inputs = total(fed, fed["rows"]) * input_bits(layer)
    converted, crossed = piece_columns(layer, pieces)
    conversions = digits * total(pieces, converted)
    outputs = windows * read.partition.groups * read.partition.columns
    sums_known = layer.name not in found.unknown
    passed_on = round(sum(flow.bits for flow in found.sums if flow.operator == layer.name))
    return Counts(
        tile_reads=int(reads_of_tiles(layer, digits * of_copies)[1].sum()),
        dac_conversions=digits * total(driven, driven["rows"]),
        adc_conversions=conversions,
        shift_adds=conversions if codes_an_output(layer) > 1 else 0,
        buffer_bits=inputs + outputs * code_bits + 2 * passed_on if sums_known else None,
        bus_bits=inputs + outputs * sum_bits(layer) + passed_on if sums_known else None,
        network_bits=round(hops.get(layer.name, 0.0)) if hops is not None and sums_known else None,
        digital_operations=layer_operations(layer, windows),
        cell_reads=digits * total(pieces, pieces["rows"] * crossed),
    )


def _different(pieces: np.ndarray, fields: Sequence[str]) -> np.ndarray:
    """The different entries of some fields."""
    kept = np.dtype([(name, pieces.dtype[name]) for name in fields])
    found = np.empty(len(pieces), dtype=kept)
    for name in fields:
        found[name] = pieces[name]
    return np.unique(found)


def piece_columns(layer: Layer, pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of each piece that a read converts, and columns of cells that it has, int64."""
    partition, polarities = layer.read.partition, layer.read.levels.shape[1]
    data = np.array(partition.data_columns)
    # How many of the columns before each of the stack hold weights; weights or references.
    weights, all_ = np.zeros((2, partition.diagonals, partition.stack_columns + 1), dtype=np.int64)
    for diagonal in range(partition.diagonals):
        weights[diagonal, data[: partition.columns * partition.groups_in(diagonal)] + 1] = 1
        all_[diagonal, np.array(partition.held_columns(diagonal)) + 1] = 1
    diagonals, first = pieces["place"] // partition.row_blocks, pieces["first"]
    after = first + pieces["count"]
    sums = (table.cumsum(axis=1) for table in (weights, all_))
    of_weights, of_all = (table[diagonals, after] - table[diagonals, first] for table in sums)
    cells = of_all * np.where(pieces["side"] == ALL, polarities, 1)
    return (cells if layer.single_ended else of_weights), cells


def codes_an_output(layer: Layer) -> int:
    """Output codes that are added up to one output."""
    read = layer.read
    slices, polarities = read.levels.shape[:2]
    sides = polarities + int(read.partition.reference_column) if layer.single_ended else 1
    return int(slices * sides * read.partition.row_blocks * len(layer.digit_weights))
