"""From currents to sums: ADCs and the digital unit behind them."""

from __future__ import annotations

import numpy as np

from xbarc.runtime import kernels
from xbarc.runtime.layer_plan import Block, Diagonal, LayerPlan
from xbarc.runtime.rescaling import rescale


def converted_columns(plan: LayerPlan, diagonal: Diagonal, currents: np.ndarray) -> np.ndarray:
    """Currents of columns that hold weights, and of their reference columns where those are converted too."""
    if plan.data_columns is None:
        return currents[:, : diagonal.columns]
    if diagonal.columns == len(plan.data_columns):
        return currents
    return currents[:, [*range(diagonal.columns), -1]]  # one block, its reference column the last


def accumulate(
    plan: LayerPlan, block: Block, read: int, currents: np.ndarray, count: int, weight: float, sums: np.ndarray
) -> None:
    """Convert the currents of one read and add them up; the currents are used up on the way.

    Args:
        plan, block: that they are of.
        read: which matrix of the block.
        currents: ``(at least count, columns)``.
        count: windows.
        weight: what a code counts in the sums.
        sums: ``(at least count, columns)``.
    """
    counts = (block.signs[read], block.references[read]) if block.signs else ()
    as_current, codes, lsb = plan.dtype.type, plan.adc_codes, plan.lsb
    if codes is not None and block.errors:
        errors, ends = block.errors[read], (as_current(codes.low), as_current(codes.high))
        kernels.distort(currents, count, as_current(lsb), *ends, errors.gain, errors.offset, errors.inl)
        lsb = 1.0  # they are in codes now
    if codes is None or not plan.quantises_outputs:
        factor = plan.sum_dtype.type(weight * plan.lsb / lsb)
        if counts:
            kernels.recombine_and_add(currents, count, factor, plan.data_columns, plan.reference_columns, *counts, sums)
        elif plan.data_columns is None:
            kernels.add(currents, count, factor, sums)
        else:
            kernels.subtract_and_add(currents, count, factor, plan.data_columns, plan.reference_columns, sums)
        return
    factor = plan.sum_dtype.type(weight)
    converter = as_current(lsb), as_current(codes.low), as_current(codes.high)
    if counts:
        columns = plan.data_columns, plan.reference_columns
        kernels.convert_recombine_and_add(currents, count, *converter, factor, *columns, *counts, sums)
    elif plan.data_columns is None:
        kernels.convert_and_add(currents, count, *converter, factor, sums)
    else:
        kernels.convert_subtract_and_add(
            currents, count, *converter, factor, plan.data_columns, plan.reference_columns, sums
        )


def finish(plan: LayerPlan, diagonal: Diagonal, sums: np.ndarray, first: int, count: int, y: np.ndarray) -> None:
    """Scale the sums of windows ``first .. first + count`` and write them to their places in the output."""
    columns = diagonal.first_column, diagonal.columns
    rescale(sums, first, count, y.shape[2], *columns, plan.scale, plan.bias, y)
