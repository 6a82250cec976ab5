"""Networks larger than the chip, in reload segments: how few there are, the same numbers, and when they run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, finite_hardware, network, node, run
from places import cells_of
from test_control_flow import BRANCHES, parsed
from test_replicated_programs import convolutional
from test_schedule import images, latest
from test_shared_weights import unrolled

import xbarc
from xbarc.errors import CapacityError, InternalError, ProgramError
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import layers
from xbarc.ir.schedule import schedule
from xbarc.ir.verify import verify
from xbarc.passes.verify_mapping import verify_places


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def chain(sizes: Sequence[int], shared: Sequence[int] = (), tokens: int = 1) -> onnx.ModelProto:
    """Products one after the other; those in ``shared`` take the matrix of the first of them, which is square."""
    constants = {f"w{at}": numbers(*pair, seed=at) for at, pair in enumerate(itertools.pairwise(sizes))}
    names = ["x", *(f"l{at}" for at in range(len(sizes) - 1))]
    weights = [f"w{min(shared) if at in shared else at}" for at in range(len(sizes) - 1)]
    nodes = [node("MatMul", [names[at], weights[at]], names[at + 1]) for at in range(len(sizes) - 1)]
    used = {name: constants[name] for name in weights}
    return network(nodes, {"x": ("N", tokens, sizes[0])}, used, outputs=[names[-1]])


def segments_of(program: xbarc.Program) -> list[int]:
    return [layer.read.segment for layer in layers(program.graph)]


def on_chip(hardware: Hardware, tiles: int) -> Hardware:
    return Hardware.from_dict({**hardware.to_dict(), "chip": {"tiles": tiles}})


SMALL = ["tile.rows=4", "tile.columns=4"]


@st.composite
def chains(draw: Draw) -> tuple[list[int], list[int]]:
    """Sizes, and layers that share a matrix."""
    sizes = draw(st.lists(st.integers(1, 13), min_size=2, max_size=8))
    count = len(sizes) - 1
    square = draw(st.lists(st.integers(0, count - 1), max_size=3, unique=True))
    for at in square:  # all sizes around them are equal, so that one matrix fits all
        sizes[at] = sizes[at + 1] = sizes[square[0]]
    fits = all(sizes[at] == sizes[at + 1] == sizes[square[0]] for at in square)
    return sizes, sorted(square) if fits and len(square) > 1 else []


def fewest(tiles: Sequence[int], shared: Sequence[int], chip: int) -> int | None:
    """The fewest segments over all ways to cut between layers; ``None`` where none goes."""
    count, found = len(tiles), []
    for cuts in itertools.chain.from_iterable(itertools.combinations(range(1, count), n) for n in range(count)):
        parts = [range(*ends) for ends in itertools.pairwise([0, *cuts, count])]
        apart = [part for part in parts if any(at in part for at in shared)]
        sums = [sum(tiles[at] for at in part if at not in shared[1:]) for part in parts]
        if len(apart) <= 1 and max(sums) <= chip:
            found.append(len(parts))
    return min(found, default=None)


@settings(max_examples=30)
@given(chains(), st.integers(1, 30))
def test_there_are_as_few_segments_as_can_be(case: tuple[list[int], list[int]], chip: int) -> None:
    sizes, shared = case
    tiles = [math.ceil(rows / 4) * math.ceil(columns / 4) for rows, columns in itertools.pairwise(sizes)]
    expected = fewest(tiles, shared, chip)
    options: dict[str, Any] = {"overrides": [*SMALL, f"chip.tiles={chip}"], "verify": True}
    if expected is None:
        with pytest.raises(CapacityError):
            xbarc.compile(chain(sizes, shared), **options, segments=True)
        return
    program = xbarc.compile(chain(sizes, shared), **options, segments=True)
    found = segments_of(program)
    assert found == sorted(found)
    assert set(found) == set(range(expected))
    held = [{at for at, segment in enumerate(found) if segment == each} for each in range(expected)]
    usage = program.report().segments
    assert [segment.tiles for segment in usage.segments] == [
        sum(tiles[at] for at in part if at not in shared[1:]) for part in held
    ]
    if expected == 1:
        plain = xbarc.compile(chain(sizes, shared), **options)
        assert plain.text() == program.text()
    # Packed layers take no more tiles, and no more segments.
    packed = xbarc.compile(chain(sizes, shared), **options, segments=True, pack="network")
    assert max(segments_of(packed)) < expected
    assert all(segment.tiles <= chip for segment in packed.report().segments.segments)


@settings(max_examples=15)
@given(
    convolutional(),
    finite_hardware(),
    st.integers(0, 10),
    st.sampled_from(["none", "balance", 3]),
    st.sampled_from(["off", "network"]),
)
def test_segments_change_no_number(
    model: onnx.ModelProto, hardware: Hardware, spare: int, copies: str | int, pack: Any
) -> None:
    x = numbers(2, *(entry.dim_value for entry in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    whole = xbarc.compile(model, hardware=hardware, calibration=x)
    chip = max(layer.physical_tiles for layer in whole.report().layers) + spare
    options: dict[str, Any] = {"calibration": x, "replicate": copies, "pack": pack, "verify": True}
    made = xbarc.compile(model, hardware=on_chip(hardware, chip), segments=True, **options)
    expected = whole.write("ideal").run(x)["y"]
    assert np.array_equal(made.write("ideal").run(x)["y"], expected)
    assert np.array_equal(run(made.model(), {"x": x})[0], run(whole.model(), {"x": x})[0])
    again = xbarc.load(made.model())
    assert again.text() == made.text()
    assert segments_of(again) == segments_of(made)
    report = made.report()
    assert again.report().to_json() == report.to_json()
    # Tile by tile, from the pieces: each segment has the chip for itself.
    occupied = [(segment, cell) for segment, cell, _ in places(made)]
    assert len(occupied) == len(set(occupied))
    used = [{cell[0] for segment, cell in occupied if segment == each} for each in range(len(report.segments.segments))]
    assert [segment.tiles for segment in report.segments.segments] == [len(tiles) for tiles in used]
    assert [segment.cells for segment in report.segments.segments] == [
        sum(segment == each for segment, _ in occupied) for each in range(len(used))
    ]
    assert max(set.union(*used)) < chip
    assert report.totals.physical_tiles == len(set.union(*used)) <= chip
    planes = 2 if made.hardware.tile.polarity == "unit-cell" and made.hardware.weights.polarities == 2 else 1
    a_tile = made.hardware.tile.rows * made.hardware.tile.columns * planes
    assert report.totals.cells.total == sum(map(len, used)) * a_tile


def places(program: xbarc.Program) -> list[tuple[int, tuple[int, ...], str]]:
    """Every cell that holds something, with its segment and its layer."""
    return [
        (layer.read.segment, cell, layer.name)
        for layer in layers(program.graph)
        if layer.read.matrix == layer.name
        for cell, _ in cells_of(layer, program.hardware)
    ]


def test_what_must_not_come_apart_stays_together() -> None:
    """Three uses of a matrix, and a layer after them; a product in each branch of an ``If``."""
    chip = ["tile.rows=6", "tile.columns=6", "chip.tiles=1"]
    program = xbarc.compile(unrolled(), overrides=chip, segments=True, verify=True)
    assert segments_of(program) == [0, 0, 0, 1]
    with pytest.raises(InternalError, match="reload segments must follow each other, and hold what must not"):
        broken(program, [0, 0, 1, 1])
    with pytest.raises(InternalError, match="reload segments must follow each other"):
        broken(program, [0, 0, 0, 2])
    branches = parsed(BRANCHES, {"A": numbers(4, 4), "B": numbers(4, 4), "zero": np.array(0.0, np.float32)})
    program = xbarc.compile(branches, overrides=["chip.tiles=2"], segments=True)
    assert segments_of(program) == [0, 0]
    with pytest.raises(InternalError, match="reload segments must follow each other"):
        broken(program, [0, 1])
    with pytest.raises(CapacityError, match="what lies from layer 'product' to 'product_1' needs 2 physical tiles"):
        xbarc.compile(branches, overrides=["chip.tiles=1"], segments=True)


def broken(program: xbarc.Program, segments: Sequence[int]) -> None:
    for layer, segment in zip(layers(program.graph), segments, strict=True):
        layer.read.segment = segment
    verify(program.graph)


def test_a_layer_that_is_larger_than_the_chip_is_refused() -> None:
    with pytest.raises(CapacityError) as raised:
        xbarc.compile(chain([4, 4, 12, 8]), overrides=[*SMALL, "chip.tiles=5"], segments=True)
    assert str(raised.value).splitlines() == [
        "layer 'l2' alone needs 6 physical tiles, the chip has 5: 1 too few",
        "  where: reload segments: a layer is in one segment",
        "  fix:   give the chip at least 6 tiles, take larger ones, or leave layers digital (--host PATTERN)",
    ]
    with pytest.raises(CapacityError) as raised:
        xbarc.compile(chain([8, 8, 4, 8, 8], [0, 3]), overrides=[*SMALL, "chip.tiles=7"], segments=True)
    assert str(raised.value).splitlines()[:2] == [
        "what lies from layer 'l0' to 'l3' needs 8 physical tiles, the chip has 7: 1 too few",
        "  where: reload segments: they are the body of a control operator, or share a matrix, which stays on the chip "
        "meanwhile",
    ]


@pytest.mark.parametrize("pack", ["off", "network"])
def test_without_segments_the_refusal_names_them(pack: Any) -> None:
    with pytest.raises(CapacityError, match="write the chip for one part of the network after the other") as raised:
        xbarc.compile(chain([4, 4, 12, 8]), overrides=[*SMALL, "chip.tiles=5"], pack=pack)
    assert "10 physical tiles, the chip has 5: 5 too few" in str(raised.value)
    assert "(--segments)" in str(raised.value)


def test_an_unlimited_chip_has_one_segment() -> None:
    program = xbarc.compile(chain([4, 40, 40]), overrides=[*SMALL, "chip.tiles=unlimited"], segments=True)
    usage = program.report().segments
    assert (len(usage.segments), usage.batches, usage.half, usage.latency_s) == (1, (), None, None)


def test_each_segment_has_the_chip_for_its_copies() -> None:
    """Of 12 windows each: layers of 1 and 2 tiles share a chip of 6, twice; one of 4 has no room for a copy."""
    options: dict[str, Any] = {"overrides": [*SMALL, "chip.tiles=6"], "segments": True, "verify": True}
    model = chain([4, 4, 8, 8], tokens=12)
    for asked in ("balance", 4):
        program = xbarc.compile(model, **options, replicate=asked)
        found = layers(program.graph)
        assert [(layer.read.segment, layer.read.copies) for layer in found] == [(0, 2), (0, 2), (1, 1)]
        usage = program.report().replication
        assert (usage.bottleneck, usage.slowest, usage.single, usage.copies) == (12, "l2", 12, 3)
        assert usage.optimum == 12
    assert usage.missed == "l2 takes 12 rounds where at most 4 were asked for: the chip is 6 tiles short"


def test_faults_stay_with_the_tile() -> None:
    """Layers of different segments on one tile meet the same stuck cells; with a tile each, they do not."""
    model = chain([8, 8, 8])
    stuck = {}
    for tiles in ("1", "unlimited"):
        hardware = ["tile.rows=8", "tile.columns=8", f"chip.tiles={tiles}"]
        program = xbarc.compile(model, overrides=hardware, segments=True)
        written = program.write("generic:stuck_at_gmax=0.3", seed=3).at(0).written
        assert written is not None
        stuck[tiles] = [cells.stuck for cells in written.cells.values()]
    first, second = stuck["1"]
    assert first is not None
    assert 0.1 < first.mean() < 0.5
    np.testing.assert_array_equal(first, second)
    first, second = stuck["unlimited"]
    assert not np.array_equal(first, second)


def test_two_layers_on_one_cell_are_noticed_in_one_segment_alone() -> None:
    program = xbarc.compile(chain([4, 4, 4]), overrides=[*SMALL, "chip.tiles=1"], segments=True)
    verify_places(program.graph, program.hardware)
    for layer in layers(program.graph):
        layer.read.segment = 0
    with pytest.raises(InternalError, match="lie on the same cell: tile 0, row 0, column 0"):
        verify_places(program.graph, program.hardware)


def test_the_segment_stands_in_text_and_map_and_file(tmp_path: Path) -> None:
    program = xbarc.compile(chain([4, 4, 4]), overrides=[*SMALL, "chip.tiles=1"], segments=True)
    assert program.text().count("segment=1") == 1
    assert [block.segment for block in program.tile_map().blocks] == [0, 1]
    assert program.facts["options"]["segments"] is True
    model = program.model()
    entry = next(entry for entry in model.metadata_props if entry.key == "ai.xbarc.program")
    entry.value = entry.value.replace('"segment": 1', '"segment": 2')
    with pytest.raises(ProgramError, match="reload segments must follow each other"):
        xbarc.load(model)
    entry.value = entry.value.replace('"segment": 2, ', "")
    with pytest.raises(InternalError, match="lie on the same cell"):
        verify_places(xbarc.load(model).graph, program.hardware)


# Time


def walk(
    model: onnx.ModelProto, copies: dict[str, int], segments: dict[str, int]
) -> tuple[dict[str, tuple[int, int]], list[int]]:
    """Spans of layers and when each segment ends, one window after the other."""
    size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    times = {"x": np.zeros((size, size))}
    spans: dict[str, tuple[int, int]] = {}
    ends = [0]
    for each in model.graph.node:
        before = [times[name] for name in each.input if name in times]
        if each.op_type == "Conv":
            if segments[each.name] == len(ends):
                ends.append(max(end for _, end in spans.values()))
            ready = latest(before[0], each)
            free = [ends[-1]] * copies[each.name]
            done = np.zeros_like(ready)
            for number, place in enumerate(np.ndindex(ready.shape)):
                copy = number % len(free)
                free[copy] = done[place] = max(free[copy], ready[place]) + 1
            spans[each.name] = (int(done.min()) - 1, int(done.max()))
            times[each.output[0]] = done
        elif each.op_type.endswith("Pool"):
            times[each.output[0]] = latest(before[0], each)
        else:
            times[each.output[0]] = np.maximum.reduce(before)
    return spans, [*ends[1:], max(end for _, end in spans.values())]


@settings(max_examples=30)
@given(images(), st.sampled_from(["none", 1, 2, 5, 17]), st.integers(0, 12))
def test_a_segment_begins_when_the_one_before_is_done(model: onnx.ModelProto, replicate: Any, spare: int) -> None:
    tile = ["tile.rows=9", "tile.columns=3"]
    plain = xbarc.compile(model, overrides=[*tile, "chip.tiles=unlimited"])
    chip = max(layer.physical_tiles for layer in plain.report().layers) + spare
    program = xbarc.compile(model, overrides=[*tile, f"chip.tiles={chip}"], replicate=replicate, segments=True)
    found, held = schedule(program.graph), layers(program.graph)
    copies = {layer.name: layer.read.copies for layer in held}
    segments = {layer.name: layer.read.segment for layer in held}
    spans, ends = walk(model, copies, segments)
    assert {name: (span.start, span.end) for name, span in found.spans.items()} == spans
    assert found.latency == ends[-1]
    assert [segment.latency for segment in found.segments] == np.diff([0, *ends]).tolist()
    rounds = {layer.name: layer.rounds or 0 for layer in program.report().layers}
    most = [max(rounds[name] for name in rounds if segments[name] == each) for each in range(len(ends))]
    assert [segment.interval for segment in found.segments] == most
    assert found.interval == sum(most)


def test_packed_layers_take_turns_within_their_segment() -> None:
    """Four layers of 2 x 2 fill a tile, and two more come after them; 5 windows each."""
    program = xbarc.compile(
        chain([2] * 7, tokens=5), overrides=[*SMALL, "chip.tiles=1"], segments=True, pack="network", verify=True
    )
    assert segments_of(program) == [0, 0, 0, 0, 1, 1]
    found = schedule(program.graph)
    assert [(segment.latency, segment.interval) for segment in found.segments] == [(20, 20), (10, 10)]


LOOPS = """
network (float[N, 4] x, float[4, 4] A, float[4, 4] B, int64 five, int64 three, bool yes)
    => (float[N, 4] first, float[N, 4] second)
{
    first = Loop <body = one (int64 n, bool on, float[N, 4] h) => (bool goes, float[N, 4] new)
        { [within] new = MatMul (h, A) goes = Identity (on) }> (five, yes, x)
    second = Loop <body = other (int64 n, bool on, float[N, 4] h) => (bool goes, float[N, 4] new)
        { [inside] new = MatMul (h, B) goes = Identity (on) }> (three, yes, x)
}"""


def test_a_loop_waits_for_its_segment_once() -> None:
    """Two of 5 and of 3 rounds, neither of which needs the other: the wait is no part of a round."""
    counts = {"five": np.array(5), "three": np.array(3), "yes": np.array([True]).reshape(())}
    model = parsed(LOOPS, {"A": numbers(4, 4), "B": numbers(4, 4, seed=1), **counts})
    program = xbarc.compile(model, overrides=["chip.tiles=1"], segments=True)
    assert segments_of(program) == [0, 1]
    found = schedule(program.graph)
    assert [(segment.latency, segment.interval) for segment in found.segments] == [(5, 5), (3, 3)]
    assert [(span.start, span.end) for span in found.spans.values()] == [(0, 5), (5, 8)]
