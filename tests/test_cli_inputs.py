"""Commands on programs whose inputs are not all samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from command import Command
from networks import network, node, run

import xbarc


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def shared_model() -> onnx.ModelProto:
    """Samples beside a table that is the same for all of them."""
    nodes = [node("MatMul", ["x", "w"], "a"), node("Add", ["a", "table"], "y")]
    weight = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    return network(nodes, {"x": ["N", 6], "table": [1, 4]}, {"w": weight})


def test_run_and_eval_read_shared_inputs_from_a_file(command: Command, tmp_path: Path) -> None:
    model = shared_model()
    onnx.save(model, tmp_path / "m.onnx")
    draw = np.random.default_rng(1)
    data = {
        "x": draw.standard_normal((50, 6)).astype(np.float32),
        "table": draw.standard_normal((1, 4)).astype(np.float32),
    }
    np.savez(tmp_path / "d.npz", **data)
    compiled = command("compile", "m.onnx", "--hardware", "exact", "-o", "m.xbar.onnx")
    assert compiled.code == 0, compiled.err
    assert command("run", "m.xbar.onnx", "--input", "d.npz", "--output", "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as found:
        np.testing.assert_allclose(found["y"], run(model, data)[0], rtol=1e-4, atol=1e-5)
    assert command("eval", "m.xbar.onnx", "--data", "d.npz", "--metric", "snr", "--json").json()["samples"] == 50
    np.savez(tmp_path / "wrong.npz", **{**data, "table": np.zeros((50, 4))})
    refused = command("run", "m.xbar.onnx", "--input", "wrong.npz", "--output", "y.npz")
    assert refused.code == 1
    assert "the array has shape (50, 4), the model reads (1, 4)" in refused.err


def test_run_needs_no_data_where_nothing_is_read(command: Command, tmp_path: Path) -> None:
    alone = network([node("RandomNormal", [], "y", shape=[3, 8], seed=1.0)], {})
    xbarc.compile(alone).save(tmp_path / "alone.xbar.onnx")
    assert command("run", "alone.xbar.onnx", "--output", "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as found:
        assert found["y"].shape == (3, 8)
    xbarc.compile(shared_model(), hardware="exact").save(tmp_path / "m.xbar.onnx")
    refused = command("run", "m.xbar.onnx", "--output", "y.npz")
    assert refused.code == 2
    assert "the program reads 'x' (N, 6), 'table' (1, 4)" in refused.err
    assert "give a data file with --input" in refused.err
