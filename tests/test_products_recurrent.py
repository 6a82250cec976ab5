"""``LSTM``, ``GRU`` and ``RNN`` on tiles against onnxruntime, in all their forms, and against ONNX's own vectors."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Case, error, finite_hardware, node, run
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from product_checks import host_reasons, on_tiles
from recurrents import ACTIVATIONS, GATES, Recurrent, quantized, recurrents

import xbarc
from xbarc.errors import ModelError
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware

KINDS = pytest.mark.parametrize("kind", GATES)


def compiled(recurrent: Recurrent, case: Case, hardware: str | Hardware) -> xbarc.Program:
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds])
    assert sorted(on_tiles(program)) == sorted(recurrent.layers)
    return program


def check_close(ours: dict[str, np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    for actual, wanted in zip(ours.values(), expected, strict=True):
        # One small number has no range: then the terms that it comes from count, which are at least about a tenth.
        assert error(actual, wanted, np.append(wanted, 0.1)) < tolerance


def reference(case: Case) -> list[np.ndarray]:
    """What onnxruntime makes of the operator. Of what grows without bound no digit can be compared."""
    expected = run(case.model, case.feeds)
    assume(all(np.abs(wanted).max(initial=0) < 100 for wanted in expected))
    return expected


def check_same_bits(recurrent: Recurrent, case: Case, hardware: Hardware) -> None:
    """The runtime and onnxruntime on the compiled program give the same bits, however much of it is rewritten."""
    program = compiled(recurrent, case, hardware)
    assert {layer.inexact for layer in program.report().layers} == {None}
    ours = program.write().run(case.feeds)
    model = program.model()
    onnx.checker.check_model(model, full_check=True)
    for optimized in (False, True):
        for actual, theirs in zip(ours.values(), run(model, case.feeds, optimized=optimized), strict=True):
            assert (theirs.dtype, theirs.shape) == (actual.dtype, actual.shape)
            assert theirs.tobytes() == actual.tobytes()


# Unlimited resolution


@KINDS
@settings(max_examples=60)
@given(data=st.data())
def test_exact_hardware_gives_the_floating_point_result(kind: str, data: st.DataObject) -> None:
    recurrent = data.draw(recurrents(kind))
    case = recurrent.case()
    expected = reference(case)
    check_close(compiled(recurrent, case, "exact").write().run(case.feeds), expected, 1e-5)


@KINDS
@settings(max_examples=15)
@given(data=st.data())
def test_a_half_precision_operator_is_within_its_roundings(kind: str, data: st.DataObject) -> None:
    recurrent = data.draw(recurrents(kind, smooth=True))
    case = recurrent.case(np.float16)
    expected = reference(case)
    check_close(compiled(recurrent, case, "exact").write().run(case.feeds), expected, 2.0**-9)


@KINDS
@settings(max_examples=15)
@given(data=st.data())
def test_a_double_operator_is_as_good_as_float(kind: str, data: st.DataObject) -> None:
    """onnxruntime has none of them in double precision: what it makes of the same numbers in float counts."""
    recurrent = data.draw(recurrents(kind))
    expected = reference(recurrent.case())
    case = recurrent.case(np.float64)
    ours = compiled(recurrent, case, "exact").write().run(case.feeds)
    assert {array.dtype for array in ours.values()} == {np.dtype(np.float64)}
    check_close({name: array.astype(np.float32) for name, array in ours.items()}, expected, 1e-5)


@KINDS
@settings(max_examples=15)
@given(data=st.data())
def test_samples_may_come_first(kind: str, data: st.DataObject) -> None:
    """The other layout, which onnxruntime lacks, is the same between transpositions."""
    recurrent = data.draw(recurrents(kind))
    expected = reference(recurrent.case())
    case = recurrent.case(layout=1)
    check_close(compiled(recurrent, case, "exact").write().run(case.feeds), expected, 1e-5)


def vectors() -> Iterator[TestCase]:
    """ONNX's own examples of these operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about examples of other operators
        for case in load_model_tests(kind="node"):
            if case.model is not None and any(step.op_type in GATES for step in case.model.graph.node):
                yield case


def test_onnx_vectors_go_through_the_tiles() -> None:
    found = list(vectors())
    assert len(found) >= 18
    for case in found:
        (inputs, expected), model = case.data_sets[0], onnx.ModelProto()
        model.CopyFrom(case.model)
        (operator,) = model.graph.node
        feeds = dict(zip((entry.name for entry in model.graph.input), inputs, strict=True))
        frozen = [name for index, name in enumerate(operator.input) if index in (1, 2, 3, 7)]
        model.graph.initializer.extend(numpy_helper.from_array(feeds.pop(name), name) for name in frozen)
        kept = [entry for entry in model.graph.input if entry.name in feeds]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        program = xbarc.compile(model, hardware="exact", calibration=[feeds])
        assert len(on_tiles(program)) >= 2, case.name
        for actual, wanted in zip(program.write().run(feeds).values(), expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.name)


# Finite resolution


@settings(max_examples=60)
@given(recurrents(), finite_hardware())
def test_the_program_gives_the_same_bits_in_onnxruntime(recurrent: Recurrent, hardware: Hardware) -> None:
    case = recurrent.case()
    reference(case)
    check_same_bits(recurrent, case, hardware)


@settings(max_examples=25)
@given(recurrents(), st.sampled_from([np.float16, np.float64]), st.sampled_from([0, 1]))
def test_the_default_hardware_gives_the_same_bits_in_onnxruntime(
    recurrent: Recurrent, dtype: type, layout: int
) -> None:
    reference(recurrent.case())
    check_same_bits(recurrent, recurrent.case(dtype, layout=layout), load_hardware("generic-pcm"))


@KINDS
@settings(max_examples=15)
@given(data=st.data())
def test_eight_bits_are_near_the_floating_point_result(kind: str, data: st.DataObject) -> None:
    recurrent = data.draw(recurrents(kind, smooth=True))
    case = recurrent.case()
    expected = reference(case)
    check_close(compiled(recurrent, case, "generic-pcm").write().run(case.feeds), expected, 0.1)


@settings(max_examples=20)
@given(recurrents(kind=None, free=True), st.integers(1, 3), st.sampled_from([0, 1]))
def test_a_chip_has_one_result_for_any_batch(recurrent: Recurrent, size: int, layout: int) -> None:
    """The noise of a read belongs to its sample and its step, whatever else is in the batch."""
    # In onnxruntime these two round otherwise at the end of an array than within, so they depend on the batch.
    assume(not {"Elu", "Softplus"} & {*recurrent.attributes.get("activations", ())})
    case = recurrent.case(layout=layout)
    reference(recurrent.case())
    program = compiled(recurrent, case, load_hardware("generic-pcm", ["adc.noise_lsb=0.5"]))
    chip = program.write("pcm", seed=7)
    whole = chip.run(case.feeds)
    for start in range(0, recurrent.samples, size):
        part = {name: array[start : start + size] for name, array in case.feeds.items()}
        for name, array in chip.run(part, first_sample=start).items():
            assert array.tobytes() == whole[name][start : start + size].tobytes()


def test_every_step_draws_its_own_noise() -> None:
    """A state that nothing but the noise of reads changes walks at random: its steps differ."""
    weights = {"W": np.zeros((1, 1, 1)), "R": np.ones((1, 1, 1))}
    recurrent = Recurrent(
        "RNN",
        samples=400,
        steps=3,
        inputs=1,
        size=1,
        attributes={"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]},
        weights=weights,
        feeds={"x": np.zeros((400, 3, 1)), "h": np.ones((400, 1, 1))},
        outputs=("Y",),
    )
    case = recurrent.case()
    program = compiled(recurrent, case, load_hardware("exact"))
    (states,) = program.write("generic:read_independent=0.05", seed=1).run(case.feeds).values()
    walk = np.diff(states.reshape(400, 3), axis=1, prepend=1.0)
    assert (walk.std(axis=0) > 1e-3).all()
    assert np.abs(np.corrcoef(walk.T) - np.eye(3)).max() < 5 / np.sqrt(400)


# Matrices of bytes


@settings(max_examples=20)
@given(recurrents("LSTM", smooth=True), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_matrices_of_bytes_are_mapped_as_the_numbers_they_mean(
    recurrent: Recurrent, signed: bool, by_column: bool, seed: int
) -> None:
    """``com.microsoft.DynamicQuantizeLSTM`` is the ``LSTM`` with the numbers that its bytes stand for."""
    case, plain = quantized(recurrent, signed=signed, by_column=by_column, seed=seed)
    expected = reference(plain)
    ours = compiled(recurrent, case, "exact").write().run(case.feeds)
    check_close(ours, expected, 1e-5)
    if "lengths" not in {*recurrent.feeds, *recurrent.fixed}:
        # onnxruntime rounds the inputs of each product to bytes; of sequences that have ended it reads what lies there.
        check_close(ours, run(case.model, case.feeds), 0.1)


# What stays digital, and what is refused


SMALL = Recurrent(
    "LSTM",
    samples=2,
    steps=3,
    inputs=2,
    size=2,
    weights={"W": np.ones((1, 8, 2)), "R": np.ones((1, 8, 2)), "B": np.ones((1, 16)), "P": np.ones((1, 6))},
    feeds={"x": np.ones((2, 3, 2))},
)


@pytest.mark.parametrize(
    ("moving", "reason"),
    {
        "W": "its matrices are not constant",
        "R": "its matrices are not constant",
        "B": "its bias is not constant",
        "P": "its peepholes are not constant",
    }.items(),
)
def test_what_is_computed_cannot_be_written(moving: str, reason: str) -> None:
    case = SMALL.case()
    graph = case.model.graph
    (operator,) = (step for step in graph.node if step.name == "r")
    operator.input[list(operator.input).index(moving)] = "moving"
    graph.node.insert(0, node("Mul", [moving, "peak"], "moving"))
    graph.node.insert(0, node("ReduceMax", ["x"], "peak", keepdims=0))
    program = xbarc.compile(case.model, calibration=[case.feeds])
    assert on_tiles(program) == []
    assert host_reasons(program)["r"] == reason
    check_close(program.write().run(case.feeds), run(case.model, case.feeds), 1e-6)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name in ("Affine", "ScaledTanh", "ThresholdedRelu")])
def test_an_activation_whose_default_is_not_agreed_upon_stays_digital(name: str) -> None:
    case = dataclasses.replace(SMALL, attributes={"activations": ["Sigmoid", name, "Tanh"]}).case()
    program = xbarc.compile(case.model, calibration=[case.feeds])
    assert host_reasons(program)["r"] == f"its activation {name} lacks a parameter"


BAD: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {
    "direction is 'sideways'": ({"direction": "sideways"}, {}),
    "clip is -1.0": ({"clip": -1.0}, {}),
    "2 activations are given, expected 3": ({"activations": ["Tanh", "Tanh"]}, {}),
    "'Sine' is no activation of ONNX": ({"activations": ["Tanh", "Tanh", "Sine"]}, {}),
    r"W has shape \[1, 12, 2\], expected \[1, 8, 2\]": ({}, {"W": np.ones((1, 12, 2))}),
    r"R has shape \[1, 8, 3\], expected \[1, 8, 2\]": ({}, {"R": np.ones((1, 8, 3))}),
    r"B has shape \[1, 8\], expected \[1, 16\]": ({}, {"B": np.ones((1, 8))}),
    r"P has shape \[1, 8\], expected \[1, 6\]": ({}, {"P": np.ones((1, 8))}),
    r"W has shape \[1, 8, 2\], expected \[2, 8, 2\]": ({"direction": "bidirectional"}, {}),
}


@pytest.mark.parametrize("message", BAD)
def test_what_has_no_meaning_is_refused_by_name(message: str) -> None:
    attributes, weights = BAD[message]
    model = SMALL.case().model
    (operator,) = (step for step in model.graph.node if step.name == "r")
    operator.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].astype(np.float32), tensor.name))
    with pytest.raises(ModelError, match=message) as caught:
        xbarc.compile(model)
    assert "'r'" in str(caught.value)
