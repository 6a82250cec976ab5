"""How much wires cost where cells have transistors: the circuit of the publications beside that of xbarc's tiles.

Two things differ. Inputs come bit by bit, and a cell whose bit is 0 is switched off: it draws nothing from its column.
In a tile here every cell hangs on its row at all times, and rows at 0 V drain the column. Only the column has
resistance, one segment from cell to cell, and the cells of a pair have columns of their own; so a column is a chain,
and its current follows from one pass along it.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime as ort
from trend_networks import LARGEST_PERCENT, Network, matrices

BITS = 8


def gated_snr_db(network: Network, wire: float, *, windows: int = 60) -> tuple[float, float]:
    """Signal to noise of the network's widest product at a resistance times ``g_max``: as here, and with transistors.

    Weights are over the largest of their column, inputs are codes of 8 bits, over some windows of the calibration
    sample, which are not negative.
    """
    codes, weights = widest_product(network, windows)
    pair = [np.maximum(weights, 0.0), np.maximum(-weights, 0.0)]
    voltages = codes / (2**BITS - 1)

    def currents(driven: np.ndarray, switched: np.ndarray) -> np.ndarray:
        positive, negative = (column_currents(cells, driven, switched, wire) for cells in pair)
        return positive - negative

    bits = [(codes >> bit & 1).astype(np.float64) for bit in range(BITS)]
    plain = currents(voltages, np.ones_like(voltages))
    gated = sum(2**bit * currents(on, on) for bit, on in enumerate(bits)) / (2**BITS - 1)
    wanted = weights.T @ voltages
    return _decibels(wanted, plain), _decibels(wanted, gated)


def column_currents(cells: np.ndarray, voltages: np.ndarray, switched: np.ndarray, wire: float) -> np.ndarray:
    """Currents at the lower ends of columns: ``(columns, windows)``.

    Args:
        cells: conductances, ``(rows, columns)``.
        voltages, switched: of rows, and 1 where its cells are connected, else 0: ``(rows, windows)``.
        wire: resistance of a segment; the last one leads to the virtual ground.
    """
    # What is above a node, as a current source beside a conductance.
    shape = cells.shape[1], voltages.shape[1]
    current, conductance = np.zeros(shape), np.zeros(shape)
    for row, voltage, on in zip(cells, voltages, switched, strict=True):
        cell = row[:, None] * on[None]
        current, conductance = current + cell * voltage[None], conductance + cell
        passed = 1.0 / (1.0 + conductance * wire)
        current, conductance = current * passed, conductance * passed
    return current


def widest_product(network: Network, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Input codes ``(rows, windows)`` and weights over the largest of their column ``(rows, columns)``."""
    node, weights = max(matrices(network.model.graph), key=lambda found: len(found[1]))
    watched = onnx.ModelProto()
    watched.CopyFrom(network.model)
    del watched.graph.output[:]
    watched.graph.output.append(onnx.ValueInfoProto(name=node.input[0]))
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = session.run(None, {network.input: network.calibration[:windows]})[0]
    draws = np.random.default_rng(0)
    if node.op_type == "Conv":
        down, across = next(list(field.ints) for field in node.attribute if field.name == "kernel_shape")
        places = zip(
            range(len(inputs)),
            draws.integers(inputs.shape[2] - down + 1, size=len(inputs)),
            draws.integers(inputs.shape[3] - across + 1, size=len(inputs)),
            strict=True,
        )
        vectors = np.stack([inputs[n, :, y : y + down, x : x + across].reshape(-1) for n, y, x in places])
    else:
        vectors = inputs.reshape(len(inputs), -1)
    share = np.clip(vectors / np.percentile(inputs, LARGEST_PERCENT), 0.0, 1.0)
    return np.round(share * (2**BITS - 1)).astype(np.int64).T, weights / np.abs(weights).max(axis=0)


def _decibels(wanted: np.ndarray, found: np.ndarray) -> float:
    return 10 * math.log10(float(np.square(wanted).sum() / np.square(found - wanted).sum()))
