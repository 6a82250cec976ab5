"""Writes what an operator becomes: products with static matrices, and host operators around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xbarc.errors import InternalError, ModelError
from xbarc.ir import types
from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import Control, Decision, HostOp, MatVec
from xbarc.ir.types import Dim, TensorType, ValueType
from xbarc.ir.windows import Windows

_SMALL = 4096  # elements of a constant that shape inference may look at


class Builder:
    """Adds operators to a graph in the place of one of its operators.

    What it adds is called as the operator is, with a suffix; the one product of an operator that has just one is called
    exactly as the operator.

    Args:
        graph: where to add.
        operator: that is replaced.
        reason: why its products are on tiles.
        name: what the names of all that is added begin with; that of the operator by default.
        source: operator type that products show; that of the operator by default.
    """

    def __init__(
        self, graph: Graph, operator: HostOp, reason: str, *, name: str | None = None, source: str | None = None
    ) -> None:
        self.graph = graph
        self.operator = operator
        self.name = name or operator.name
        self._reason = reason
        self._source = source or operator.kind

    def part(self, suffix: str) -> Builder:
        """A builder for the same graph whose names all begin with ``NAME.SUFFIX``."""
        return Builder(self.graph, self.operator, self._reason, name=f"{self.name}.{suffix}", source=self._source)

    def within(self, plain: HostOp) -> Builder:
        """A builder for a plain operator that the operator holds: products show the type of the operator itself."""
        return Builder(self.graph, plain, self._reason, name=self.name, source=self._source)

    def operand(self, index: int) -> Value:
        """An operand of the operator that must be there."""
        value = self.operator.operands[index]
        if value is None:
            raise InternalError(f"{self.operator.name!r} lacks its operand {index}")
        return value

    def constant(self, suffix: str, array: np.ndarray) -> Value:
        """A value that is known."""
        elem = helper.np_dtype_to_tensor_dtype(array.dtype)
        return Value(f"{self.name}.{suffix}", TensorType(elem, array.shape), array)

    def ints(self, suffix: str, numbers: Sequence[int] | int) -> Value:
        """A vector of int64, or a number without axes."""
        return self.constant(suffix, np.array(numbers, dtype=np.int64))

    def host(
        self, op_type: str, operands: Sequence[Value | None], suffix: str, *, domain: str = "", **attributes: Any
    ) -> Value:
        """A host operator with one result, whose type is inferred."""
        return self.hosts(op_type, operands, [suffix], domain=domain, **attributes)[0]

    def hosts(
        self,
        op_type: str,
        operands: Sequence[Value | None],
        suffixes: Sequence[str],
        *,
        domain: str = "",
        result_types: Sequence[ValueType | None] | None = None,
        **attributes: Any,
    ) -> list[Value]:
        """A host operator with several results, called ``NAME.SUFFIX``; the operator is called as its first result.

        Args:
            op_type, domain, attributes: of the node.
            operands: ``None`` for optional ones that are left out.
            suffixes: one a result.
            result_types: where ONNX cannot infer them, as for operators of other domains.
        """
        name = f"{self.name}.{suffixes[0]}"
        node = helper.make_node(op_type, [], [], name=name, domain=domain, **attributes)
        found = result_types or self._inferred(node, operands, len(suffixes))
        results = [Value(f"{self.name}.{suffix}", kind) for suffix, kind in zip(suffixes, found, strict=True)]
        decision = Decision(False, f"made by the compiler for {self.operator.name!r}")
        self.graph.add(HostOp(name=name, operands=list(operands), results=results, node=node, decision=decision))
        return results

    def product(
        self,
        operand: Value,
        weight: np.ndarray,
        *,
        bias: np.ndarray | None = None,
        windows: Windows | None = None,
        suffix: str = "",
        source: str | None = None,
    ) -> Value:
        """A product with a static matrix, in the floating-point type of its operand.

        Args:
            operand: ``(..., G * K)``, or ``(images, G * channels, *spatial)`` where ``windows`` has a rank.
            weight: ``(G, K, N)`` float32 or float64.
            bias: ``(G * N,)``, or ``None``.
            windows: geometry; a plain product over the last axis by default.
            suffix: of the layer's name; needed where the operator has several products.
            source: operator type to show; that of the operator by default.

        Raises:
            ModelError: weights or a bias that are not finite, or not one number a column in the bias.
        """
        self._check(weight, bias)
        name = f"{self.name}.{suffix}" if suffix else self.name
        windows = windows or Windows()
        elem = operand.type.elem if isinstance(operand.type, TensorType) else TensorProto.FLOAT
        before = f"{suffix}.input" if suffix else "input"
        value = operand if elem == TensorProto.FLOAT else self.host("Cast", [operand], before, to=TensorProto.FLOAT)
        result = Value(f"{name}.result", types.float32(_result_shape(value, weight, windows)))
        self.graph.add(
            MatVec(
                name=name,
                operands=[value],
                results=[result],
                source=source or self._source,
                origin=self.operator.name,
                matrix=name,
                weight=weight,
                bias=bias,
                windows=windows,
                reason=self._reason,
            )
        )
        if elem == TensorProto.FLOAT:
            return result
        return self.host("Cast", [result], f"{suffix}.output" if suffix else "output", to=elem)

    def body(self) -> Builder:
        """A builder for the body of a loop that :meth:`scan` adds."""
        graph = Graph(name=f"{self.name}.body", opsets=dict(self.graph.opsets), stage=self.graph.stage)
        return Builder(graph, self.operator, self._reason, name=self.name)

    def input(self, suffix: str, kind: ValueType | None) -> Value:
        """An input of the graph that is built: of a body."""
        value = Value(f"{self.name}.{suffix}", kind)
        self.graph.inputs.append(value)
        return value

    def scan(
        self,
        suffix: str,
        body: Builder,
        *,
        states: Sequence[Value],
        sequences: Sequence[Value],
        captured: Sequence[Value] = (),
        results: Sequence[Value],
        reverse: bool = False,
        result_suffixes: Sequence[str],
        result_types: Sequence[ValueType | None],
    ) -> list[Value]:
        """A ``Scan`` over axis 0 of some sequences.

        Args:
            suffix: the loop is called ``NAME.SUFFIX``.
            body: its inputs are the states, one entry of each sequence, and the captured values, in this order.
            states: initial values.
            sequences: stepped through along axis 0.
            captured: outer values that each step reads whole; constants need not be captured.
            results: of the body: new states, then entries of the sequences that are made.
            reverse: from the last entry to the first; what is made is put in the order of the sequences.
            result_suffixes, result_types: final states, then the sequences that were made.
        """
        body.graph.outputs = list(results)
        body.graph.output_names = [f"{self.name}.{suffix}.{number}" for number in range(len(results))]
        made = len(results) - len(states)
        name = f"{self.name}.{suffix}"
        node = helper.make_node(
            "Scan",
            [],
            [],
            name=name,
            num_scan_inputs=len(sequences),
            scan_input_directions=[int(reverse)] * len(sequences),
            scan_output_directions=[int(reverse)] * made or None,
        )
        values = [Value(f"{self.name}.{part}", kind) for part, kind in zip(result_suffixes, result_types, strict=True)]
        self.graph.add(
            Control(
                name=name,
                operands=[*states, *sequences, *captured],
                results=values,
                node=node,
                bodies={"body": body.graph},
                captured=len(captured),
            )
        )
        return values

    def _inferred(self, node: onnx.NodeProto, operands: Sequence[Value | None], count: int) -> list[ValueType | None]:
        """The types of a node's results as ONNX infers them; nothing where it cannot."""
        probe = onnx.NodeProto()
        probe.CopyFrom(node)
        probe.input.extend("" if value is None else f"i{index}" for index, value in enumerate(operands))
        probe.output.extend(f"o{index}" for index in range(count))
        given, data = {}, {}
        for index, value in enumerate(operands):
            if value is not None and value.type is not None:
                given[f"i{index}"] = types.to_proto(value.type)
                if value.constant is not None and value.constant.size <= _SMALL:
                    data[f"i{index}"] = numpy_helper.from_array(value.constant, f"i{index}")
        try:
            schema = onnx.defs.get_schema(node.op_type, self.graph.opsets[""], node.domain)
            found = onnx.shape_inference.infer_node_outputs(schema, probe, given, data)
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, RuntimeError, KeyError, ValueError):
            return [None] * count
        protos = [found.get(f"o{index}") for index in range(count)]
        return [None if proto is None else types.from_proto(proto) for proto in protos]

    def _check(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        columns = weight.shape[0] * weight.shape[2]
        if bias is not None and bias.shape != (columns,):
            raise ModelError(
                f"its bias has shape {list(bias.shape)}, expected {[columns]}",
                where=f"node {self.operator.name!r} ({self.operator.kind})",
                fix="export the model again",
            )
        for what, array in (("weights", weight), ("bias", bias)):
            if array is not None and not _is_finite(array):
                wrong = array[~np.isfinite(array)]
                raise ModelError(
                    f"{wrong.size} of the {array.size} {what} are not finite (the first is {wrong[0]})",
                    where=f"node {self.operator.name!r} ({self.operator.kind})",
                    fix="export the model again from finite parameters; training that diverged leaves NaN behind",
                )


def _is_finite(array: np.ndarray) -> bool:
    """Whether all numbers are finite: what is not shows in the least and the largest, without a mark for each."""
    return array.size == 0 or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _result_shape(value: Value, weight: np.ndarray, windows: Windows) -> tuple[Dim, ...] | None:
    if value.shape is None:
        return None
    columns = weight.shape[0] * weight.shape[2]
    if windows.rank == 0:
        return (*value.shape[:-1], columns)
    spatial = value.shape[2:]
    sizes = [size for size in spatial if isinstance(size, int)]
    if len(sizes) == len(spatial):
        return (value.shape[0], columns, *windows.output_sizes(sizes))
    return (value.shape[0], columns, *(None for _ in spatial))
