"""``ConvTranspose`` on tiles against onnxruntime, over ranks, strides, dilations, groups, and all that crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from networks import OPSETS, Case, Draw, arrays, finite_hardware, network, node, run
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from product_checks import check_exact, check_same_bits, host_reasons, on_tiles

import xbarc
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware


@st.composite
def transposed(draw: Draw, dtype: type = np.float32) -> Case:
    """One ``ConvTranspose``."""
    rank = draw(st.integers(1, 3))
    small = rank == 3
    groups, inner, outer = (draw(st.integers(1, 2 if small else 3)) for _ in range(3))
    kernel, strides, dilations = ([draw(st.integers(1, top)) for _ in range(rank)] for top in (4, 3, 2))
    sizes = [draw(st.integers(1, 2 if small else 5)) for _ in range(rank)]
    padding = draw(st.sampled_from(["none", "pads", "output_shape", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": groups}
    extra = [0] * rank
    if draw(st.booleans()):
        extra = [draw(st.integers(0, stride - 1)) for stride in strides]
        attributes["output_padding"] = extra
    reach = [(k - 1) * d + 1 + e for k, d, e in zip(kernel, dilations, extra, strict=True)]
    whole = [s * (n - 1) + r for s, n, r in zip(strides, sizes, reach, strict=True)]
    if padding == "pads":
        before = [draw(st.integers(0, min(size - 1, 3))) for size in whole]
        after = [draw(st.integers(0, min(size - 1 - cut, 3))) for size, cut in zip(whole, before, strict=True)]
        attributes["pads"] = [*before, *after]
    if padding == "output_shape":
        # of fewer outputs than inputs, ONNX infers a shape without spatial axes
        least = [max(size - 3, inputs) for size, inputs in zip(whole, sizes, strict=True)]
        attributes["output_shape"] = [
            draw(st.integers(low, max(size, low))) for low, size in zip(least, whole, strict=True)
        ]
        padding = draw(st.sampled_from(["none", "SAME_UPPER", "SAME_LOWER"]))
    elif padding.startswith("SAME"):
        # of outputs that no input reaches, ONNX and onnxruntime say different things
        assume(not any(extra) and all(r >= s for r, s in zip(reach, strides, strict=True)))
    if padding not in ("none", "pads"):
        attributes["auto_pad"] = padding
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    constants = {"w": draw(arrays((groups * inner, outer, *kernel), dtype, weights=True))}
    if draw(st.booleans()):
        constants["b"] = draw(arrays((groups * outer,), dtype))
    batch = draw(st.integers(1, 3))
    symbols: list[list[int | str | None]] = [["N", *sizes], [batch, *sizes]]
    if "output_shape" not in attributes:
        symbols += [["N", *"DHW"[:rank]], ["N", *[None] * rank], ["N", *sizes[:-1], "W"]]
    declared = draw(st.sampled_from(symbols))
    shape = [declared[0], groups * inner, *declared[1:]]
    nodes = [node("ConvTranspose", ["x", *constants], "y", **attributes)]
    model = network(nodes, {"x": shape}, constants, dtype=dtype, opset=draw(st.sampled_from(OPSETS)))
    case = Case(model, {"x": draw(arrays((batch, groups * inner, *sizes), dtype))})
    try:
        run(case.model, case.feeds)
    except InvalidArgument:
        reject()  # it does not take every size that can be asked for
    return case


TRANSPOSED = transposed()
HALF = transposed(np.float16)  # onnxruntime has no ConvTranspose of float64


@settings(max_examples=150)
@given(TRANSPOSED)
def test_exact_hardware_gives_the_floating_point_result(case: Case) -> None:
    check_exact(case, 1e-6)


@settings(max_examples=30)
@given(HALF)
def test_exact_hardware_on_a_half_precision_model_is_within_a_rounding(case: Case) -> None:
    check_exact(case, 2.0**-10)


@settings(max_examples=80)
@given(TRANSPOSED, finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(case: Case, hardware: Hardware) -> None:
    check_same_bits(case, hardware)


@settings(max_examples=40)
@given(st.one_of(TRANSPOSED, HALF))
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(case: Case) -> None:
    check_same_bits(case, load_hardware("generic-pcm"))


def program_of(kernel: np.ndarray, shape: tuple[int | str, ...], **attributes: object) -> xbarc.Program:
    model = network([node("ConvTranspose", ["x", "w"], "y", **attributes)], {"x": shape}, {"w": kernel})
    return xbarc.compile(model, hardware="exact")


@pytest.mark.parametrize(
    ("kernel", "stride", "attributes", "rows", "columns", "host"),
    [
        (2, 2, {}, 3, 20, ["DepthToSpace"]),  # no overlap: one tap a phase
        (4, 2, {"pads": [1, 1, 1, 1]}, 12, 20, ["DepthToSpace", "Slice"]),
        (3, 2, {"pads": [1, 1, 1, 1], "output_padding": [1, 1]}, 12, 20, ["DepthToSpace"]),
        (5, 1, {"pads": [2, 2, 2, 2]}, 75, 5, []),  # a convolution by the flipped kernel
    ],
)
def test_phases_are_columns_and_taps_of_a_phase_are_rows(
    kernel: int, stride: int, attributes: dict[str, list[int]], rows: int, columns: int, host: list[str]
) -> None:
    """What is common costs no more than it must: as many windows as there are input pixels, one step to interleave."""
    weight = np.random.default_rng(0).normal(size=(3, 5, kernel, kernel)).astype(np.float32)
    program = program_of(weight, ("N", 3, "H", "W"), strides=[stride] * 2, **attributes)
    (layer,) = program.report().layers
    assert (layer.name, layer.rows, layer.columns) == ("y", rows, columns)
    assert sorted(operator.kind for operator in program.report().host) == host


def test_samples_stay_apart_where_sizes_are_computed() -> None:
    """Two layers, with strides that differ and sizes that are not known between them: still one sample an image."""
    rng = np.random.default_rng(0)
    nodes = [
        node("ConvTranspose", ["x", "v"], "h", strides=[2, 3]),
        node("ConvTranspose", ["h", "w"], "y", strides=[1, 2]),
    ]
    constants = {name: rng.normal(size=(2, 2, 2, 2)).astype(np.float32) for name in "vw"}
    model = network(nodes, {"x": ("N", 2, "H", "W")}, constants)
    x = rng.normal(size=(4, 2, 3, 5)).astype(np.float32)
    program = xbarc.compile(model, calibration={"x": x})
    assert on_tiles(program) == ["h", "y"]
    assert [layer.batch_dependent for layer in program.report().layers] == [False, False]
    whole = program.write().run({"x": x})["y"]
    alone = np.concatenate([program.write().run({"x": x[i : i + 1]})["y"] for i in range(len(x))])
    assert whole.tobytes() == alone.tobytes()


REFUSED: dict[str, tuple[dict[str, Any], tuple[int | str, ...]]] = {
    "it states the sizes of its output, and those of its input are not known": (
        {"output_shape": [8, 8], "strides": [2, 2]},
        (1, 3, "H", "W"),
    ),
    "auto_pad has no settled meaning with output_padding or strides beyond the kernel": (
        {"auto_pad": "SAME_UPPER", "strides": [3, 3]},
        (1, 3, 4, 4),
    ),
    "nothing is left of its output along spatial axis 1": ({"pads": [0, 3, 0, 3]}, (1, 3, 4, 4)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_settled_geometry_stays_digital(reason: str) -> None:
    attributes, shape = REFUSED[reason]
    program = program_of(np.ones((3, 2, 2, 2), np.float32), shape, **attributes)
    assert on_tiles(program) == []
    assert host_reasons(program) == {"y": reason}
