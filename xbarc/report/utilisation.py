"""Where tiles and cells go: one entry a layer, and totals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import NEVER_REACHED, CurrentRange, HostOp, InputRange, WeightClipping
from xbarc.ir.partition import Partition, logical_tiles
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.samples import sample_axes
from xbarc.ir.segments import tiles_in_use
from xbarc.ir.work import host_macs, layer_macs, layer_windows, matrix_windows
from xbarc.report.cells import NO_CELLS, Cells, TileShare, tile_shares
from xbarc.report.chip_tiles import ChipTiles, chip_tiles
from xbarc.report.cost import CostReport, cost_report
from xbarc.report.json_form import json_schema, plain
from xbarc.report.replication import ReplicationUsage, replication_usage
from xbarc.report.schedule import ScheduleUsage, schedule_usage
from xbarc.report.segments import SegmentsUsage, segments_usage
from xbarc.report.words import rate
from xbarc.report.work import analog_share, total_macs

#: Rises when a key of a report changes its meaning or goes away.
REPORT_SCHEMA: Final = 2
_NAMED: Final = 4  # layers that a warning names


@dataclass(frozen=True, slots=True)
class LayerUsage:
    """One layer on tiles.

    Attributes:
        name: of the ONNX node.
        source: type of the ONNX node.
        reason: why it is on tiles.
        shares: name of the layer whose tiles it uses too, and where they are counted; ``None``: it has its own.
        groups: diagonal parts of its matrix; 1: it is dense.
        rows: of each part.
        columns: of each part.
        windows: input vectors of one sample; ``None`` where shapes are not known.
        macs: multiply-accumulates of one sample; ``None`` where shapes are not known.
        copies: how often the chip holds its cells.
        rounds: windows of its slowest copy, those of layers that share its tiles included; ``None`` where shapes are
            not known.
        logical_tiles: tiles of one copy, before slices, polarities and reference columns count.
        physical_tiles: tiles of all copies on the chip; one that layers share counts for the first of them.
        guest_tiles: tiles that count for other layers, in which it has blocks too.
        cells: of the tiles that count for it, without those that other layers take, and its own in others' tiles.
        weight_clipping: of its largest weights, where ``weights.range`` is not max; ``None``: none is clipped.
        input_range: of its DACs, with what they clip on the calibration sample.
        current_range: of its ADCs, with what they clip on the calibration sample.
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
    weight_clipping: WeightClipping | None
    input_range: InputRange
    current_range: CurrentRange
    inexact: str | None
    batch_dependent: bool

    @property
    def cell_utilisation(self) -> float:
        """Cells that hold weights over cells in used tiles."""
        return self.cells.utilisation


@dataclass(frozen=True, slots=True)
class HostUsage:
    """One digital operator.

    Attributes:
        name: of the ONNX node.
        kind: type of the ONNX node.
        macs: multiply-accumulates of one sample; ``None`` where shapes are not known.
        reason: why it stays digital.
    """

    name: str
    kind: str
    macs: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Totals:
    """All layers and operators together.

    Attributes:
        logical_tiles: tiles of one copy of each layer, before slices, polarities and reference columns count.
        chip: the tiles of the chip.
        cells: those of used tiles.
        analog_macs: multiply-accumulates of one sample on tiles; ``None`` where one layer's are not known.
        host_macs: multiply-accumulates of one sample in digital products; ``None`` where one operator's are not known.
    """

    logical_tiles: int
    chip: ChipTiles
    cells: Cells
    analog_macs: int | None
    host_macs: int | None

    @property
    def physical_tiles(self) -> int:
        """Tiles on the chip that hold something."""
        return self.chip.used

    @property
    def tile_utilisation(self) -> float | None:
        """Tiles used over tiles on the chip; ``None`` on an unlimited chip."""
        return None if self.chip.total is None else self.chip.used / self.chip.total

    @property
    def cell_utilisation(self) -> float:
        """Cells that hold weights over cells in used tiles."""
        return self.cells.utilisation

    @property
    def analog_share(self) -> float | None:
        """The share of the network's multiply-accumulates that is on tiles; ``None`` where it is not known."""
        return analog_share(self.analog_macs, self.host_macs)


@dataclass(frozen=True, slots=True)
class UtilisationReport:
    """A program on its chip.

    Attributes:
        hardware: name of the hardware description.
        overrides: changes to the description, each as key.path=value.
        tile_rows: rows of a tile.
        tile_columns: columns of a tile.
        chip_tiles: tiles of the chip; ``None``: unlimited.
        calibrated: whether converter ranges, where there are any, came from real data.
        calibration: what converter ranges came from.
        totals: of all layers and operators.
        replication: what copies of layers bring.
        schedule: how long layers take.
        cost: energy and area.
        segments: what is on the chip together, and what writing it costs.
        layers: those on tiles, in the order of execution.
        host: digital operators, in the order of execution.
    """

    hardware: str
    overrides: tuple[str, ...]
    tile_rows: int
    tile_columns: int
    chip_tiles: int | None
    calibrated: bool
    calibration: str
    totals: Totals
    replication: ReplicationUsage
    schedule: ScheduleUsage
    cost: CostReport
    segments: SegmentsUsage
    layers: tuple[LayerUsage, ...]
    host: tuple[HostUsage, ...]

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
        asked, reached = self.replication.rate, self.schedule.throughput
        if asked is not None and reached is not None and reached < asked * (1 - 1e-9):
            found.append(f"{rate(asked)} inferences a second were asked for, {rate(reached)} are reached")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as :func:`report_schema` describes it."""
        return {"schema": REPORT_SCHEMA, **plain(self)}


def report_schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    return json_schema(UtilisationReport, version=REPORT_SCHEMA, title="xbarc report --json")


def utilisation_report(graph: Graph, hardware: Hardware, facts: Mapping[str, Any]) -> UtilisationReport:
    """The report of a placed graph.

    Args:
        graph: at stage ``PLACED``.
        hardware: what it was compiled for.
        facts: of the program: its options and its calibration.
    """
    times, windows = repetitions(graph), matrix_windows(graph)
    shares = tile_shares([layer for layer in layers(graph) if layer.read.matrix == layer.name], hardware)
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
    replication, timed = replication_usage(graph, hardware, facts), schedule_usage(graph, hardware)
    available = None if hardware.chip_tiles == "unlimited" else hardware.chip_tiles
    return UtilisationReport(
        hardware=hardware.name,
        overrides=tuple(facts["options"]["overrides"]),
        tile_rows=hardware.tile.rows,
        tile_columns=hardware.tile.columns,
        chip_tiles=available,
        calibrated=is_calibrated(graph, facts),
        calibration=_calibration(graph, facts),
        totals=Totals(
            logical_tiles=sum(usage.logical_tiles for usage in usages),
            chip=chip_tiles(replication, total=available, used=tiles_in_use(graph)),
            cells=sum((usage.cells for usage in usages), NO_CELLS),
            analog_macs=total_macs(usage.macs for usage in usages),
            host_macs=total_macs(operator.macs for operator in host),
        ),
        replication=replication,
        schedule=timed,
        cost=cost_report(graph, hardware, timed, calibrated=is_calibrated(graph, facts)),
        segments=segments_usage(graph, hardware, timed),
        layers=usages,
        host=host,
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
        cells=share.cells if share else NO_CELLS,
        weight_clipping=layer.read.clipping,
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
        positions=partition.positions,
    )
