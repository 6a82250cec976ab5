"""The mesh: hops and loads against every bit walked link by link, placement against all orders there are."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw

from xbarc.ir.mesh import PORT, Flow, Mesh, bit_hops, bit_hops_by_operator, busiest_link, farthest
from xbarc.ir.traffic import Traffic
from xbarc.passes import place_cores
from xbarc.passes.place_cores import place


@st.composite
def meshes(draw: Draw, *, cores: int = 30) -> Mesh:
    """Of so many cores at most."""
    rows = draw(st.integers(1, cores))
    return Mesh(rows, draw(st.integers(1, cores // rows)))


@st.composite
def flows_on(draw: Draw, mesh: Mesh) -> Flow:
    """From some cores to others, in pairs or in parts, the port among them."""
    every = st.integers(PORT, mesh.rows * mesh.columns - 1)
    sources, targets = (sorted(draw(st.sets(every, min_size=1, max_size=5))) for _ in range(2))
    name = draw(st.sampled_from(["one", "other"]))
    if draw(st.booleans()):
        ways = draw(st.lists(st.tuples(every, every, st.integers(0, 50)), max_size=6))
        table = np.array(ways, dtype=np.int64).reshape(-1, 3)
        return Flow(name, table[:, 0], table[:, 1], table[:, 2].astype(np.float64))
    weights = np.array([draw(st.integers(1, 9)) for _ in sources], dtype=np.float64)
    taken = np.array([draw(st.integers(0, 50)) for _ in targets], dtype=np.float64)
    return Flow(name, np.array(sources), np.array(targets), weights / weights.sum(), taken)


def ways(flow: Flow) -> list[tuple[int, int, float]]:
    """Source, target and bits of all that goes."""
    sources, targets = flow.sources.tolist(), flow.targets.tolist()
    if flow.taken is None:
        return list(zip(sources, targets, flow.sent.tolist(), strict=True))
    parts = itertools.product(
        zip(sources, flow.sent.tolist(), strict=True), zip(targets, flow.taken.tolist(), strict=True)
    )
    return [(source, target, share * bits) for (source, share), (target, bits) in parts]


def links(mesh: Mesh, source: int, target: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The links from a core to another: along the row, then along the column."""
    row, column = divmod(max(source, 0), mesh.columns)
    last_row, last_column = divmod(max(target, 0), mesh.columns)
    places = [(row, column)]
    while column != last_column:
        column += 1 if column < last_column else -1
        places.append((row, column))
    while row != last_row:
        row += 1 if row < last_row else -1
        places.append((row, column))
    return list(itertools.pairwise(places))


def walked(flows: list[Flow], mesh: Mesh) -> Counter[tuple[tuple[int, int], tuple[int, int]]]:
    """Bits over each link."""
    loads: Counter[tuple[tuple[int, int], tuple[int, int]]] = Counter()
    for flow in flows:
        for source, target, bits in ways(flow):
            for link in links(mesh, source, target):
                loads[link] += bits  # type: ignore[assignment]
    return loads


@settings(max_examples=200)
@given(st.data())
def test_hops_and_loads_are_those_of_every_bit_walked(data: st.DataObject) -> None:
    mesh = data.draw(meshes())
    flows = data.draw(st.lists(flows_on(mesh), max_size=4))
    loads = walked(flows, mesh)
    assert busiest_link(flows, mesh) == pytest.approx(max(loads.values(), default=0.0))
    assert sum(bit_hops(flow, mesh) for flow in flows) == pytest.approx(sum(loads.values()))
    assert bit_hops_by_operator(flows, mesh) == pytest.approx(
        {flow.operator: sum(walked([f for f in flows if f.operator == flow.operator], mesh).values()) for flow in flows}
    )
    for flow in flows:
        assert farthest(flow, mesh) == max((len(links(mesh, *way[:2])) for way in ways(flow)), default=0)
        away = [way for way in ways(flow) if max(way[0], 0) != max(way[1], 0)]  # the port lies at core 0
        assert flow.bits == pytest.approx(sum(bits for _, _, bits in away))
        taken = Counter(dict.fromkeys(flow.targets.tolist(), 0.0))  # type: ignore[misc]
        for _, target, bits in away:
            taken[target] += bits
        assert flow.most_received == pytest.approx(max(taken.values(), default=0.0))


@given(st.data())
def test_a_moved_flow_goes_between_the_new_places(data: st.DataObject) -> None:
    mesh = data.draw(meshes())
    flow = data.draw(flows_on(mesh))
    cores = np.arange(mesh.rows * mesh.columns)
    to = np.array(data.draw(st.permutations(cores.tolist())))
    moved = {(source, target): 0.0 for source, target, _ in ways(flow)}
    renamed = {PORT: PORT, **dict(enumerate(to.tolist()))}
    for source, target, bits in ways(flow):
        moved[source, target] += bits
    found: Counter[tuple[int, int]] = Counter()
    for source, target, bits in ways(flow.moved(cores, to)):
        found[source, target] += bits  # type: ignore[assignment]
    assert found == pytest.approx({(renamed[a], renamed[b]): bits for (a, b), bits in moved.items()})
    matrix = flow.matrix(np.array([PORT, *cores]))
    assert {pair: matrix[pair[0] + 1, pair[1] + 1] for pair in moved} == pytest.approx(moved)
    assert matrix.sum() == pytest.approx(sum(moved.values()))


# Placement


def exchanged(flows: list[Flow]) -> Traffic:
    return Traffic(tuple(flows), (), (), frozenset(), {})


def cost(flows: list[Flow], mesh: Mesh, cores: np.ndarray, to: np.ndarray) -> float:
    return sum(sum(walked([flow.moved(cores, to)], mesh).values()) for flow in flows)


@st.composite
def exchanges(draw: Draw, *, cores: int) -> tuple[Mesh, np.ndarray, list[Flow]]:
    """A mesh, cores in use in the order in which layers come to them, and whole bits between some of them."""
    mesh = draw(meshes(cores=cores))
    order = draw(st.permutations(range(mesh.rows * mesh.columns)))
    order = order[: draw(st.integers(1, len(order)))]
    ends = st.sampled_from([PORT, *order])
    table = draw(st.lists(st.tuples(ends, ends, st.integers(1, 99)), max_size=2 * cores))
    flows = [Flow("layer", *(np.array([end]) for end in way[:2]), np.array([float(way[2])])) for way in table]
    return mesh, np.array(order), flows


@settings(max_examples=150)
@given(exchanges(cores=40))
def test_placement_is_never_worse_than_none_and_always_the_same(given_: tuple[Mesh, np.ndarray, list[Flow]]) -> None:
    mesh, order, flows = given_
    cores = np.sort(order)
    placed = place(exchanged(flows), mesh, order)
    assert len(set(placed.tolist())) == len(cores)
    assert placed.min() >= 0
    assert placed.max() < mesh.rows * mesh.columns
    assert cost(flows, mesh, cores, placed) <= cost(flows, mesh, cores, cores)
    in_order = np.argsort(order)  # row by row, in the order in which layers come to them
    assert cost(flows, mesh, cores, placed) <= cost(flows, mesh, cores, in_order)
    assert np.array_equal(place(exchanged(flows), mesh, order), placed)


def best(flows: list[Flow], mesh: Mesh, cores: np.ndarray) -> float:
    """The least that any order costs."""
    places = range(mesh.rows * mesh.columns)
    bits = {tuple(way[:2]): 0.0 for flow in flows for way in ways(flow)}
    for source, target, sent in (way for flow in flows for way in ways(flow)):
        bits[source, target] += sent
    hops = {(a, b): len(links(mesh, a, b)) for a in places for b in places}
    least = float("inf")
    for order in itertools.permutations(places, len(cores)):
        at = {PORT: 0, **dict(zip(cores.tolist(), order, strict=True))}
        least = min(least, sum(sent * hops[at[a], at[b]] for (a, b), sent in bits.items()))
    return least


def test_on_small_meshes_it_is_mostly_the_best_of_all_orders() -> None:
    """Exchanges of two cores may end above it: here in less than a tenth of cases, and by less than 10 %."""
    rng, found = np.random.default_rng(0), []
    for rows, columns in [(2, 3), (1, 5), (2, 2), (3, 2), (1, 6)] * 12:
        mesh, cores = Mesh(rows, columns), np.arange(rows * columns)
        pairs = [pair for pair in itertools.permutations([PORT, *cores], 2) if rng.random() < 0.5]
        flows = [Flow("layer", *(np.array([end]) for end in pair), rng.integers(1, 50, 1) * 1.0) for pair in pairs]
        placed = place(exchanged(flows), mesh, rng.permutation(cores))
        found.append(cost(flows, mesh, cores, placed) / best(flows, mesh, cores))
    assert min(found) > 1 - 1e-9
    assert np.mean(np.array(found) < 1 + 1e-9) >= 0.9
    assert max(found) < 1.1


def test_a_chain_of_layers_lies_along_a_path() -> None:
    """Every two neighbours of the chain are one hop apart: nothing can be better."""
    for mesh, length in ((Mesh(4, 5), 20), (Mesh(3, 7), 11), (Mesh(1, 9), 9)):
        order = np.random.default_rng(1).permutation(mesh.rows * mesh.columns)[:length]
        chain = [PORT, *order.tolist()]
        flows = [Flow("layer", np.array([a]), np.array([b]), np.array([8.0])) for a, b in itertools.pairwise(chain)]
        assert cost(flows, mesh, np.sort(order), place(exchanged(flows), mesh, order)) == 8 * (length - 1)


def test_of_very_many_cores_the_best_of_some_orders_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, order = Mesh(6, 7), np.random.default_rng(2).permutation(42)[:30]
    flows = [
        Flow("layer", np.array([a]), np.array([b]), np.array([3.0])) for a, b in itertools.pairwise(order.tolist())
    ]
    cores = np.sort(order)
    searched = cost(flows, mesh, cores, place(exchanged(flows), mesh, order))
    monkeypatch.setattr(place_cores, "_SEARCHED", 35)  # places beyond the square of the start are not looked at
    assert cost(flows, mesh, cores, place(exchanged(flows), mesh, order)) <= cost(flows, mesh, cores, cores)
    monkeypatch.setattr(place_cores, "_SEARCHED", 8)
    placed = place(exchanged(flows), mesh, order)
    assert len(set(placed.tolist())) == 30
    assert searched <= cost(flows, mesh, cores, placed) < cost(flows, mesh, cores, cores)
