"""Layers as convolutions of onnxruntime against products of bytes and of floating-point numbers: the same bits."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from chips import cells_of
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.ir.executor import ReadIndex
from xbarc.ir.layer import FLOAT32_EXACT, Layer, layers
from xbarc.runtime.convolution import layer_convolution
from xbarc.runtime.layer_plan import LayerPlan, layer_plan
from xbarc.runtime.layer_run import run_layer

HARDWARE = {
    "pairs": (),
    "ADC of 3 bits": ("adc.bits=3",),
    "sides converted apart": ("weights.subtraction=digital",),
    "slices": ("weights.slices=2", "cell.levels=16"),
    "nothing lost": ("adc.bits=16", "cell.levels=16"),
    "nothing lost of digits": ("adc.bits=8", "weights.slices=2", "cell.levels=4", "input.mode=bit-serial"),
}


def convolution(
    x: np.ndarray, weight: np.ndarray, *overrides: str, split: str = "greedy", **attributes: Any
) -> xbarc.Program:
    conv = node("Conv", ["x", "w"], "y", kernel_shape=weight.shape[2:], **attributes)
    model = network([conv], {"x": ("N", *x.shape[1:])}, {"w": weight})
    return xbarc.compile(model, overrides=("chip.tiles=unlimited", *overrides), calibration=x, split=split)


def as_convolution(layer: Layer) -> LayerPlan:
    plan = layer_plan(layer)
    return dataclasses.replace(plan, convolution=layer_convolution(layer, collapsed=plan.collapsed))


def run(plan: LayerPlan, x: np.ndarray, threads: int = 1) -> bytes:
    with ThreadPoolExecutor(threads) as pool:
        return run_layer(plan, x, pool, threads).tobytes()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 3), st.sampled_from(sorted(HARDWARE)))
def test_convolutions_are_products(data: st.DataObject, rank: int, hardware: str) -> None:
    """Of any kernel, stride, dilation, padding, groups, and of any cut into tiles."""
    sizes = st.integers(1, 3)
    kernel, strides, dilations = (data.draw(st.lists(sizes, min_size=rank, max_size=rank)) for _ in range(3))
    pads = data.draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    groups, a, b = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    spatial = data.draw(st.lists(st.integers(7, 9 if rank < 3 else 7), min_size=rank, max_size=rank))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = draw.normal(size=(3, groups * a, *spatial)).astype(np.float32)
    x = data.draw(st.sampled_from([x, np.abs(x)]))
    weight = draw.normal(size=(groups * b, a, *kernel)).astype(np.float32)
    cut = data.draw(st.sampled_from([(), ("tile.rows=10", "tile.columns=4")]))
    program = convolution(
        x,
        weight,
        *HARDWARE[hardware],
        *cut,
        split=data.draw(st.sampled_from(["greedy", "positions"])),
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=groups,
    )
    (layer,) = layers(program.graph)
    plan = as_convolution(layer)
    assert plan.convolution or groups > 1
    expected = run(layer_plan(layer, integers=False), x)
    assert run(dataclasses.replace(plan, convolution=()), x) == expected
    assert run(plan, x) == expected
    assert run(plan, x, threads=2) == expected
    assert b"".join(run(plan, x[image : image + 1]) for image in range(3)) == expected


@pytest.mark.parametrize("hardware", ["nothing lost", "nothing lost of digits"])
def test_what_loses_nothing_is_one_product(hardware: str) -> None:
    draw = np.random.default_rng(3)
    x = np.abs(draw.normal(size=(2, 4, 8, 8))).astype(np.float32)
    program = convolution(x, draw.normal(size=(5, 4, 3, 3)).astype(np.float32), *HARDWARE[hardware], "tile.rows=10")
    (layer,) = layers(program.graph)
    plan = layer_plan(layer)
    assert plan.collapsed
    assert [len(part.products) for part in plan.convolution] == [1]


def test_what_is_no_number_reaches_its_windows_alone() -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(size=(2, 3, 8, 8)).astype(np.float32)
    (layer,) = layers(convolution(x, draw.normal(size=(5, 3, 3, 3)).astype(np.float32)).graph)
    plan = layer_plan(layer)
    assert plan.convolution
    x[1, 2, 3, 4] = np.nan
    assert run(plan, x) == run(dataclasses.replace(plan, convolution=()), x)
    x[1, 2, 3, 4] = np.inf
    assert run(plan, x) == run(dataclasses.replace(plan, convolution=()), x)


def test_whoever_looks_at_currents_sees_them() -> None:
    draw = np.random.default_rng(5)
    x = draw.normal(size=(2, 3, 8, 8)).astype(np.float32)
    (layer,) = layers(convolution(x, draw.normal(size=(5, 3, 3, 3)).astype(np.float32)).graph)
    seen: list[tuple[ReadIndex, int]] = []
    with ThreadPoolExecutor(1) as pool:
        run_layer(layer_plan(layer), x, pool, 1, visit=lambda index, currents: seen.append((index, currents.size)))
    assert sum(size for _, size in seen) == 2 * 5 * 6 * 6


def test_cells_between_groups_are_not_left_out() -> None:
    """Written cells of a diagonal are not empty there: no grouped convolution has them."""
    draw = np.random.default_rng(6)
    x = draw.normal(size=(2, 4, 6, 6)).astype(np.float32)
    program = convolution(x, draw.normal(size=(4, 1, 3, 3)).astype(np.float32), group=4)
    (ideal,), (written,) = layers(program.graph), cells_of(program, program.write("pcm", seed=1))[0]
    assert as_convolution(ideal).convolution
    assert not as_convolution(written).convolution


def test_only_exact_sums_are_taken() -> None:
    """Just below the bound and just above it, of whole codes of 8 bits and levels of 16."""
    draw = np.random.default_rng(7)
    for rows, exact in ((1, True), (2, False)):
        x = np.abs(draw.normal(size=(1, rows, 4, 4))).astype(np.float32)
        program = convolution(x, np.ones((1, rows, 1, 1), np.float32), "cell.levels=65536")
        (layer,) = layers(program.graph)
        codes = layer.dac.codes
        assert codes is not None
        levels = layer.read.levels.astype(np.int64)
        most = int(np.abs(levels[0, 0] - levels[0, 1]).sum()) * max(codes.high, -codes.low)
        assert (most <= FLOAT32_EXACT) == exact
        assert bool(layer_convolution(layer, collapsed=False)) == exact
