"""Products inside ``If``, ``Loop`` and ``Scan`` go on tiles, and mean what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, error, run
from onnx import numpy_helper

import xbarc
from xbarc.api import checking
from xbarc.ir.layer import layers


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def parsed(text: str, constants: Mapping[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    """A model of ONNX's text form, some of its inputs made constants."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{text}')
    left = [entry for entry in model.graph.input if entry.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(left)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return model


RECURRENT = """
network (float[N, T, 3] x, float[3, 4] W, float[4, 4] R, int64[1] four) => (float[N, 4] last, float[N, T, 4] y)
{
    turned = Transpose <perm = [1, 0, 2]> (x)
    [input] entries = MatMul (turned, W)
    batch = Shape <start = 0, end = 1> (x)
    sizes = Concat <axis = 0> (batch, four)
    start = ConstantOfShape (sizes)
    [loop] last, stacked = Scan <num_scan_inputs = 1, scan_input_directions = [DIRECTION],
        scan_output_directions = [DIRECTION], body = step (float[N, 4] h, float[N, 4] entry)
            => (float[N, 4] new, float[N, 4] out)
        {
            [recurrent] product = MatMul (h, R)
            total = Add (product, entry)
            new = Tanh (total)
            out = Identity (new)
        }> (start, entries)
    y = Transpose <perm = [1, 0, 2]> (stacked)
}"""

REPEATED = """
network (float[N, 4] x, float[4, 4] R, float[4] b, int64 most, float stop) => (float[N, 4] last, float[k, N, 4] y)
{
    [loop] last, y = Loop <body = step (int64 number, bool going, float[N, 4] h)
        => (bool goes, float[N, 4] new, float[N, 4] out)
        {
            [inner] product = Gemm (h, R, b)
            total = Add (product, x)
            new = Tanh (total)
            peak = ReduceMax <keepdims = 0> (new)
            goes = Less (peak, stop)
            out = Identity (new)
        }> (most, , x)
}"""

BRANCHES = """
network (float[N, 4] x, float[4, 4] A, float[4, 4] B, float zero) => (float[N, 4] y)
{
    mean = ReduceMean <keepdims = 0> (x)
    positive = Greater (mean, zero)
    shifted = Add (x, mean)
    [choice] y = If <then_branch = yes () => (float[N, 4] first)
        {
            [product] up = MatMul (shifted, A)
            first = Relu (up)
        }, else_branch = no () => (float[N, 4] second)
        {
            [product] down = MatMul (x, B)
            second = Add (down, shifted)
        }> (positive)
}"""

NESTED = """
network (float[N, 4] x, float[4, 4] A, int64 most) => (float[N, 4] y)
{
    [outer] y = Loop <body = step (int64 number, bool going, float[N, 4] h) => (bool goes, float[N, 4] new)
        {
            two = Constant <value_int = 2> ()
            rest = Mod (number, two)
            none = Constant <value_int = 0> ()
            even = Equal (rest, none)
            [choice] new = If <then_branch = yes () => (float[N, 4] first)
                {
                    [product] up = MatMul (h, A)
                    first = Tanh (up)
                }, else_branch = no () => (float[N, 4] second)
                {
                    second = Sub (x, h)
                }> (even)
            goes = Identity (going)
        }> (most, , x)
}"""


def compared(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], *, measured: bool = True) -> xbarc.Program:
    """Exact hardware gives what onnxruntime gives, finite hardware what onnxruntime makes of the program."""
    expected = run(model, feeds)
    exact = xbarc.compile(model, hardware="exact").write().run(feeds)
    for actual, wanted in zip(exact.values(), expected, strict=True):
        assert actual.shape == wanted.shape
        assert error(actual, wanted) < 1e-5 if wanted.size else True
    program = xbarc.compile(model, calibration=feeds if measured else None)
    stored = program.model()
    onnx.checker.check_model(stored, full_check=True)
    for actual, wanted in zip(program.write().run(feeds).values(), run(stored, feeds), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert xbarc.load(stored).text() == program.text()
    return program


def names(program: xbarc.Program) -> list[str]:
    return [layer.name for layer in layers(program.graph)]


def recurrent(direction: int = 0) -> onnx.ModelProto:
    text = RECURRENT.replace("DIRECTION", str(direction))
    return parsed(text, {"W": numbers(3, 4, seed=1), "R": numbers(4, 4, seed=2), "four": np.array([4])})


def repeated(most: int, stop: float = 9.0) -> onnx.ModelProto:
    constants = {"R": numbers(4, 4, seed=1), "b": numbers(4, seed=2)}
    return parsed(REPEATED, {**constants, "most": np.array(most), "stop": np.array(stop, dtype=np.float32)})


@given(samples=st.integers(1, 5), steps=st.integers(1, 6), direction=st.integers(0, 1))
@settings(max_examples=15)
def test_a_scan_steps_through_its_sequence(samples: int, steps: int, direction: int) -> None:
    program = compared(recurrent(direction), {"x": numbers(samples, steps, 3)})
    assert names(program) == ["input", "recurrent"]
    assert not any(layer.batch_dependent for layer in program.report().layers)


@given(samples=st.integers(1, 5), most=st.integers(0, 6), stop=st.sampled_from([-2.0, 0.5, 0.9, 9.0]))
@settings(max_examples=15)
def test_a_loop_ends_by_number_or_condition(samples: int, most: int, stop: float) -> None:
    """Also before it begins: then it gives what it was given, and an empty stack."""
    program = compared(repeated(most, stop), {"x": numbers(samples, 4)}, measured=most > 0)
    assert names(program) == ["inner"]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_branch_has_its_layer(sign: float) -> None:
    model = parsed(BRANCHES, {"A": numbers(4, 4, seed=1), "B": numbers(4, 4, seed=2), "zero": np.float32(0)})
    x = np.abs(numbers(5, 4)) * np.float32(sign)
    program = compared(model, {"x": x})
    assert names(program) == ["product", "product_1"]


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_a_branch_within_a_loop(most: int) -> None:
    model = parsed(NESTED, {"A": numbers(4, 4, seed=1), "most": np.array(most)})
    program = compared(model, {"x": numbers(3, 4)}, measured=most > 0)
    assert names(program) == ["product"]


def test_noise_differs_from_step_to_step_and_not_with_the_batch() -> None:
    program = xbarc.compile(recurrent(), calibration=numbers(16, 5, 3, seed=7), overrides=["adc.noise_lsb=0.5"])
    chip = program.write("generic:read_proportional=0.05", seed=3)
    x = np.repeat(numbers(1, 1, 3), 7, axis=0).repeat(5, axis=1)
    whole = chip.run(x)["y"]
    single = np.concatenate([chip.run(x[place : place + 1], first_sample=place)["y"] for place in range(7)])
    np.testing.assert_array_equal(whole, single)
    ideal = program.write().run(x)["y"]
    noise = whole - ideal
    assert len(np.unique(noise[:, 0, 0])) > 1  # samples have noise of their own
    first = chip.run(x[:, :1])["y"]
    np.testing.assert_array_equal(first[:, 0], whole[:, 0])  # and it does not depend on how long the sequence is


def test_the_same_state_read_at_two_steps_has_two_noises() -> None:
    """A body that hands its state on unchanged reads the same input again and again."""
    text = """
    network (float[N, 4] x, float[4, 4] A, int64 most) => (float[N, 4] last, float[k, N, 4] y)
    {
        last, y = Loop <body = step (int64 number, bool going, float[N, 4] h)
            => (bool goes, float[N, 4] same, float[N, 4] out)
            {
                [product] out = MatMul (h, A)
                same = Identity (h)
                goes = Identity (going)
            }> (most, , x)
    }"""
    model = parsed(text, {"A": numbers(4, 4, seed=1), "most": np.array(6)})
    program = xbarc.compile(model, calibration=numbers(8, 4), overrides=["adc.noise_lsb=2"])
    y = program.write("pcm", seed=1).run(numbers(3, 4))["y"]
    assert all(not np.array_equal(y[0], y[step]) for step in range(1, 6))


def test_arithmetic_in_a_loop_counts_as_often_as_it_runs() -> None:
    report = checking.check(repeated(6))
    found = {operator.name: operator for operator in report.operators}
    assert found["inner"].macs == 6 * 16
    assert found["loop"].reason.startswith("control flow")
    assert xbarc.compile(repeated(6), calibration=numbers(3, 4)).report().totals.analog_macs == 6 * 16


def test_patterns_reach_into_bodies() -> None:
    program = xbarc.compile(recurrent(), calibration=numbers(4, 5, 3), host=["recurrent"])
    assert names(program) == ["input"]


def test_a_body_of_other_operators_is_left_to_onnxruntime() -> None:
    """Subgraphs of operators that are no control flow stay as they are."""
    text = """
    network (seq(float[4]) x, float[4, 4] A) => (seq(float[4]) y)
    {
        y = SequenceMap <body = each (float[4] entry) => (float[4] out) { out = MatMul (entry, A) }> (x)
    }"""
    model = parsed(text, {"A": numbers(4, 4)})
    entries = [numbers(4, seed=seed) for seed in range(3)]
    program = xbarc.compile(model, hardware="exact")
    got = program.write().run_batch({"x": entries})["y"]
    for actual, entry in zip(got, entries, strict=True):
        np.testing.assert_allclose(actual, entry @ numbers(4, 4), rtol=1e-5, atol=1e-6)


@given(data=st.data())
@settings(max_examples=20)
def test_captured_values_reach_every_body(data: st.DataObject) -> None:
    """Bodies read inputs, results and constants of the graphs around them, in any mixture."""
    model, feeds = data.draw(captures())
    compared(model, feeds)


@st.composite
def captures(draw: Draw) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A loop in a loop, each step of which adds something from any graph around."""
    outside = ["x", "shift", "h", "shared"]
    inside = [*outside, "g", "own"]
    first = draw(st.lists(st.sampled_from(outside), min_size=1, max_size=3))
    second = draw(st.lists(st.sampled_from(inside), min_size=1, max_size=3))
    outputs = draw(st.sampled_from(["h", "x", "grown"]))

    def sums(name: str, terms: list[str]) -> str:
        return f"{name} = Sum ({', '.join(terms)})"

    text = f"""
    network (float[N, 4] x, float[4, 4] A, float[4, 4] B, float[4] shared, int64 m, int64 n)
        => (float[N, 4] y, float[k, N, 4] z)
    {{
        shift = Tanh (x)
        y, z = Loop <body = outer (int64 i, bool c, float[N, 4] h)
            => (bool d, float[N, 4] grown, float[N, 4] {outputs}_)
            {{
                {sums("start", [*first, "h"])}
                grown = Loop <body = inner (int64 j, bool e, float[N, 4] g) => (bool f, float[N, 4] new)
                    {{
                        [small] own = MatMul (g, B)
                        {sums("all", [*second, "g"])}
                        new = Tanh (all)
                        f = Identity (e)
                    }}> (n, , start)
                [large] part = MatMul (grown, A)
                {outputs}_ = Add (part, {outputs})
                d = Identity (c)
            }}> (m, , x)
    }}"""
    constants = {
        "A": numbers(4, 4, seed=1),
        "B": numbers(4, 4, seed=2),
        "shared": numbers(4, seed=3),
        "m": np.array(draw(st.integers(1, 3))),
        "n": np.array(draw(st.integers(1, 2))),
    }
    return parsed(text, constants), {"x": numbers(draw(st.integers(1, 4)), 4)}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_layer_over_no_steps_keeps_its_other_sizes(kind: str) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    model = parsed(
        f"network (float[T, N, 2] x, float[1, {gates * 3}, 2] W, float[1, {gates * 3}, 3] R) => (float[T, 1, N, 3] y)"
        f"{{ [layer] y = {kind} <hidden_size = 3> (x, W, R) }}",
        {"W": numbers(1, gates * 3, 2), "R": numbers(1, gates * 3, 3, seed=1)},
    )
    chip = xbarc.compile(model, hardware="exact").write()
    assert chip.run_batch({"x": numbers(0, 5, 2)})["y"].shape == (0, 1, 5, 3)
    assert chip.run_batch({"x": numbers(4, 5, 2)})["y"].shape == (4, 1, 5, 3)
