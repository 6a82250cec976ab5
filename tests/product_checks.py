"""What is asked of every product on tiles, whatever operator it comes from."""

from __future__ import annotations

import numpy as np
import onnx
from networks import Case, error, run, unsigned

import xbarc
from xbarc.hardware.schema import Hardware
from xbarc.passes.split_blocks import Split


def on_tiles(program: xbarc.Program) -> list[str]:
    """The names of the layers."""
    return [layer.name for layer in program.report().layers]


def host_reasons(program: xbarc.Program) -> dict[str, str]:
    """Why each operator stays digital."""
    return {operator.name: operator.reason for operator in program.report().host}


def check_exact(case: Case, tolerance: float, *, split: Split = "greedy") -> None:
    """The lowering alone: nothing is rounded, so the source model's result must come out.

    Where one output is all there is, its range says nothing: what counts is the size of the terms that add up.
    """
    program = xbarc.compile(case.model, hardware="exact", calibration=[case.feeds], split=split)
    assert on_tiles(program) == ["y"]
    (expected,) = run(case.model, case.feeds)
    ours = program.write().run(case.feeds)["y"]
    uncancelled = unsigned(case)
    (scale,) = run(uncancelled.model, uncancelled.feeds)
    assert error(ours, expected, scale) < tolerance
    # Sums of numbers that are no integers may differ in their last bits; the program says so.
    assert program.report().layers[0].inexact == "its DAC has unlimited resolution"
    (theirs,) = run(program.model(), case.feeds)
    assert error(theirs, ours, scale) < tolerance


def check_same_bits(case: Case, hardware: Hardware, *, split: Split = "greedy") -> xbarc.Program:
    """The runtime and onnxruntime on the compiled program give the same bits, however much of it is rewritten."""
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds], split=split)
    assert on_tiles(program) == ["y"]
    assert program.report().layers[0].inexact is None
    ours = program.write().run(case.feeds)["y"]
    model = program.model()
    onnx.checker.check_model(model, full_check=True)
    for optimized in (False, True):
        (theirs,) = run(model, case.feeds, optimized=optimized)
        assert (theirs.dtype, theirs.shape) == (ours.dtype, ours.shape)
        assert theirs.tobytes() == ours.tobytes()
    return program


def check_close(case: Case) -> xbarc.Program:
    """With exact hardware, what onnxruntime gives of the source."""
    program = xbarc.compile(case.model, hardware="exact", calibration=[case.feeds])
    expected = run(case.model, case.feeds)
    ours = list(program.write().run(case.feeds).values())
    theirs = run(program.model(), case.feeds)
    for actual, again, wanted in zip(ours, theirs, expected, strict=True):
        # Numbers of size one go in: where all outputs are small, terms of that size have cancelled.
        reach = np.append(wanted, np.float32(1.0))
        assert error(actual, wanted, reach) < 1e-5
        assert error(again, wanted, reach) < 1e-5
    return program
