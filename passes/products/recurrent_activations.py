"""Activation functions of recurrent operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.rule import Refusal, bad

#: Which of ``alpha`` and ``beta`` a function takes, and what they are by default; ``None``: ONNX names no default, or
#: another one than onnxruntime.
_PARAMETERS: Final[dict[str, tuple[float | None, ...]]] = {
    "Affine": (None, None),
    "Elu": (1.0,),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01,),
    "Relu": (),
    "ScaledTanh": (None, None),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": (None,),
}
_NAMES: Final = {name.lower(): name for name in _PARAMETERS}


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of one number: its name in ONNX, its ``alpha`` and ``beta`` as far as it has them."""

    name: str
    parameters: tuple[float, ...] = ()

    def write(self, builder: Builder, value: Value, suffix: str) -> Value:
        """Add the host operators that apply the function."""
        match self.name:
            case "Affine":
                scale, shift = (_number(builder, number) for number in self.parameters)
                scaled = builder.host("Mul", [value, scale], f"{suffix}.scaled")
                return builder.host("Add", [scaled, shift], suffix)
            case "ScaledTanh":
                outer, inner = (_number(builder, number) for number in self.parameters)
                scaled = builder.host("Mul", [value, inner], f"{suffix}.scaled")
                bounded = builder.host("Tanh", [scaled], f"{suffix}.bounded")
                return builder.host("Mul", [bounded, outer], suffix)
        attributes: dict[str, Any] = dict(zip(("alpha", "beta"), self.parameters, strict=False))
        return builder.host(self.name, [value], suffix, **attributes)


def activations(operator: HostOp, default: Sequence[str], *, directions: int) -> list[tuple[Activation, ...]] | Refusal:
    """The functions of each direction.

    ``alpha`` and ``beta`` are consumed in order, each by the functions that take it, as onnxruntime does. Refused where
    one is lacking and has no default, or not the same in ONNX and in onnxruntime.

    Raises:
        ModelError: an unknown function, or a number of functions that does not fit.
    """
    given = [entry.decode() for entry in operator.attribute("activations") or []]
    if operator.kind == "RNN" and directions == 1 and len(given) == 2:
        given.pop()  # ONNX lists two by default
    names = given or list(default) * directions
    if len(names) != len(default) * directions:
        raise bad(operator, f"{len(names)} activations are given, expected {len(default) * directions}")
    lists = [
        [float(number) for number in operator.attribute(name) or []] for name in ("activation_alpha", "activation_beta")
    ]
    functions = []
    for given_name in names:
        name = _NAMES.get(given_name.lower())
        if name is None:
            raise bad(operator, f"{given_name!r} is no activation of ONNX; those are {', '.join(_PARAMETERS)}")
        parameters = []
        for numbers, default_number in zip(lists, _PARAMETERS[name], strict=False):
            number = numbers.pop(0) if numbers else default_number
            if number is None:
                return Refusal(f"its activation {name} lacks a parameter")
            parameters.append(number)
        functions.append(Activation(name, tuple(parameters)))
    return [tuple(functions[start : start + len(default)]) for start in range(0, len(functions), len(default))]


def _number(builder: Builder, number: float) -> Value:
    return builder.constant("parameter", np.array(number, dtype=np.float32))
