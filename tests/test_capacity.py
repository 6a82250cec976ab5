"""A network that fits a chip fits it with copies, packed, or in segments, too: down to the last tile."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Draw, finite_hardware, network, node

import xbarc
from xbarc.errors import CapacityError
from xbarc.hardware.schema import Hardware

PACKINGS = [
    ("off", "parallel"),
    ("layer", "parallel"),
    ("layer", "dense"),
    ("network", "parallel"),
    ("network", "dense"),
]
SPLITS = ["greedy", "balanced", "positions"]


@st.composite
def chains(draw: Draw) -> onnx.ModelProto:
    """One to four convolutions, dense or of groups, and now and then a fully connected layer; some share a matrix."""
    size, channels, last = draw(st.integers(5, 8)), draw(st.sampled_from([2, 4, 6])), "x"
    shape: list[int | str] = ["N", channels, size, size]
    nodes, constants = [], {}
    for index in range(draw(st.integers(1, 4))):
        kernel = draw(st.sampled_from([kernel for kernel in (1, 2, 3) if kernel <= size]))
        groups = draw(st.sampled_from([count for count in (1, 2, channels) if channels % count == 0]))
        outer = groups * draw(st.integers(1, 3))
        weight = draw(st.sampled_from(["own", *constants])) if index else "own"
        fits = weight != "own" and constants[weight].shape == (outer, channels // groups, kernel, kernel)
        name = weight if fits else f"w{index}"
        if not fits:
            weights = np.random.default_rng(index).standard_normal((outer, channels // groups, kernel, kernel))
            constants[name] = weights.astype(np.float32)
        nodes.append(node("Conv", [last, name], f"conv{index}", group=groups))
        last, channels, size = f"conv{index}", outer, size - kernel + 1
    if draw(st.booleans()):
        rows = channels * size * size
        constants["full"] = np.random.default_rng(9).standard_normal((rows, draw(st.integers(1, 9)))).astype(np.float32)
        nodes += [node("Flatten", [last], "flat"), node("MatMul", ["flat", "full"], "full_out")]
        last = "full_out"
    nodes.append(node("Relu", [last], "y"))
    return network(nodes, {"x": shape}, constants)


@st.composite
def chips(draw: Draw) -> Hardware:
    """Hardware of any kind, on unlimited tiles in cores of some; a read may drive a part of the rows."""
    values = draw(finite_hardware()).to_dict()
    rows = values["tile"]["rows"]
    if draw(st.booleans()):
        values["tile"]["active_rows"] = draw(st.integers(1, rows))
    return Hardware.from_dict({**values, "core": {"tiles": draw(st.integers(1, 5))}})


def filled(hardware: Hardware, tiles: int, *, mesh: bool) -> Hardware:
    """The same with just as many cores as so many tiles fill."""
    core = hardware.core.tiles
    cores = math.ceil(tiles / core)
    rows = 2 if cores % 2 == 0 else 1
    sizes = {"mesh_rows": rows, "mesh_columns": cores // rows} if mesh else {"tiles": cores * core}
    return Hardware.from_dict({**hardware.to_dict(), "chip": sizes})


@settings(max_examples=15, deadline=None)
@given(
    model=chains(),
    hardware=chips(),
    split=st.sampled_from(SPLITS),
    packing=st.sampled_from(PACKINGS),
    replicate=st.sampled_from(["none", "balance", 1, 7]),
    mesh=st.booleans(),
    segments=st.booleans(),
)
def test_what_fits_fits_with_every_option(
    model: onnx.ModelProto,
    hardware: Hardware,
    split: str,
    packing: tuple[str, str],
    replicate: str | int,
    mesh: bool,
    segments: bool,
) -> None:
    pack, mode = packing
    plain = xbarc.compile(model, hardware=hardware, split=split)
    chip = filled(hardware, plain.report().totals.physical_tiles, mesh=mesh)
    options = {"split": split, "pack": pack, "pack_mode": mode, "replicate": replicate, "segments": segments}
    full = xbarc.compile(model, hardware=chip, verify=True, **options)
    assert full.report().totals.physical_tiles <= chip.chip_tiles
    packed = xbarc.compile(model, hardware=hardware, split=split, pack=pack, pack_mode=mode)
    needed = packed.report().totals.physical_tiles
    assert needed <= plain.report().totals.physical_tiles
    tight = filled(hardware, needed, mesh=mesh)
    copied = xbarc.compile(model, hardware=tight, verify=True, **options)
    assert copied.report().totals.physical_tiles <= tight.chip_tiles


def test_one_tile_less_is_too_few_for_what_is_not_packed() -> None:
    """So chips above are as small as they can be."""
    weight = np.ones((3, 2, 3, 3), np.float32)
    model = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 2, 6, 6]}, {"w": weight})
    hardware = Hardware.from_dict(
        {
            "name": "small",
            "cell": {"g_min": "1 uS", "g_max": "25 uS"},
            "tile": {"rows": 9, "columns": 2},
            "dac": {"bits": 8},
            "adc": {"bits": 8},
        }
    )
    assert xbarc.compile(model, hardware=filled(hardware, 4, mesh=True)).report().totals.physical_tiles == 4
    with pytest.raises(CapacityError, match="needs 4 physical tiles, the chip has 3: 1 too few"):
        xbarc.compile(model, hardware=filled(hardware, 3, mesh=True))
