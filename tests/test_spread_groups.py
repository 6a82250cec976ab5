"""How many groups lie on a diagonal when layers are packed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.passes.packing.matrices import Matrix
from xbarc.passes.packing.pack import MODES, SCOPES, Mode, Scope
from xbarc.passes.place_blocks import tiles_of_blocks
from xbarc.passes.split_blocks import split
from xbarc.passes.spread_groups import Shape, SpreadGroups

SIZE = ("tile.rows=40", "tile.columns=24")


def shapes_of(matrices: Sequence[Matrix], hardware: Hardware, *, slices: int = 1) -> dict[str, Shape]:
    """Layers as they are split for a chip."""
    return {
        str(number): Shape(
            split(
                groups=matrix.groups,
                rows=matrix.rows,
                columns=matrix.columns,
                most_rows=hardware.weight_rows,
                most_columns=hardware.weight_columns,
                reference_column=hardware.weights.reference_column,
            ),
            slices=slices,
        )
        for number, matrix in enumerate(matrices)
    }


@given(
    st.lists(st.builds(Matrix, st.integers(1, 40), st.integers(1, 50), st.integers(1, 30)), min_size=1, max_size=4),
    st.sampled_from([(), ("tile.active_rows=16",), ("weights.encoding=offset",)]),
    st.sampled_from(SCOPES),
    st.sampled_from(MODES),
    st.integers(1, 3),
)
@settings(deadline=None, max_examples=60)
def test_no_layer_takes_more_tiles_by_itself(
    matrices: list[Matrix], overrides: tuple[str, ...], scope: Scope, mode: Mode, slices: int
) -> None:
    hardware = load_hardware("generic-pcm", [*SIZE, *overrides])
    shapes = shapes_of(matrices, hardware, slices=slices)
    found = SpreadGroups(hardware, scope, mode).spread(shapes)
    for matrix, shape, partition in zip(matrices, shapes.values(), found.values(), strict=True):
        before = shape.partition
        assert (partition.groups, partition.rows, partition.columns) == (matrix.groups, matrix.rows, matrix.columns)
        assert partition.row_blocks == before.row_blocks
        assert partition.column_blocks == before.column_blocks
        assert partition.groups_per_diagonal <= before.groups_per_diagonal
        assert tiles_of_blocks(partition, hardware) <= tiles_of_blocks(before, hardware)
        if before.groups_per_diagonal == 1 or (mode == "parallel" and "tile.active_rows=16" in overrides):
            assert partition == before
        elif mode == "dense" and not before.reference_column:
            assert partition.groups_per_diagonal == 1


@pytest.mark.parametrize("mode", MODES)
def test_each_column_for_reference_is_worth_what_it_takes(mode: Mode) -> None:
    """Eleven of 2 x 2 with one reference column for all fill a tile's columns; each with its own, eight do."""
    hardware = load_hardware("generic-pcm", [*SIZE, "weights.encoding=offset"])
    shapes = shapes_of([Matrix(11, 2, 2)], hardware)
    (before,) = (shape.partition for shape in shapes.values())
    assert (before.groups_per_diagonal, before.stack_columns) == (11, 23)
    (partition,) = SpreadGroups(hardware, "network", mode).spread(shapes).values()
    assert tiles_of_blocks(partition, hardware) == 1
    assert partition.groups_per_diagonal > 1


def test_a_diagonal_is_as_large_as_the_room_that_others_leave() -> None:
    """Two tiles have 18 rows and 12 columns left beside another layer: two of nine rows go on the diagonal of each."""
    hardware = load_hardware("generic-pcm", SIZE)
    shapes = shapes_of(
        [Matrix(1, 40, 12), Matrix(1, 22, 12), Matrix(1, 40, 12), Matrix(1, 22, 12), Matrix(4, 9, 1)], hardware
    )
    (*_, partition) = SpreadGroups(hardware, "network", "parallel").spread(shapes).values()
    assert partition.groups_per_diagonal == 2
