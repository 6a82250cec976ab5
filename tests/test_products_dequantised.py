"""Quantised products whose sums become floating-point numbers, and weights behind ``DequantizeLinear``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, finite_hardware, network, node, run
from product_checks import check_close, check_same_bits, host_reasons, on_tiles
from quantised_numbers import PAIRS, codes, scales, zero_points

import xbarc
from xbarc.hardware.schema import Hardware

MICROSOFT = "com.microsoft"

# Sums that become floating-point numbers


@st.composite
def float_products(draw: Draw) -> Case:
    """``MatMulIntegerToFloat`` and ``DynamicQuantizeMatMul``, scales and zero points for each column or for all."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, inner, columns = (draw(st.integers(1, top)) for top in (5, 40, 9))
    leading = tuple(draw(st.integers(1, 3)) for _ in range(draw(st.integers(0, 1))))
    dynamic = draw(st.booleans())
    dtype, weight_dtype = draw(st.sampled_from(PAIRS))
    several = (columns,) if draw(st.booleans()) else ()
    constants = {
        "w": codes(rng, (inner, columns), weight_dtype, weights=True),
        "w_scale": scales(rng, columns if several else None),
        "w_zero": zero_points(rng, several, weight_dtype),
        "x_scale": scales(rng, None),
        "x_zero": zero_points(rng, (), dtype),
        "b": rng.normal(size=columns).astype(np.float32),
    }
    shape = (*leading, rows, inner)
    if dynamic:
        kind, operands = "DynamicQuantizeMatMul", ["x", "w", "w_scale", "w_zero", "b"]
        x = rng.normal(size=shape).astype(np.float32)
    else:
        kind, operands = "MatMulIntegerToFloat", ["x", "w", "x_scale", "w_scale", "x_zero", "w_zero", "b"]
        x = codes(rng, shape, dtype)
    operands = operands[: len(operands) - draw(st.integers(0, 2))]
    return product_case(draw, node(kind, operands, "y", domain=MICROSOFT), x, constants, np.float32)


@st.composite
def gemms(draw: Draw) -> Case:
    """``QGemm``, quantised again or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, inner, columns = (draw(st.integers(1, top)) for top in (5, 40, 9))
    dtype, weight_dtype = draw(st.sampled_from(PAIRS))
    attributes: dict[str, Any] = {"transA": draw(st.integers(0, 1)), "transB": draw(st.integers(0, 1))}
    attributes["alpha"] = draw(st.sampled_from([1.0, 0.5, 1.5]))
    several = draw(st.booleans())
    constants = {
        "w": codes(rng, (columns, inner) if attributes["transB"] else (inner, columns), weight_dtype, weights=True),
        "x_scale": scales(rng, None),
        "x_zero": zero_points(rng, (), dtype),
        "w_scale": scales(rng, columns if several else None),
        "w_zero": zero_points(rng, (columns,) if several else (), weight_dtype),
        "y_zero": codes(rng, (), dtype),
        "c": rng.integers(-9999, 9999, draw(st.sampled_from([(columns,), (rows, columns), (1, columns)]))),
    }
    constants["c"] = constants["c"].astype(np.int32)
    spread = constants["x_scale"] * constants["w_scale"].max() * 40.0 * np.sqrt(inner)
    constants["y_scale"] = np.asarray(spread, dtype=np.float32)
    added = "c" if draw(st.booleans()) else ""
    operands = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", added]
    whole = draw(st.booleans())
    operands += ["y_scale", "y_zero"] if whole else []
    while not operands[-1]:
        operands.pop()
    x = codes(rng, (inner, rows) if attributes["transA"] else (rows, inner), dtype)
    each = node("QGemm", operands, "y", domain=MICROSOFT, **attributes)
    return product_case(draw, each, x, constants, dtype if whole else np.float32)


def product_case(
    draw: Draw, each: onnx.NodeProto, x: np.ndarray, constants: Mapping[str, np.ndarray], result: type
) -> Case:
    model = network(
        [each],
        {"x": x.shape},
        {name: array for name, array in constants.items() if name in each.input},
        input_types={"x": x.dtype},
        output_types={"y": result},
        output_ranks={"y": x.ndim},
        opset=draw(st.sampled_from(OPSETS)),
    )
    return Case(model, {"x": x})


@settings(max_examples=100)
@given(st.one_of(float_products(), gemms()))
def test_exact_hardware_gives_the_numbers_of_onnxruntime(case: Case) -> None:
    program = check_close(case)
    assert on_tiles(program) == ["y"]


@settings(max_examples=60)
@given(st.one_of(float_products(), gemms()), finite_hardware())
def test_its_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


# Chains as exporters write them


def chain(kind: str, weight: np.ndarray, shape: tuple[int, ...], scale: np.ndarray) -> onnx.ModelProto:
    """A layer of a network that is quantised while it runs: the zero point of its input is not known before."""
    nodes = [
        node("DynamicQuantizeLinear", ["x"], "q", "x_scale", "x_zero"),
        node(kind, ["q", "w", "x_zero", "w_zero"], "layer"),
        node("Cast", ["layer"], "sums", to=onnx.TensorProto.FLOAT),
        node("Mul", ["x_scale", "w_scale"], "scale"),
        node("Mul", ["sums", "scale"], "y"),
    ]
    constants = {"w": weight, "w_zero": np.zeros((), np.int8), "w_scale": scale}
    return network(nodes, {"x": shape}, constants)


@pytest.mark.parametrize("kind", ["ConvInteger", "MatMulInteger"])
def test_a_network_that_is_quantised_while_it_runs(kind: str) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 3, 7, 7) if kind == "ConvInteger" else (2, 5, 30)
    weight = codes(rng, (4, 3, 3, 3) if kind == "ConvInteger" else (30, 4), np.int8, weights=True)
    model = chain(kind, weight, shape, np.full((4, 1, 1) if kind == "ConvInteger" else (4,), 0.01, np.float32))
    case = Case(model, {"x": (rng.normal(size=shape) + 0.3).astype(np.float32)})
    program = check_close(case)
    assert on_tiles(program) == ["layer"]
    again = xbarc.compile(model, calibration=[case.feeds])
    (theirs,) = run(again.model(), case.feeds)
    assert again.write().run(case.feeds)["y"].tobytes() == theirs.tobytes()


TYPES = {
    dtype.__name__: dtype
    for dtype in (
        *(np.int8, np.uint8, np.int16, np.uint16, np.int32),
        *(ml_dtypes.int2, ml_dtypes.uint2, ml_dtypes.int4, ml_dtypes.uint4),
        *(ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz),
    )
}
FORMS: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "tensor": ((), {}),
    "axis": ((8,), {"axis": 0}),
    "block": ((8, 3), {"axis": 1, "block_size": 2}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
def test_weights_that_are_dequantised_are_mapped(dtype: type, form: str) -> None:
    """``DequantizeLinear`` before a product: the weight, in any type, and a bias in int32."""
    rng = np.random.default_rng(0)
    shape, attributes = FORMS[form]
    low, high = (0, 4) if "uint" in dtype.__name__ else (-2, 2)
    weight = rng.integers(low, high, (8, 6)).astype(np.float32).astype(dtype)
    zeros = rng.integers(0, 1 if "float" in dtype.__name__ or dtype == np.int32 else 2, shape)
    nodes = [
        node("DequantizeLinear", ["w", "scale", "zero"], "weight", **attributes),
        node("DequantizeLinear", ["b", "b_scale"], "bias"),
        node("Gemm", ["x", "weight", "bias"], "y", transB=1),
    ]
    constants = {
        "w": weight,
        "scale": rng.uniform(0.1, 1.0, shape).astype(np.float32),
        "zero": np.asarray(zeros, dtype=np.int8).astype(dtype),
        "b": rng.integers(-99, 99, 8).astype(np.int32),
        "b_scale": np.float32(0.01).reshape(()),
    }
    model = network(nodes, {"x": ("N", 6)}, constants, opset=25)
    program = check_close(Case(model, {"x": rng.normal(size=(4, 6)).astype(np.float32)}))
    assert on_tiles(program) == ["y"]
    assert host_reasons(program) == {}


@pytest.mark.parametrize("zero", [ml_dtypes.int4, np.int8, ml_dtypes.float8_e4m3fn])
def test_weights_that_are_quantised_and_dequantised_are_mapped(zero: type) -> None:
    """As training that knows of the quantisation leaves them behind."""
    rng = np.random.default_rng(0)
    nodes = [
        node("QuantizeLinear", ["w", "scale", "zero"], "codes"),
        node("Transpose", ["codes"], "turned", perm=[1, 0, 2]),
        node("DequantizeLinear", ["turned", "scale", "zero"], "weight"),
        node("ConvTranspose", ["x", "weight"], "y"),
    ]
    constants = {
        "w": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "scale": np.float32(0.4).reshape(()),
        "zero": np.zeros((), np.int8).astype(zero),
    }
    model = network(nodes, {"x": ("N", 3, 5)}, constants, opset=21)
    program = check_close(Case(model, {"x": rng.normal(size=(2, 3, 5)).astype(np.float32)}))
    assert on_tiles(program) == ["y"]
    assert host_reasons(program) == {}
