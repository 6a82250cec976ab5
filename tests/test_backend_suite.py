"""ONNX's own backend suite through ``xbarc.backend``: what onnxruntime passes, xbarc passes.

The quick tests run every case with an operator that can be mapped, as it is and with its weights frozen, and every
third of the others. `make test-onnx` runs all, the large models included.
"""

from __future__ import annotations

import functools

import pytest
from backend_suite import WEIGHTS, Outcome, frozen, judge, load, suite
from onnx.backend.test.case.test_case import TestCase

_SHARDS = 8
_EVERY = 3


def mapped(case: TestCase) -> bool:
    """Whether a case has an operator that can hold weights."""
    return case.model is not None and any(node.op_type in WEIGHTS for node in case.model.graph.node)


@functools.cache
def sample() -> tuple[TestCase, ...]:
    quick = [case for case in suite() if case.kind != "real"]
    return tuple(case for number, case in enumerate(quick) if mapped(case) or number % _EVERY == 0)


def told(outcomes: list[Outcome]) -> list[str]:
    return [f"{outcome.name}: {outcome.verdict}: {outcome.message}" for outcome in outcomes]


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_what_onnxruntime_passes_xbarc_passes(shard: int) -> None:
    outcomes = [judge(load(case)) for case in sample()[shard::_SHARDS]]
    assert sum(outcome.expected for outcome in outcomes) > len(outcomes) / 2
    assert told([outcome for outcome in outcomes if not outcome.fine]) == []


def test_with_its_weights_frozen_the_suite_goes_through_tiles() -> None:
    outcomes = [judge(case) for each in sample() if mapped(each) for case in frozen(load(each))]
    assert told([outcome for outcome in outcomes if not outcome.fine]) == []
    on_tiles = [outcome for outcome in outcomes if outcome.layers and outcome.verdict == "passed"]
    assert len(on_tiles) > 60


def test_the_suite_is_whole() -> None:
    kinds = {case.kind for case in suite()}
    assert kinds == {"node", "simple", "pytorch-operator", "pytorch-converted", "real"}
    assert len(suite()) > 1500
    assert len({(case.kind, case.name) for case in suite()}) == len(suite())
