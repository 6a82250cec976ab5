"""Compare two written chips of one program, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.api.looks import Look
from xbarc.api.reading import actual_cells
from xbarc.api.writing import conductances, digest
from xbarc.devices.catalogue import device_text
from xbarc.errors import UsageError
from xbarc.ir.layer import Layer, layers
from xbarc.report.chip_difference import CellsDifference, ChipDifference, ComparedChip, LayerDifference
from xbarc.runtime.cells import Conductances, cell_targets, field_parts
from xbarc.runtime.programming import write_verify_text


def compare_chips(first: Look, second: Look) -> ChipDifference:
    """What two chips differ by, each as it is looked at: at its time, with the read noise that outlasts an inference.

    Their cells are compared where the program has them, wherever they lie on tiles. Not compared: converters, what is
    lost on wires, currents that are not in proportion to voltages, corrections by repairs.

    Raises:
        UsageError: chips of different programs.
    """
    graph, hardware = first.setting.graph, first.setting.hardware
    other = second.setting
    if other.graph is not graph and digest(other.graph, other.hardware) != digest(graph, hardware):
        raise UsageError(
            "chips of different programs have no cells to compare", fix="compare chips that one program was written on"
        )
    span = conductances(hardware)
    unlimited = hardware.cell.levels == "unlimited"
    found = [_cells(look, span) for look in (first, second)]
    names, every = [], []
    for matrix, layer in _matrices(first).items():
        held = [None if look.written is None else look.written.cells[matrix].held for look in (first, second)]
        names.append(layer.name)
        every.append(_sums(layer, span, [of[matrix] for of in found], held))
    return ChipDifference(
        first=_described(first),
        second=_described(second),
        layers=tuple(
            LayerDifference(name=name, difference=_difference([sums], span, unlimited=unlimited))
            for name, sums in zip(names, every, strict=True)
        ),
        total=_difference(every, span, unlimited=unlimited),
    )


@dataclass(frozen=True, slots=True)
class _Moments:
    """Sums over pairs of numbers."""

    count: int
    first: float
    second: float
    first_squared: float
    second_squared: float
    product: float

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> _Moments:
        a, b = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
        return cls(a.size, float(a.sum()), float(b.sum()), float(a @ a), float(b @ b), float(a @ b))

    def correlation(self) -> float | None:
        """Pearson's; ``None`` where either does not vary, but for the last digits."""
        variances = (
            self.first_squared - self.first**2 / self.count,
            self.second_squared - self.second**2 / self.count,
        )
        if min(variances[0] / (self.first_squared or 1), variances[1] / (self.second_squared or 1)) < 1e-12:
            return None
        covariance = self.product - self.first * self.second / self.count
        return max(-1.0, min(1.0, covariance / math.sqrt(variances[0] * variances[1])))


@dataclass(frozen=True, slots=True)
class _Sums:
    """What one layer's cells come to, in shares of the range, and its weights, in units of the network."""

    cells: _Moments
    difference: float
    difference_squared: float
    largest: float
    over_a_level: int
    stuck: tuple[int, int, int]
    weights: _Moments
    weights_difference: float
    weights_wanted: float


def _sums(layer: Layer, span: Conductances, found: Sequence[np.ndarray], held: Sequence[np.ndarray | None]) -> _Sums:
    parts = list(field_parts(layer))

    def used(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array[part.index][: part.rows].ravel() for part in parts])

    whole = span.g_max - span.g_min
    one, two = (used(array).astype(np.float64) / whole for array in found)
    between = two - one
    stuck = [np.zeros(one.shape, dtype=bool) if array is None else ~np.isnan(used(array)) for array in held]
    weights = [_weights(layer, (array.astype(np.float64) - span.g_min) / span.step) for array in found]
    wanted = _weights(layer, layer.read.levels.astype(np.float64))
    return _Sums(
        cells=_Moments.of(one, two),
        difference=float(between.sum()),
        difference_squared=float(between @ between),
        largest=float(np.abs(between).max()),
        over_a_level=int((np.abs(between) * whole > span.step).sum()),
        stuck=(int(stuck[0].sum()), int(stuck[1].sum()), int((stuck[0] & stuck[1]).sum())),
        weights=_Moments.of(*weights),
        weights_difference=float(np.square(weights[1] - weights[0]).sum()),
        weights_wanted=float(np.square(wanted).sum()),
    )


def _difference(every: Sequence[_Sums], span: Conductances, *, unlimited: bool) -> CellsDifference:
    cells = _added([sums.cells for sums in every])
    weights = _added([sums.weights for sums in every])
    whole, wanted = span.g_max - span.g_min, sum(sums.weights_wanted for sums in every)
    rms = math.sqrt(sum(sums.difference_squared for sums in every) / cells.count)
    stuck = [sum(sums.stuck[which] for sums in every) for which in range(3)]
    return CellsDifference(
        cells=cells.count,
        mean_siemens=sum(sums.difference for sums in every) / cells.count * whole,
        rms_siemens=rms * whole,
        rms_share=rms,
        largest_siemens=max(sums.largest for sums in every) * whole,
        correlation=cells.correlation(),
        over_a_level=None if unlimited else sum(sums.over_a_level for sums in every),
        stuck_first=stuck[0],
        stuck_second=stuck[1],
        stuck_both=stuck[2],
        weights_share=math.sqrt(sum(sums.weights_difference for sums in every) / wanted) if wanted else None,
        weights_correlation=weights.correlation(),
    )


def _added(every: Sequence[_Moments]) -> _Moments:
    return _Moments(
        sum(entry.count for entry in every),
        math.fsum(entry.first for entry in every),
        math.fsum(entry.second for entry in every),
        math.fsum(entry.first_squared for entry in every),
        math.fsum(entry.second_squared for entry in every),
        math.fsum(entry.product for entry in every),
    )


def _weights(layer: Layer, levels: np.ndarray) -> np.ndarray:
    """The weights that cells stand for, ``(G, K, N)``, in units of the network."""
    signed: np.ndarray = np.tensordot(layer.accumulate.slice_weights, layer.signed_levels(levels), axes=1)
    scale = (layer.rescale.unit_scale / layer.dac.scale).reshape(signed.shape[0], 1, signed.shape[2])
    return signed * scale


def _cells(look: Look, span: Conductances) -> dict[str, np.ndarray]:
    """What cells hold, by matrix; on the ideal device, their targets."""
    if look.written is None:
        return {matrix: cell_targets(layer, span) for matrix, layer in _matrices(look).items()}
    setting = look.setting
    return actual_cells(setting.graph, setting.hardware, look.written, look.reading, look.reading.time_s)


def _matrices(look: Look) -> dict[str, Layer]:
    """One layer for each matrix."""
    first: dict[str, Layer] = {}
    for layer in layers(look.setting.graph):
        first.setdefault(layer.read.matrix, layer)
    return first


def _described(look: Look) -> ComparedChip:
    written = look.written
    loop = None if written is None or written.programming is None else write_verify_text(written.programming)
    seed = None if written is None else written.seed
    return ComparedChip(device=device_text(look.device), seed=seed, time_s=look.reading.time_s, programming=loop)
