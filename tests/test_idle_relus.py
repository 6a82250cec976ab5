"""Rectifiers that DACs make needless are not run, and nothing changes by that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node
from networks import run as execute

import xbarc
from xbarc.api.machines import build_machine
from xbarc.ir.graph import Graph, Value
from xbarc.ir.idle_relus import idle_relus
from xbarc.ir.operators import HostOp

DRAW = np.random.default_rng(1)
WEIGHTS = {name: DRAW.normal(size=(6, 6)).astype(np.float32) for name in ("w", "v", "u")}


def relus(graph: Graph) -> list[Value]:
    return [made.results[0] for made in graph.operators() if isinstance(made, HostOp) and made.kind == "Relu"]


CASES = {
    "between": ([("MatMul", "x", "w", "a"), ("Relu", "a", "r"), ("MatMul", "r", "v", "y")], 1),
    "of the input": ([("Relu", "x", "r"), ("MatMul", "r", "w", "y")], 1),
    "at the end of a region": (
        [("MatMul", "x", "w", "a"), ("Add", "a", "x", "s"), ("Relu", "s", "r"), ("MatMul", "r", "v", "y")],
        1,
    ),
    "of a value that others read": (
        [("MatMul", "x", "w", "a"), ("Relu", "a", "r"), ("MatMul", "r", "v", "b"), ("Add", "a", "b", "y")],
        1,
    ),
    "two readers": (
        [
            ("MatMul", "x", "w", "a"),
            ("Relu", "a", "r"),
            ("MatMul", "r", "v", "b"),
            ("MatMul", "r", "u", "c"),
            ("Add", "b", "c", "y"),
        ],
        1,
    ),
    "one behind the other": (
        [("MatMul", "x", "w", "a"), ("Relu", "a", "r"), ("Relu", "r", "q"), ("MatMul", "q", "v", "y")],
        1,
    ),
    "read by the host": (
        [("MatMul", "x", "w", "a"), ("Relu", "a", "r"), ("MatMul", "r", "v", "b"), ("Add", "b", "r", "y")],
        0,
    ),
    "behind the last product": ([("MatMul", "x", "w", "a"), ("Relu", "a", "y")], 0),
}


def compiled(case: str, hardware: str = "generic-pcm") -> xbarc.Program:
    nodes = [node(kind, read, made) for kind, *read, made in CASES[case][0]]
    model = network(
        nodes, {"x": ("N", 6)}, {name: WEIGHTS[name] for name in WEIGHTS if any(name in n.input for n in nodes)}
    )
    return xbarc.compile(model, hardware=hardware, calibration=DRAW.normal(size=(64, 6)).astype(np.float32))


def bits(graph: Graph, x: np.ndarray, watch: list[Value]) -> list[bytes]:
    machine, names = build_machine(graph, watch=watch)
    made = machine.run({"x": x})
    return [made[name].tobytes() for name in names]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 2**32 - 1))
def test_outputs_are_those_with_all_rectifiers(case: str, seed: int) -> None:
    """Also of what is no number, of infinities and of zeros with a sign."""
    graph = compiled(case).graph
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(9, 6)).astype(np.float32)
    x[draw.integers(9, size=4), draw.integers(6, size=4)] = [np.nan, np.inf, -np.inf, -0.0]
    assert len(idle_relus(graph, ())) == CASES[case][1]
    assert bits(graph, x, []) == bits(graph, x, relus(graph))


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1]])
def test_the_program_in_onnxruntime_has_them_and_gives_the_same(case: str) -> None:
    program = compiled(case)
    x = DRAW.normal(size=(9, 6)).astype(np.float32)
    assert any(made.op_type == "Relu" for made in program.model().graph.node)
    (expected,) = execute(program.model(), {"x": x})
    assert bits(program.graph, x, []) == [expected.tobytes()]


def test_whoever_watches_a_value_sees_it() -> None:
    graph = compiled("between").graph
    (value,) = relus(graph)
    seen: list[np.ndarray] = []
    machine, _ = build_machine(graph, watch=[value])
    machine.run({"x": DRAW.normal(size=(9, 6)).astype(np.float32)}, values={"r": seen.append})
    assert seen[0].min() == 0 < seen[0].max()
    assert not idle_relus(graph, {value})


def test_converters_without_codes_leave_nothing_out() -> None:
    assert not idle_relus(compiled("between", "exact").graph, ())
