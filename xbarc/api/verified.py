"""Programs that are written in closed loop: every cell is pulsed until reads find its target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from xbarc.devices.catalogue import device_text
from xbarc.devices.device import Device
from xbarc.ir.layer import Layer
from xbarc.report.chip_writing import ChipWriting, LayerWriting
from xbarc.report.writing import write_report
from xbarc.runtime.cells import Cells, Conductances, cell_targets
from xbarc.runtime.programming import WriteVerify, find_write_verify, write_verify_text
from xbarc.runtime.write_layer import write_layer_verified
from xbarc.runtime.write_verify import WrittenCells


def known_programming(given: str | WriteVerify | None) -> WriteVerify | None:
    """A closed loop as a person gives it; ``None``: one shot.

    Raises:
        UsageError: a text that is none.
    """
    return find_write_verify(given) if isinstance(given, str) else given


def write_verified(
    written: Mapping[str, Cells],
    first: Mapping[str, Layer],
    device: Device,
    programming: WriteVerify,
    *,
    seed: int,
    span: Conductances,
    threads: int,
) -> tuple[dict[str, Cells], ChipWriting]:
    """Put what a closed loop leaves of the targets in the place of what the device's statistics left of them.

    Drift, read noise and faults are the device's still. Reads that verify deviate as the plan says, or by the device's
    read noise at its reference moment, of a cell at its target.

    Args:
        written: the cells by matrix, as they are written in one shot.
        first: of each matrix, the layer that has it, or the first that shares it.
        threads: they do not change the result.
    """
    cells, layers, every = {}, [], []
    costs, model = programming.every_cost, programming.switching
    for matrix, layer in first.items():
        programmed, found = write_layer_verified(
            layer,
            model,
            programming.procedure,
            seed=seed,
            span=span,
            read_sigma=_read_sigma(layer, device, programming, span),
            held=written[matrix].held,
            threads=threads,
        )
        cells[matrix] = dataclasses.replace(written[matrix], programmed=programmed)
        layers.append(LayerWriting(name=layer.name, copies=layer.read.copies, report=write_report(found, costs)))
        every.append(found)
    writing = ChipWriting(
        programming=write_verify_text(programming),
        device=device_text(device),
        seed=seed,
        g_min=span.g_min,
        g_max=span.g_max,
        layers=tuple(layers),
        total=write_report(WrittenCells.joined(every), costs),
    )
    return cells, writing


def _read_sigma(layer: Layer, device: Device, programming: WriteVerify, span: Conductances) -> np.ndarray | float:
    if programming.read_sigma is not None:
        return programming.read_sigma * (span.g_max - span.g_min)
    target = cell_targets(layer, span)
    return device.read_sigma(target, target, t_s=0.0, g_max=span.g_max)
