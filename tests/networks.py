"""Small networks that hypothesis draws, hardware of every kind for them, and onnxruntime to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from xbarc.hardware.schema import Hardware

OPSETS = (13, 17, 21)
TILES = ((5, 7), (16, 16), (64, 64), (3, 2), (1, 9), (40, 3))

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Case:
    """A model and one batch of inputs for it."""

    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]

    def __repr__(self) -> str:
        shapes = {name: (array.dtype.name, array.shape) for name, array in self.feeds.items()}
        return f"{onnx.printer.to_text(self.model)}\nfed with {shapes}"


def node(kind: str, inputs: Sequence[str], *outputs: str, **attributes: object) -> onnx.NodeProto:
    """A node that is called as its first output."""
    return helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes)


def network(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    dtype: np.dtype | type = np.float32,
    input_types: Mapping[str, np.dtype | type] | None = None,
    output_types: Mapping[str, np.dtype | type] | None = None,
    output_ranks: Mapping[str, int] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of the nodes; shapes of outputs are left to be inferred. It is valid, or this raises.

    Of what ONNX cannot infer, the ranks of the outputs must be given.
    """
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    fed = {name: helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for name, kind in (input_types or {}).items()}
    results = {name: helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for name, kind in (output_types or {}).items()}
    shapes = {name: [None] * rank for name, rank in (output_ranks or {}).items()}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, fed.get(name, elem), shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, results.get(name, elem), shapes.get(name)) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    domains = {"": opset} | {each.domain: 1 for each in nodes if each.domain}
    imports = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def open_session(model: onnx.ModelProto, *, optimized: bool = False) -> ort.InferenceSession:
    """A model in onnxruntime, as it stands or with all optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], *, optimized: bool = True) -> list[np.ndarray]:
    """What onnxruntime makes of a model, by default with all its optimisations."""
    results: list[np.ndarray] = open_session(model, optimized=optimized).run(None, dict(feeds))
    return results


def unsigned(case: Case) -> Case:
    """The same product of magnitudes, in which nothing cancels: what the rounding of sums is measured by."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.abs(numpy_helper.to_array(tensor)), tensor.name))
    for each in model.graph.node:
        for attribute in each.attribute:
            if attribute.HasField("f"):
                attribute.f = abs(attribute.f)
    return Case(model, {name: np.abs(array) for name, array in case.feeds.items()})


def error(actual: np.ndarray, expected: np.ndarray, scale: np.ndarray | None = None) -> float:
    """The largest difference over the range of what was expected, or of another array."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if expected.size == 0:
        return 0.0
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    measure = right if scale is None else scale.astype(np.float64)
    reach = max(np.ptp(measure), np.abs(measure).max())
    return float(np.abs(left - right).max() / reach) if reach else float(np.abs(left).max())


# Arrays


@st.composite
def arrays(
    draw: Draw, shape: Sequence[int], dtype: np.dtype | type = np.float32, *, weights: bool = False
) -> np.ndarray:
    """Numbers of a shape: normal, integers (quotients are often halves), non-negative, or with columns of zeros."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["normal", "integers", "positive", "sparse"]))
    values = rng.integers(-4, 5, shape) if kind == "integers" else rng.normal(size=shape)
    if kind == "positive":
        values = np.abs(values)
    if kind == "sparse" and len(shape):
        values = values * (rng.random(shape[-1]) < 0.5)
    scale = draw(st.sampled_from([1.0, 1.0, 0.01, 300.0])) if weights and dtype == np.float32 else 1.0
    return np.asarray(values * scale, dtype=dtype)


# Models of one product


@st.composite
def convolutions(draw: Draw, dtype: type = np.float32) -> Case:
    """One ``Conv``."""
    rank = draw(st.integers(1, 3))
    groups, inner, outer = (draw(st.integers(1, 3)) for _ in range(3))
    if draw(st.booleans()):
        groups, inner = draw(st.integers(1, 8)), 1  # depthwise
    kernel, strides, dilations = ([draw(st.integers(1, top)) for _ in range(rank)] for top in (3, 3, 2))
    padding = draw(st.sampled_from(["none", "pads", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": groups}
    pads = [0] * 2 * rank
    if padding.startswith("SAME"):
        dilations[:] = [1] * rank  # onnxruntime refuses others
    if padding in ("pads", "NOTSET"):
        pads = attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    if padding not in ("none", "pads"):
        attributes["auto_pad"] = padding
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    sizes = []
    for axis in range(rank):
        reach = (kernel[axis] - 1) * dilations[axis] + 1 - pads[axis] - pads[rank + axis]
        least = 1 if padding.startswith("SAME") else max(reach, 1)
        sizes.append(least + draw(st.integers(0, 7 if rank < 3 else 2)))
    batch = draw(st.integers(1, 3))
    symbols = draw(st.sampled_from([["N", *sizes], ["N", *"HWD"[:rank]], [batch, *sizes], ["N", *[None] * rank]]))
    constants = {"w": draw(arrays((groups * outer, inner, *kernel), dtype, weights=True))}
    if draw(st.booleans()):
        constants["b"] = draw(arrays((groups * outer,), dtype))
    shape = [symbols[0], groups * inner, *symbols[1:]]
    nodes = [node("Conv", ["x", *constants], "y", **attributes)]
    model = network(nodes, {"x": shape}, constants, dtype=dtype, opset=draw(st.sampled_from(OPSETS)))
    return Case(model, {"x": draw(arrays((batch, groups * inner, *sizes), dtype))})


@st.composite
def gemms(draw: Draw, dtype: type = np.float32, *, computed_addends: bool = True) -> Case:
    """One ``Gemm``, its matrix on either side, its addend in every form, constant or computed from the input."""
    rows, inner, columns = (draw(st.integers(1, top)) for top in (5, 40, 20))
    left = draw(st.booleans())
    attributes = {name: draw(st.integers(0, 1)) for name in ("transA", "transB") if draw(st.booleans())}
    factors = st.sampled_from([1.0, 0.5, -2.0, 0.0])
    attributes |= {name: draw(factors) for name in ("alpha", "beta") if draw(st.booleans())}
    shape_a = (inner, rows) if attributes.get("transA") else (rows, inner)
    shape_b = (columns, inner) if attributes.get("transB") else (inner, columns)
    (fixed, matrix), (name, shape) = (("a", shape_a), ("b", shape_b))[:: 1 if left else -1]
    constants = {fixed: draw(arrays(matrix, dtype, weights=True))}
    declared: list[int | str] = list(shape)
    if draw(st.booleans()):
        free_axis = bool(attributes.get("transA")) if not left else not attributes.get("transB")
        declared[int(free_axis)] = "N"
    nodes, operands = [], ["a", "b"]
    form = draw(st.sampled_from([None, (), (columns,), (1, columns), (rows, columns), (rows, 1), (1, 1), (1,)]))
    if form is not None:
        operands.append("c")
        constants["c"] = draw(arrays(form, dtype))
        if computed_addends and draw(st.booleans()):
            operands[-1] = "computed"
            nodes += [node("ReduceMax", [name], "largest", keepdims=0), node("Mul", ["c", "largest"], "computed")]
    nodes.append(node("Gemm", operands, "y", **attributes))
    model = network(nodes, {name: declared}, constants, dtype=dtype, opset=draw(st.sampled_from(OPSETS)))
    return Case(model, {name: draw(arrays(shape, dtype))})


@st.composite
def matmuls(draw: Draw, dtype: type = np.float32) -> Case:
    """One ``MatMul``, its matrix on either side, of one axis, of two, or with leading axes of size one."""
    inner, columns = draw(st.integers(1, 40)), draw(st.integers(1, 20))
    leading = tuple(draw(st.integers(1, 3)) for _ in range(draw(st.integers(0, 3))))
    vector = draw(st.booleans()) and draw(st.booleans())
    ones = () if vector else (1,) * draw(st.integers(0, len(leading)))
    single = not leading and draw(st.booleans())  # the input is one vector
    constant_left = draw(st.booleans())
    matrix = (inner,) if vector else (*ones, columns, inner) if constant_left else (*ones, inner, columns)
    others = draw(st.integers(1, 4))
    shape = (inner,) if single else (*leading, inner, others) if constant_left else (*leading, others, inner)
    constants = {"w": draw(arrays(matrix, dtype, weights=True))}
    declared: list[int | str] = list(shape)
    if not single and draw(st.booleans()):
        declared[len(leading) + 1 if constant_left and not leading else 0] = "N"
    nodes = [node("MatMul", ["w", "x"] if constant_left else ["x", "w"], "y")]
    model = network(nodes, {"x": declared}, constants, dtype=dtype, opset=draw(st.sampled_from(OPSETS)))
    return Case(model, {"x": draw(arrays(shape, dtype))})


# Hardware


@st.composite
def finite_hardware(draw: Draw) -> Hardware:
    """Hardware of finite resolution: every encoding, layout, input and range policy; tiles so small that layers are cut."""
    slices = draw(st.integers(1, 4))
    encoding = draw(st.sampled_from(["differential", "offset"]))
    fewest = 3 if encoding == "offset" and slices == 1 else 2
    most = int(65536 ** (1 / slices) + 1e-9)
    levels = draw(st.one_of(st.integers(fewest, min(256, most)), st.just(most)))
    subtraction = draw(st.sampled_from(["analog", "digital"]))
    rows, columns = draw(st.sampled_from(TILES))
    layouts = ["unit-cell"]
    if encoding == "differential":
        layouts += ["adjacent-columns"] if subtraction == "analog" else ["adjacent-columns", "paired-tiles"]
    policy = draw(st.sampled_from(["unit", "full-scale", "percentile", "mse", "fixed"]))
    adc: dict[str, Any] = {"bits": draw(st.one_of(st.integers(3, 24), st.just("unlimited"))), "range": policy}
    if policy == "fixed":
        adc["fixed_lsb"] = draw(st.sampled_from([0.5, 1.0, 2.0, 3.7, 250.0]))
    return Hardware.from_dict(
        {
            "name": "drawn",
            "cell": {"g_min": draw(st.sampled_from(["0 S", "1 uS", "3.3 uS"])), "g_max": "25 uS", "levels": levels},
            "tile": {"rows": rows, "columns": columns, "polarity": draw(st.sampled_from(layouts))},
            "weights": {
                "encoding": encoding,
                "slices": slices,
                "scale": draw(st.sampled_from(["column", "layer"])),
                "subtraction": subtraction,
            },
            "dac": {"bits": draw(st.integers(2, 16)), "range": draw(st.sampled_from(["percentile", "mse", "max"]))},
            "adc": adc,
            "input": {
                "mode": draw(st.sampled_from(["parallel", "bit-serial"])),
                "digit_bits": draw(st.integers(1, 8)),
                "sign": draw(st.sampled_from(["twos-complement", "phases"])),
            },
        }
    )
