"""From the IR back to plain ONNX: host operators as they came, matrix products in floating point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper

from xbarc.errors import InternalError
from xbarc.ir import types
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.naming import FreshNames, captured_values, inner_names
from xbarc.ir.operators import Control, Dac, HostOp, MatVec
from xbarc.ir.scopes import bodies
from xbarc.ir.types import OtherType, TensorType
from xbarc.onnx_io.outside import LentTensors, inside

#: Model-local functions came with this version of the format.
IR_VERSION = 8

_LARGE: Final = 2**14  # bytes; constants above this size are fed where that is asked for
#: What can be fed. Constants of other types are codes, indices and masks, which many operators want as initializers.
_FED: Final = (np.float32, np.float64, np.float16)

Names = Mapping[Value, str]
Store = Callable[[str, np.ndarray], onnx.TensorProto]


class Emitter:
    """Collects the nodes and initializers of one model.

    Args:
        names: of the values.
        operators: that will be emitted; names that their subgraphs know are left to them.
        reserved: further names that are taken, of inputs and outputs.
        feed: whether large constants become inputs, to be fed with ``feeds``, instead of initializers.
        store: makes the tensor of a constant.
        layer: adds the layer that starts at a ``Dac``, where layers are to be emitted.
    """

    def __init__(
        self,
        names: Names,
        operators: Iterable[Operator],
        *,
        reserved: Iterable[str] = (),
        feed: bool = False,
        store: Store = inside,
        layer: Callable[[Emitter, Dac], None] | None = None,
    ) -> None:
        taken = set(reserved)
        for operator in _all(operators):
            taken.update(names[value] for value in (*operator.operands, *operator.results) if value is not None)
            taken.update(names[value] for body in bodies(operator) for value in body.inputs)
            if isinstance(operator, HostOp):
                taken.update(operator.captures, inner_names(operator.node))
        self._names = names
        self._layer = layer
        self._feed = feed
        self._store = store
        self._fresh = FreshNames(taken)
        self._aliases: set[str] = set()
        self._held: dict[int, str] = {}  # arrays live as long as the graph, so their identity is theirs alone
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.feeds: dict[str, np.ndarray] = {}

    def name(self, value: Value | None) -> str:
        """The name of an operand; constants are added when they are first named, each array once."""
        if value is None:
            return ""
        if value.constant is None:
            return self._names[value]
        held = self._held.get(id(value.constant))
        if held is None:
            held = self._held[id(value.constant)] = self._names[value]
            self._hold(held, value.constant)
        return held

    def fresh(self, hint: str) -> str:
        """A name that nothing in the model has."""
        return self._fresh(hint)

    def tensor(self, hint: str, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        name = self.fresh(hint)
        self._hold(name, array)
        return name

    def shared(self, hint: str, array: np.ndarray) -> str:
        """Add a constant, unless that array was added already; return its name."""
        if id(array) not in self._held:
            self._held[id(array)] = self.tensor(hint, array)
        return self._held[id(array)]

    def _hold(self, name: str, array: np.ndarray) -> None:
        if self._feed and array.dtype in _FED and array.nbytes > _LARGE:
            self.feeds[name] = array
        else:
            self.initializers.append(self._store(name, array))

    def node(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node."""
        self.nodes.append(helper.make_node(op_type, list(inputs), list(outputs), **attributes))

    def operator(self, operator: Operator) -> None:
        """Add a host operator, a matrix product in floating point, or, at its ``Dac``, a layer."""
        if isinstance(operator, HostOp):
            self._host(operator)
        elif isinstance(operator, Control):
            self._control(operator)
        elif isinstance(operator, MatVec):
            self._matvec(operator)
        elif self._layer is None:
            raise InternalError(f"{operator.mnemonic} {operator.name!r} is no ONNX operator")
        elif isinstance(operator, Dac):
            self._layer(self, operator)

    def output(self, value: Value, name: str) -> None:
        """Let a value be known by a name that nothing has yet."""
        self.node("Identity", [self.name(value)], [name])

    def _control(self, operator: Control) -> None:
        node = self._call(operator.node, operator.explicit, operator.results)
        for key, body in operator.bodies.items():
            node.attribute.append(helper.make_attribute(key, self._body(operator, body)))
        self.nodes.append(node)

    def _body(self, operator: Control, body: Graph) -> onnx.GraphProto:
        """A body as ONNX has it: captured values are read by their outer names, constants are the outer model's."""
        outer, aliases = self.nodes, set(self._aliases)
        self.nodes = []
        order = body.operators()
        for inner in order:
            self.operator(inner)
        results, made = [], set()
        for value in body.outputs:
            name = self.name(value)
            if value.producer is None or name in made:
                name = self.fresh(f"{name}.copy")
                self.output(value, name)
            made.add(name)
            results.append(value_info(name, value))
        own = body.inputs[: len(body.inputs) - operator.captured]
        inside = [value for inner in order for value in inner.results if value.type is not None and value.hint]
        graph = helper.make_graph(
            self.nodes,
            body.name or "body",
            [value_info(self._names[value], value) for value in own],
            results,
            value_info=[value_info(self._names[value], value) for value in inside if self._names[value] not in made],
        )
        self.nodes, self._aliases = outer, aliases
        return graph

    def _host(self, operator: HostOp) -> None:
        for inner_name, value in captured_values(operator):
            name = self.name(value)
            if name != inner_name and inner_name not in self._aliases:
                self._aliases.add(inner_name)
                self.node("Identity", [name], [inner_name])
        explicit = operator.operands[: len(operator.operands) - len(operator.captures)]
        self.nodes.append(self._call(operator.node, explicit, operator.results))

    def _call(self, bare: onnx.NodeProto, operands: Sequence[Value | None], results: Sequence[Value]) -> onnx.NodeProto:
        node = onnx.NodeProto()
        node.CopyFrom(bare)
        node.input.extend(self.name(value) for value in operands)
        node.output.extend(self._names[value] if value.hint else "" for value in results)
        return node

    def _matvec(self, product: MatVec) -> None:
        source, result = self.name(product.operand), self._names[product.result]
        groups, rows, columns = product.weight.shape
        windows = product.windows
        if windows.rank == 0:
            made = result if product.bias is None else self.fresh(f"{result}.product")
            if groups == 1:
                weight = self._matrix(f"{result}.weight", product.weight[0].astype(np.float32, copy=False))
                self.node("MatMul", [source, weight], [made], name=product.name)
            else:
                self._grouped(product, source, made)
            if product.bias is not None:
                bias = self.tensor(f"{result}.bias", product.bias.astype(np.float32))
                self.node("Add", [made, bias], [result], name=f"{product.name}.bias")
            return
        kernel = product.weight.transpose(0, 2, 1).reshape(
            groups * columns, rows // windows.kernel_size, *windows.kernel
        )
        inputs = [source, self.tensor(f"{result}.weight", kernel.astype(np.float32, copy=False))]
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

    def _grouped(self, product: MatVec, source: str, result: str) -> None:
        """A plain product in groups: ``(..., G K)`` as ``(windows, G, 1, K)`` by ``(G, K, N)``."""
        groups, rows, columns = product.weight.shape
        hint = f"{self._names[product.result]}.groups"

        def ints(what: str, numbers: Sequence[int]) -> str:
            return self.tensor(f"{hint}.{what}", np.array(numbers, dtype=np.int64))

        def node(op_type: str, inputs: Sequence[str], what: str, **attributes: Any) -> str:
            name = self.fresh(f"{hint}.{what}")
            self.node(op_type, inputs, [name], **attributes)
            return name

        apart = node("Reshape", [source, ints("apart.shape", [-1, groups, 1, rows])], "apart")
        weight = self.tensor(f"{hint}.weight", product.weight.astype(np.float32, copy=False))
        made = node("MatMul", [apart, weight], "product", name=product.name)
        shape = node("Shape", [source], "shape")
        leading = node("Slice", [shape, ints("first", [0]), ints("last", [-1])], "leading")
        joined = node("Concat", [leading, ints("columns", [groups * columns])], "result.shape", axis=0)
        self.node("Reshape", [made, joined], [result])

    def _matrix(self, hint: str, matrix: np.ndarray) -> str:
        """Add a constant matrix, as it lies in memory where that is a transposed one."""
        if not matrix.T.flags.c_contiguous:
            return self.tensor(hint, matrix)
        name = self.fresh(hint)
        self.node("Transpose", [self.tensor(f"{hint}.transposed", matrix.T)], [name])
        return name


def _all(operators: Iterable[Operator]) -> Iterator[Operator]:
    """Operators, with those in their bodies."""
    for operator in operators:
        yield operator
        for body in bodies(operator):
            yield from _all(body.operators())


@dataclass(frozen=True, slots=True)
class RegionModel:
    """A model of some operators, without its large constants.

    Attributes:
        proto: the model.
        feeds: constants that have to be fed to it beside its inputs; nobody copies them.
        lent: constants that have to be handed over when it is loaded, which copies them once or twice.
    """

    proto: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    lent: dict[str, np.ndarray]


def region_model(
    operators: Iterable[Operator],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    names: Names,
    opsets: Mapping[str, int],
    *,
    feed: bool,
) -> RegionModel:
    """A model of some operators of a graph. Outputs that nothing in it makes (inputs, constants) are copied.

    Args:
        operators: in order.
        inputs, outputs: what the model reads and makes.
        names: of the values.
        opsets: that the operators are written for.
        feed: whether large constants are to be fed rather than lent. An operator may insist on an initializer.
    """
    steps = list(operators)
    lent = LentTensors(_LARGE)
    reserved = [names[value] for value in (*inputs, *outputs)]
    emitter = Emitter(names, steps, reserved=reserved, feed=feed, store=lent.tensor)
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
    fed = [helper.make_tensor_value_info(name, _elem(array), array.shape) for name, array in emitter.feeds.items()]
    read = [*(value_info(names[value], value) for value in inputs), *fed]
    graph = helper.make_graph(emitter.nodes, "region", read, results, emitter.initializers)
    return RegionModel(make_model(graph, opsets), emitter.feeds, lent.arrays)


def _elem(array: np.ndarray) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


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
