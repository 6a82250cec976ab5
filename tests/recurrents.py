"""Recurrent networks that hypothesis draws: one ``LSTM``, ``GRU`` or ``RNN`` in all its forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, network, node

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
DIRECTIONS = ("forward", "reverse", "bidirectional")

#: Activations with how many parameters they take.
ACTIVATIONS = {
    "Affine": 2,
    "Elu": 1,
    "HardSigmoid": 2,
    "LeakyRelu": 1,
    "Relu": 0,
    "ScaledTanh": 2,
    "Sigmoid": 0,
    "Softplus": 0,
    "Softsign": 0,
    "Tanh": 0,
    "ThresholdedRelu": 1,
}


@dataclass(frozen=True)
class Recurrent:
    """One recurrent operator ``r`` between transpositions, so that samples lie along axis 0 of what goes in and out.

    Attributes:
        kind: ``LSTM``, ``GRU`` or ``RNN``.
        samples, steps, inputs, size: ``B``, ``T``, ``I`` and ``H``.
        attributes: of the node, but for ``hidden_size``.
        weights: by the operand's name: ``W``, ``R``, ``B``, ``P``.
        feeds: ``x`` ``(B, T, I)``, and as far as they are given at run time ``lengths`` ``(B,)``, ``h`` and ``c``
            ``(B, D, H)``.
        fixed: the same for those that are constants.
        outputs: which of ``Y``, ``Y_h`` and ``Y_c`` are there.
        declared: names or sizes of the axes ``B`` and ``T``.
        opset: of the model.
    """

    kind: str
    samples: int
    steps: int
    inputs: int
    size: int
    attributes: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    feeds: dict[str, np.ndarray] = field(default_factory=dict)
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("Y", "Y_h")
    declared: tuple[int | str, int | str] = ("N", "T")
    opset: int = 17

    @property
    def directions(self) -> int:
        """One, or two where it is bidirectional."""
        return 2 if self.attributes.get("direction") == "bidirectional" else 1

    @property
    def layers(self) -> list[str]:
        """What its layers are called."""
        own = ["input", "recurrent"]
        if self.kind == "GRU" and not self.attributes.get("linear_before_reset"):
            own.append("candidate")
        return [f"r.{half}{name}" for half in ("", "reverse.")[: self.directions] for name in own]

    def case(self, dtype: type = np.float32, *, layout: int = 0) -> Case:
        """The network in a floating-point type. Lengths are fed as numbers of that type."""
        states = {name: array for name, array in {**self.feeds, **self.fixed}.items() if name in ("h", "c")}
        lengths = "lengths" in self.feeds or "lengths" in self.fixed
        nodes, constants = [], {name: array.astype(dtype) for name, array in self.weights.items()}
        steps = "x"
        if not layout:
            steps = "steps"
            nodes.append(node("Transpose", ["x"], "steps", perm=[1, 0, 2]))
        if lengths:
            nodes.append(node("Cast", ["lengths"], "whole", to=onnx.TensorProto.INT32))
        if not layout:
            nodes += [node("Transpose", [name], f"{name}.first", perm=[1, 0, 2]) for name in states]
        first = {name: name if layout else f"{name}.first" for name in states}
        operands = [steps, "W", "R", "B", "whole" if lengths else "", first.get("h", ""), first.get("c", ""), "P"]
        operands = [name if name not in ("B", "P") or name in self.weights else "" for name in operands]
        operands = operands[: {"LSTM": 8}.get(self.kind, 6)]
        names = ("Y", "Y_h", "Y_c")[: 3 if self.kind == "LSTM" else 2]
        made = [name if name in self.outputs else "" for name in names]
        while not operands[-1]:
            operands.pop()
        attributes = {"hidden_size": self.size, **self.attributes, **({"layout": 1} if layout else {})}
        nodes.append(onnx.helper.make_node(self.kind, operands, made, name="r", **attributes))
        perms = {"Y": [1, 2, 0, 3] if layout else [2, 0, 1, 3], "Y_h": [1, 0, 2], "Y_c": [1, 0, 2]}
        perms = {"Y": [0, 1, 2, 3], "Y_h": [0, 1, 2], "Y_c": [0, 1, 2]} if layout else perms
        nodes += [node("Transpose", [name], f"{name}.out", perm=perms[name]) for name in self.outputs]
        batch, count = self.declared
        shapes: dict[str, list[int | str]] = {
            "x": [batch, count, self.inputs],
            "lengths": [batch],
            "h": [batch, self.directions, self.size],
            "c": [batch, self.directions, self.size],
        }
        constants |= {name: array.astype(dtype) for name, array in self.fixed.items()}
        model = network(
            nodes,
            {name: shapes[name] for name in self.feeds},
            constants,
            outputs=[f"{name}.out" for name in self.outputs],
            dtype=dtype,
            opset=self.opset,
        )
        return Case(model, {name: array.astype(dtype) for name, array in self.feeds.items()})

    def __repr__(self) -> str:
        return repr(self.case())


@st.composite
def recurrents(draw: Draw, kind: str | None = None) -> Recurrent:
    """A recurrent operator with any attributes, optional operands and outputs."""
    kind = kind or draw(st.sampled_from(sorted(GATES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples, steps, inputs, size = (draw(st.integers(1, top)) for top in (4, 6, 9, 6))
    attributes: dict[str, Any] = {"direction": draw(st.sampled_from(DIRECTIONS))}
    directions = 2 if attributes["direction"] == "bidirectional" else 1
    if draw(st.booleans()):
        attributes |= draw(activation_lists(FUNCTIONS[kind] * directions))
    if draw(st.booleans()):
        attributes["clip"] = draw(st.sampled_from([0.3, 1.0, 5.0]))
    flag = {"LSTM": "input_forget", "GRU": "linear_before_reset"}.get(kind)
    if flag and draw(st.booleans()):
        attributes[flag] = draw(st.integers(0, 1))
    columns = GATES[kind] * size
    shapes = {"W": (directions, columns, inputs), "R": (directions, columns, size)}
    if draw(st.booleans()):
        shapes["B"] = (directions, 2 * columns)
    if kind == "LSTM" and draw(st.booleans()):
        shapes["P"] = (directions, 3 * size)
    reach = draw(st.sampled_from([0.3, 0.6]))
    weights = {name: rng.uniform(-reach, reach, shape).astype(np.float32) for name, shape in shapes.items()}
    given = {"x": rng.normal(size=(samples, steps, inputs)), "lengths": rng.integers(0, steps + 1, samples)}
    given |= {name: rng.normal(size=(samples, directions, size)) for name in ("h", "c")}
    places = {"x": "feeds"}
    for name in ("lengths", "h", *(["c"] if kind == "LSTM" else [])):
        places[name] = draw(st.sampled_from(["feeds", "fixed", "absent"]))
    whole = "fixed" in places.values()  # a constant for each sample fixes their number
    parts = [
        {name: given[name].astype(np.float32) for name, at in places.items() if at == part}
        for part in ("feeds", "fixed")
    ]
    made = ["Y", "Y_h", *(["Y_c"] if kind == "LSTM" else [])]
    return Recurrent(
        kind,
        samples,
        steps,
        inputs,
        size,
        attributes=attributes,
        weights=weights,
        feeds=parts[0],
        fixed=parts[1],
        outputs=tuple(draw(st.lists(st.sampled_from(made), min_size=1, unique=True).map(sorted))),
        declared=(
            samples if whole else draw(st.sampled_from(["N", samples])),
            draw(st.sampled_from(["T", steps])),
        ),
        opset=draw(st.sampled_from((*OPSETS, 22))),
    )


@st.composite
def activation_lists(draw: Draw, count: int) -> dict[str, Any]:
    """Activations for all functions of all directions, with their parameters in ONNX's two lists."""
    names = [draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in range(count)]
    takers = [[name for name in names if ACTIVATIONS[name] > place] for place in range(2)]
    numbers = st.sampled_from([0.1, 0.5, 0.75])
    lists = [[draw(numbers) for _ in taking] for taking in takers]
    found: dict[str, Any] = {"activations": names}
    return found | {
        name: values for name, values in zip(("activation_alpha", "activation_beta"), lists, strict=True) if values
    }
