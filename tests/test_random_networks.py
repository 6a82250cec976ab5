"""Random networks, products and all that may stand around them, from end to end against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from networks import error, finite_hardware, run
from sketches import sketches

import xbarc
from xbarc.hardware.schema import Hardware

Drawn = tuple[onnx.ModelProto, np.ndarray]

#: Operators that tell which of several numbers is the largest, or jump: a rounding away from a tie they differ.
JUMPS = {"ArgMax", "ArgMin", "Hardmax", "TopK", "MaxPool"}


@settings(max_examples=150)
@given(sketches())
def test_exact_hardware_gives_what_the_network_gives(drawn: Drawn) -> None:
    model, x = drawn
    assume(JUMPS.isdisjoint(node.op_type for node in model.graph.node))
    program = xbarc.compile(model, hardware="exact", calibration=x)
    outputs = program.write(optimization="disabled").run_batch({"x": x})  # as what it is compared with
    assert list(outputs) == [output.name for output in model.graph.output]
    for ours, expected in zip(outputs.values(), run(model, {"x": x}, optimized=False), strict=True):
        assert error(ours, expected) < 1e-4


@settings(max_examples=150)
@given(drawn=sketches(), hardware=finite_hardware())
def test_programs_give_the_same_bits_in_onnxruntime(
    tmp_path_factory: pytest.TempPathFactory, drawn: Drawn, hardware: Hardware
) -> None:
    """Host operators run at one level on both sides: without optimisation."""
    model, x = drawn
    program = xbarc.compile(model, hardware=hardware, calibration=x)
    loaded = xbarc.load(program.save(tmp_path_factory.mktemp("programs") / "one.xbar.onnx"))
    assert loaded.text() == program.text()
    artefact = program.model()
    onnx.checker.check_model(artefact, full_check=True)
    expected = run(artefact, {"x": x}, optimized=False)
    for each in (program, loaded):
        outputs = each.write(optimization="disabled").run_batch({"x": x})
        for ours, theirs in zip(outputs.values(), expected, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            assert ours.tobytes() == theirs.tobytes()
