"""Linear models of ``ai.onnx.ml``, as scikit-learn exports them, on tiles against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, arrays, error, finite_hardware, run
from onnx import TensorProto, helper
from product_checks import host_reasons, on_tiles

import xbarc
from xbarc.errors import ModelError
from xbarc.hardware.schema import Hardware

TRANSFORMS = st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC"])
FED = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE, np.int64: TensorProto.INT64}


def model_of(
    kind: str, results: list[int], features: int | str, fed: int = TensorProto.FLOAT, **attributes: Any
) -> onnx.ModelProto:
    names = ["label", "scores"][-len(results) :]
    step = helper.make_node(kind, ["x"], names, name="linear", domain="ai.onnx.ml", **attributes)
    shapes = [["N"] if name == "label" else ["N", None] for name in names]
    graph = helper.make_graph(
        [step],
        "linear",
        [helper.make_tensor_value_info("x", fed, ["N", features])],
        [
            helper.make_tensor_value_info(name, elem, shape)
            for name, elem, shape in zip(names, results, shapes, strict=True)
        ],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    onnx.checker.check_model(model)
    return model


@st.composite
def linear_models(draw: Draw) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A regressor of some targets, or a classifier of some classes with labels of either kind."""
    features, columns, samples = (draw(st.integers(low, 6)) for low in (1, 2, 1))
    attributes: dict[str, Any] = {
        "coefficients": draw(arrays((columns, features))).reshape(-1).tolist(),
        "post_transform": draw(TRANSFORMS),
    }
    intercepts = draw(arrays((columns,))).tolist()
    dtype = draw(st.sampled_from([np.float32, np.float32, np.int64, np.float64]))
    if draw(st.booleans()):
        if draw(st.booleans()):
            attributes["intercepts"] = intercepts
        dtype = np.float32  # onnxruntime's regressor takes no other
        model = model_of("LinearRegressor", [TensorProto.FLOAT], features, targets=columns, **attributes)
    else:
        attributes["intercepts"] = intercepts
        if draw(st.booleans()):
            attributes["classlabels_strings"] = [f"class {place}" for place in range(columns)]
            label = TensorProto.STRING
        else:
            attributes["classlabels_ints"] = [7 - 2 * place for place in range(columns)]
            label = TensorProto.INT64
        results = [label, TensorProto.FLOAT]
        model = model_of("LinearClassifier", results, features, FED[dtype], **attributes)
    return model, {"x": (3 * draw(arrays((samples, features)))).astype(dtype)}


@settings(max_examples=80)
@given(linear_models())
def test_exact_hardware_gives_the_same_labels_and_scores(
    case: tuple[onnx.ModelProto, dict[str, np.ndarray]],
) -> None:
    model, feeds = case
    program = xbarc.compile(model, hardware="exact", calibration=[feeds])
    assert on_tiles(program) == ["linear"]
    ours = program.write().run(feeds)
    *label, expected = run(model, feeds)
    assert error(ours["scores"], expected, np.append(expected, 1.0)) < 1e-5
    if label:
        ordered = np.sort(expected, axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > 1e-4
        assert ours["label"].shape == label[0].shape
        assert ours["label"][clear].tolist() == label[0][clear].tolist()


@settings(max_examples=60)
@given(linear_models(), finite_hardware())
def test_the_program_gives_the_same_labels_and_bits_in_onnxruntime(
    case: tuple[onnx.ModelProto, dict[str, np.ndarray]], hardware: Hardware
) -> None:
    model, feeds = case
    program = xbarc.compile(model, hardware=hardware, calibration=[feeds])
    assert on_tiles(program) == ["linear"]
    ours = program.write().run(feeds)
    for optimized in (False, True):
        theirs = run(program.model(), feeds, optimized=optimized)
        assert [array.tolist() for array in ours.values()] == [array.tolist() for array in theirs]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"post_transform": "PROBIT"}, "its post_transform is PROBIT"),
        ({"intercepts": [1.0], "coefficients": [1.0, 2.0]}, "it has no row of coefficients for each class"),
    ],
)
def test_what_has_no_plain_product_stays_digital(attributes: dict[str, Any], reason: str) -> None:
    given = {"coefficients": [1.0, 2.0, 3.0, 4.0], "intercepts": [0.0, 1.0], "classlabels_ints": [0, 1]} | attributes
    model = model_of("LinearClassifier", [TensorProto.INT64, TensorProto.FLOAT], 2, **given)
    program = xbarc.compile(model, hardware="exact")
    assert on_tiles(program) == []
    assert host_reasons(program) == {"linear": reason}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"coefficients": [1.0, 2.0, 3.0]}, "3 coefficients cannot be parted into 2 rows"),
        ({"intercepts": [1.0, 2.0, 3.0]}, "it has 3 intercepts, expected 2"),
        ({"coefficients": [1.0] * 6}, "its input has 2 features, its coefficients 3"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(attributes: dict[str, Any], message: str) -> None:
    given = {"coefficients": [1.0] * 4, "intercepts": [0.0, 1.0], "targets": 2} | attributes
    with pytest.raises(ModelError, match=message):
        xbarc.compile(model_of("LinearRegressor", [TensorProto.FLOAT], 2, **given), hardware="exact")
