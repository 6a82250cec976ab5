"""Traffic between cores: by hand, and against sets of numbers that are followed from core to core one by one."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, network, node
from test_control_flow import repeated
from test_shared_weights import unrolled

import xbarc
from xbarc.ir.layer import Layer, layers
from xbarc.ir.mesh import PORT, Flow
from xbarc.ir.traffic import Traffic, cores_in_order, sum_bits, traffic

BITS = 8  # of codes and of digital numbers


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def compiled(model: onnx.ModelProto, *changes: str, **options: Any) -> xbarc.Program:
    tiles = ["chip.tiles=unlimited", "dac.bits=8", "tile.rows=5", "tile.columns=7"]
    return xbarc.compile(model, overrides=[*tiles, *changes], **options)


def found_in(program: xbarc.Program) -> Traffic:
    return traffic(program.graph, core_tiles=program.hardware.core.tiles, digital_bits=BITS)


def between(flows: tuple[Flow, ...], name: str) -> dict[tuple[int, int], float]:
    """Bits from core to core, of what an operator takes."""
    found: Counter[tuple[int, int]] = Counter()
    for flow in flows:
        if flow.operator == name:
            cores = np.union1d(flow.sources, flow.targets)
            matrix = flow.matrix(cores)
            for source, target in np.argwhere(matrix).tolist():
                if source != target:
                    found[int(cores[source]), int(cores[target])] += matrix[source, target]
    return dict(found)


# By hand: tiles of 5 x 7, one a core


def test_outputs_travel_to_the_next_layer_and_off_the_chip() -> None:
    nodes = [node("MatMul", ["x", "a"], "t"), node("Relu", ["t"], "r"), node("MatMul", ["r", "b"], "y")]
    found = found_in(compiled(network(nodes, {"x": ("N", 4)}, {"a": numbers(4, 5), "b": numbers(5, 3)})))
    assert between(found.inputs, "t") == {(PORT, 0): 4 * BITS}
    assert between(found.inputs, "y") == {(0, 1): 5 * BITS}
    assert between(found.outputs, "y") == {(1, PORT): 3 * BITS}
    assert (between(found.sums, "t"), between(found.sums, "y")) == ({}, {})
    assert found.unknown == frozenset()
    one_core = found_in(
        compiled(network(nodes, {"x": ("N", 4)}, {"a": numbers(4, 5), "b": numbers(5, 3)}), "core.tiles=2")
    )
    assert between(one_core.inputs, "y") == {}


def test_partial_sums_meet_at_the_first_row_block_of_their_columns() -> None:
    """12 x 10 is cut into 3 x 2 blocks; the cores of the first row block add up 7 and 3 columns."""
    model = network([node("MatMul", ["x", "a"], "y")], {"x": ("N", 12)}, {"a": numbers(12, 10)})
    program = compiled(model)
    found, (layer,) = found_in(program), layers(program.graph)
    width = sum_bits(layer)
    assert 2 ** (width - 2) <= layer.largest_code_sum < 2 ** (width - 1)
    assert between(found.sums, "y") == {
        pair: columns * width for pair, columns in {(2, 0): 7, (4, 0): 7, (3, 1): 3, (5, 1): 3}.items()
    }
    rows = {0: 5, 1: 5, 2: 5, 3: 5, 4: 2, 5: 2}
    assert between(found.inputs, "y") == {(PORT, core): count * BITS for core, count in rows.items()}
    assert between(found.outputs, "y") == {(0, PORT): 7 * BITS, (1, PORT): 3 * BITS}
    by_two = found_in(compiled(model, "core.tiles=2"))
    assert between(by_two.sums, "y") == {(1, 0): 10 * width, (2, 0): 10 * width}
    assert between(by_two.inputs, "y") == {(PORT, 0): 5 * BITS, (PORT, 1): 5 * BITS, (PORT, 2): 2 * BITS}


def test_what_is_not_quantised_is_of_32_bits() -> None:
    model = network([node("MatMul", ["x", "a"], "y")], {"x": ("N", 6)}, {"a": numbers(6, 2)})
    found = found_in(compiled(model, "dac.bits=unlimited", "adc.bits=unlimited", "adc.range=percentile"))
    assert between(found.inputs, "y") == {(PORT, 0): 5 * 32, (PORT, 1): 1 * 32}
    assert between(found.sums, "y") == {(1, 0): 2 * 32}


def test_operands_of_digital_operators_travel_to_the_largest() -> None:
    nodes = [
        node("MatMul", ["x", "a"], "s"),
        node("MatMul", ["x", "b"], "t"),
        node("ReduceMean", ["s"], "m", axes=[1]),
        node("Mul", ["m", "t"], "p"),
        node("MatMul", ["p", "c"], "y"),
    ]
    constants = {"a": numbers(4, 6, seed=1), "b": numbers(4, 5, seed=2), "c": numbers(5, 2)}
    found = found_in(compiled(network(nodes, {"x": ("N", 4)}, constants)))
    assert between(found.inputs, "p") == {(0, 1): BITS}
    assert between(found.inputs, "y") == {(1, 2): 5 * BITS}


def test_joined_values_stay_where_they_are() -> None:
    nodes = [
        node("MatMul", ["x", "a"], "s"),
        node("MatMul", ["x", "b"], "t"),
        node("Concat", ["s", "t"], "j", axis=1),
        node("MatMul", ["j", "c"], "y"),
    ]
    constants = {"a": numbers(4, 3, seed=1), "b": numbers(4, 1, seed=2), "c": numbers(4, 2)}
    found = found_in(compiled(network(nodes, {"x": ("N", 4)}, constants)))
    assert between(found.inputs, "j") == {}
    assert between(found.inputs, "y") == {(0, 2): 3 * BITS, (1, 2): 1 * BITS}


def test_layers_that_share_a_matrix_have_flows_of_their_own() -> None:
    program = compiled(unrolled(), "tile.rows=8", "tile.columns=8")
    found = found_in(program)
    assert {flow.operator for flow in found.inputs} >= {layer.name for layer in layers(program.graph)}


def test_a_loop_carries_its_state_from_where_its_body_makes_it() -> None:
    program = compiled(repeated(6))
    found, (layer,) = found_in(program), layers(program.graph)
    assert layer.read.pieces is not None
    (core,) = np.unique(layer.read.pieces["tile"]).tolist()
    assert all(source == core for source, _ in between(found.inputs, layer.name))
    assert layer.name not in found.unknown


def test_unknown_sizes_are_named() -> None:
    constants = {"a": numbers(3, 2, 3, 3), "b": numbers(4, 4)}
    nodes = [node("Conv", ["x", "a"], "y"), node("MatMul", ["v", "b"], "z")]
    inputs = {"x": ("N", 2, "H", "W"), "v": ("N", 8, 4)}
    model = network(nodes, inputs, constants, outputs=("y", "z"), output_ranks={"y": 4, "z": 3})
    found = found_in(compiled(model))
    assert found.unknown == {"y"}
    assert sum(between(found.inputs, "z").values()) > 0


def test_cores_are_counted_in_the_order_of_layers_however_they_are_numbered() -> None:
    nodes = [node("MatMul", ["x", "a"], "t"), node("MatMul", ["t", "b"], "y")]
    program = compiled(network(nodes, {"x": ("N", 12)}, {"a": numbers(12, 10), "b": numbers(10, 3)}))
    assert cores_in_order(program.graph, core_tiles=1).tolist() == [*range(8)]
    assert cores_in_order(program.graph, core_tiles=3).tolist() == [0, 1, 2]
    for layer in layers(program.graph):
        assert layer.read.pieces is not None
        layer.read.pieces["tile"] = 7 - layer.read.pieces["tile"]
    assert cores_in_order(program.graph, core_tiles=1).tolist() == [*range(7, -1, -1)]


# Any network of convolutions and products, followed number by number


@st.composite
def chains(draw: Draw) -> tuple[onnx.ModelProto, list[str]]:
    """Convolutions that are cut and grouped in every way, then products; what the network is compiled for."""
    size, groups = draw(st.integers(3, 5)), draw(st.sampled_from([1, 1, 2, 4]))
    inner, outer = 4 * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    after = (size - kernel) // stride + 1
    constants = {
        "a": numbers(inner, 2, 2, 2, seed=1),
        "b": numbers(4 * outer, inner // groups, kernel, kernel, seed=2),
        "c": numbers(4 * outer * after**2, 3, seed=3),
    }
    nodes = [
        node("Conv", ["x", "a"], "first", pads=[0, 0, 1, 1]),
        node("Relu", ["first"], "r"),
        node("Conv", ["r", "b"], "second", strides=[stride] * 2, group=groups),
        node("Flatten", ["second"], "flat"),
        node("MatMul", ["flat", "c"], "y"),
    ]
    encoding = draw(st.sampled_from(["differential", "twos-complement", "offset-digital"]))
    changes = [f"core.tiles={draw(st.integers(1, 9))}", f"weights.encoding={encoding}"]
    if encoding != "differential":
        changes += ["weights.slices=2", "cell.levels=16", "weights.subtraction=digital"]
    return network(nodes, {"x": ("N", 2, size, size)}, constants), changes


def columns_of(layer: Layer) -> dict[int, list[int]]:
    """By diagonal, the columns of the stack that hold weights."""
    partition = layer.read.partition
    data = partition.data_columns
    return {
        diagonal: data[: partition.columns * partition.groups_in(diagonal)] for diagonal in range(partition.diagonals)
    }


def meeting(layer: Layer, core_tiles: int) -> dict[tuple[int, int, int], list[int]]:
    """By copy, diagonal and column, the cores that hold some of it: the first is that of its first row block."""
    found: dict[tuple[int, int, int], list[tuple[int, int, int, int]]] = defaultdict(list)
    weights = columns_of(layer)
    assert layer.read.pieces is not None
    for piece in layer.read.pieces:
        diagonal, row_block = divmod(int(piece["place"]), layer.read.partition.row_blocks)
        for column in range(piece["first"], piece["first"] + piece["count"]):
            if column in weights[diagonal]:
                at = (row_block, int(piece["slice"]), int(piece["side"]), int(piece["tile"]) // core_tiles)
                found[int(piece["copy"]), diagonal, column].append(at)
    return {key: [core for *_, core in sorted(entries)] for key, entries in found.items()}


def places_read(layer: Layer) -> np.ndarray:
    """``(windows, rows of one group)``: which place of a channel's image each row of each window reads; -1: padding."""
    windows, shape = layer.read.windows, layer.input.shape
    assert shape is not None
    if not windows.rank:
        return np.zeros((1, layer.read.partition.rows), dtype=np.int64)
    spatial = [int(size) for size in shape[2:]]  # type: ignore[arg-type]
    image = np.pad(np.arange(np.prod(spatial)).reshape(spatial), windows.padding(spatial), constant_values=-1)
    first, rows = windows.offsets(1, spatial)
    channels = layer.read.partition.rows // windows.kernel_size
    return np.tile(image.reshape(-1)[first[:, None] + rows], (1, channels))


def needed(layer: Layer, core_tiles: int) -> dict[int, set[tuple[int, int]]]:
    """By core, the numbers of the input, as channel and place, that windows of its copies need in it."""
    partition, reads = layer.read.partition, places_read(layer)
    found: dict[int, set[tuple[int, int]]] = defaultdict(set)
    assert layer.read.pieces is not None
    for piece in layer.read.pieces:
        diagonal, row_block = divmod(int(piece["place"]), partition.row_blocks)
        for row in partition.rows_of(diagonal, row_block):
            channel = row // layer.read.windows.kernel_size
            for window in range(int(piece["copy"]), len(reads), layer.read.copies):
                place = int(reads[window, row % partition.rows])
                if place >= 0:
                    found[int(piece["tile"]) // core_tiles].add((channel, place))
    return found


@settings(max_examples=25)
@given(
    chains(),
    st.sampled_from(["none", 3, 10]),
    st.sampled_from(["greedy", "balanced", "positions"]),
    st.sampled_from(["off", "network"]),
)
def test_traffic_is_that_of_numbers_followed_one_by_one(
    chain: tuple[onnx.ModelProto, list[str]], replicate: Any, split: Any, pack: Any
) -> None:
    model, changes = chain
    program = compiled(model, *changes, replicate=replicate, split=split, pack=pack)
    core_tiles, found = program.hardware.core.tiles, found_in(program)
    home: Counter[int] = Counter({PORT: 1})
    for layer in layers(program.graph):
        windows = len(places_read(layer))
        of_copies = [len(range(copy, windows, layer.read.copies)) for copy in range(layer.read.copies)]
        # Partial sums: one of each column and window from every core but the one where they meet.
        sums: Counter[tuple[int, int]] = Counter()
        made: Counter[int] = Counter()
        for (copy, _, _), cores in meeting(layer, core_tiles).items():
            made[cores[0]] += of_copies[copy]
            for core in set(cores) - {cores[0]}:
                sums[core, cores[0]] += of_copies[copy] * sum_bits(layer)
        assert between(found.sums, layer.name) == pytest.approx({pair: bits for pair, bits in sums.items() if bits})
        # Inputs: what comes to each core, and that it comes from where it is made.
        total = sum(home.values())
        inputs = between(found.inputs, layer.name)
        bits = layer.dac.codes.high.bit_length() + int(layer.dac.codes.low < 0) if layer.dac.codes else 32
        arrived: Counter[int] = Counter()
        for (_, target), sent in inputs.items():
            arrived[target] += sent  # type: ignore[assignment]
        for core, wanted in needed(layer, core_tiles).items():
            share = 1 - home[core] / total
            counted = arrived[core] / (bits * share) if share else len(wanted)
            if layer.read.windows.rank:
                # Counted are all places of a channel, also those between strides or in one window of many copies.
                assert counted >= len(wanted) - 1e-6 or not share
            else:
                assert counted == pytest.approx(len(wanted))
            for source, amount in home.items():
                if source != core and arrived[core]:
                    assert inputs.get((source, core), 0.0) == pytest.approx(arrived[core] / share * amount / total)
        home = made
    assert between(found.outputs, "y") == pytest.approx(
        {(core, PORT): BITS * 3 * count / sum(home.values()) for core, count in home.items() if count}
    )


@settings(max_examples=30)
@given(st.integers(3, 7), st.integers(1, 3), st.integers(1, 8), st.sampled_from(["greedy", "positions"]))
def test_of_a_convolution_without_gaps_it_counts_numbers_once(
    size: int, kernel: int, channels: int, split: Any
) -> None:
    """One copy, stride 1, no padding: every place of every channel is in some window of its rows."""
    weights = numbers(2, channels, kernel, kernel)
    model = network([node("Conv", ["x", "a"], "y")], {"x": ("N", channels, size, size)}, {"a": weights})
    program = compiled(model, split=split)
    (layer,) = layers(program.graph)
    arrived = {core: bits / BITS for (_, core), bits in between(found_in(program).inputs, "y").items()}
    wanted = needed(layer, 1)
    assert arrived.keys() == wanted.keys()
    if split == "positions":  # a block of one position does not see the rim on the other side
        windows = (size - kernel + 1) ** 2
        assert arrived == pytest.approx({core: len(places) for core, places in wanted.items()})
        assert all(len(places) % windows == 0 for places in wanted.values())
    else:  # of a channel that is cut, a block of few windows gets what these read at most
        assert all(len(places) <= arrived[core] + 1e-6 for core, places in wanted.items())
        assert all(
            arrived[core] <= size**2 * len({channel for channel, _ in places}) for core, places in wanted.items()
        )


def test_programs_are_the_same_in_number_on_a_mesh(models_dir: Any) -> None:
    """The pass that places cores moves whole cores, and changes nothing else."""
    options: dict[str, Any] = {"calibration": models_dir / "digits_calibration.npz", "replicate": 8}
    small = ["tile.rows=64", "tile.columns=64", "chip.tiles=unlimited", "core.tiles=2"]
    mesh = ["chip.mesh_rows=3", "chip.mesh_columns=5"]
    plain = xbarc.compile(models_dir / "digits_cnn.onnx", overrides=small, **options)
    placed = xbarc.compile(models_dir / "digits_cnn.onnx", overrides=[*small, *mesh], verify=True, **options)
    moved: dict[int, int] = {}
    for before, after in zip(layers(plain.graph), layers(placed.graph), strict=True):
        assert before.read.pieces is not None
        assert after.read.pieces is not None
        for tile, other in zip(before.read.pieces["tile"].tolist(), after.read.pieces["tile"].tolist(), strict=True):
            assert tile % 2 == other % 2
            assert moved.setdefault(tile // 2, other // 2) == other // 2
        names = [name for name in before.read.pieces.dtype.names or () if name != "tile"]
        assert np.array_equal(before.read.pieces[names], after.read.pieces[names])
    assert len(set(moved.values())) == len(moved)
    assert any(core != other for core, other in moved.items())
    x = np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float32)
    inputs = {plain.inputs[0].name: x}
    first, second = (program.write("ideal").run(inputs) for program in (plain, placed))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    usage, unplaced = placed.report().schedule, plain.report().schedule
    assert unplaced.traffic is None
    assert usage.traffic is not None
    assert usage.traffic.bit_hops < usage.traffic.in_order
    assert (usage.interval, usage.latency) == (unplaced.interval, unplaced.latency)
    again = xbarc.compile(models_dir / "digits_cnn.onnx", overrides=[*small, *mesh], **options)
    assert again.text() == placed.text()


def test_what_enters_and_leaves_at_core_0_itself_is_no_traffic(models_dir: Any) -> None:
    program = xbarc.compile(models_dir / "digits_cnn.onnx", hardware="isaac")
    report = program.report()
    usage = report.schedule.traffic
    assert usage is not None
    assert report.replication.cores_used == 1
    assert (usage.bits, usage.bit_hops, usage.mean_hops) == (0, 0, None)
    assert report.schedule.latency_parts.network == 0


def test_copies_of_one_matrix_move_together() -> None:
    mesh = ["chip.mesh_rows=4", "chip.mesh_columns=4", "tile.rows=8", "tile.columns=8"]
    program = compiled(unrolled(), *mesh, replicate=1, verify=True)
    tables = [
        layer.read.pieces for layer in layers(program.graph) if layer.read.matrix == layers(program.graph)[0].name
    ]
    assert len(tables) == 3
    assert all(np.array_equal(one, other) for one, other in itertools.pairwise(tables) if one is not None)
