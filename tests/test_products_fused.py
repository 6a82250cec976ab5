"""Products that onnxruntime's optimiser has joined with what stands around them, on tiles against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, error, finite_hardware, network, node, run
from product_checks import check_close, check_same_bits, on_tiles

import xbarc
from xbarc.api.compiler import lower
from xbarc.api.source import read_source
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.operators import Decision, HostOp

MICROSOFT = "com.microsoft"
NO_PARAMETERS = ("Relu", "Sigmoid", "Tanh")
ACTIVATIONS = {
    "FusedConv": {"LeakyRelu": 1, "Clip": 2, "HardSigmoid": 2, "HardSwish": 0, **dict.fromkeys(NO_PARAMETERS, 0)},
    "FusedGemm": {
        "Celu": ("alpha",),
        "Elu": ("alpha",),
        "HardSigmoid": ("alpha", "beta"),
        "LeakyRelu": ("alpha",),
        "ScaledTanh": ("alpha", "beta"),
        "Selu": ("alpha", "gamma"),
        "ThresholdedRelu": ("alpha",),
        **dict.fromkeys((*NO_PARAMETERS, "Softplus", "Softsign"), ()),
    },
}


def numbers(draw: Draw, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.asarray(rng.normal(size=shape), dtype=np.float32)


def foreign_case(
    draw: Draw,
    nodes: Sequence[onnx.NodeProto],
    feeds: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    rank: int,
    *,
    free: bool = True,
) -> Case:
    """A model of operators whose shapes ONNX cannot infer; the first axis of each input may be left open."""
    free = free and draw(st.booleans())
    model = network(
        nodes,
        {name: ("N", *array.shape[1:]) if free else array.shape for name, array in feeds.items()},
        constants,
        input_types={name: array.dtype for name, array in feeds.items()},
        output_ranks={"y": rank},
        opset=draw(st.sampled_from(OPSETS)),
    )
    return Case(model, dict(feeds))


@st.composite
def fused_convolutions(draw: Draw) -> Case:
    """``FusedConv``, with every activation, a bias, an array that is added before the activation."""
    rank = draw(st.integers(1, 2))
    groups, inner, outer = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, strides = ([draw(st.integers(1, 3)) for _ in range(rank)] for _ in range(2))
    pads = [draw(st.integers(0, 1)) for _ in range(2 * rank)]
    sizes = [size + draw(st.integers(0, 5)) for size in kernel]
    batch = draw(st.integers(1, 3))
    attributes: dict[str, Any] = {"group": groups, "strides": strides, "pads": pads, "domain": MICROSOFT}
    activation = draw(st.sampled_from(sorted(ACTIVATIONS["FusedConv"])))
    attributes["activation"] = activation
    if count := ACTIVATIONS["FusedConv"][activation]:
        attributes["activation_params"] = sorted(draw(st.floats(-0.875, 0.875, width=32)) for _ in range(count))
    constants = {"w": numbers(draw, groups * outer, inner, *kernel)}
    operands = ["x", "w"]
    feeds = {"x": numbers(draw, batch, groups * inner, *sizes)}
    added = draw(st.booleans())
    if added or draw(st.booleans()):
        constants["b"] = numbers(draw, groups * outer)
        operands.append("b")
    if added:
        ends = zip(sizes, pads[:rank], pads[rank:], kernel, strides, strict=True)
        result = [(size + before + after - reach) // step + 1 for size, before, after, reach, step in ends]
        feeds["z"] = numbers(draw, batch, groups * outer, *result)
        operands.append("z")
    return foreign_case(draw, [node("FusedConv", operands, "y", **attributes)], feeds, constants, rank + 2)


@st.composite
def fused_gemms(draw: Draw) -> Case:
    """``FusedGemm``, with every activation."""
    rows, inner, columns = (draw(st.integers(1, top)) for top in (5, 40, 20))
    attributes: dict[str, Any] = {name: draw(st.integers(0, 1)) for name in ("transA", "transB")}
    attributes |= {name: draw(st.sampled_from([1.0, 0.5, -2.0])) for name in ("alpha", "beta")}
    activation = draw(st.sampled_from(sorted(ACTIVATIONS["FusedGemm"])))
    names = ACTIVATIONS["FusedGemm"][activation]
    attributes |= {f"activation_{name}": draw(st.floats(0.125, 1.5, width=32)) for name in names}
    constants = {"w": numbers(draw, *((columns, inner) if attributes["transB"] else (inner, columns)))}
    operands = ["x", "w"]
    if draw(st.booleans()):
        constants["c"] = numbers(draw, *draw(st.sampled_from([(columns,), (1, columns), (rows, columns), (1,)])))
        operands.append("c")
    x = numbers(draw, *((inner, rows) if attributes["transA"] else (rows, inner)))
    each = node("FusedGemm", operands, "y", activation=activation, domain=MICROSOFT, **attributes)
    return foreign_case(draw, [each], {"x": x}, constants, 2, free=False)


@st.composite
def fused_matmuls(draw: Draw) -> Case:
    """``FusedMatMul`` in every way in which it transposes, the constant on either side."""
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    rows, inner, columns = (draw(st.integers(1, top)) for top in (5, 30, 9))
    both = bool(batch) and draw(st.booleans())  # onnxruntime transposes batch axes of equal ranks alone
    left = draw(st.booleans())
    fixed, moving = ("a", "b") if left else ("b", "a")
    attributes: dict[str, Any] = {"alpha": draw(st.sampled_from([1.0, 0.25, -3.0]))}
    arrays = {}
    for name, shape in (("a", (rows, inner)), ("b", (inner, columns))):
        array = numbers(draw, *(batch if name == moving or both else []), *shape)
        if draw(st.booleans()):
            attributes[f"trans{name.upper()}"] = 1
            array = array.swapaxes(-1, -2)
        if both and draw(st.booleans()):
            attributes[f"transBatch{name.upper()}"] = 1
            array = np.moveaxis(array, -2, 0)
        arrays[name] = np.ascontiguousarray(array)
    each = node("FusedMatMul", ["a", "b"], "y", domain=MICROSOFT, **attributes)
    return foreign_case(draw, [each], {moving: arrays[moving]}, {fixed: arrays[fixed]}, len(batch) + 2, free=False)


def packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of a few bits, the lowest of a byte first, along the last axis."""
    together = 8 // bits
    missing = -codes.shape[-1] % together
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, missing)])
    parts = padded.reshape(*codes.shape[:-1], -1, together)
    total: np.ndarray = (parts << np.arange(0, 8, bits, dtype=np.uint8)).sum(axis=-1).astype(np.uint8)
    return total


@st.composite
def block_products(draw: Draw) -> Case:
    """``MatMulNBits``: codes of every size, zero points in every form, groups out of order, a bias."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits, size = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from([16, 32]))
    rows, columns = draw(st.integers(1, 80)), draw(st.integers(1, 9))
    blocks = -(-rows // size)
    codes = rng.integers(0, 2**bits, (columns, blocks, size)).astype(np.uint8)
    constants = {"w": packed(codes, bits), "scales": rng.uniform(-0.1, 0.1, (columns, blocks)).astype(np.float32)}
    operands = ["x", "w", "scales", "", "", ""]
    form = draw(
        st.sampled_from(["none", "packed", "groups" if bits == 4 else "none", "floats" if bits < 8 else "none"])
    )
    match form:
        case "packed":
            constants["zeros"] = packed(rng.integers(0, 2**bits, (columns, blocks)).astype(np.uint8), bits)
            operands[3] = "zeros"
        case "floats":
            constants["zeros"] = rng.uniform(0, 2**bits, (columns, blocks)).astype(np.float32)
            operands[3] = "zeros"
        case "groups":
            constants["groups"] = rng.integers(0, blocks, blocks * size).astype(np.int32)
            operands[4] = "groups"
    if draw(st.booleans()):
        constants["b"] = numbers(draw, columns)
        operands[5] = "b"
    while not operands[-1]:
        operands.pop()
    x = numbers(draw, *(draw(st.integers(1, 3)) for _ in range(draw(st.integers(1, 2)))), rows)
    attributes = {"bits": bits, "block_size": size, "K": rows, "N": columns}
    each = node("MatMulNBits", operands, "y", domain=MICROSOFT, **attributes)
    return foreign_case(draw, [each], {"x": x}, constants, x.ndim)


@st.composite
def four_bit_products(draw: Draw) -> Case:
    """``MatMulBnb4`` of both types."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns, size = draw(st.integers(1, 40)), draw(st.integers(1, 9)), draw(st.sampled_from([16, 32]))
    count = rows * columns
    constants = {
        "w": rng.integers(0, 256, -(-count // 2)).astype(np.uint8),
        "largest": rng.uniform(0.01, 2.0, -(-count // size)).astype(np.float32),
    }
    attributes = {"quant_type": draw(st.integers(0, 1)), "block_size": size, "K": rows, "N": columns}
    each = node("MatMulBnb4", ["x", "w", "largest"], "y", domain=MICROSOFT, **attributes)
    return foreign_case(draw, [each], {"x": numbers(draw, draw(st.integers(1, 4)), rows)}, constants, 2)


FUSED = st.one_of(fused_convolutions(), fused_gemms(), fused_matmuls(), block_products(), four_bit_products())


@settings(max_examples=150)
@given(FUSED)
def test_exact_hardware_gives_the_floating_point_result(case: Case) -> None:
    program = check_close(case)
    assert on_tiles(program) == ["y"]
    assert {layer.source for layer in program.report().layers} == {f"{MICROSOFT}.{case.model.graph.node[0].op_type}"}


@settings(max_examples=80)
@given(FUSED, finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=30)
@given(FUSED)
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    check_same_bits(case, load_hardware("generic-pcm"))


HALVES: dict[str, tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = {
    "FusedConv": ({"activation": "Clip", "activation_params": [-0.5, 0.5]}, (2, 1, 5), (3, 1, 2)),
    "FusedGemm": (
        {"activation": "ScaledTanh", "activation_alpha": 0.5, "activation_beta": 0.5},
        (4, 5),
        (5, 3),
    ),
    "FusedMatMul": ({"alpha": 0.25, "transB": 1}, (4, 5), (3, 5)),
}


@pytest.mark.parametrize("kind", HALVES)
def test_half_precision_is_within_a_rounding(kind: str) -> None:
    attributes, shape, matrix = HALVES[kind]
    rng = np.random.default_rng(0)
    each = node(kind, ["x", "w"], "y", domain=MICROSOFT, **attributes)
    constants = {"w": rng.normal(size=matrix).astype(np.float16)}
    model = network([each], {"x": shape}, constants, dtype=np.float16, output_ranks={"y": len(shape)})
    case = Case(model, {"x": rng.normal(size=shape).astype(np.float16)})
    (expected,) = run(model, case.feeds)
    program = xbarc.compile(model, hardware="exact", calibration=[case.feeds])
    assert on_tiles(program) == ["y"]
    assert error(program.write().run(case.feeds)["y"], expected) < 2.0**-10
    check_same_bits(case, load_hardware("generic-pcm"))


def test_shapes_behind_operators_that_onnx_does_not_know_are_known() -> None:
    """What onnxruntime infers tells which axis runs over samples."""
    rng = np.random.default_rng(0)
    attributes = {"bits": 8, "block_size": 16, "K": 16, "N": 16, "domain": MICROSOFT}
    constants = {
        "w": rng.integers(0, 256, (16, 1, 16)).astype(np.uint8),
        "s": rng.uniform(0.001, 0.01, (16, 1)).astype(np.float32),
        "b": rng.normal(size=16).astype(np.float32),
    }
    nodes = [
        node("MatMulNBits", ["x", "w", "s"], "first", **attributes),
        node("Add", ["first", "b"], "shifted"),
        node("Relu", ["shifted"], "active"),
        node("MatMulNBits", ["active", "w", "s"], "y", **attributes),
    ]
    model = network(nodes, {"x": ("N", "T", 16)}, constants, output_ranks={"y": 3})
    program = check_close(Case(model, {"x": rng.normal(size=(3, 4, 16)).astype(np.float32)}))
    layers = program.report().layers
    assert [(layer.name, layer.batch_dependent) for layer in layers] == [("first", False), ("y", False)]


# What stays digital

REFUSED: dict[str, tuple[str, list[str], dict[str, Any], dict[str, np.ndarray]]] = {
    "neither matrix is constant": ("FusedMatMul", ["x", "x"], {"transB": 1}, {}),
    "onnxruntime takes g_idx for codes of 4 bits without zero points alone": (
        "MatMulNBits",
        ["x", "w", "s", "", "g"],
        {"K": 4, "N": 1, "bits": 8, "block_size": 16},
        {
            "w": np.ones((1, 1, 16), np.uint8),
            "s": np.ones((1, 1), np.float32),
            "g": np.zeros(16, np.int32),
        },
    ),
    "its matrix is transposed": (
        "MatMulBnb4",
        ["x", "w", "s"],
        {"K": 4, "N": 4, "quant_type": 1, "block_size": 16, "transB": 0},
        {"w": np.ones(8, np.uint8), "s": np.ones(1, np.float32)},
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_go_on_tiles_says_why(reason: str) -> None:
    """Rules look at the operator alone: of these, onnxruntime runs none or runs them in a way of its own."""
    kind, operands, attributes, constants = REFUSED[reason]
    each = node(kind, operands, "y", domain=MICROSOFT, **attributes)
    shape = (1, 4, 4) if kind == "FusedConv" else (4, 4)
    model = network([each], {"x": shape}, constants, output_ranks={"y": len(shape)})
    graph = read_source(model).graph
    lower(graph)
    (operator,) = graph.operators()
    assert isinstance(operator, HostOp)
    assert operator.decision == Decision(analog=False, reason=reason)
