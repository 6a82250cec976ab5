"""Bodies that capture more than they read, and samples that never reach a body: programs come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import run
from onnx import numpy_helper

import xbarc
from xbarc.ir.layer import layers

DEAD = """
network (float[N, 4] x, bool c, float[4, 4] W) => (float[N, 4] y)
{
    t = Tanh (x)
    y = If <then_branch = yes () => (float[N, 4] u) { [product] u = MatMul (x, W) d = Relu (t) },
        else_branch = no () => (float[N, 4] v) { v = Identity (x) }> (c)
}"""

HIDDEN = """
network (float[N, 4] x, bool c, float[4, 4] W, float[4, 4] V) => (float[N, 4] y)
{
    [first] q = MatMul (x, W)
    y = If <then_branch = yes () => (float[N, 4] u) { [yes] u = MatMul (q, W) },
        else_branch = no () => (float[N, 4] v) { t = Sinh (q) [no] v = MatMul (t, V) }> (c)
}"""


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def parsed(text: str, **constants: np.ndarray) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    left = [entry for entry in model.graph.input if entry.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(left)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return model


@pytest.mark.parametrize("taken", [True, False])
def test_what_no_body_reads_is_gone(tmp_path: Path, taken: bool) -> None:
    feeds = {"x": numbers(5, 4), "c": np.array(taken)}
    program = xbarc.compile(parsed(DEAD, W=numbers(4, 4, seed=1)), calibration=feeds)
    assert "Tanh" not in program.text()
    again = xbarc.load(program.save(tmp_path / "one.xbar.onnx"))
    assert again.text() == program.text()
    np.testing.assert_array_equal(again.write().run(feeds)["y"], program.write().run(feeds)["y"])
    np.testing.assert_array_equal(again.write().run(feeds)["y"], run(program.model(), feeds)[0])
    chip = program.write("pcm", seed=1)
    chip.save(tmp_path / "chip.npz")
    np.testing.assert_array_equal(again.load_chip(tmp_path / "chip.npz").run(feeds)["y"], chip.run(feeds)["y"])


def test_a_branch_that_no_sample_takes_gets_a_range_all_the_same() -> None:
    model = parsed(HIDDEN, W=numbers(4, 4, seed=1), V=numbers(4, 4, seed=9))
    x = numbers(64, 4, seed=2)
    program = xbarc.compile(model, calibration={"x": x, "c": np.array(True)})
    report = program.report()
    assert any("never reaches no: converter ranges there are guesses" in warning for warning in report.warnings)
    found = {layer.name: layer for layer in layers(program.graph)}
    assert found["no"].adc.range is not None
    assert found["no"].adc.range.lsb > 100.0
    assert "the sample holds nothing for it" in found["no"].adc.range.basis
    assert "the sample holds nothing for it" in found["no"].dac.input_range.basis


def test_a_scan_as_long_as_the_batch_mixes_its_samples() -> None:
    text = """
    network (float[N, 4] x, float[4, 4] W, float[1] start, float[1] one, int64 zero, int64 step) => (float[N, 4] y)
    {
        sizes = Shape <start = 0, end = 1> (x)
        count = Squeeze (sizes)
        numbers = Range (zero, count, step)
        last = Scan <num_scan_inputs = 1, body = b (float[1] s, int64 n) => (float[1] next) { next = Add (s, one) }>
            (start, numbers)
        [product] p = MatMul (x, W)
        y = Div (p, last)
    }"""
    constants = {"start": np.zeros(1, np.float32), "one": np.ones(1, np.float32)}
    model = parsed(text, W=numbers(4, 4, seed=1), **constants, zero=np.array(0), step=np.array(1))
    x = numbers(1500, 4)
    chip = xbarc.compile(model, hardware="exact").write()
    np.testing.assert_array_equal(chip.run(x)["y"], chip.run_batch({"x": x})["y"])


def test_sizes_that_are_computed_are_not_taken_for_samples() -> None:
    text = """
    network (float[N, 4] x, float[4, 4] W, int64[1] one, int64[1] four) => (float[N, 4] y, float[M, 4] z)
    {
        sizes = Shape <start = 0, end = 1> (x)
        more = Add (sizes, one)
        shape = Concat <axis = 0> (more, four)
        z = ConstantOfShape (shape)
        [product] y = MatMul (x, W)
    }"""
    model = parsed(text, W=numbers(4, 4, seed=1), one=np.array([1]), four=np.array([4]))
    chip = xbarc.compile(model, hardware="exact").write()
    assert chip.run(numbers(1500, 4))["z"].shape == (1501, 4)


def test_a_matrix_is_shared_through_copies_and_transpositions() -> None:
    text = """
    network (float[N, 4] x, float[4, 4] W, float[4] b) => (float[N, 4] y)
    {
        same = Identity (W)
        [one] p = MatMul (x, W)
        [two] q = MatMul (p, same)
        [three] r = Gemm (q, W, b)
        turned = Transpose (W)
        again = Transpose (W)
        [four] s = MatMul (r, turned)
        [five] y = MatMul (s, again)
    }"""
    model = parsed(text, W=numbers(4, 4, seed=1), b=numbers(4, seed=2))
    program = xbarc.compile(model, calibration=numbers(16, 4))
    shares = {layer.name: layer.shares for layer in program.report().layers}
    assert shares == {"one": None, "two": "one", "three": "one", "four": None, "five": "four"}
    stored = program.write("pcm", seed=1).with_read_noise("frozen").model()
    assert sum(tensor.name.endswith("levels") for tensor in stored.graph.initializer) == 2
