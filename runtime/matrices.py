"""The matrices that a layer's cells make: one a slice and, where currents are not subtracted, one a polarity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xbarc.ir.layer import Layer


def matrices_of(layer: Layer, levels: np.ndarray, dtype: np.dtype) -> Iterator[tuple[np.ndarray, float]]:
    """The matrices of one block, of cells ``(S, P, rows, C)``, and the weights of their codes."""
    partition = layer.read.partition
    for cells, weight in zip(levels, layer.accumulate.slice_weights, strict=True):
        if layer.single_ended:
            signs = (1.0, -1.0) if len(cells) == 2 else (1.0,)
            for plane, sign in zip(cells.astype(dtype), signs, strict=True):
                yield np.ascontiguousarray(plane), float(weight) * sign
        elif partition.reference_column:
            plane = cells[0].astype(dtype)
            difference = plane[:, partition.data_columns] - plane[:, partition.reference_columns]
            yield np.ascontiguousarray(difference), float(weight)
        else:
            yield np.subtract(cells[0], cells[1], dtype=dtype), float(weight)


def add_variances(layer: Layer, cells: np.ndarray, variances: list[np.ndarray], references: list[np.ndarray]) -> None:
    """The variances behind the matrices of one slice: what is subtracted in the currents adds up."""
    partition = layer.read.partition
    if layer.single_ended:
        variances.extend(np.ascontiguousarray(plane) for plane in cells)
    elif partition.reference_column:
        variances.append(np.ascontiguousarray(cells[0][:, partition.data_columns]))
        places = sorted(set(partition.reference_columns))
        references.append(np.ascontiguousarray(cells[0][:, places]))
    else:
        variances.append(cells[0] + cells[1])
