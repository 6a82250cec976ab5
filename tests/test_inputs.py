"""Inputs of every kind: with samples, shared by all of them, without any, text, sequences; and none at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import error, network, node, run
from onnx import TensorProto, helper, numpy_helper

import xbarc
from xbarc.api.data import open_data, samples_from_arrays, samples_from_batches
from xbarc.api.specs import Division, InputSpec, divide
from xbarc.errors import DataError
from xbarc.ir.layer import layers

F32 = np.dtype(np.float32)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def tensor(name: str, shape: list[int | str] | None, elem: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, elem, shape)


# --- which inputs hold samples


@pytest.mark.parametrize(
    ("shapes", "batched", "fixed"),
    [
        ([("N", 3), ("M",)], "ab", None),
        ([("N", 3), (None, 2)], "ab", None),
        ([("N", 3), (3,), ()], "a", None),
        ([("N", 3), None], "a", None),
        ([(4, 3), (4,), ()], "ab", 4),
        ([(4, 3), (2,)], "", None),
        ([(0, 3)], "", None),
        ([()], "", None),
        ([None], "", None),
        ([], "", None),
    ],
)
def test_inputs_that_hold_samples(shapes: list[Any], batched: str, fixed: int | None) -> None:
    specs = [InputSpec(name, F32, shape) for name, shape in zip("abc", shapes, strict=False)]
    assert divide(specs) == Division(frozenset(batched), fixed)


@given(count=st.integers(1, 20), size=st.integers(1, 7), cut=st.integers(0, 20))
def test_shared_inputs_go_whole_with_every_batch(count: int, size: int, cut: int) -> None:
    specs = [InputSpec("table", F32, (3, "M")), InputSpec("x", F32, ("N", 2)), InputSpec("scale", F32, ())]
    assert divide(specs).batched == {"x"}
    data = {"x": numbers(count, 2), "table": numbers(3, 5), "scale": 2}
    parts = [{**data, "x": part} for part in np.split(data["x"], [min(cut, count)])]
    forms = [samples_from_arrays(data, specs), samples_from_batches(parts, specs), samples_from_batches(parts, specs)]
    for samples in forms:
        batches = list(samples.batches(size))
        assert [samples.size_of(batch) for batch in batches] == [
            min(size, count - start) for start in range(0, count, size)
        ]
        np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in batches]), data["x"])
        for batch in batches:
            np.testing.assert_array_equal(batch["table"], data["table"])
            np.testing.assert_array_equal(batch["scale"], np.float32(2), strict=True)
    assert len({samples.sha256() for samples in forms}) == 1
    other = samples_from_arrays({**data, "scale": 3}, specs)
    assert other.sha256() != forms[0].sha256()


def test_batches_with_other_shared_values_are_not_joined() -> None:
    specs = [InputSpec("x", F32, ("N",)), InputSpec("scale", F32, ())]
    given = [{"x": np.zeros(2), "scale": 1}, {"x": np.zeros(2), "scale": 2}]
    assert [float(batch["scale"]) for batch in samples_from_batches(given, specs).batches(2)] == [1, 2]
    with pytest.raises(DataError, match="different values of the input 'scale' cannot be joined"):
        list(samples_from_batches(given, specs).batches(3))


def test_different_fixed_sizes_make_one_call_of_every_batch() -> None:
    specs = [InputSpec("x", F32, (4, 3)), InputSpec("y", F32, (2,))]
    data = {"x": numbers(4, 3), "y": numbers(2)}
    samples = samples_from_batches([data, data], specs)
    assert [(batch["x"].shape, samples.size_of(batch)) for batch in samples.batches(1)] == [((4, 3), 1)] * 2
    assert samples.count == 2
    assert samples_from_arrays(data, specs).sha256() != samples.sha256()
    with pytest.raises(DataError, match=r"the array has shape \(8, 3\), the model reads \(4, 3\)"):
        samples_from_arrays({**data, "x": numbers(8, 3)}, specs)


def test_text_is_told_from_numbers(tmp_path: Path) -> None:
    specs = [InputSpec("words", np.dtype(object), ("N",))]
    np.savez(tmp_path / "d.npz", words=np.array(["a", "bc"]))
    (batch,) = open_data(tmp_path / "d.npz", specs).batches(5)
    assert batch["words"].tolist() == ["a", "bc"]
    same = samples_from_batches([np.array(["a"]), np.array(["bc"], dtype=object)], specs)
    assert same.sha256() == open_data(tmp_path / "d.npz", specs).sha256()
    assert same.sha256() != samples_from_arrays(np.array(["ab", "c"]), specs).sha256()
    for wrong in (np.zeros(2), np.array([None, "a"], dtype=object)):
        with pytest.raises(DataError, match="and the model reads text"):
            samples_from_arrays(wrong, specs)


# --- programs that read them


def shared_model() -> onnx.ModelProto:
    """A product that sees samples, one that sees a table, and a scalar."""
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("MatMul", ["table", "v"], "b"),
        node("Mul", ["b", "scale"], "c"),
        node("Add", ["a", "c"], "y"),
    ]
    inputs = [tensor("x", ["N", 6]), tensor("table", [1, 5]), tensor("scale", [])]
    return model_of(nodes, inputs, [tensor("y", ["N", 4])], {"w": numbers(6, 4), "v": numbers(5, 4, seed=1)})


def shared_data(count: int) -> dict[str, np.ndarray]:
    return {"x": numbers(count, 6), "table": numbers(1, 5, seed=2), "scale": np.array(0.5, np.float32)}


@pytest.mark.parametrize("device", ["ideal", "pcm"])
def test_a_table_beside_the_samples_gives_the_same_for_any_batch(device: str) -> None:
    model, data = shared_model(), shared_data(30)
    program = xbarc.compile(model, calibration=data)
    assert len(layers(program.graph)) == 2
    chip = program.write(device)
    whole = chip.run(data)["y"]
    parts = [chip.run({**data, "x": data["x"][at : at + 10]}, first_sample=at)["y"] for at in (0, 10, 20)]
    if device == "ideal":
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        np.testing.assert_array_equal(whole, run(program.model(), data)[0])
    again = chip.run(data)["y"]
    np.testing.assert_array_equal(again, whole)
    assert error(whole, run(model, data)[0]) < 0.3


def test_evaluation_takes_shared_inputs(tmp_path: Path) -> None:
    model, data = shared_model(), shared_data(30)
    np.savez(tmp_path / "data.npz", **data, labels=run(model, data)[0].argmax(axis=1))
    chip = xbarc.compile(model, hardware="exact").write()
    evaluation = chip.evaluate(tmp_path / "data.npz", metric="top-1")
    assert evaluation.samples == 30
    assert evaluation.ideal.value == evaluation.float.value == 1.0


def test_models_of_one_call() -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), node("MatMul", ["z", "a"], "y")]
    inputs = [tensor("x", [5, 6]), tensor("z", [3, 5])]
    model = model_of(nodes, inputs, [tensor("y", [3, 4])], {"w": numbers(6, 4)})
    data = {"x": numbers(5, 6), "z": numbers(3, 5)}
    program = xbarc.compile(model, calibration=data)
    assert len(layers(program.graph)) == 1
    np.testing.assert_array_equal(program.write().run(data)["y"], run(program.model(), data)[0])
    evaluation = xbarc.compile(model, hardware="exact").write().evaluate(data, metric="snr")
    assert evaluation.samples == 1
    assert evaluation.ideal.value is not None
    assert evaluation.ideal.value > 80


def test_a_scalar_in_and_a_scalar_out() -> None:
    model = model_of([node("Exp", ["x"], "y")], [tensor("x", [])], [tensor("y", [])])
    chip = xbarc.compile(model).write()
    np.testing.assert_allclose(chip.run({"x": 1.0})["y"], np.e, rtol=1e-6)
    assert chip.evaluate({"x": 1.0}, metric="mse").ideal.value == 0.0


def test_a_model_without_inputs() -> None:
    nodes = [
        node("RandomNormal", [], "x", shape=[3, 8], seed=1.0),
        node("MatMul", ["x", "w"], "y"),
    ]
    model = model_of(nodes, [], [tensor("y", [3, 4])], {"w": numbers(8, 4)})
    program = xbarc.compile(model)
    assert len(layers(program.graph)) == 1
    assert program.write().run({})["y"].shape == (3, 4)


def test_text_sequences_and_optionals() -> None:
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["M", 6]))
    optional = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["M"]))
    nodes = [
        helper.make_node("ConcatFromSequence", ["xs"], ["x"], axis=0),
        node("MatMul", ["x", "w"], "y"),
        node("StringConcat", ["words", "words"], "twice"),
        node("OptionalHasElement", ["maybe"], "there"),
    ]
    inputs = [
        helper.make_value_info("xs", sequence),
        tensor("words", [2], TensorProto.STRING),
        helper.make_value_info("maybe", optional),
    ]
    outputs = [
        tensor("y", None),
        tensor("twice", [2], TensorProto.STRING),
        tensor("there", [], TensorProto.BOOL),
        helper.make_value_info("xs", sequence),
    ]
    graph = helper.make_graph(nodes, "network", inputs, outputs, [numpy_helper.from_array(numbers(6, 4), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    chip = xbarc.compile(model, hardware="exact").write()
    assert len(layers(chip.setting.graph)) == 1
    feeds = {"xs": [numbers(2, 6), numbers(1, 6)], "words": np.array(["a", "Bc"]), "maybe": None}
    for found in (chip.run_batch(feeds), chip.run({**feeds, "words": ["a", "Bc"]})):
        assert error(found["y"], np.concatenate(feeds["xs"]) @ numbers(6, 4)) < 1e-5
        assert found["twice"].tolist() == ["aa", "BcBc"]
        assert not found["there"]
        assert [part.shape for part in found["xs"]] == [(2, 6), (1, 6)]
    with pytest.raises(DataError, match="the output is no array of numbers"):
        chip.evaluate(feeds, metric="snr", output="twice")
    with pytest.raises(DataError, match="the input 'xs' reads sequences") as caught:
        xbarc.compile(model)
    assert caught.value.fix == "give a calibration sample (--calibrate DATA.npz)"
    assert len(layers(xbarc.compile(model, calibration=[feeds]).graph)) == 1
    assert not layers(xbarc.compile(model, host=["y"]).graph)  # nothing is to be calibrated, so nothing is drawn


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({}, "no array for the model's input 'x'"),
        ({"x": np.zeros(6)}, r"the array has shape \(6,\), the model reads \(any, 6\)"),
        ({"x": np.zeros((2, 5))}, r"the array has shape \(2, 5\), the model reads \(any, 6\)"),
        ({"x": np.full((2, 6), 1e300)}, "does not fit the model's type float32"),
        ({"x": np.full((2, 6), "a")}, "not one of real numbers"),
        ({"x": [[1.0], [1.0, 2.0]]}, "cannot be read as an array"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(feeds: dict[str, Any], says: str) -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ["N", 6]}, {"w": numbers(6, 4)})
    with pytest.raises(DataError, match=says):
        xbarc.compile(model, hardware="exact").write().run_batch(feeds)


def test_a_batch_may_hold_other_types_infinities_or_nothing() -> None:
    model = network([node("MatMul", ["x", "w"], "a"), node("Relu", ["a"], "y")], {"x": ["N", 6]}, {"w": numbers(6, 4)})
    chip = xbarc.compile(model, hardware="exact").write()
    x = numbers(3, 6)
    assert error(chip.run_batch({"x": x.astype(np.float64)})["y"], np.maximum(x @ numbers(6, 4), 0)) < 1e-5
    assert chip.run_batch({"x": numbers(0, 6)})["y"].shape == (0, 4)
    with pytest.raises(DataError, match="there is not one sample"):
        chip.run({"x": numbers(0, 6)})
    shifted = model_of([node("Abs", ["x"], "y")], [tensor("x", ["N"])], [tensor("y", ["N"])])
    assert xbarc.compile(shifted).write().run_batch({"x": np.array([-np.inf])})["y"].tolist() == [np.inf]


@pytest.mark.parametrize(("shape", "wanted"), [([0, 6], (0, 4)), (["N", 0, 6], (2, 0, 4))])
def test_sizes_of_zero_give_empty_answers(shape: list[int | str], wanted: tuple[int, ...]) -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": shape}, {"w": numbers(6, 4)})
    x = numbers(*(2 if size == "N" else int(size) for size in shape))
    for hardware in ("exact", "generic-pcm"):
        assert xbarc.compile(model, hardware=hardware).write().run({"x": x})["y"].shape == wanted


# --- random inputs of dynamic sizes


def dynamic_model(size: int) -> onnx.ModelProto:
    """Images of any size that only one size fits: behind them stands a fixed matrix."""
    nodes = [
        node("Conv", ["x", "k"], "c", pads=[1, 1, 1, 1]),
        node("Flatten", ["c"], "f"),
        node("Gemm", ["f", "w"], "y"),
    ]
    constants = {"k": numbers(2, 1, 3, 3), "w": numbers(2 * size * size, 3)}
    return network(nodes, {"x": ["N", 1, "H", "W"]}, constants)


@pytest.mark.parametrize("size", [16, 8, 1])
def test_sizes_are_tried_until_the_model_runs(size: int) -> None:
    model = dynamic_model(size)
    program = xbarc.compile(model)
    assert not program.calibrated
    x = numbers(4, 1, size, size)
    assert error(program.write().run({"x": x})["y"], run(model, {"x": x})[0]) < 0.1
    assert program.text() == xbarc.compile(model).text()


def test_no_size_fits() -> None:
    with pytest.raises(DataError, match="the model runs with none of the sizes 1, 8, 16, 32, 64, 128, 224") as caught:
        xbarc.compile(dynamic_model(5))
    assert caught.value.fix == "give a calibration sample (--calibrate DATA.npz)"
    assert len(layers(xbarc.compile(dynamic_model(5), hardware="exact").graph)) == 2


def test_equal_symbols_get_equal_sizes_and_indices_stay_small() -> None:
    nodes = [
        node("Gather", ["words", "tokens"], "e"),
        node("MatMul", ["mask", "e"], "m"),
        node("MatMul", ["m", "w"], "y"),
    ]
    inputs = [tensor("tokens", ["N", "T"], TensorProto.INT64), tensor("mask", ["N", "T", "T"])]
    constants = {"words": numbers(50, 8), "w": numbers(8, 4)}
    model = model_of(nodes, inputs, [tensor("y", ["N", "T", 4])], constants)
    program = xbarc.compile(model)
    (layer,) = layers(program.graph)
    assert layer.dac.input_range.basis.startswith("random inputs")
