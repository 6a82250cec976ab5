"""Where tiles and cells go: one entry a layer, and totals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import NEVER_REACHED, CurrentRange, HostOp, InputRange
from xbarc.ir.partition import Partition, logical_tiles
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.samples import sample_axes
from xbarc.ir.work import host_macs, layer_macs, layer_windows, matrix_windows
from xbarc.report.replication import ReplicationUsage, replication_usage
from xbarc.report.schedule import ScheduleUsage, schedule_usage
from xbarc.report.tile_map import TileShare, tile_map, tile_shares
from xbarc.report.work import analog_share, total_macs

_NAMED = 4  # layers that a warning names


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of used tiles, told apart; the parts add up to ``total``.

    Attributes:
        total: cells in used tiles.
        weights: one a weight.
        slices: further cells of the same weights, for their other slices.
        polarity: further cells of the same weights, for their other sign.
        copies: further cells of the same weights, for the layer's other copies.
        reference: cells of reference columns.
        groups: cells inside a block that pair a row of one group with a column of another: zero blocks.
        edges: cells beyond the last row or column of a block.
    """

    total: int
    weights: int
    slices: int
    polarity: int
    copies: int
    reference: int
    groups: int
    edges: int

    @property
    def utilisation(self) -> float:
        """Cells that hold a weight (any slice, any polarity, any copy) over cells in used tiles."""
        held = self.weights + self.slices + self.polarity + self.copies
        return held / self.total if self.total else 0.0

    def __add__(self, other: Cells) -> Cells:
        return Cells(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


NO_CELLS: Final = Cells(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class LayerUsage:
    """One layer on tiles.

    Attributes:
        name, source: the ONNX node and its type.
        reason: why it is on tiles.
        shares: name of the layer whose tiles it uses too, and where they are counted; ``None``: it has its own.
        groups, rows, columns: its matrix.
        windows: input vectors of one sample; ``None`` where shapes are not known.
        macs: multiply-accumulates of one sample.
        copies: how often the chip holds its cells.
        rounds: windows of its slowest copy, those of layers that share its tiles included; ``None`` where shapes are
            not known.
        logical_tiles: of one copy, before slices, polarities and reference columns.
        physical_tiles: on the chip, of all copies; a tile that layers share counts for the first of them.
        guest_tiles: tiles that count for other layers, in which it has blocks too.
        cells: of its tiles.
        input_range, current_range: of its converters, with what they clip on the calibration sample.
        inexact: why onnxruntime may differ from the runtime in the last bits; ``None``: it does not.
        batch_dependent: whether windows mix samples.
    """

    name: str
    source: str
    reason: str
    shares: str | None
    groups: int
    rows: int
    columns: int
    windows: int | None
    macs: int | None
    copies: int
    rounds: int | None
    logical_tiles: int
    physical_tiles: int
    guest_tiles: int
    cells: Cells
    input_range: InputRange
    current_range: CurrentRange
    inexact: str | None
    batch_dependent: bool


@dataclass(frozen=True, slots=True)
class HostUsage:
    """One digital operator.

    Attributes:
        name, kind: the ONNX node and its type.
        macs: multiply-accumulates of one sample; ``None`` where shapes are not known.
        reason: why it stays digital.
    """

    name: str
    kind: str
    macs: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class UtilisationReport:
    """A program on its chip.

    Attributes:
        hardware: name of the description, with ``overrides``: ``key.path=value`` changes to it.
        tile_rows, tile_columns, chip_tiles: from it; ``None``: unlimited.
        calibrated: whether converter ranges, where there are any, came from real data; ``calibration``: from what.
        layers, host: in the order of execution.
        cells: of all layers.
        replication: what their copies bring.
        schedule: how long they take.
    """

    hardware: str
    overrides: tuple[str, ...]
    tile_rows: int
    tile_columns: int
    chip_tiles: int | None
    calibrated: bool
    calibration: str
    layers: tuple[LayerUsage, ...]
    host: tuple[HostUsage, ...]
    cells: Cells
    replication: ReplicationUsage
    schedule: ScheduleUsage

    @property
    def logical_tiles(self) -> int:
        """Tiles before slices, polarities, reference columns and copies count."""
        return sum(layer.logical_tiles for layer in self.layers)

    @property
    def physical_tiles(self) -> int:
        """Tiles on the chip."""
        return sum(layer.physical_tiles for layer in self.layers)

    @property
    def tile_utilisation(self) -> float | None:
        """Tiles used over tiles on the chip; ``None`` on an unlimited chip."""
        return None if self.chip_tiles is None else self.physical_tiles / self.chip_tiles

    @property
    def analog_macs(self) -> int | None:
        """Multiply-accumulates of one sample on tiles; ``None`` where one layer's are not known."""
        return total_macs(layer.macs for layer in self.layers)

    @property
    def host_macs(self) -> int | None:
        """Multiply-accumulates of one sample in digital products; ``None`` where one operator's are not known."""
        return total_macs(operator.macs for operator in self.host)

    @property
    def analog_share(self) -> float | None:
        """The share of the network's multiply-accumulates that is on tiles."""
        return analog_share(self.analog_macs, self.host_macs)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever uses the program has to know."""
        if not self.layers:
            return ("nothing is on tiles: the host runs the whole program",)
        found = []
        if not self.calibrated:
            words = f"uncalibrated: converter ranges come from {self.calibration}"
            found.append(f"{words}; give a calibration sample to compile")
        bases = {layer.name: (layer.input_range.basis, layer.current_range.basis) for layer in self.layers}
        blind = [name for name, both in bases.items() if any(NEVER_REACHED in basis for basis in both)]
        if blind:
            names = ", ".join(blind[:_NAMED]) + (f" and {len(blind) - _NAMED} more" if len(blind) > _NAMED else "")
            found.append(f"the sample never reaches {names}: converter ranges there are guesses")
        if self.replication.missed is not None:
            found.append(self.replication.missed)
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Plain data; every key as the attribute of that name says."""
        totals = {
            "logical_tiles": self.logical_tiles,
            "physical_tiles": self.physical_tiles,
            "tile_utilisation": self.tile_utilisation,
            "cell_utilisation": self.cells.utilisation,
            "cells": dataclasses.asdict(self.cells),
            "analog_macs": self.analog_macs,
            "host_macs": self.host_macs,
            "analog_share": self.analog_share,
        }
        return {
            "schema": 1,
            "hardware": self.hardware,
            "overrides": list(self.overrides),
            "tile_rows": self.tile_rows,
            "tile_columns": self.tile_columns,
            "chip_tiles": self.chip_tiles,
            "calibrated": self.calibrated,
            "calibration": self.calibration,
            "warnings": list(self.warnings),
            "totals": totals,
            "replication": self.replication.to_json(),
            "schedule": self.schedule.to_json(),
            "layers": [
                dataclasses.asdict(layer) | {"cell_utilisation": layer.cells.utilisation} for layer in self.layers
            ],
            "host": [dataclasses.asdict(operator) for operator in self.host],
        }


def utilisation_report(graph: Graph, hardware: Hardware, facts: Mapping[str, Any]) -> UtilisationReport:
    """The report of a placed graph.

    Args:
        graph: at stage ``PLACED``.
        hardware: what it was compiled for.
        facts: of the program: its options and its calibration.
    """
    times, windows = repetitions(graph), matrix_windows(graph)
    shares = tile_shares(tile_map(graph, hardware), hardware)
    usages = tuple(
        _layer_usage(layer, hardware, shares.get(layer.name), times[layer.dac], windows[layer.read.matrix])
        for layer in layers(graph)
    )
    axes = sample_axes(graph)
    host = tuple(
        HostUsage(
            operator.name,
            operator.kind,
            repeated(host_macs(operator, axes), count),
            operator.decision.reason if operator.decision else "made by the compiler",
        )
        for operator, count in times.items()
        if isinstance(operator, HostOp)
    )
    return UtilisationReport(
        hardware=hardware.name,
        overrides=tuple(facts["options"]["overrides"]),
        tile_rows=hardware.tile.rows,
        tile_columns=hardware.tile.columns,
        chip_tiles=None if hardware.chip_tiles == "unlimited" else hardware.chip_tiles,
        calibrated=is_calibrated(graph, facts),
        calibration=_calibration(graph, facts),
        layers=usages,
        host=host,
        cells=sum((usage.cells for usage in usages), NO_CELLS),
        replication=replication_usage(graph, hardware, facts),
        schedule=schedule_usage(graph, hardware),
    )


def is_calibrated(graph: Graph, facts: Mapping[str, Any]) -> bool:
    """Whether a program's converter ranges, where there are any, came from real data."""
    return bool(facts["calibration"]["measured"]) or not _has_ranges(graph)


def _calibration(graph: Graph, facts: Mapping[str, Any]) -> str:
    calibration = facts["calibration"]
    if calibration["measured"]:
        return f"{calibration['samples']} samples of {calibration['origin']}"
    return str(calibration["origin"]) if _has_ranges(graph) else "not needed: no converter has a range"


def _has_ranges(graph: Graph) -> bool:
    return any(layer.dac.codes is not None or layer.adc.codes is not None for layer in layers(graph))


def _layer_usage(
    layer: Layer, hardware: Hardware, share: TileShare | None, times: int | None, windows: int | None
) -> LayerUsage:
    """``share``: ``None`` where it uses another layer's tiles."""
    partition = layer.read.partition
    if layer.adc.range is None:
        raise ValueError(f"layer {layer.name!r} has no converter ranges")
    return LayerUsage(
        name=layer.name,
        source=layer.read.source,
        reason=layer.read.reason,
        shares=None if share else layer.read.matrix,
        groups=partition.groups,
        rows=partition.rows,
        columns=partition.columns,
        windows=repeated(layer_windows(layer), times),
        macs=repeated(layer_macs(layer), times),
        copies=layer.read.copies,
        rounds=None if windows is None else math.ceil(windows / layer.read.copies),
        logical_tiles=_logical_tiles(partition, hardware) if share else 0,
        physical_tiles=share.tiles if share else 0,
        guest_tiles=share.guests if share else 0,
        cells=_cells(layer, hardware, share.sites) if share else NO_CELLS,
        input_range=layer.dac.input_range,
        current_range=layer.adc.range,
        inexact=layer.unquantised,
        batch_dependent=layer.dac.sample_axis is None,
    )


def _logical_tiles(partition: Partition, hardware: Hardware) -> int:
    return logical_tiles(
        groups=partition.groups,
        rows=partition.rows,
        columns=partition.columns,
        tile_rows=hardware.tile.rows,
        tile_columns=hardware.tile.columns,
    )


def _cells(layer: Layer, hardware: Hardware, sites: int) -> Cells:
    partition = layer.read.partition
    slices, polarities = layer.read.levels.shape[:2]
    total = sites * (polarities if hardware.tile.polarity == "unit-cell" else 1)
    weights = partition.groups * partition.rows * partition.columns
    inside = sum(rows * columns for rows, columns in partition.block_sizes())
    reference = sum(rows for rows, columns in partition.block_sizes() if columns) if partition.reference_column else 0
    copies, pairs = layer.read.copies, slices * polarities
    held = pairs * inside + slices * reference
    return Cells(
        total=total,
        weights=weights,
        slices=(slices - 1) * weights,
        polarity=slices * (polarities - 1) * weights,
        copies=(copies - 1) * pairs * weights,
        reference=copies * slices * reference,
        groups=copies * pairs * (inside - weights),
        edges=total - copies * held,
    )
