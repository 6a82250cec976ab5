"""Host regions: as few as leave the contracted graph acyclic, found by trying every grouping of small graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, network, node

import xbarc
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer
from xbarc.ir.operators import Accumulate, Adc, Dac, HostOp, InputRange, Rescale, TileRead
from xbarc.ir.partition import Partition
from xbarc.ir.regions import HostRegion, schedule
from xbarc.ir.windows import Windows


@dataclass(frozen=True)
class Vertex:
    """One operator of a small graph: a host operator or a whole layer, and the vertices it reads; -1 is the input."""

    host: bool
    reads: tuple[int, ...]


@st.composite
def small_graphs(draw: Draw, most_hosts: int = 6) -> list[Vertex]:
    vertices: list[Vertex] = []
    for number in range(draw(st.integers(1, 11))):
        host = sum(vertex.host for vertex in vertices) < most_hosts and draw(st.booleans())
        before = st.integers(max(-1, number - 5), number - 1)
        reads = draw(st.lists(before, min_size=1, max_size=3 if host else 1, unique=True))
        vertices.append(Vertex(host, tuple(reads)))
    return vertices


def build(vertices: Sequence[Vertex]) -> tuple[Graph, list[Operator]]:
    """The graph, and for each vertex the operator that makes its result. Layers hold nothing; nobody runs them."""
    graph = Graph(name="small", inputs=[Value("x")])
    values, makers = {-1: graph.inputs[0]}, []
    for number, vertex in enumerate(vertices):
        operands: list[Value | None] = [values[each] for each in vertex.reads]
        results = [Value(f"v{number}")]
        if vertex.host:
            found = onnx.NodeProto(op_type="Sum")
            maker = graph.add(HostOp(name=f"v{number}", operands=operands, results=results, node=found))
        else:
            maker = _add_layer(graph, f"v{number}", operands, results)
        makers.append(maker)
        values[number] = results[0]
    read = {each for vertex in vertices for each in vertex.reads}
    graph.outputs = [values[number] for number in range(len(vertices)) if number not in read]
    graph.output_names = [value.hint for value in graph.outputs]
    return graph, makers


def _add_layer(graph: Graph, name: str, operands: list[Value | None], results: list[Value]) -> Operator:
    codes, currents, converted, sums = (Value(f"{name}.{step}") for step in ("codes", "currents", "converted", "sums"))
    given = InputRange(1.0, True, "")
    levels = np.zeros((1, 2, 1, 1, 1), np.uint8)
    cut = Partition(1, 1, 1, 1, 1, 1, False)
    graph.add(
        Dac(name=name, operands=operands, results=[codes], codes=None, scale=1.0, input_range=given, sample_axis=0)
    )
    graph.add(
        TileRead(
            name=name,
            operands=[codes],
            results=[currents],
            source="",
            reason="",
            matrix="",
            levels=levels,
            windows=Windows(),
            partition=cut,
            subtraction="analog",
            pedestal=0.0,
            double=False,
        )
    )
    graph.add(Adc(name=name, operands=[currents], results=[converted], codes=None))
    graph.add(
        Accumulate(name=name, operands=[converted], results=[sums], slice_weights=np.ones(1), subtraction="analog")
    )
    return graph.add(Rescale(name=name, operands=[sums], results=results, unit_scale=np.ones(1)))


def contracted(vertices: Sequence[Vertex], region_of: dict[int, int]) -> nx.DiGraph:
    """The graph after each region became one vertex."""
    place = {
        number: ("region", region_of[number]) if vertex.host else ("layer", number)
        for number, vertex in enumerate(vertices)
    }
    found = nx.DiGraph()
    found.add_nodes_from(place.values())
    for number, vertex in enumerate(vertices):
        found.add_edges_from(
            (place[each], place[number]) for each in vertex.reads if each >= 0 and place[each] != place[number]
        )
    return found


def groupings(members: Sequence[int], most: int) -> Iterator[dict[int, int]]:
    """Every way to put members into at most so many regions."""

    def extend(chosen: dict[int, int], rest: Sequence[int]) -> Iterator[dict[int, int]]:
        if not rest:
            yield chosen
            return
        for region in range(min(max(chosen.values(), default=-1) + 2, most)):
            yield from extend(chosen | {rest[0]: region}, rest[1:])

    return extend({}, members)


def regions_of(vertices: Sequence[Vertex]) -> tuple[list[HostRegion | Layer], dict[int, int]]:
    graph, makers = build(vertices)
    order = schedule(graph)
    regions = [step for step in order if isinstance(step, HostRegion)]
    number_of = {maker: number for number, maker in enumerate(makers)}
    return order, {number_of[operator]: index for index, region in enumerate(regions) for operator in region.operators}


@settings(max_examples=150)
@given(small_graphs())
def test_no_grouping_into_fewer_regions_is_acyclic(vertices: list[Vertex]) -> None:
    _, region_of = regions_of(vertices)
    hosts = [number for number, vertex in enumerate(vertices) if vertex.host]
    assert sorted(region_of) == hosts
    assert nx.is_directed_acyclic_graph(contracted(vertices, region_of))
    count = len(set(region_of.values()))
    for fewer in groupings(hosts, count - 1) if count else ():
        assert not nx.is_directed_acyclic_graph(contracted(vertices, fewer))


@settings(max_examples=150)
@given(small_graphs(most_hosts=11))
def test_every_step_finds_what_it_reads(vertices: list[Vertex]) -> None:
    graph, makers = build(vertices)
    order = schedule(graph)
    made = {id(value) for value in graph.inputs}
    ran: list[Operator] = []
    for step in order:
        if isinstance(step, Layer):
            assert id(step.input) in made
            made.add(id(step.output))
            ran.append(step.rescale)
            continue
        assert {id(value) for value in step.inputs} <= made
        inside = {id(value) for value in step.inputs}
        for operator in step.operators:
            assert all(id(value) in inside for value in operator.operands)
            inside |= {id(value) for value in operator.results}
            ran.append(operator)
        for value in step.outputs:
            assert value.producer in step.operators
            assert graph.is_output(value) or any(user not in step.operators for user in value.users)
        made |= {id(value) for value in step.outputs}
    assert len(ran) == len(makers)
    assert set(ran) == set(makers)
    assert all(id(value) in made for value in graph.outputs)


def test_convex_regions_that_wait_for_each_other_are_kept_apart() -> None:
    """Two chains, each host, layer, host: the first ends and the last starts may meet crosswise, but only one way."""
    vertices = [
        Vertex(True, (-1,)),
        Vertex(False, (0,)),
        Vertex(True, (1,)),
        Vertex(True, (-1,)),
        Vertex(False, (3,)),
        Vertex(True, (4,)),
    ]
    _, region_of = regions_of(vertices)
    assert region_of[0] == region_of[3] != region_of[2] == region_of[5]
    crosswise = {0: 0, 5: 0, 2: 1, 3: 1}
    assert not nx.is_directed_acyclic_graph(contracted(vertices, crosswise))


def test_a_compiled_network_has_these_regions_and_runs() -> None:
    """A layer's input and output meet again on the host, twice over."""
    weight = np.eye(3, dtype=np.float32)
    nodes = [
        node("Relu", ["x"], "a"),
        node("MatMul", ["a", "w"], "b"),
        node("Add", ["a", "b"], "c"),
        node("MatMul", ["c", "w"], "d"),
        node("Sigmoid", ["a"], "e"),
        node("Add", ["d", "e"], "y"),
    ]
    program = xbarc.compile(network(nodes, {"x": ("N", 3)}, {"w": weight}), hardware="exact")
    order = schedule(program.graph)
    found = [
        sorted(each.name for each in step.operators) if isinstance(step, HostRegion) else step.name for step in order
    ]
    assert found == [["a", "e"], "b", ["c"], "d", ["y"]]
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    relu = np.maximum(x, 0)
    expected = 2 * relu + 1 / (1 + np.exp(-relu))
    assert np.allclose(program.write().run(x)["y"], expected, atol=1e-6)
