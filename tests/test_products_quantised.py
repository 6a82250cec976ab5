"""Products of quantised numbers on tiles against onnxruntime, whose integers they must give exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, finite_hardware, network, node, run
from product_checks import check_same_bits, host_reasons, on_tiles
from quantised_numbers import PAIRS, codes, scales, zero_points

import xbarc
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware

MICROSOFT = "com.microsoft"


@st.composite
def integer_convolutions(draw: Draw, kind: str, *, domain: str = "") -> Case:
    """One ``ConvInteger`` or ``QLinearConv``."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.integers(1, 3)) if not domain else draw(st.integers(1, 2))
    dtype, weight_dtype = draw(st.sampled_from(PAIRS if kind == "QLinearConv" else (*PAIRS, (np.int8, np.uint8))))
    groups, inner, outer = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, strides, dilations = ([draw(st.integers(1, top)) for _ in range(rank)] for top in (3, 3, 2))
    attributes: dict[str, Any] = {"group": groups, "strides": strides, "dilations": dilations}
    padding = draw(st.sampled_from(["none", "pads", "SAME_UPPER", "SAME_LOWER"]))
    if padding == "pads":
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    elif padding != "none":
        attributes["auto_pad"] = padding
        dilations[:] = [1] * rank
    sizes = [(size - 1) * step + 1 + draw(st.integers(0, 5)) for size, step in zip(kernel, dilations, strict=True)]
    batch, channels = draw(st.integers(1, 2)), groups * inner
    last = bool(domain) and draw(st.booleans())
    shape = (batch, *sizes, channels) if last else (batch, channels, *sizes)
    if domain:
        attributes |= {"channels_last": int(last), "domain": domain}
    x = codes(rng, shape, dtype)
    constants = {
        "x_zero": zero_points(rng, (), dtype),
        "w": codes(rng, (groups * outer, inner, *kernel), weight_dtype, weights=True),
        "w_zero": zero_points(rng, (), weight_dtype),
    }
    operands = ["x", "w", "x_zero", "w_zero"]
    if kind == "ConvInteger":
        operands = operands[: draw(st.integers(2, 4))]
    else:
        columns = groups * outer
        several = draw(st.booleans())
        spread = 30.0 * np.sqrt(constants["w"][0].size)
        constants |= {
            "x_scale": scales(rng, None),
            "w_scale": scales(rng, columns if several else None),
            "y_zero": codes(rng, (), dtype),
            "b": rng.integers(-20000, 20000, columns).astype(np.int32),
        }
        if several:
            constants["w_zero"] = np.repeat(constants["w_zero"], columns)
        power = np.log2(constants["x_scale"] * constants["w_scale"].max() * spread)
        constants["y_scale"] = np.asarray(2.0 ** (np.round(power) if draw(st.booleans()) else power), dtype=np.float32)
        operands = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
        operands += ["b"] if draw(st.booleans()) else []
    return integer_case(draw, [node(kind, operands, "y", **attributes)], {"x": x}, constants)


@st.composite
def integer_products(draw: Draw, kind: str) -> Case:
    """One ``MatMulInteger`` or ``QLinearMatMul``, the constant on either side."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    left = draw(st.booleans())
    dtypes = draw(st.sampled_from(PAIRS if kind == "QLinearMatMul" else (*PAIRS, (np.int8, np.uint8))))
    leading = tuple(draw(st.integers(1, 3)) for _ in range(draw(st.integers(0, 2))))
    rows, inner, columns = (draw(st.integers(1, top)) for top in (5, 40, 9))
    shapes = {"a": (rows, inner), "b": (inner, columns)}
    moving, fixed = ("b", "a") if left else ("a", "b")
    shapes[moving] = (*leading, *shapes[moving])
    arrays = {
        name: codes(rng, shapes[name], dtype, weights=name == "b") for name, dtype in zip("ab", dtypes, strict=True)
    }
    several = draw(st.booleans())
    constants = {
        fixed: arrays[fixed],
        "a_zero": zero_points(rng, (), dtypes[0]),
        "b_zero": zero_points(rng, (columns,) if several and not leading else (), dtypes[1]),
    }
    operands = ["a", "b", "a_zero", "b_zero"]
    if kind == "MatMulInteger":
        operands = operands[: draw(st.integers(2, 4))]
    else:
        constants |= {
            "a_scale": scales(rng, None),
            "b_scale": scales(rng, columns if several and not leading else None),
            "y_zero": codes(rng, (), dtypes[0]),
        }
        spread = constants["a_scale"] * constants["b_scale"].max() * 30.0 * np.sqrt(inner)
        power = np.log2(spread)
        constants["y_scale"] = np.asarray(2.0 ** (np.round(power) if draw(st.booleans()) else power), dtype=np.float32)
        operands = ["a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"]
    return integer_case(draw, [node(kind, operands, "y")], {moving: arrays[moving]}, constants)


def integer_case(
    draw: Draw, nodes: list[onnx.NodeProto], feeds: dict[str, np.ndarray], constants: Mapping[str, np.ndarray]
) -> Case:
    """A model of which only what is read is constant, its sizes declared, or the first one left open."""
    read = {name for each in nodes for name in each.input}
    ((name, x),) = feeds.items()
    result = constants["y_zero"].dtype if "y_zero" in constants else np.dtype(np.int32)
    free = draw(st.booleans()) and x.ndim > 2
    model = network(
        nodes,
        {name: ("N", *x.shape[1:]) if free else x.shape},
        {name: array for name, array in constants.items() if name in read},
        input_types={name: x.dtype},
        output_types={"y": result},
        output_ranks={"y": x.ndim},
        opset=draw(st.sampled_from(OPSETS)),
    )
    return Case(model, feeds)


QUANTISED = st.one_of(
    integer_convolutions("ConvInteger"),
    integer_convolutions("QLinearConv"),
    integer_convolutions("QLinearConv", domain=MICROSOFT),
    integer_products("MatMulInteger"),
    integer_products("QLinearMatMul"),
)


@settings(max_examples=200)
@given(QUANTISED)
def test_exact_hardware_gives_the_integers_of_onnxruntime(case: Case) -> None:
    program = xbarc.compile(case.model, hardware="exact", calibration=[case.feeds])
    assert on_tiles(program) == ["y"]
    (expected,) = run(case.model, case.feeds)
    ours = program.write().run(case.feeds)["y"]
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours, expected)


@settings(max_examples=100)
@given(QUANTISED, finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=30)
@given(QUANTISED)
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    check_same_bits(case, load_hardware("generic-pcm"))


# Ranges, and what stays digital


def test_codes_have_a_range_of_their_own() -> None:
    """Nobody needs a sample to know how far codes of 8 bits reach."""
    constants = {
        "w": codes(np.random.default_rng(0), (4, 3), np.int8, weights=True),
        "x_zero": np.uint8(100).reshape(()),
    }
    each = node("MatMulInteger", ["x", "w", "x_zero"], "y")
    model = network([each], {"x": ("N", 4)}, constants, dtype=np.uint8, output_types={"y": np.int32})
    found = xbarc.compile(model).report().layers[0].input_range
    assert (found.limit, found.signed, found.basis) == (155.0, True, "known bounds; signed")


def refused(kind: str, given: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A quantised product one of whose constants is fed instead."""
    rng = np.random.default_rng(0)
    conv = "Conv" in kind
    arrays = {
        "x": codes(rng, (1, 4, 5) if conv else (5, 4), np.uint8),
        "w": codes(rng, (3, 4, 2) if conv else (4, 3), np.uint8),
        "x_zero": np.zeros((1,) if not conv else (), np.uint8),
        "w_zero": np.full((), 3, np.uint8),
        "x_scale": np.full((), 0.1, np.float32),
        "w_scale": np.full((), 0.1, np.float32),
        "y_scale": np.full((), 0.1, np.float32),
        "y_zero": np.full((), 3, np.uint8),
        "b": np.full(3, 5, np.int32),
    }
    operands = ["x", "w", "x_zero", "w_zero"]
    if "QLinear" in kind:
        operands = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
        operands += ["b"] if conv else []
    feeds = {name: arrays.pop(name) for name in {"x", given}}
    model = network(
        [node(kind, operands, "y")],
        {name: array.shape for name, array in feeds.items()},
        {name: array for name, array in arrays.items() if name in operands},
        input_types={name: array.dtype for name, array in feeds.items()},
        output_types={"y": np.uint8 if "QLinear" in kind else np.int32},
        output_ranks={"y": 3 if conv else 2},
    )
    return model, feeds


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        ("ConvInteger", "w", "its kernel is not constant"),
        ("ConvInteger", "w_zero", "the zero point of its weights is not constant"),
        ("MatMulInteger", "w", "neither matrix is constant"),
        ("MatMulInteger", "w_zero", "the zero point of its weights is not constant"),
        ("QLinearConv", "w_scale", "the scale of its weights is not constant"),
        ("QLinearConv", "b", "its bias is not constant"),
        ("QLinearMatMul", "w", "neither matrix is constant"),
    ],
)
def test_what_is_not_constant_stays_digital_for_a_stated_reason(kind: str, given: str, reason: str) -> None:
    model, feeds = refused(kind, given)
    program = xbarc.compile(model, calibration=[feeds])
    assert on_tiles(program) == []
    assert host_reasons(program) == {"y": reason}
    np.testing.assert_array_equal(program.write().run(feeds)["y"], run(model, feeds)[0])


def test_scales_of_the_input_and_output_may_be_fed() -> None:
    for fed in ("x_scale", "y_scale", "x_zero", "y_zero"):
        model, feeds = refused("QLinearConv", fed)
        program = xbarc.compile(model, hardware="exact", calibration=[feeds])
        assert on_tiles(program) == ["y"]
        np.testing.assert_array_equal(program.write().run(feeds)["y"], run(model, feeds)[0])


def test_products_of_16_bits_stay_digital() -> None:
    constants = {"w": np.ones((4, 3), np.int16)}
    model = network(
        [node("MatMulInteger16", ["x", "w"], "y", domain=MICROSOFT)],
        {"x": ("N", 4)},
        constants,
        dtype=np.int16,
        output_types={"y": np.int32},
        output_ranks={"y": 2},
    )
    program = xbarc.compile(model)
    assert host_reasons(program) == {"y": "float32 does not hold its sums of products of 16 bits"}
