"""Write-and-verify of all cells of a layer."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xbarc.devices.switching.model import SwitchingModel
from xbarc.ir.layer import Layer
from xbarc.runtime.cells import Conductances, FieldPart, cell_targets, field_parts
from xbarc.runtime.write_verify import Procedure, Site, WrittenCells, with_faults, write_cells_verified


def write_layer_verified(
    layer: Layer,
    model: SwitchingModel,
    procedure: Procedure,
    *,
    seed: int,
    span: Conductances,
    read_sigma: np.ndarray | float = 0.0,
    held: np.ndarray | None = None,
    threads: int = 1,
) -> tuple[np.ndarray, WrittenCells]:
    """Program a layer in closed loop.

    Args:
        layer: of a placed program; its levels are the targets.
        model: how cells switch.
        procedure: how they are written.
        seed: of the chip.
        span: the conductances of the levels.
        read_sigma: standard deviation of a read, in siemens: one, or one a cell, ``(S, P, D, R, C)``.
        held: what faulty cells hold, in siemens, ``(S, P, D, R, C)``; NaN where a cell is not faulty.
        threads: that parts of the layer are written on; the result does not depend on them.

    Returns:
        ``(S, P, D, R, C)`` float32 siemens, as if no cell were faulty, targets in rows of padding; what was done, one
        entry a cell, in one dimension and without padding.
    """
    target = cell_targets(layer, span)
    programmed = target.copy()
    deviations = np.broadcast_to(np.asarray(read_sigma, dtype=np.float64), target.shape)

    def written(part: FieldPart) -> WrittenCells:
        site = Site(seed=seed, matrix=layer.read.matrix, plane=part.plane)
        site = dataclasses.replace(
            site, first_row=part.first_row, row_step=part.row_step, first_column=part.first_column
        )
        ends = {"g_min": span.g_min, "g_max": span.g_max}
        wanted, sigma = target[part.index][: part.rows], deviations[part.index][: part.rows]
        found = write_cells_verified(wanted, model, procedure, site=site, read_sigma=sigma, **ends)
        programmed[part.index][: part.rows] = found.conductance
        if held is None:
            return found
        return with_faults(found, held[part.index][: part.rows].astype(np.float64), model, procedure, **ends)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(written, field_parts(layer)))
    return programmed, WrittenCells.joined(parts)
