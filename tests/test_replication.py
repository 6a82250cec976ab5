"""Copies of layers: against every way to copy small networks, and the published optima of ten large ones."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.ir.cores import Packing, pack
from xbarc.ir.partition import dense_tiles, logical_tiles
from xbarc.ir.replication import Demand, balance, bottleneck, fewest_copies, least_bottleneck, tiles_of

#: The chip of the published figures: 12 x 12 cores of 64 logical tiles.
CORE, CHIP = 64, 9216

DEMANDS = st.lists(
    st.builds(Demand, windows=st.one_of(st.none(), st.integers(0, 6)), tiles=st.integers(1, 5)), min_size=1, max_size=3
)


def anywhere(_: Sequence[int]) -> bool:
    return True


# How many copies, against every way to make them


def every_way(demands: Sequence[Demand], capacity: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """Bottleneck, tiles and copies of all that fits, with at most as many copies as there are windows."""
    most = [max(demand.windows or 1, 1) for demand in demands]
    ways = []
    for copies in itertools.product(*(range(1, each + 1) for each in most)):
        rounds = [-(-demand.windows // n) for demand, n in zip(demands, copies, strict=True) if demand.windows]
        tiles = sum(demand.tiles * n for demand, n in zip(demands, copies, strict=True))
        if tiles <= capacity:
            ways.append((max(rounds, default=0), tiles, copies))
    return ways


@settings(max_examples=300)
@given(DEMANDS, st.integers(0, 60))
def test_no_other_copies_are_faster_or_take_fewer_tiles(demands: list[Demand], capacity: int) -> None:
    ways = every_way(demands, capacity)
    copies = balance(demands, capacity, fits=anywhere)
    if not ways:
        assert copies is None
        assert least_bottleneck(demands, capacity) is None
        return
    assert copies is not None
    assert (bottleneck(demands, copies), tiles_of(demands, copies)) == min(way[:2] for way in ways)


@settings(max_examples=300)
@given(DEMANDS, st.integers(0, 60), st.integers(1, 7))
def test_a_target_is_met_with_the_fewest_tiles_or_missed_by_the_least(
    demands: list[Demand], capacity: int, target: int
) -> None:
    ways = every_way(demands, capacity)
    copies = balance(demands, capacity, target=target, fits=anywhere)
    if copies is None:
        assert not ways
        return
    reached = bottleneck(demands, copies)
    meeting = [way for way in ways if way[0] <= target]
    if meeting:
        assert reached <= target
        assert tiles_of(demands, copies) == min(tiles for _, tiles, _ in meeting)
    else:
        assert reached == min(rounds for rounds, _, _ in ways)


def test_an_unlimited_chip_meets_any_target() -> None:
    demands = [Demand(1000, 7), Demand(30, 9), Demand(1, 4), Demand(None, 2)]
    assert balance(demands, None, target=10, fits=anywhere) == [100, 3, 1, 1]
    assert balance(demands, None, fits=anywhere) == [1000, 30, 1, 1]


# Where copies lie


@st.composite
def crowds(draw: Any) -> tuple[list[int], list[int], int, int]:
    """Tiles of a copy, copies, tiles of a core, cores of a chip on which one copy of each fits."""
    sizes = draw(st.lists(st.integers(1, 14), min_size=1, max_size=5))
    copies = [draw(st.integers(1, 4)) for _ in sizes]
    core_tiles = draw(st.integers(1, 9))
    return sizes, copies, core_tiles, math.ceil(sum(sizes) / core_tiles) + draw(st.integers(0, 5))


def check(packing: Packing, sizes: list[int], copies: list[int], core_tiles: int, cores: int | None) -> None:
    assert [each.shape for each in packing.tiles] == list(zip(copies, sizes, strict=True))
    taken = np.concatenate([each.reshape(-1) for each in packing.tiles])
    assert len(np.unique(taken)) == len(taken)
    assert taken.min() >= 0
    assert cores is None or taken.max() < cores * core_tiles
    for layer, tiles in enumerate(packing.tiles):
        reached = [len(np.unique(copy // core_tiles)) for copy in tiles]
        fewest = math.ceil(sizes[layer] / core_tiles)
        assert reached[1:] == [fewest] * (copies[layer] - 1)
        assert reached[0] == fewest or layer in packing.scattered


@settings(max_examples=500)
@given(crowds())
def test_copies_take_tiles_of_their_own_in_as_few_cores_as_they_can(
    crowd: tuple[list[int], list[int], int, int],
) -> None:
    sizes, copies, core_tiles, cores = crowd
    if (packing := pack(sizes, copies, core_tiles=core_tiles, cores=cores)) is not None:
        check(packing, sizes, copies, core_tiles, cores)
    else:
        assert max(copies) > 1
    endless = pack(sizes, copies, core_tiles=core_tiles, cores=None)
    assert endless is not None
    check(endless, sizes, copies, core_tiles, None)
    assert not endless.scattered


@settings(max_examples=300)
@given(crowds())
def test_one_copy_of_each_always_has_room(crowd: tuple[list[int], list[int], int, int]) -> None:
    sizes, _, core_tiles, cores = crowd
    single = [1] * len(sizes)
    packing = pack(sizes, single, core_tiles=core_tiles, cores=cores)
    assert packing is not None
    check(packing, sizes, single, core_tiles, cores)


def whole_copies_fit(sizes: Sequence[int], copies: Sequence[int], core_tiles: int, cores: int) -> bool:
    """Whether all copies have room within as few cores as they can, by trying every way."""
    pieces = [
        min(core_tiles, size - start)
        for size, count in zip(sizes, copies, strict=True)
        for start in range(0, size, core_tiles)
        for _ in range(count)
    ]

    def place(left: tuple[int, ...], rooms: tuple[int, ...]) -> bool:
        if not left:
            return True
        return any(
            place(left[1:], tuple(sorted([*rooms[:at], rooms[at] - left[0], *rooms[at + 1 :]])))
            for at in range(len(rooms))
            if rooms[at] >= left[0] and rooms[at] not in rooms[:at]
        )

    return place(tuple(sorted(pieces, reverse=True)), (core_tiles,) * cores)


@settings(max_examples=150)
@given(
    st.lists(st.builds(Demand, windows=st.integers(1, 5), tiles=st.integers(1, 7)), min_size=1, max_size=3),
    st.integers(2, 5),
    st.integers(1, 5),
)
def test_cores_cost_no_less_than_the_best_packing(demands: list[Demand], core_tiles: int, cores: int) -> None:
    capacity, sizes = core_tiles * cores, [demand.tiles for demand in demands]

    def fits(copies: Sequence[int]) -> bool:
        return pack(sizes, copies, core_tiles=core_tiles, cores=cores) is not None

    copies = balance(demands, capacity, fits=fits)
    if copies is None:
        assert sum(sizes) > capacity
        return
    found = pack(sizes, copies, core_tiles=core_tiles, cores=cores)
    assert found is not None
    check(found, sizes, copies, core_tiles, cores)
    free = least_bottleneck(demands, capacity)
    assert free is not None
    assert free <= bottleneck(demands, copies) <= bottleneck(demands, [1] * len(demands))
    whole = [
        rounds
        for rounds in range(free, 6)
        if whole_copies_fit(sizes, fewest_copies(demands, rounds), core_tiles, cores)
    ]
    if whole and not found.scattered:
        assert bottleneck(demands, copies) >= bottleneck(demands, fewest_copies(demands, whole[0]))


# Against the published networks


@pytest.fixture(scope="module")
def oracle(shared_dir: Path) -> dict[str, Any]:
    """Layers of ten networks and the optima of their replication, by software that is not ours."""
    path = shared_dir / "oracles" / "array_counts.json"
    if not path.is_file():
        pytest.skip(f"needs the tile counts {path}")
    counts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return counts


RULES = {"dense": dense_tiles, "block_diagonal": logical_tiles}

#: The bottleneck where every copy lies within as few cores as it can; for all others the optimum stays.
IN_CORES = {("alexnet", "dense"): 13}


@pytest.mark.parametrize("rule", RULES)
def test_optima_of_ten_networks(oracle: dict[str, Any], rule: str) -> None:
    """Nothing keeps fully connected layers at one copy but their single window."""
    assert len(oracle) == 10
    for name, entry in oracle.items():
        rows, columns = entry["tile"]
        demands = [
            Demand(
                layer["windows"],
                RULES[rule](
                    groups=layer["groups"],
                    rows=layer["rows_per_group"],
                    columns=layer["cols_per_group"],
                    tile_rows=rows,
                    tile_columns=columns,
                ),
            )
            for layer in entry["layers"]
        ]
        sizes = [demand.tiles for demand in demands]
        expected = entry["replication"][rule]
        assert entry["replication"]["capacity_logical_tiles"] == CHIP
        copies = balance(demands, CHIP, fits=anywhere)
        assert copies is not None
        found = (bottleneck(demands, copies), tiles_of(demands, copies))
        assert found == (expected["exact_min_max_bottleneck"], expected["tiles_used"]), name
        assert all(count == 1 for layer, count in zip(entry["layers"], copies, strict=True) if layer["kind"] == "dense")

        def fits(copies: Sequence[int], sizes: list[int] = sizes) -> bool:
            return pack(sizes, copies, core_tiles=CORE, cores=CHIP // CORE) is not None

        within = balance(demands, CHIP, fits=fits)
        assert within is not None
        packing = pack(sizes, within, core_tiles=CORE, cores=CHIP // CORE)
        assert packing is not None
        check(packing, sizes, within, CORE, CHIP // CORE)
        assert not packing.scattered
        assert bottleneck(demands, within) == IN_CORES.get((name, rule), found[0]), name
