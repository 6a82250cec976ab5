"""The nonlinear part of the currents of cells, by cell and by input code, on grids on which sums are exact."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from xbarc.devices.device import Device
from xbarc.errors import InternalError
from xbarc.ir.cell_currents import NonlinearCurrents
from xbarc.ir.layer import Layer
from xbarc.ir.operators import CodeRange
from xbarc.runtime.cells import Conductances, finest_grid

#: A finer step of a curve does not show. Over the largest input code.
_CURVE_BITS: Final = 16
#: Of float64's 53: one for the sign of a sum, 20 for a cell's levels on their finest grid, two to spare.
_BITS_FOR_CODES: Final = 30
#: Cells that are driven with nothing or one voltage are read as they were verified.
_ONE_VOLTAGE: Final = CodeRange(0, 1)


def sees_voltages(layer: Layer) -> bool:
    """Whether the cells of a layer are read at more than one voltage, 0 V aside."""
    return layer.applied != _ONE_VOLTAGE


def nonlinear_currents(
    layer: Layer,
    device: Device,
    conductances: np.ndarray,
    *,
    v_read: float | None,
    span: Conductances,
    passed: np.ndarray | None = None,
) -> NonlinearCurrents | None:
    """What the currents of a layer's cells have beyond conductance times voltage; ``None``: nothing.

    The largest input code, or digit, is the read voltage on a row, others in proportion, or as the layer's DACs apply
    them (``layer.dac.applied``).

    Where wires leave less of a cell's current, they leave as much less of this part of it: that is right to first order
    in what is lost. Not modelled: that the voltage across a cell is lower, of which this part depends more strongly.

    Args:
        layer: of a placed program.
        device: what the cells are made of.
        conductances: of the cells as they are, ``(S, P, D, R, C)`` siemens.
        v_read: the read voltage.
        span: the conductances of the levels.
        passed: share of each cell's current that wires leave, of the shape of the conductances.
    """
    codes = layer.applied
    if device.v_max is None or not sees_voltages(layer):
        return None
    if codes is None or v_read is None:
        raise InternalError(f"layer {layer.name!r} has no voltages")
    largest = max(codes.high, -codes.low)
    applied = np.arange(codes.low, codes.high + 1, dtype=np.float64)
    if layer.dac.applied is not None:
        applied = layer.dac.applied.levels
    volt = v_read / largest  # an input code
    terms = device.nonlinear_current(conductances, applied * volt, v_read=v_read, g_max=span.g_max)
    if not terms:
        return None
    cells = np.stack([siemens for siemens, _ in terms]) / span.step
    curves = np.stack([volts for _, volts in terms]) / volt
    if passed is not None:
        cells *= passed
    # What a row can add to a column, in codes times the range of levels.
    most = largest + float(np.abs(cells).reshape(len(terms), -1).max(axis=1) @ np.abs(curves).max(axis=1)) / span.levels
    spare = _BITS_FOR_CODES - math.ceil(math.log2(layer.read.partition.block_rows * most))
    fine = _CURVE_BITS - math.ceil(math.log2(largest))
    in_cells, in_codes = finest_grid(span), 2.0 ** -max(min(fine, spare), 0)
    cells, curves = np.rint(cells / in_cells) * in_cells, np.rint(curves / in_codes) * in_codes
    return NonlinearCurrents(cells.astype(np.float32), curves, codes.low)
