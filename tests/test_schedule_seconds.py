"""Seconds of a schedule: digital units and network too, against stations that windows pass one by one, and by hand."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node
from test_control_flow import repeated
from test_schedule import images, latest, numbers

import xbarc
from xbarc.cli.terminal import print_page
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.operators import HostOp
from xbarc.ir.schedule import schedule
from xbarc.ir.simulation import Leg, Timing, simulate
from xbarc.ir.traffic import sum_bits
from xbarc.report.schedule_page import schedule_tables
from xbarc.report.timing import use_time


class Station:
    """Takes one thing after the other, each so long; what it has done is there some time later."""

    def __init__(self, busy: float, delay: float = 0.0) -> None:
        self.busy, self.delay, self.free = busy, delay, 0.0

    def take(self, ready: float) -> float:
        self.free = max(self.free, ready) + self.busy
        return self.free + self.delay


def passed_one_by_one(times: np.ndarray, leg: Leg) -> np.ndarray:
    """Places of a value over a way, the first first; all together take so long."""
    station, done = Station(leg.busy / max(times.size, 1), leg.delay), np.empty(times.size)
    for place in sorted(range(times.size), key=lambda place: (times.flat[place], place)):
        done[place] = station.take(float(times.flat[place]))
    return done.reshape(times.shape)


def walk(model: onnx.ModelProto, copies: dict[str, int], timing: Timing, operators: dict[str, float]) -> float:
    """The latency of a network of images, window by window and place by place."""
    size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    sizes, times = {"x": (size, size)}, {"x": np.zeros(())}  # the network's input comes at once, as one place
    for each in model.graph.node:
        before = [times[name] for name in each.input if name in times]
        sizes[each.output[0]] = sizes[each.input[0]]
        windows = np.zeros(())
        if each.op_type == "Conv" or each.op_type.endswith("Pool"):
            windows = latest(np.broadcast_to(before[0], sizes[each.input[0]]), each).astype(np.float64)
            sizes[each.output[0]] = windows.shape
        way = timing.inputs.get(each.name, Leg())
        if each.op_type == "Conv":
            digital, sums = timing.digital[each.name], timing.sums.get(each.name, Leg())
            stations = [
                [Station(way.busy, way.delay), Station(timing.read), Station(digital), Station(sums.busy, sums.delay)]
                for _ in range(copies[each.name])
            ]
            made = windows
            for number, place in enumerate(np.ndindex(made.shape)):
                for station in stations[number % len(stations)]:
                    made[place] = station.take(float(made[place]))
        else:
            given = (
                windows
                if each.op_type.endswith("Pool") and before[0].ndim
                else np.max(np.broadcast_arrays(*before), axis=0)
            )
            made = passed_one_by_one(passed_one_by_one(given, way), Leg(operators.get(each.name, 0.0)))
        times[each.output[0]] = made
    leaving = [
        passed_one_by_one(times[value.name], timing.outputs.get(value.name, Leg())) for value in model.graph.output
    ]
    return max(float(end.max()) for end in [*times.values(), *leaving])


def drawn(graph: Graph, seed: int) -> tuple[Timing, dict[str, float]]:
    """Times for everything, in whole numbers of which sums are exact; digital operators by name too."""
    rng = random.Random(seed)
    names = [operator.name for operator in graph.operators()]
    hosts = {
        operator: float(rng.choice([0, 0, 64, 640])) for operator in graph.operators() if isinstance(operator, HostOp)
    }

    def legs() -> dict[str, Leg]:
        return {name: Leg(rng.choice([0.0, 1.0, 8.0]), rng.choice([0.0, 5.0])) for name in names if rng.random() < 0.5}

    timing = Timing(
        read=float(rng.choice([1, 4, 10])),
        digital={name: float(rng.choice([0, 1, 4, 20])) for name in names},
        operators=hosts,
        inputs=legs(),
        sums=legs(),
        outputs=legs(),
    )
    return timing, {operator.name: time for operator, time in hosts.items()}


@settings(max_examples=25)
@given(images(), st.sampled_from(["none", 2, 5]), st.integers(0, 2**32))
def test_windows_pass_one_station_after_the_other(model: onnx.ModelProto, replicate: Any, seed: int) -> None:
    program = xbarc.compile(model, overrides=["chip.tiles=unlimited"], replicate=replicate)
    timing, operators = drawn(program.graph, seed)
    found = simulate(program.graph, timing)
    copies = {layer.name: layer.copies for layer in program.report().layers}
    assert found is not None
    assert found.latency == pytest.approx(walk(model, copies, timing, operators), rel=1e-6)


def test_without_digital_units_and_network_it_is_the_schedule_in_reads() -> None:
    program = xbarc.compile(repeated(6))
    found, made = simulate(program.graph, Timing(read=7.0)), schedule(program.graph)
    assert found is not None
    assert made.latency is not None
    assert found.latency == 7 * made.latency


def test_a_loop_repeats_what_its_body_takes_with_its_digital_unit() -> None:
    program = xbarc.compile(repeated(6))
    (name,) = schedule(program.graph).spans
    found = simulate(program.graph, Timing(read=2.0, digital={name: 3.0}))
    assert found is not None
    assert found.latency == 6 * (2 + 3)
    assert (found.spans[name].start, found.spans[name].end) == (0, 5 * 5 + 2)


# From a hardware description, by hand: tiles of 5 x 7, one a core, a row of three cores

PART = {"level": "core", "source": "made up"}


def hardware(**parts: dict[str, object]) -> Hardware:
    return Hardware.from_dict(
        {
            "name": "small",
            "cell": {"g_min": "1 uS", "g_max": "25 uS"},
            "tile": {"rows": 5, "columns": 7, "read_time": "100 ns"},
            "dac": {"bits": 8},
            "adc": {"bits": 8},
            "network": {"link_bits": 4, "clock": "1 GHz"},
            "chip": {"mesh_rows": 1, "mesh_columns": 3},
            "components": {name: PART | part for name, part in parts.items()},
        }
    )


def two_layers() -> onnx.ModelProto:
    """10 inputs, cut into two row blocks; 3 numbers; Relu; 2 outputs."""
    nodes = [node("MatMul", ["x", "a"], "t"), node("Relu", ["t"], "r"), node("MatMul", ["r", "b"], "y")]
    return network(nodes, {"x": ("N", 10)}, {"a": numbers(10, 3), "b": numbers(3, 2)})


def test_seconds_are_those_of_tiles_digital_units_and_network() -> None:
    adder = {"use": "shift-add", "latency": "2 ns"}
    alu = {"use": "digital-operation", "energy": "6 pJ", "power": "1 mW", "count": 2}  # 6 ns, two at once: 3 ns each
    program = xbarc.compile(two_layers(), hardware=hardware(adder=adder, alu=alu))
    usage = program.report().schedule
    # Two layers, one read each.
    assert (usage.interval, usage.latency) == (1, 2)
    assert (usage.interval_parts.tiles, usage.latency_parts.tiles) == pytest.approx((100e-9, 200e-9))
    # First: one code of each of 3 columns in each of two cores, 3 scales in the core where they meet: 3 x 2 + 3 x 3 ns.
    # Relu there: 3 x 3 ns. Second: one code an output, so nothing to shift and add; 2 scales: 2 x 3 ns.
    assert usage.latency_parts.digital == pytest.approx(15e-9 + 9e-9 + 6e-9)
    assert usage.interval_parts.digital == pytest.approx(24e-9)
    # The cores lie in a row, the port at the first. Every order: 5 x 8 bits of the input to each block; 3 partial sums
    # to where they meet; 3 x 8 bits to the second layer; 2 x 8 bits to the port. 4 bits a ns, a hop a ns.
    (first, *_), (last, *_) = (np.unique(pieces["tile"]).tolist() for pieces in pieces_of(program))
    blocks = pieces_of(program)[0]["tile"].tolist()
    meeting, other = blocks[0], blocks[1]
    assert {first, last} <= {0, 1, 2}
    width = width_of_sums(program)
    inputs = max(40 / 4 * (core > 0) for core in blocks) + max(blocks)
    sums = 3 * width / 4 + abs(meeting - other)
    inner = 3 * 8 / 4 + abs(meeting - last)
    leaving = (2 * 8 / 4 if last else 0) + last
    assert usage.latency_parts.network == pytest.approx((inputs + sums + inner + leaving) * 1e-9)
    assert usage.latency_s == pytest.approx(200e-9 + 30e-9 + (inputs + sums + inner + leaving) * 1e-9)
    assert (usage.bottleneck, usage.interval_s) == ("tiles", usage.interval_parts.tiles)
    assert usage.missing == ()
    assert usage.traffic is not None
    assert usage.interval_parts.network == pytest.approx(usage.traffic.busiest_link / 4e9)


def pieces_of(program: xbarc.Program) -> list[np.ndarray]:
    return [layer.read.pieces for layer in layers(program.graph) if layer.read.pieces is not None]


def width_of_sums(program: xbarc.Program) -> int:
    return sum_bits(layers(program.graph)[0])


def test_the_slowest_sets_the_pace_and_tiles_wait_for_it() -> None:
    slow = hardware(alu={"use": "digital-operation", "latency": "100 ns"})
    usage = xbarc.compile(two_layers(), hardware=slow).report().schedule
    assert usage.bottleneck == "digital"
    assert usage.interval_s == usage.interval_parts.digital == pytest.approx(600e-9)
    assert usage.throughput == pytest.approx(1 / 600e-9)
    assert usage.occupancy == pytest.approx(100 / 600)
    assert usage.missing == ("latency of shift-add",)
    narrow = Hardware.from_dict(hardware().to_dict() | {"network": {"link_bits": 1, "clock": "1 MHz"}})
    usage = xbarc.compile(two_layers(), hardware=narrow).report().schedule
    assert usage.bottleneck == "network"
    assert usage.traffic is not None
    assert usage.interval_s == pytest.approx(usage.traffic.busiest_link * 1e-6)
    assert usage.latency_s is not None
    assert usage.interval_s <= usage.latency_s


def test_what_the_hardware_does_not_say_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    plain = hardware().to_dict()
    del plain["network"]
    usage = xbarc.compile(two_layers(), hardware=Hardware.from_dict(plain)).report().schedule
    assert (usage.latency_parts.digital, usage.latency_parts.network) == (None, None)
    assert (usage.interval_parts.digital, usage.interval_parts.network) == (None, None)
    assert (usage.latency_s, usage.bottleneck) == (pytest.approx(200e-9), "tiles")
    missing = ("latency of shift-add", "latency of digital-operation", "network.clock", "network.link_bits")
    assert usage.missing == missing
    print_page(schedule_tables(usage))
    printed = " ".join(capsys.readouterr().out.split())
    assert "tiles 100 ns, digital units unknown, network unknown" in printed
    assert f"left out: {', '.join(missing)}" in printed
    untimed = Hardware.from_dict(plain | {"tile": {"rows": 5, "columns": 7}})
    usage = xbarc.compile(two_layers(), hardware=untimed).report().schedule
    assert (usage.latency_s, usage.interval_s, usage.bottleneck) == (None, None, None)
    assert usage.missing == ("tile.read_time", *missing)


def test_digital_units_of_tiles_cores_and_the_chip() -> None:
    def made(part: dict[str, object], **tables: object) -> float | None:
        plain = hardware(part={"use": "shift-add", "latency": "12 ns"} | part).to_dict()
        return use_time(Hardware.from_dict(plain | {"core": {"tiles": 2}} | tables), "shift-add")

    assert made({"level": "core"}) == pytest.approx(12e-9)
    assert made({"level": "core", "count": 0.25}) == pytest.approx(48e-9)
    assert made({"level": "tile", "count": 3}) == pytest.approx(2e-9)
    assert made({"level": "chip", "count": 6}) == pytest.approx(6e-9)
    assert made({"level": "chip"}, chip={"tiles": "unlimited"}) is None
    assert use_time(hardware(), "shift-add") is None
    array = {"use": "tile-read", "latency": "100 ns", "includes": ["shift-add"]}
    assert use_time(hardware(array=array), "shift-add") == 0.0
    two = {"a": {"use": "shift-add", "latency": "1 ns"}, "b": {"use": "shift-add", "latency": "3 ns"}}
    assert use_time(hardware(**two), "shift-add") == pytest.approx(3e-9)


# Tiles over time


def test_digital_units_that_take_no_time_add_none() -> None:
    """Not even what rounds away where many reads are added up."""
    nodes = [node("Conv", ["x", "a"], "g"), node("Conv", ["g", "b"], "h", group=3), node("Conv", ["h", "c"], "y")]
    constants = {"a": numbers(3, 3, 3, 3), "b": numbers(3, 1, 3, 3), "c": numbers(3, 3, 1, 1)}
    model = network(nodes, {"x": ("N", 3, 14, 14)}, constants)
    assert xbarc.compile(model, hardware="hermes", replicate=5).report().schedule.latency_parts.digital == 0


@settings(max_examples=12)
@given(images(), st.sampled_from(["none", 2, 5]))
def test_tiles_are_busy_when_their_windows_are_read(model: onnx.ModelProto, replicate: Any) -> None:
    program = xbarc.compile(model, overrides=["chip.tiles=unlimited"], replicate=replicate)
    times, made = program.tile_map().schedule, schedule(program.graph)
    assert made.interval is not None
    reads = {load.tile: 0 for load in times.tiles}
    copies = {layer.name: layer.copies for layer in program.report().layers}
    for copy in times.alone:
        ends = made.ends[copy.layer][copy.copy :: copies[copy.layer]]
        moments = {int(end) - 1 for end in ends}
        assert moments == {at for begin, end in copy.intervals for at in range(begin, end)}
        assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(copy.intervals))
        for tile in copy.tiles:
            reads[tile] += len(moments)
    for load in times.tiles:
        assert load.core == load.tile
        assert load.reads is not None
        assert load.busy == pytest.approx(load.reads / made.interval)
    total = sum(load.reads or 0 for load in times.tiles)
    assert total == pytest.approx(sum(reads.values()))
    occupancy = program.report().schedule.occupancy
    assert occupancy == pytest.approx(total / (len(times.tiles) * made.interval))


def test_a_layer_in_a_loop_is_busy_from_its_first_read_to_its_last() -> None:
    times = xbarc.compile(repeated(6), calibration=numbers(3, 4)).tile_map().schedule
    assert [copy.intervals for copy in times.alone] == [((0, 6),)]
    assert [load.busy for load in times.tiles] == [1.0]


def test_unknown_windows_leave_tiles_without_times() -> None:
    constants = {"a": numbers(3, 2, 3, 3)}
    model = network([node("Conv", ["x", "a"], "y")], {"x": ("N", 2, "H", "W")}, constants, output_ranks={"y": 4})
    times = xbarc.compile(model, calibration=numbers(2, 2, 7, 7)).tile_map().schedule
    assert [(load.reads, load.busy) for load in times.tiles] == [(None, None)]
    assert times.alone == ()
