"""``LSTM``, ``GRU`` and ``RNN`` on tiles against onnxruntime, in all their forms, and against ONNX's own vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Case, error, run
from product_checks import on_tiles
from recurrents import GATES, Recurrent, recurrents

import xbarc
from xbarc.hardware.schema import Hardware


def compiled(recurrent: Recurrent, case: Case, hardware: Any) -> xbarc.Program:
    program = xbarc.compile(case.model, hardware=hardware, calibration=[case.feeds])
    assert sorted(on_tiles(program)) == sorted(recurrent.layers)
    return program


def check_exact(recurrent: Recurrent, dtype: type, tolerance: float) -> None:
    """Nothing is rounded: what onnxruntime makes of the operator comes out."""
    case = recurrent.case(dtype)
    expected = run(case.model, case.feeds)
    assume(all(np.abs(wanted).max(initial=0) < 100 for wanted in expected))  # what grows without bound is no network
    ours = compiled(recurrent, case, "exact").write().run(case.feeds)
    for actual, wanted in zip(ours.values(), expected, strict=True):
        assert error(actual, wanted) < tolerance


def check_same_bits(recurrent: Recurrent, dtype: type, hardware: Hardware) -> None:
    case = recurrent.case(dtype)
    program = compiled(recurrent, case, hardware)
    assert {layer.inexact for layer in program.report().layers} == {None}
    ours = program.write().run(case.feeds)
    model = program.model()
    onnx.checker.check_model(model, full_check=True)
    for optimized in (False, True):
        for actual, theirs in zip(ours.values(), run(model, case.feeds, optimized=optimized), strict=True):
            assert (theirs.dtype, theirs.shape) == (actual.dtype, actual.shape)
            assert theirs.tobytes() == actual.tobytes()


@pytest.mark.parametrize("kind", GATES)
@settings(max_examples=60)
@given(data=st.data())
def test_exact_hardware_gives_the_floating_point_result(kind: str, data: st.DataObject) -> None:
    check_exact(data.draw(recurrents(kind)), np.float32, 1e-5)
