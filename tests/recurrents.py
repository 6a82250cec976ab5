"""Recurrent networks that hypothesis draws: one ``LSTM``, ``GRU`` or ``RNN`` in all its forms."""

from __future__ import annotations

import dataclasses
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
        """The network in a floating-point type, the operator in one of its two layouts.

        Lengths are fed as numbers of that type.
        """
        given = {**self.feeds, **self.fixed}
        sources = {name: name for name in given}
        nodes = []
        if not layout:
            sources |= {name: f"{name}.first" for name in given if name != "lengths"}
            nodes += [node("Transpose", [name], sources[name], perm=[1, 0, 2]) for name in given if name != "lengths"]
        if "lengths" in given:
            sources["lengths"] = "lengths.whole"
            nodes.append(node("Cast", ["lengths"], "lengths.whole", to=onnx.TensorProto.INT32))
        sources |= {name: name for name in self.weights}
        operands = [sources.get(name, "") for name in ("x", "W", "R", "B", "lengths", "h", "c", "P")]
        operands = operands[: 8 if self.kind == "LSTM" else 6]
        while not operands[-1]:
            operands.pop()
        results = {name: name if layout else f"{name}.first" for name in self.outputs}
        made = [results.get(name, "") for name in ("Y", "Y_h", "Y_c")[: 3 if self.kind == "LSTM" else 2]]
        attributes = {"hidden_size": self.size, **self.attributes, **({"layout": 1} if layout else {})}
        nodes.append(onnx.helper.make_node(self.kind, operands, made, name="r", **attributes))
        if not layout:
            perms = {"Y": [2, 0, 1, 3], "Y_h": [1, 0, 2], "Y_c": [1, 0, 2]}
            nodes += [node("Transpose", [result], name, perm=perms[name]) for name, result in results.items()]
        batch, count = self.declared
        state = [batch, self.directions, self.size]
        shapes = {"x": [batch, count, self.inputs], "lengths": [batch], "h": state, "c": state}
        model = network(
            nodes,
            {name: shapes[name] for name in self.feeds},
            {name: array.astype(dtype) for name, array in {**self.weights, **self.fixed}.items()},
            outputs=self.outputs,
            dtype=dtype,
            opset=max(self.opset, 14) if layout else self.opset,
        )
        return Case(model, {name: array.astype(dtype) for name, array in self.feeds.items()})

    def __repr__(self) -> str:
        return repr(self.case())


@st.composite
def recurrents(draw: Draw, kind: str | None = None, *, smooth: bool = False, free: bool = False) -> Recurrent:
    """A recurrent operator with any attributes, optional operands and outputs.

    Args:
        draw: of hypothesis.
        kind: any by default.
        smooth: whether activations are those by default.
        free: whether any number of samples and steps will do.
    """
    kind = kind or draw(st.sampled_from(sorted(GATES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples, steps, inputs, size = (draw(st.integers(1, top)) for top in (4, 6, 9, 6))
    attributes: dict[str, Any] = {"direction": draw(st.sampled_from(DIRECTIONS))}
    directions = 2 if attributes["direction"] == "bidirectional" else 1
    if not smooth and draw(st.booleans()):
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
        places[name] = draw(st.sampled_from(["feeds", "absent"] if free else ["feeds", "absent", "fixed"]))
    whole = "fixed" in places.values()  # a constant for each sample fixes their number
    parts = [
        {name: given[name].astype(np.float32) for name, at in places.items() if at == part}
        for part in ("feeds", "fixed")
    ]
    batches = st.sampled_from(["N", samples])
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
        declared=("N", "T") if free else (samples if whole else draw(batches), draw(st.sampled_from(["T", steps]))),
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


def quantized(recurrent: Recurrent, *, signed: bool, by_column: bool, seed: int) -> tuple[Case, Case]:
    """An ``LSTM`` with bytes for matrices, as onnxruntime's operator, and the same with the numbers that they mean.

    Args:
        recurrent: the operator; its own matrices give the shapes.
        signed: whether bytes have a sign.
        by_column: whether each column has a scale of its own; otherwise each direction.
        seed: of bytes and scales.
    """
    rng = np.random.default_rng(seed)
    dtype, zero, low = (np.int8, 0, -127) if signed else (np.uint8, 128, 1)
    scale_shape = (recurrent.directions, 4 * recurrent.size)[: 1 + by_column]
    constants, meant = {}, {}
    for name in ("W", "R"):
        directions, columns, inputs = recurrent.weights[name].shape
        codes = rng.integers(low, low + 255, (directions, inputs, columns)).astype(dtype)
        scale = rng.uniform(0.001, 0.004, scale_shape).astype(np.float32)
        constants |= {name: codes, f"{name}.scale": scale, f"{name}.zero": np.full(scale_shape, zero, dtype)}
        factors = scale.reshape(directions, 1, -1)
        meant[name] = ((codes.astype(np.float32) - zero) * factors).transpose(0, 2, 1)
    plain = dataclasses.replace(recurrent, weights={**recurrent.weights, **meant}).case()
    model = onnx.ModelProto()
    model.CopyFrom(plain.model)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    (operator,) = (step for step in model.graph.node if step.name == "r")
    operator.op_type, operator.domain = "DynamicQuantizeLSTM", "com.microsoft"
    operator.input.extend([""] * (8 - len(operator.input)))
    operator.input.extend(["W.scale", "W.zero", "R.scale", "R.zero"])
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in constants]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    return Case(model, plain.feeds), plain
