"""``LSTM``, ``GRU`` and ``RNN``: what their attributes and constants say, as one cell a direction.

Layers are called ``NODE.input`` and ``NODE.recurrent``; those of the second half of a bidirectional operator
``NODE.reverse.input`` and ``NODE.reverse.recurrent``. A ``GRU`` whose reset gate acts on the state (and not on its
product) has a third one, ``NODE.candidate``. A window is one step of one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from xbarc.ir.operators import HostOp
from xbarc.passes.products.recurrent_activations import activations
from xbarc.passes.products.recurrent_cells import Cell, Gates, GruCell, LstmCell, RnnCell
from xbarc.passes.products.recurrent_loop import Recurrence
from xbarc.passes.products.rule import Lowering, Refusal, Rule, bad, constant, present, refused_type

#: Whether each direction runs from the last step to the first.
_DIRECTIONS: Final = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True, slots=True)
class _Family:
    """What tells one kind of operator from another.

    Attributes:
        gates: how many.
        activations: by default, of one direction.
        cell: makes the cell of a direction, told which one it is.
    """

    gates: int
    activations: tuple[str, ...]
    cell: Callable[[Gates, int], Cell]


def rnn(operator: HostOp) -> Lowering | Refusal:
    """A plain recurrent layer."""
    family = _Family(1, ("Tanh",), lambda gates, _: RnnCell(gates))
    return refused_type(operator) or _lowering(operator, family, _matrices(operator))


def gru(operator: HostOp) -> Lowering | Refusal:
    """A gated recurrent unit."""
    linear = bool(operator.attribute("linear_before_reset", 0))
    family = _Family(3, ("Sigmoid", "Tanh"), lambda gates, _: GruCell(gates, linear_before_reset=linear))
    return refused_type(operator) or _lowering(operator, family, _matrices(operator))


def lstm(operator: HostOp) -> Lowering | Refusal:
    """A long short-term memory."""
    return refused_type(operator) or _long_short_term(operator, _matrices(operator))


def quantized_lstm(operator: HostOp) -> Lowering | Refusal:
    """onnxruntime's ``LSTM`` with matrices of bytes, which are exactly ``(byte - zero point) * scale``.

    That it rounds its inputs to bytes too, anew at each step, is left to the converters.
    """
    matrices = []
    for name, index, first in (("W", 1, 8), ("R", 2, 10)):
        codes, scale, zero = (constant(operator, place) for place in (index, first, first + 1))
        if codes is None or scale is None or zero is None:
            return Refusal("its matrices are not constant")
        if codes.ndim != 3:
            raise bad(operator, f"{name} has shape {list(codes.shape)}, expected three axes")
        for array in (scale, zero):
            if array.shape not in (codes.shape[:1], codes.shape[::2]):
                raise bad(operator, f"the scales or zero points of {name} have shape {list(array.shape)}")
        zero, scale = (array.reshape(len(array), 1, *(array.shape[1:] or (1,))) for array in (zero, scale))
        matrices.append((codes.astype(np.int32) - zero) * scale)
    return _long_short_term(operator, (matrices[0], matrices[1]))


def _matrices(operator: HostOp) -> tuple[np.ndarray, np.ndarray] | Refusal:
    """The input's and the recurrent matrices, ``(directions, inputs, columns)`` each."""
    ours, recurrent = constant(operator, 1), constant(operator, 2)
    if ours is None or recurrent is None:
        return Refusal("its matrices are not constant")
    for name, matrix in (("W", ours), ("R", recurrent)):
        if matrix.ndim != 3:
            raise bad(operator, f"{name} has shape {list(matrix.shape)}, expected three axes")
    return ours.transpose(0, 2, 1), recurrent.transpose(0, 2, 1)


def _long_short_term(operator: HostOp, matrices: tuple[np.ndarray, np.ndarray] | Refusal) -> Lowering | Refusal:
    if isinstance(matrices, Refusal):
        return matrices
    peepholes = constant(operator, 7)
    if present(operator, 7) and peepholes is None:
        return Refusal("its peepholes are not constant")
    input_forget = bool(operator.attribute("input_forget", 0))

    def cell(gates: Gates, direction: int) -> Cell:
        if peepholes is None:
            return LstmCell(gates, None, input_forget)
        seen = _checked(operator, "P", peepholes, (len(matrices[1]), 3 * gates.size))
        return LstmCell(gates, seen[direction].reshape(3, -1), input_forget)

    return _lowering(operator, _Family(4, ("Sigmoid", "Tanh", "Tanh"), cell), matrices)


def _lowering(
    operator: HostOp, family: _Family, matrices: tuple[np.ndarray, np.ndarray] | Refusal
) -> Lowering | Refusal:
    if isinstance(matrices, Refusal):
        return matrices
    ours, recurrent = matrices
    bias = constant(operator, 3)
    if present(operator, 3) and bias is None:
        return Refusal("its bias is not constant")
    if ours.size == 0 or recurrent.size == 0:
        return Refusal(f"its matrices have shapes {list(ours.shape)} and {list(recurrent.shape)}")
    name = operator.attribute("direction", b"forward").decode()
    if name not in _DIRECTIONS:
        raise bad(operator, f"direction is {name!r}")
    directions = _DIRECTIONS[name]
    size, count = int(operator.attribute("hidden_size", recurrent.shape[1])), len(directions)
    columns = family.gates * size
    _checked(operator, "W", ours.transpose(0, 2, 1), (count, columns, ours.shape[1]))
    _checked(operator, "R", recurrent.transpose(0, 2, 1), (count, columns, size))
    clip = operator.attribute("clip")
    if clip is not None and not clip > 0:
        raise bad(operator, f"clip is {clip}")
    functions = activations(operator, family.activations, directions=count)
    if isinstance(functions, Refusal):
        return functions
    biases = None if bias is None else _checked(operator, "B", bias, (count, 2 * columns))

    def cell(place: int) -> Cell:
        gates = Gates(
            input_weight=ours[place],
            recurrent_weight=recurrent[place],
            input_bias=None if biases is None else biases[place, :columns],
            recurrent_bias=None if biases is None else biases[place, columns:],
            activations=functions[place],
            clip=clip,
        )
        return family.cell(gates, place)

    cells = [cell(place) for place in range(count)]
    words = f"static matrices {ours.shape[1]} x {columns} and {size} x {columns}"
    reason = words if count == 1 else f"{words} in two directions"
    return Lowering(reason, lambda builder: Recurrence(builder, cells, directions).write())


def _checked(operator: HostOp, what: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape:
        raise bad(operator, f"{what} has shape {list(array.shape)}, expected {list(shape)}")
    return array


RULES: dict[str, Rule] = {"GRU": gru, "LSTM": lstm, "RNN": rnn, "com.microsoft.DynamicQuantizeLSTM": quantized_lstm}
