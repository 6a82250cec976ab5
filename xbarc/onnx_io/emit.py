"""From the IR back to plain ONNX: host operators as they came, matrix products in floating point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xbarc.errors import InternalError
from xbarc.ir import types
from xbarc.ir.graph import Operator, Value
from xbarc.ir.naming import FreshNames, captured_values, inner_names
from xbarc.ir.operators import HostOp, MatVec
from xbarc.ir.types import OtherType, TensorType

#: Model-local functions came with this version of the format.
IR_VERSION = 8

Names = Mapping[Value, str]


class Emitter:
    """Collects the nodes and initializers of one model.

    Args:
        names: of the values.
        operators: that will be emitted; names that their subgraphs know are left to them.
        reserved: further names that are taken.
    """

    def __init__(self, names: Names, operators: Iterable[Operator], *, reserved: Iterable[str] = ()) -> None:
        taken = {*names.values(), *reserved}
        for operator in operators:
            if isinstance(operator, HostOp):
                taken.update(operator.captures, inner_names(operator.node))
        self._names = names
        self._fresh = FreshNames(taken)
        self._aliases: set[str] = set()
        self._constants: set[Value] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def name(self, value: Value | None) -> str:
        """The name of an operand; constants are added to the initializers when they are first named."""
        if value is None:
            return ""
        name = self._names[value]
        if value.constant is not None and value not in self._constants:
            self._constants.add(value)
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value.constant)
            tensor.name, tensor.doc_string = name, ""
            self.initializers.append(tensor)
        return name

    def fresh(self, hint: str) -> str:
        """A name that nothing in the model has."""
        return self._fresh(hint)

    def tensor(self, hint: str, array: np.ndarray) -> str:
        """Add an initializer; return its name."""
        name = self.fresh(hint)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node."""
        self.nodes.append(helper.make_node(op_type, list(inputs), list(outputs), **attributes))

    def operator(self, operator: Operator) -> None:
        """Add a host operator, or a matrix product in floating point."""
        if isinstance(operator, HostOp):
            self._host(operator)
        elif isinstance(operator, MatVec):
            self._matvec(operator)
        else:
            raise InternalError(f"{operator.mnemonic} {operator.name!r} is no ONNX operator")

    def _host(self, operator: HostOp) -> None:
        for inner_name, value in captured_values(operator):
            name = self.name(value)
            if name != inner_name and inner_name not in self._aliases:
                self._aliases.add(inner_name)
                self.node("Identity", [name], [inner_name])
        explicit = operator.operands[: len(operator.operands) - len(operator.captures)]
        node = onnx.NodeProto()
        node.CopyFrom(operator.node)
        node.input.extend(self.name(value) for value in explicit)
        node.output.extend(self._names[value] if value.hint else "" for value in operator.results)
        self.nodes.append(node)

    def _matvec(self, product: MatVec) -> None:
        source, result = self.name(product.operand), self._names[product.result]
        groups, rows, columns = product.weight.shape
        windows = product.windows
        if windows.rank == 0:
            weight = self.tensor(f"{result}.weight", product.weight[0].astype(np.float32))
            if product.bias is None:
                self.node("MatMul", [source, weight], [result], name=product.name)
                return
            bias = self.tensor(f"{result}.bias", product.bias.astype(np.float32))
            unbiased = self.fresh(f"{result}.product")
            self.node("MatMul", [source, weight], [unbiased], name=product.name)
            self.node("Add", [unbiased, bias], [result], name=f"{product.name}.bias")
            return
        kernel = product.weight.transpose(0, 2, 1).reshape(
            groups * columns, rows // windows.kernel_size, *windows.kernel
        )
        inputs = [source, self.tensor(f"{result}.weight", kernel.astype(np.float32))]
        if product.bias is not None:
            inputs.append(self.tensor(f"{result}.bias", product.bias.astype(np.float32)))
        pads: dict[str, Any] = (
            {"pads": windows.pads} if windows.auto_pad == "NOTSET" else {"auto_pad": windows.auto_pad}
        )
        self.node(
            "Conv",
            inputs,
            [result],
            name=product.name,
            group=groups,
            kernel_shape=windows.kernel,
            strides=windows.strides,
            dilations=windows.dilations,
            **pads,
        )


def region_model(
    operators: Iterable[Operator],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    names: Names,
    opsets: Mapping[str, int],
) -> onnx.ModelProto:
    """A model of some operators of a graph. Outputs that nothing in it makes (inputs, constants) are copied."""
    steps = list(operators)
    emitter = Emitter(names, steps)
    for operator in steps:
        emitter.operator(operator)
    results = []
    for value in outputs:
        name = emitter.name(value)
        if value.producer is None:
            copied = emitter.fresh(f"{name}.copy")
            emitter.node("Identity", [name], [copied])
            name = copied
        results.append(value_info(name, value))
    graph = helper.make_graph(
        emitter.nodes, "region", [value_info(names[value], value) for value in inputs], results, emitter.initializers
    )
    return make_model(graph, opsets)


def make_model(
    graph: onnx.GraphProto, opsets: Mapping[str, int], functions: Sequence[onnx.FunctionProto] = ()
) -> onnx.ModelProto:
    """A model of the given graph in the oldest format version that holds it."""
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    ir_version = max(IR_VERSION, helper.find_min_ir_version_for(imports, ignore_unknown=True))
    return helper.make_model(
        graph, opset_imports=imports, functions=list(functions), producer_name="xbarc", ir_version=ir_version
    )


def value_info(name: str, value: Value) -> onnx.ValueInfoProto:
    """The declaration of a value; untyped where nothing is known."""
    if value.type is None:
        return onnx.ValueInfoProto(name=name)
    if isinstance(value.type, TensorType | OtherType):
        return helper.make_value_info(name, types.to_proto(value.type))
    raise InternalError(f"value {name!r} has a type that ONNX lacks")
