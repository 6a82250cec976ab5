"""Models that are odd but right, and models that are wrong: a right answer or one clear error, nothing between."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from networks import error, network, node, run
from onnx import helper

import xbarc
from xbarc.errors import DataError, ModelError, ProgramError
from xbarc.ir.layer import layers


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(model: onnx.ModelProto, feeds: dict[str, np.ndarray], **options: Any) -> xbarc.Program:
    """Exact hardware gives what onnxruntime gives, and finite hardware what onnxruntime makes of the program."""
    expected = run(model, feeds)
    exact = xbarc.compile(model, hardware="exact", **options).write().run(feeds)
    assert all(error(actual, wanted) < 1e-5 for actual, wanted in zip(exact.values(), expected, strict=True))
    program = xbarc.compile(model, calibration=feeds, **options)
    stored = program.model()
    for actual, wanted in zip(program.write().run(feeds).values(), run(stored, feeds), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    again = xbarc.load(stored)
    assert again.text() == program.text()
    assert again.model().SerializeToString() == stored.SerializeToString()
    return program


def convolution(**attributes: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node("Conv", ["x", "w"], "y", **attributes)],
        "network",
        [helper.make_tensor_value_info("x", 1, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(numbers(4, 3, 3, 3), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"pads": [-1] * 4}, "pads are [-1, -1, -1, -1]"),
        ({"strides": [0, 0]}, "strides are [0, 0]"),
        ({"dilations": [0, 0]}, "dilations are [0, 0]"),
        ({"group": 3}, "3 groups"),
    ],
)
@pytest.mark.parametrize("hardware", ["exact", "generic-pcm"])
def test_attributes_without_meaning_are_refused_by_node(attributes: dict[str, Any], says: str, hardware: str) -> None:
    with pytest.raises(ModelError) as caught:
        xbarc.compile(convolution(**attributes), hardware=hardware)
    said = str(caught.value)
    assert (says in said and "node 'y' (Conv)" in said) or "Node (y) Op (Conv)" in said


def test_pads_beside_automatic_padding_mean_nothing() -> None:
    model = convolution(auto_pad="VALID", pads=[1, 1, 1, 1])
    program = xbarc.compile(model, hardware="exact")
    assert program.write().run(numbers(2, 3, 8, 8))["y"].shape == (2, 4, 6, 6)


def test_a_kernel_larger_than_its_input_is_refused() -> None:
    model = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 3, "H", "W"]}, {"w": numbers(4, 3, 5, 5)})
    chip = xbarc.compile(model, hardware="exact").write()
    with pytest.raises(DataError, match="too small for a kernel"):
        chip.run(numbers(2, 3, 4, 8))


def test_the_pedestal_counts_in_what_float32_holds() -> None:
    """Few cells hold weights, so the levels add up to little; the codes behind the pedestal do not."""
    weight = numbers(2048, 20) * (np.random.default_rng(1).random((2048, 20)) < 0.02)
    x = np.abs(numbers(50, 2048, seed=2)) + 1
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 2048]}, {"w": weight.astype(np.float32)})
    overrides = ["weights.subtraction=digital", "cell.g_min=5 uS", "cell.levels=2", "tile.rows=2048"]
    program = xbarc.compile(model, calibration=x, overrides=[*overrides, "dac.bits=16", "adc.bits=16"])
    np.testing.assert_array_equal(program.write().run(x)["y"], run(program.model(), {"x": x})[0])


@pytest.mark.parametrize("dac_range", ["percentile", "mse", "max"])
def test_rare_inputs_are_not_clipped_away(dac_range: str) -> None:
    """Of one-hot inputs, 99.995 % are zero: a percentile over all of them would be zero."""
    rng = np.random.default_rng(0)
    x = np.eye(20000, dtype=np.float32)[rng.integers(0, 20000, 200)]
    weight = numbers(20000, 16)
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 20000]}, {"w": weight})
    program = xbarc.compile(model, calibration=x, overrides=[f"dac.range={dac_range}"])
    assert error(program.write().run(x)["y"], x @ weight) < 0.01


@pytest.mark.parametrize("name", ["y0.levels", "y0.adc_lsb", "y0.weight", "y0.product", "y0.bias"])
def test_names_of_the_model_are_left_to_it(name: str) -> None:
    nodes = [node("MatMul", ["x", "w"], "y0"), node("Relu", ["y0"], "r"), node("Mul", ["r", name], "y")]
    model = network(nodes, {"x": ["N", 20]}, {"w": numbers(20, 30), name: numbers(30)})
    check(model, {"x": numbers(9, 20)})


def test_operators_that_only_onnxruntime_knows() -> None:
    nodes = [
        helper.make_node("Gelu", ["x"], ["g"], name="g", domain="com.microsoft"),
        node("MatMul", ["g", "w"], "a"),
        node("Add", ["a", "g"], "y"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", 1, ["N", 20])],
        [helper.make_tensor_value_info("y", 1, ["N", 20])],
        [onnx.numpy_helper.from_array(numbers(20, 20), "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    program = check(helper.make_model(graph, opset_imports=opsets, ir_version=8), {"x": numbers(20, 20)})
    assert [layer.name for layer in layers(program.graph)] == ["a"]


def test_an_infinite_mask_stays_on_the_host() -> None:
    mask = np.array([0, 0, -np.inf, 0, 0], np.float32)
    nodes = [node("MatMul", ["x", "w"], "a"), node("Add", ["a", "mask"], "b"), node("Softmax", ["b"], "y")]
    check(network(nodes, {"x": ["N", 20]}, {"w": numbers(20, 5), "mask": mask}), {"x": numbers(6, 20)})


@pytest.mark.parametrize("value", [0.0, -1.0], ids=["infinity", "nan"])
def test_calibration_that_is_not_finite_names_the_layer(value: float) -> None:
    nodes = [node("Log", ["x"], "l"), node("MatMul", ["l", "w"], "fc")]
    model = network(nodes, {"x": ["N", 20]}, {"w": numbers(20, 3)}, outputs=["fc"])
    with pytest.raises(DataError, match="not finite") as caught:
        xbarc.compile(model, calibration=np.full((4, 20), value, np.float32))
    assert "'fc'" in str(caught.value)


def test_a_range_of_subnormal_numbers_compiles() -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 20]}, {"w": numbers(20, 3)})
    x = numbers(4, 20) * np.float32(1e-43)
    assert np.isfinite(xbarc.compile(model, calibration=x).write().run(x)["y"]).all()


def test_a_fixed_batch_counts_as_its_samples() -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), node("MatMul", ["a", "v"], "y")]
    model = network(nodes, {"x": [8, 32]}, {"w": numbers(32, 32), "v": numbers(32, 32, seed=1)})
    report = xbarc.compile(model, calibration=numbers(8, 32), host=["y"]).report()
    assert (report.totals.analog_macs, report.totals.host_macs) == (1024, 1024)


def test_outputs_without_samples_are_not_joined() -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), node("ReduceMean", ["a"], "y", keepdims=0)]
    chip = xbarc.compile(network(nodes, {"x": [8, 32]}, {"w": numbers(32, 32)}), calibration=numbers(8, 32)).write()
    assert chip.run(numbers(8, 32))["y"].shape == ()
    with pytest.raises(DataError, match="cannot be joined"):
        chip.run(numbers(16, 32))


def test_an_operators_own_name_is_a_pattern() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="/layer[0]/MatMul")]
    model = network(nodes, {"x": ["N", 32]}, {"w": numbers(32, 32)})
    program = xbarc.compile(model, calibration=numbers(8, 32), host=["/layer[0]/MatMul"])
    assert program.report().layers == ()


def test_nodes_of_one_name_are_told_apart() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="same"),
        helper.make_node("Relu", ["a"], ["r"], name="same"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="same"),
    ]
    model = network(nodes, {"x": ["N", 4]}, {"w": numbers(4, 4)})
    program = xbarc.compile(model, hardware="exact")
    assert len({layer.name for layer in program.report().layers}) == 2
    onnx.checker.check_model(program.model(), full_check=True)
    ort.InferenceSession(program.model().SerializeToString())


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("output_scale", lambda array: array[:3]),
        ("output_scale", lambda array: array * np.nan),
        ("adc_lsb", lambda array: array * 0),
        ("dac_scale", lambda array: -array),
        ("levels", lambda array: array[..., :3]),
    ],
)
def test_a_changed_program_is_refused(tensor: str, change: Any) -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 20]}, {"w": numbers(20, 30)})
    stored = xbarc.compile(model, calibration=numbers(9, 20)).model()
    for initializer in stored.graph.initializer:
        if initializer.name == f"y.{tensor}":
            array = change(onnx.numpy_helper.to_array(initializer))
            initializer.CopyFrom(onnx.numpy_helper.from_array(array, initializer.name))
    with pytest.raises(ProgramError, match="damaged"):
        xbarc.load(stored)
