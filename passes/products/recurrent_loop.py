"""What a recurrent operator becomes: for each direction a product of the whole sequence, then a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from onnx import TensorProto

from xbarc.ir.graph import Value
from xbarc.ir.types import Dim, TensorType, float32
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.recurrent_cells import Cell
from xbarc.passes.products.rule import present

# Operands of the operator.
_LENGTHS: Final = 4
_FIRST_STATE: Final = 5


class Recurrence:
    """Writes the products and loops of one operator, in float32 whatever the operator's type.

    ``T``: steps, ``B``: samples, ``H``: size of the state. A sample whose sequence has ended keeps its state; backward,
    it has the initial one until its sequence begins. Samples without any step end with zeros, as in onnxruntime.

    Args:
        builder: in the place of the operator.
        cells: one a direction.
        backward: whether each direction runs from the last step to the first.
    """

    def __init__(self, builder: Builder, cells: Sequence[Cell], backward: Sequence[bool]) -> None:
        self._builder = builder
        self._operator = builder.operator
        self._cells = cells
        self._backward = backward
        self._samples_first = bool(self._operator.attribute("layout", 0))
        self._size = cells[0].gates.size
        given = builder.operand(0)
        self._elem = given.type.elem if isinstance(given.type, TensorType) else int(TensorProto.FLOAT)
        source = self._float(builder, given, "x")
        if self._samples_first:
            source = builder.host("Transpose", [source], "steps", perm=[1, 0, 2])
        self._source = source
        dims: tuple[Dim, ...] = source.shape or (None, None)
        self._steps, self._samples = dims[:2]
        self._zero = builder.constant("zero", np.zeros(1, dtype=np.float32))
        self._lengths = self._sample_lengths() if present(self._operator, _LENGTHS) else None
        self._valid = None if self._lengths is None else self._valid_steps(self._lengths)
        self._zeros: Value | None = None

    def write(self) -> list[Value | None]:
        """The values in the place of the operator's results; ``None`` for those that nobody reads."""
        results = self._operator.results
        wanted = [bool(value.users) or self._builder.graph.is_output(value) for value in results]
        runs = [self._direction(place, keep=wanted[0]) for place in range(len(self._cells))]
        made: list[Value | None] = []
        for index, name in enumerate(("outputs", "hidden", "cell")[: len(results)]):
            parts = [part for run in runs if wanted[index] and (part := run[index]) is not None]
            made.append(self._joined(parts, name, sequence=index == 0) if parts else None)
        return made

    def _direction(self, place: int, *, keep: bool) -> list[Value | None]:
        """The outputs of one direction ``(T, B, H)``, ``None`` unless they are kept, and its last states ``(B, H)``."""
        cell = self._cells[place]
        builder = self._builder.part("reverse") if place else self._builder
        product = builder.product(self._source, cell.gates.input_weight[None], bias=cell.input_bias, suffix="input")
        state_type = float32((self._samples, self._size))
        body = builder.body()
        before = [body.input(f"before.{name}", state_type) for name in cell.states]
        entry = body.input("entry", float32((self._samples, *(product.shape or (None,))[-1:])))
        mask = None
        if self._valid is not None:
            mask = body.input("valid.now", TensorType(TensorProto.BOOL, (self._samples, 1)))
        after = cell.step(body, entry, before)
        if mask is not None:
            names = [f"after.{name}" for name in cell.states]
            changes = zip(names, after, before, strict=True)
            after = [body.host("Where", [mask, new, old], name) for name, new, old in changes]
        outputs_type = float32((self._steps, self._samples, self._size))
        made = builder.scan(
            "loop",
            body,
            states=[self._initial(builder, place, index, name) for index, name in enumerate(cell.states)],
            sequences=[product] if self._valid is None else [product, self._valid],
            results=[*after, after[0]] if keep else after,
            reverse=self._backward[place],
            result_suffixes=[*(f"last.{name}" for name in cell.states), *["every.hidden"] * keep],
            result_types=[*[state_type] * len(after), *[outputs_type] * keep],
        )
        if not keep:
            return [None, *made]
        *last, outputs = made
        if self._valid is not None:
            outputs = builder.host("Where", [self._valid, outputs, self._zero], "valid.hidden")
        return [outputs, *last]

    def _joined(self, parts: Sequence[Value], suffix: str, *, sequence: bool) -> Value:
        """Outputs or last states of all directions, laid out as the operator lays them out."""
        builder, axis = self._builder, int(sequence) + int(self._samples_first)
        if sequence and self._samples_first:
            parts = [
                builder.host("Transpose", [part], f"{suffix}.{place}.samples", perm=[1, 0, 2])
                for place, part in enumerate(parts)
            ]
        axes = builder.ints("direction", [axis])
        parts = [builder.host("Unsqueeze", [part, axes], f"{suffix}.{place}") for place, part in enumerate(parts)]
        joined = parts[0] if len(parts) == 1 else builder.host("Concat", parts, suffix, axis=axis)
        if self._elem == TensorProto.FLOAT:
            return joined
        return builder.host("Cast", [joined], f"{suffix}.cast", to=self._elem)

    # States

    def _initial(self, builder: Builder, place: int, index: int, name: str) -> Value:
        """The initial state of a direction, ``(B, H)``."""
        operand = _FIRST_STATE + index
        if not present(self._operator, operand):
            self._zeros = self._zeros or self._zero_state()
            return self._zeros
        value = self._float(builder, builder.operand(operand), f"given.{name}")
        chosen = builder.ints("direction", place)
        state = builder.host("Gather", [value, chosen], f"first.{name}", axis=int(self._samples_first))
        if self._lengths is None:
            return state
        some = builder.host("Greater", [self._lengths, builder.ints("none", 0)], f"some.{name}")
        return builder.host("Where", [some, state, self._zero], f"first.valid.{name}")

    def _zero_state(self) -> Value:
        """Zeros ``(B, H)``: expanded, so that it is seen that all samples have the same."""
        builder = self._builder
        sizes = [self._dim([1], "samples"), builder.ints("size", [self._size])]
        shape = builder.host("Concat", sizes, "state.shape", axis=0)
        zeros = builder.constant("zeros", np.zeros((1, self._size), dtype=np.float32))
        kind = float32((self._samples, self._size))
        return builder.hosts("Expand", [zeros, shape], ["zero.state"], result_types=[kind])[0]

    # Lengths of sequences

    def _sample_lengths(self) -> Value:
        """``(B, 1)`` int64."""
        builder = self._builder
        lengths = builder.host("Cast", [builder.operand(_LENGTHS)], "lengths", to=TensorProto.INT64)
        return builder.host("Unsqueeze", [lengths, builder.ints("last", [1])], "lengths.column")

    def _valid_steps(self, lengths: Value) -> Value:
        """``(T, B, 1)``: whether a step is within the sequence of a sample."""
        builder = self._builder
        limits = [builder.ints("first", 0), self._dim(0, "count"), builder.ints("step", 1)]
        numbers = builder.host("Range", limits, "numbers")
        column = builder.host("Unsqueeze", [numbers, builder.ints("rest", [1, 2])], "numbers.column")
        kind = TensorType(TensorProto.BOOL, (self._steps, self._samples, 1))
        return builder.hosts("Less", [column, lengths], ["valid"], result_types=[kind])[0]

    def _dim(self, axis: int | list[int], suffix: str) -> Value:
        """One size of ``(T, B, inputs)``, as a number or as a vector of one."""
        shape = self._builder.host("Shape", [self._source], f"{suffix}.shape")
        return self._builder.host("Gather", [shape, self._builder.ints("axis", axis)], suffix)

    def _float(self, builder: Builder, value: Value, suffix: str) -> Value:
        return value if self._elem == TensorProto.FLOAT else builder.host("Cast", [value], suffix, to=TensorProto.FLOAT)
