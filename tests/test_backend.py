"""The interface of ONNX backends, and the types that only it brings up."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import error, network, node, run
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.base import Backend, BackendRep

import xbarc.backend
from xbarc.errors import DataError, ModelError, UsageError
from xbarc.runtime.few_bits import FEW_BITS, to_array, to_value


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def two_inputs() -> onnx.ModelProto:
    nodes = [node("MatMul", ["x", "w"], "a"), node("Sub", ["a", "z"], "y"), node("Relu", ["y"], "r")]
    return network(nodes, {"x": ["N", 6], "z": ["N", 4]}, {"w": numbers(6, 4)}, outputs=["y", "r"])


def test_inputs_by_place_and_by_name() -> None:
    model = two_inputs()
    feeds = {"x": numbers(3, 6), "z": numbers(3, 4, seed=1)}
    prepared = xbarc.backend.prepare(model)
    assert isinstance(prepared, BackendRep)
    assert len(prepared.program.report().layers) == 1
    wanted = run(model, feeds)
    for given_in in ([feeds["x"], feeds["z"]], (feeds["x"], feeds["z"]), {"z": feeds["z"], "x": feeds["x"]}):
        found = prepared.run(given_in)
        assert isinstance(found, list)
        assert all(error(one, other) < 1e-5 for one, other in zip(found, wanted, strict=True))
    for one, other in zip(xbarc.backend.run_model(model, [feeds["x"], feeds["z"]]), wanted, strict=True):
        assert error(one, other) < 1e-5
    with pytest.raises(DataError, match="1 inputs for a model of 2"):
        prepared.run(feeds["x"])


def test_a_single_input_by_itself() -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 6]}, {"w": numbers(6, 4)})
    (found,) = xbarc.backend.prepare(model).run(numbers(3, 6))
    assert error(found, numbers(3, 6) @ numbers(6, 4)) < 1e-5


def test_devices() -> None:
    assert issubclass(xbarc.backend.XbarcBackend, Backend)
    assert [xbarc.backend.supports_device(name) for name in ("CPU", "CPU:1", "CUDA")] == [True, True, False]
    assert xbarc.backend.is_compatible(two_inputs())
    assert not xbarc.backend.is_compatible(two_inputs(), "CUDA")
    with pytest.raises(UsageError, match="there is no device 'CUDA'"):
        xbarc.backend.prepare(two_inputs(), "CUDA")


def test_a_single_operator() -> None:
    x, z = numbers(2, 3), numbers(3, seed=1)
    add = helper.make_node("Add", ["x", "z"], ["y"])
    np.testing.assert_array_equal(xbarc.backend.run_node(add, [x, z])[0], x + z)
    twice = helper.make_node("Mul", ["x", "x"], ["y"])
    np.testing.assert_array_equal(xbarc.backend.run_node(twice, x)[0], x * x)
    clip = helper.make_node("Clip", ["x", "", "high"], ["y"])
    np.testing.assert_array_equal(xbarc.backend.run_node(clip, [x, np.float32(0)])[0], np.minimum(x, 0))
    old = helper.make_node("Squeeze", ["x"], ["y"], axes=[0])
    np.testing.assert_array_equal(xbarc.backend.run_node(old, [x[None]], opset_version=11)[0], x)
    joined = helper.make_node("ConcatFromSequence", ["xs"], ["y"], axis=0)
    np.testing.assert_array_equal(xbarc.backend.run_node(joined, [[x, x]])[0], np.concatenate([x, x]))
    unknown = helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft", alpha=1.0)
    found = xbarc.backend.run_node(unknown, [x], outputs_info=[(np.dtype(np.float32), x.shape)])[0]
    np.testing.assert_allclose(found, x / (1 + np.exp(-x)), rtol=1e-5)
    with pytest.raises(DataError, match="its type cannot be told"):
        xbarc.backend.run_node(add, [x, None])
    with pytest.raises(ModelError):
        xbarc.backend.run_node(helper.make_node("Nothing", ["x"], ["y"]), [x])


# --- types that numpy lacks


@given(
    elem=st.sampled_from(sorted(FEW_BITS.values())),
    shape=st.lists(st.integers(0, 5), max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_arrays_of_few_bits_come_back_from_onnxruntime(elem: int, shape: list[int], seed: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(elem)
    array = np.random.default_rng(seed).integers(0, 2, shape).astype(np.float32).astype(dtype)
    value = to_value(array)
    assert FEW_BITS[value.data_type()] == elem
    found = to_array(value)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array", [np.array(1.5, np.float32), numbers(3, 4).T, np.zeros((0, 2), np.int8), np.array([True, False])]
)
def test_plain_arrays_beside_them_keep_their_shape(array: np.ndarray) -> None:
    np.testing.assert_array_equal(to_array(to_value(array)), array, strict=True)


def test_models_of_bfloat16() -> None:
    """In and out in the model's type, and on tiles in float32."""
    elem = TensorProto.BFLOAT16
    weight = numpy_helper.from_array(numbers(6, 4).astype(helper.tensor_dtype_to_np_dtype(elem)), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["w"], ["v"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "v"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=elem),
    ]
    inputs = [helper.make_tensor_value_info("x", elem, ["N", 6])]
    outputs = [helper.make_tensor_value_info("y", elem, ["N", 4])]
    graph = helper.make_graph(nodes, "network", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    x = numbers(3, 6).astype(helper.tensor_dtype_to_np_dtype(elem))
    prepared = xbarc.backend.prepare(model)
    assert len(prepared.program.report().layers) == 1
    for fed in (x, x.astype(np.float32)):
        (found,) = prepared.run(fed)
        assert found.dtype == x.dtype
        wanted = x.astype(np.float32) @ numpy_helper.to_array(weight).astype(np.float32)
        np.testing.assert_allclose(found.astype(np.float32), wanted, rtol=2**-7)


# --- Scan of opset 8


@pytest.mark.parametrize("directions", [None, [1]])
def test_scans_that_ran_over_a_batch_still_do(directions: list[int] | None) -> None:
    model = scan_model(**({} if directions is None else {"directions": directions}))
    feeds = {"start": numbers(5, 2), "x": numbers(5, 7, 2, seed=1)}
    found = xbarc.backend.run_model(model, feeds)
    for one, other in zip(found, run(model, feeds), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_scans_with_lengths_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match="the operator Scan of opset 8 has sequence lengths") as caught:
        xbarc.backend.prepare(scan_model(lengths="lengths"))
    assert "node 'scan'" in str(caught.value.where)


def scan_model(*, lengths: str = "", **attributes: Any) -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Add", ["sum", "next"], "sum_out"), node("Relu", ["sum_out"], "seen")],
        "body",
        [helper.make_tensor_value_info(name, 1, [2]) for name in ("sum", "next")],
        [helper.make_tensor_value_info(name, 1, [2]) for name in ("sum_out", "seen")],
    )
    scan = helper.make_node(
        "Scan", [lengths, "start", "x"], ["end", "all"], name="scan", num_scan_inputs=1, body=body, **attributes
    )
    inputs = [helper.make_tensor_value_info("start", 1, ["N", 2]), helper.make_tensor_value_info("x", 1, ["N", "T", 2])]
    if lengths:
        inputs.append(helper.make_tensor_value_info(lengths, TensorProto.INT64, ["N"]))
    outputs = [
        helper.make_tensor_value_info("end", 1, ["N", 2]),
        helper.make_tensor_value_info("all", 1, ["N", "T", 2]),
    ]
    graph = helper.make_graph([scan], "network", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=4)
