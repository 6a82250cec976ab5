"""The cells of recurrent operators: what one step makes of its input's product and of the state before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from xbarc.ir.graph import Value
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.recurrent_activations import Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What the cells of one direction have in common. ``I``: inputs, ``H``: size of the state, ``G``: gates.

    Attributes:
        input_weight: ``(I, G * H)``.
        recurrent_weight: ``(H, G * H)``.
        input_bias, recurrent_bias: ``(G * H,)``, of the two products; ``None`` where the operator has no bias.
        activations: in ONNX's order.
        clip: bound of what goes into activations, or ``None``.
    """

    input_weight: np.ndarray
    recurrent_weight: np.ndarray
    input_bias: np.ndarray | None
    recurrent_bias: np.ndarray | None
    activations: tuple[Activation, ...]
    clip: float | None

    @property
    def size(self) -> int:
        """``H``."""
        return int(self.recurrent_weight.shape[0])

    @property
    def bias(self) -> np.ndarray | None:
        """Both biases, where they are simply added."""
        if self.input_bias is None or self.recurrent_bias is None:
            return None
        total: np.ndarray = self.input_bias + self.recurrent_bias
        return total

    def activate(self, body: Builder, value: Value, which: int, suffix: str) -> Value:
        """Clip a value and apply one of the activations."""
        if self.clip is not None:
            bounds = (body.constant("bound", np.array(bound, dtype=np.float32)) for bound in (-self.clip, self.clip))
            value = body.host("Clip", [value, *bounds], f"{suffix}.clipped")
        return self.activations[which].write(body, value, suffix)

    def split(self, body: Builder, value: Value, parts: Sequence[int], suffixes: Sequence[str]) -> list[Value]:
        """Part the gates of a value, so many at a time."""
        sizes = body.ints("sizes", [part * self.size for part in parts])
        return body.hosts("Split", [value, sizes], suffixes, axis=-1)


class Cell(Protocol):
    """One direction of a recurrent operator.

    Attributes:
        states: names of what is carried from step to step; the first is the output.
    """

    states: ClassVar[tuple[str, ...]]

    @property
    def gates(self) -> Gates:
        """Matrices, activations and the like."""

    @property
    def input_bias(self) -> np.ndarray | None:
        """Bias of the product of the whole sequence, ``(G * H,)``."""

    def step(self, body: Builder, entry: Value, states: Sequence[Value]) -> list[Value]:
        """Write one step; returns the new states.

        Args:
            body: of the loop.
            entry: product of one step's input, ``(samples, G * H)``.
            states: ``(samples, H)`` each.
        """


@dataclass(frozen=True, slots=True)
class RnnCell:
    """``RNN``: one gate."""

    states: ClassVar[tuple[str, ...]] = ("hidden",)

    gates: Gates

    @property
    def input_bias(self) -> np.ndarray | None:
        return self.gates.bias

    def step(self, body: Builder, entry: Value, states: Sequence[Value]) -> list[Value]:
        (hidden,) = states
        total = body.host("Add", [entry, _recurrent(body, hidden, self.gates)], "total")
        return [self.gates.activate(body, total, 0, "next")]


@dataclass(frozen=True, slots=True)
class LstmCell:
    """``LSTM``: gates in the order input, output, forget, cell.

    Attributes:
        gates: matrices, activations and the like.
        peepholes: ``(3, H)``, from the cell to input, output and forget gate, or ``None``.
        input_forget: whether what the input gate lets in is forgotten.
    """

    states: ClassVar[tuple[str, ...]] = ("hidden", "cell")

    gates: Gates
    peepholes: np.ndarray | None
    input_forget: bool

    @property
    def input_bias(self) -> np.ndarray | None:
        return self.gates.bias

    def step(self, body: Builder, entry: Value, states: Sequence[Value]) -> list[Value]:
        hidden, cell = states
        total = body.host("Add", [entry, _recurrent(body, hidden, self.gates)], "total")
        names = [f"{name}.total" for name in ("in", "out", "forget", "candidate")]
        inward, outward, forgetful, fresh = self.gates.split(body, total, [1, 1, 1, 1], names)
        opened = self._gate(body, inward, cell, 0, "in")
        if self.input_forget:
            kept = body.host("Sub", [body.constant("one", np.ones(1, dtype=np.float32)), opened], "forget")
        else:
            kept = self._gate(body, forgetful, cell, 2, "forget")
        candidate = self.gates.activate(body, fresh, 1, "candidate")
        parts = [body.host("Mul", [kept, cell], "kept"), body.host("Mul", [opened, candidate], "added")]
        after = body.host("Add", parts, "next.cell")
        shown = self._gate(body, outward, after, 1, "out")
        return [body.host("Mul", [shown, self.gates.activations[2].write(body, after, "shown")], "next"), after]

    def _gate(self, body: Builder, total: Value, cell: Value, which: int, suffix: str) -> Value:
        if self.peepholes is not None:
            weight = body.constant("peephole", self.peepholes[which].astype(np.float32))
            seen = body.host("Mul", [cell, weight], f"{suffix}.seen")
            total = body.host("Add", [total, seen], f"{suffix}.sum")
        return self.gates.activate(body, total, 0, suffix)


@dataclass(frozen=True, slots=True)
class GruCell:
    """``GRU``: gates in the order update, reset, hidden.

    Attributes:
        gates: matrices, activations and the like.
        linear_before_reset: whether the reset gate acts on what the hidden gate's product makes; otherwise on what it
            reads, so that it is a product of its own.
    """

    states: ClassVar[tuple[str, ...]] = ("hidden",)

    gates: Gates
    linear_before_reset: bool

    @property
    def input_bias(self) -> np.ndarray | None:
        gates, inner = self.gates, self._inner_bias
        if inner is None or gates.input_bias is None or gates.recurrent_bias is None:
            return gates.bias
        total: np.ndarray = gates.input_bias + (gates.recurrent_bias - inner)
        return total

    def step(self, body: Builder, entry: Value, states: Sequence[Value]) -> list[Value]:
        (hidden,) = states
        gates, size = self.gates, self.gates.size
        entry_gates, entry_hidden = gates.split(body, entry, [2, 1], ["entry.gates", "entry.hidden"])
        if self.linear_before_reset:
            product = _recurrent(body, hidden, gates, bias=self._inner_bias)
            ours, linear = gates.split(body, product, [2, 1], ["recurrent.gates", "recurrent.hidden"])
        else:
            ours = body.product(hidden, gates.recurrent_weight[None, :, : 2 * size], suffix="recurrent")
        opened = gates.activate(body, body.host("Add", [entry_gates, ours], "gates.total"), 0, "gates")
        update, reset = gates.split(body, opened, [1, 1], ["update", "reset"])
        if self.linear_before_reset:
            seen = body.host("Mul", [reset, linear], "seen")
        else:
            kept = body.host("Mul", [reset, hidden], "kept")
            seen = body.product(kept, gates.recurrent_weight[None, :, 2 * size :], suffix="candidate")
        total = body.host("Add", [entry_hidden, seen], "candidate.total")
        candidate = gates.activate(body, total, 1, "candidate.output")
        distance = body.host("Sub", [hidden, candidate], "distance")
        return [body.host("Add", [candidate, body.host("Mul", [update, distance], "way")], "next")]

    @property
    def _inner_bias(self) -> np.ndarray | None:
        """What belongs to the recurrent product: the hidden gate's bias, where the reset gate acts on it."""
        bias = self.gates.recurrent_bias
        if bias is None or not self.linear_before_reset:
            return None
        return np.where(np.arange(bias.size) < 2 * self.gates.size, bias.dtype.type(0), bias)


def _recurrent(body: Builder, hidden: Value, gates: Gates, *, bias: np.ndarray | None = None) -> Value:
    return body.product(hidden, gates.recurrent_weight[None], bias=bias, suffix="recurrent")
