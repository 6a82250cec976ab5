"""What an inference costs: energy by component and by layer, throughput, area, and the same work done digitally.

Layers are pipelined: what is on at all times counts for the time from one inference to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.hardware.derived import component_sum
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.input_statistics import InputStatistics
from xbarc.ir.layer import Layer, layers
from xbarc.ir.reads import reads_a_window
from xbarc.ir.repetitions import repeated, repetitions
from xbarc.ir.work import layer_macs, layer_windows
from xbarc.report.counts import Counts, program_counts
from xbarc.report.energy import EnergyLine, energy_terms, total_energy
from xbarc.report.schedule import ScheduleUsage
from xbarc.report.work import total_macs


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer, or all digital operators.

    Attributes:
        name: of the layer.
        counts: its uses in one inference.
        energies: joules by the lines of the report, in their order; ``None``: not known, or shared by all.
        energy: joules, of what is known; ``None`` where nothing is.
        macs: multiply-accumulates on tiles; ``None`` where not known.
        throughput: operations a second while all its copies work, a multiply-accumulate counting two; ``None`` where
            not known.
        efficiency: operations a joule, likewise, without what is always on.
        inputs: what the calibration sample applies to its rows; ``None``: nothing was measured.
    """

    name: str
    counts: Counts
    energies: tuple[float | None, ...]
    energy: float | None
    macs: int | None
    throughput: float | None
    efficiency: float | None
    inputs: InputStatistics | None


@dataclass(frozen=True, slots=True)
class AreaUse:
    """Square metres, ``None`` where not known.

    Attributes:
        tiles: how many are used.
        cores: how many have a used tile.
        tile_area: of the used tiles.
        core_area: of the used cores with all their tiles.
        chip_area: of the whole chip.
    """

    tiles: int
    cores: int
    tile_area: float | None
    core_area: float | None
    chip_area: float | None


@dataclass(frozen=True, slots=True)
class DigitalCost:
    """The multiply-accumulates of the tiles, done by the digital reference instead.

    Attributes:
        name: of the reference.
        macs: how many; ``None`` where not known.
        energy_per_mac: joules of one.
        energy: joules.
        ratio: of that energy to the program's; ``None`` where one is not known.
        source: of the figure.
    """

    name: str
    macs: int | None
    energy_per_mac: float
    energy: float | None
    ratio: float | None
    source: str


@dataclass(frozen=True, slots=True)
class CostReport:
    """Of one inference of a program.

    Attributes:
        energy: joules, of what is known; ``None`` where nothing is.
        missing: what is not in it, in sentences; empty: nothing.
        calibrated: whether what inputs make of it comes from real data.
        lines: its terms.
        layers: in the order of execution.
        digital: the operators on the host.
        always_on: joules of parts that are on at all times, in no layer; ``None`` where not known.
        macs: multiply-accumulates on tiles; ``None`` where not known.
        interval_s: seconds from one inference to the next, layers pipelined; ``None`` where not known.
        latency_s: seconds of one inference alone, likewise.
        throughput: operations a second on tiles, a multiply-accumulate counting two.
        power: watts on average, layers pipelined.
        efficiency: operations a joule.
        area: of what it uses.
        baseline: what a digital reference would take; ``None``: none is given.
    """

    energy: float | None
    missing: tuple[str, ...]
    calibrated: bool
    lines: tuple[EnergyLine, ...]
    layers: tuple[LayerCost, ...]
    digital: LayerCost
    always_on: float | None
    macs: int | None
    interval_s: float | None
    latency_s: float | None
    throughput: float | None
    power: float | None
    efficiency: float | None
    area: AreaUse
    baseline: DigitalCost | None


def cost_report(graph: Graph, hardware: Hardware, schedule: ScheduleUsage, *, calibrated: bool) -> CostReport:
    """The cost of a placed graph.

    Args:
        graph: at its last stage.
        hardware: what it was compiled for.
        schedule: of it.
        calibrated: whether its converter ranges come from real data.
    """
    found, counts, times = layers(graph), program_counts(graph, hardware), repetitions(graph)
    area = _area(found, hardware)
    terms, missing = energy_terms(
        found,
        counts,
        hardware,
        owners={"tile": area.tiles, "core": area.cores, "chip": 1},
        read_time=schedule.read_time,
        interval=schedule.interval_s,
    )
    by_layer = [tuple(energies) for energies in zip(*(term.energies for term in terms), strict=True)]
    by_layer = by_layer or [()] * (len(found) + 1)
    listed = tuple(
        _layer_cost(layer, entry, energies, times[layer.dac], schedule.read_time)
        for layer, entry, energies in zip(found, counts.layers, by_layer, strict=False)
    )
    energy, macs = total_energy(term.line.energy for term in terms), total_macs(layer.macs for layer in listed)
    operations = None if macs is None else 2 * macs
    return CostReport(
        energy=energy,
        missing=tuple(missing),
        calibrated=calibrated,
        lines=tuple(term.line for term in terms),
        layers=listed,
        digital=LayerCost(
            name="digital operators",
            counts=counts.digital,
            energies=by_layer[-1],
            energy=total_energy(by_layer[-1]),
            macs=0,
            throughput=None,
            efficiency=None,
            inputs=None,
        ),
        always_on=total_energy(term.line.energy for term in terms if term.line.use == "always"),
        macs=macs,
        interval_s=schedule.interval_s,
        latency_s=schedule.latency_s,
        throughput=_ratio(operations, schedule.interval_s),
        power=_ratio(energy, schedule.interval_s),
        efficiency=_ratio(operations, energy),
        area=area,
        baseline=_baseline(hardware, macs, energy),
    )


def _layer_cost(
    layer: Layer, counts: Counts, energies: tuple[float | None, ...], times: int | None, read_time: float | None
) -> LayerCost:
    macs, windows, energy = repeated(layer_macs(layer), times), layer_windows(layer), total_energy(energies)
    busy = None
    if windows is not None and times is not None and read_time is not None:
        busy = times * math.ceil(windows / layer.read.copies) * reads_a_window(layer) * read_time
    operations = None if macs is None else 2 * macs
    return LayerCost(
        name=layer.name,
        counts=counts,
        energies=energies,
        energy=energy,
        macs=macs,
        throughput=_ratio(operations, busy),
        efficiency=_ratio(operations, energy),
        inputs=layer.dac.statistics,
    )


def _area(found: Sequence[Layer], hardware: Hardware) -> AreaUse:
    tables = [layer.read.pieces["tile"] for layer in found if layer.read.pieces is not None]
    tiles = np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *tables]))
    cores = len(np.unique(tiles // hardware.core.tiles))
    of_tile, of_core = component_sum(hardware, "tile", "area"), component_sum(hardware, "core", "area")
    return AreaUse(
        tiles=len(tiles),
        cores=cores,
        tile_area=None if of_tile is None else len(tiles) * of_tile,
        core_area=None if of_core is None else cores * of_core,
        chip_area=component_sum(hardware, "chip", "area"),
    )


def _baseline(hardware: Hardware, macs: int | None, energy: float | None) -> DigitalCost | None:
    reference = hardware.digital_reference
    if reference is None:
        return None
    digital = None if macs is None else macs * reference.energy_per_mac
    return DigitalCost(
        name=reference.name,
        macs=macs,
        energy_per_mac=reference.energy_per_mac,
        energy=digital,
        ratio=_ratio(digital, energy),
        source=reference.source,
    )


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
