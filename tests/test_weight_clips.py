"""Clipped weights, against slow programs written from the definitions: which are clipped, to what, and what is said."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ENCODINGS, Draw, arrays, finite_hardware, network, node

import xbarc
from xbarc.errors import HardwareError, InternalError
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.ir.layer import Layer, layers
from xbarc.passes.verify_mapping import verify_cells
from xbarc.report.utilisation_page import utilisation_page


@st.composite
def outlying(draw: Draw, *, rows: int = 20) -> np.ndarray:
    """``(G, K, N)``, some of them far larger than the others, some zero."""
    shape = [draw(st.integers(1, top)) for top in (3, rows, 6)]
    values = draw(arrays(shape, weights=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values[rng.random(shape) < 0.05] *= draw(st.sampled_from([1, 4, 50]))
    values[rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0.0
    return values


def grouped(weight: np.ndarray) -> onnx.ModelProto:
    groups, rows, columns = weight.shape
    kernel = weight.transpose(0, 2, 1).reshape(groups * columns, rows, 1)
    return network([node("Conv", ["x", "w"], "y", group=groups)], {"x": ["N", groups * rows, 1]}, {"w": kernel})


def changed(hardware: Hardware, **weights: Any) -> Hardware:
    values = hardware.to_dict()
    return Hardware.from_dict(values | {"weights": values["weights"] | weights})


def only(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


def steps_of(layer: Layer) -> np.ndarray:
    """Weight units of one, as the cells decode, ``(G, 1, N)``."""
    partition = layer.read.partition
    return (layer.rescale.unit_scale / layer.dac.scale).reshape(partition.groups, 1, partition.columns)


def held(layer: Layer) -> np.ndarray:
    """The weights that the cells hold, ``(G, K, N)``."""
    return np.tensordot(layer.accumulate.slice_weights, layer.signed_levels().astype(np.float64), 1) * steps_of(layer)


def largest_of(hardware: Hardware) -> int:
    """The largest integer that a weight is encoded as, from the documentation of the encodings."""
    levels, slices = int(hardware.cell.levels), hardware.weights.slices
    match hardware.weights.encoding:
        case "differential":
            return levels**slices - 1
        case "constant-sum":
            return ((levels - 1) // 2 + 1) ** slices - 1
        case "twos-complement":
            return levels ** (slices - 1) - 1
        case _:
            return levels**slices - 1 - levels**slices // 2


def scopes(weight: np.ndarray, hardware: Hardware) -> dict[tuple[int, int], np.ndarray]:
    """The weights that have one scale, by group and column."""
    groups, _, columns = weight.shape
    every = weight.astype(np.float64)
    whole = hardware.weights.scale == "layer"
    return {(g, n): every.ravel() if whole else every[g, :, n] for g, n in np.ndindex(groups, columns)}


def ranked(weights: np.ndarray, percent: str) -> float:
    """The nearest rank, counted in fractions; 1 where there is nothing to count."""
    found = sorted(abs(float(weight)) for weight in weights if weight)
    return found[max(1, math.ceil(Fraction(percent) * len(found) / 100)) - 1] if found else 1.0


def squared_error(weights: np.ndarray, clip: float, *, largest: int | None, expected: float) -> float:
    kept = np.clip(weights, -clip, clip)
    if largest is not None:
        kept = np.clip(np.rint(weights / (clip / largest)), -largest, largest) * clip / largest
    return float(((weights - kept) ** 2).sum()) + weights.size * (expected * clip) ** 2


def within_half_a_step(layer: Layer, weight: np.ndarray, clips: np.ndarray, hardware: Hardware) -> bool:
    """A step of a pair around the middle counts in both cells."""
    half = 0.5 + 1e-6 if hardware.weights.encoding != "constant-sum" else 1.0 + 1e-6
    return bool(np.all(np.abs(held(layer) - np.clip(weight, -clips, clips)) <= half * steps_of(layer)))


@settings(max_examples=30, deadline=None)
@given(
    outlying(), finite_hardware(), st.sampled_from(["50", "90", "99.9", "100", "0.001", "33.3"]), st.sampled_from("cl")
)
def test_weights_beyond_the_percentile_are_clipped_to_it(
    weight: np.ndarray, hardware: Hardware, percent: str, scope: str
) -> None:
    scale = "column" if scope == "c" else "layer"
    hardware = changed(hardware, range="percentile", percentile=float(percent), scale=scale)
    program = xbarc.compile(grouped(weight), hardware=hardware, verify=True)
    layer = only(program)
    clips = np.empty((weight.shape[0], 1, weight.shape[2]))
    for (group, column), weights in scopes(weight, hardware).items():
        clips[group, 0, column] = ranked(weights, percent)
    both = 2 if hardware.weights.encoding == "constant-sum" else 1
    np.testing.assert_allclose(steps_of(layer), clips / largest_of(hardware) / both, rtol=1e-12)
    assert within_half_a_step(layer, weight, clips, hardware)
    beyond = np.abs(weight.astype(np.float64)) - clips
    (found,) = (each.weight_clipping for each in program.report().layers)
    assert found is not None
    assert found.clipped == np.count_nonzero(beyond > 0)
    assert (found.largest_error, found.largest_weight) == (max(0.0, beyond.max()), np.abs(weight).max())
    assert percent == "100" or found.rule.startswith(f"{percent} % of the nonzero weights of a {scale}")
    assert found.clipped == 0 or percent != "100"


@settings(max_examples=30, deadline=None)
@given(outlying(rows=12), finite_hardware(), st.sampled_from([0.0, 0.03, 0.3]), st.sampled_from(["column", "layer"]))
def test_no_other_clip_has_a_smaller_squared_error(
    weight: np.ndarray, hardware: Hardware, expected: float, scale: str
) -> None:
    hardware = changed(hardware, range="mse", expected_error=expected, scale=scale)
    layer = only(xbarc.compile(grouped(weight), hardware=hardware, verify=True))
    largest = largest_of(hardware)
    both = 2 if hardware.weights.encoding == "constant-sum" else 1
    clips = steps_of(layer) * largest * both
    for (group, column), weights in scopes(weight, hardware).items():
        peak, clip = float(np.abs(weights).max()), float(clips[group, 0, column])
        if peak == 0.0:
            assert clip == pytest.approx(1.0, rel=1e-12)
            continue
        assert clip / peak * 128 == pytest.approx(round(clip / peak * 128), rel=1e-9)
        errors = [
            squared_error(weights, peak * each / 128, largest=largest, expected=expected) for each in range(1, 129)
        ]
        chosen = errors[round(clip / peak * 128) - 1]
        assert chosen <= min(errors) * (1 + 1e-9) + 1e-24 * peak**2
    assert within_half_a_step(layer, weight, clips, hardware)


@settings(max_examples=30, deadline=None)
@given(outlying(), finite_hardware())
def test_a_range_that_holds_all_weights_changes_nothing(weight: np.ndarray, hardware: Hardware) -> None:
    plain = only(xbarc.compile(grouped(weight), hardware=changed(hardware, range="max")))
    whole = only(xbarc.compile(grouped(weight), hardware=changed(hardware, range="percentile", percentile=100.0)))
    assert plain.read.levels.tobytes() == whole.read.levels.tobytes()
    assert plain.rescale.unit_scale.tobytes() == whole.rescale.unit_scale.tobytes()
    assert plain.read.clipping is None
    assert whole.read.clipping is not None
    assert (whole.read.clipping.clipped, whole.read.clipping.largest_error) == (0, 0.0)


@pytest.mark.parametrize("encoding", [each for each in ENCODINGS if each != "twos-complement"])
@pytest.mark.parametrize("scale", ["column", "layer"])
def test_cells_of_unlimited_levels_hold_clipped_weights_exactly(encoding: str, scale: str) -> None:
    weight = np.random.default_rng(3).standard_t(3, size=(2, 30, 4)).astype(np.float32)
    overrides = [
        *(f"weights.encoding={encoding}", "weights.range=percentile", "weights.percentile=80"),
        *(f"weights.scale={scale}", "weights.subtraction=digital"),
    ]
    program = xbarc.compile(grouped(weight), hardware="exact", overrides=overrides, verify=True)
    clips = np.array([ranked(each, "80") for each in scopes(weight, program.hardware).values()]).reshape(2, 1, 4)
    np.testing.assert_allclose(held(only(program)), np.clip(weight, -clips, clips), rtol=1e-12, atol=1e-12)
    assert only(program).read.levels.max() == 1.0


def test_without_rounding_an_expected_error_alone_clips() -> None:
    weight = np.random.default_rng(3).standard_t(3, size=(1, 50, 3)).astype(np.float32)
    nothing = only(xbarc.compile(grouped(weight), hardware="exact", overrides=["weights.range=mse"]))
    assert nothing.read.clipping is not None
    assert nothing.read.clipping.clipped == 0
    overrides = ["weights.range=mse", "weights.expected_error=0.2"]
    layer = only(xbarc.compile(grouped(weight), hardware="exact", overrides=overrides, verify=True))
    for column, clip in enumerate(steps_of(layer).ravel()):
        weights = weight[0, :, column].astype(np.float64)
        tried = np.abs(weights).max() * np.arange(1, 129) / 128
        errors = [squared_error(weights, each, largest=None, expected=0.2) for each in tried]
        assert clip == pytest.approx(tried[int(np.argmin(errors))], rel=1e-12)
        assert clip < np.abs(weights).max()


def test_an_outlier_no_longer_squeezes_the_others() -> None:
    """A column of one large and many small weights: those take two of 255 levels with it, all of them without."""
    weight = np.append(np.linspace(-0.01, 0.01, 99), 1.0).astype(np.float32)[None, :, None]
    squeezed, freed = (
        only(xbarc.compile(grouped(weight), overrides=[f"weights.range={each}", "weights.percentile=98"]))
        for each in ("max", "percentile")
    )
    assert np.abs(squeezed.signed_levels()[:, :, :99]).max() == 3
    assert np.abs(freed.signed_levels()[:, :, :99]).max() == 255
    assert freed.signed_levels()[0, 0, 99, 0] == 255
    assert freed.read.clipping is not None
    assert freed.read.clipping.clipped == 1
    assert freed.read.clipping.largest_error == pytest.approx(0.99, rel=1e-6)


def test_integers_of_a_quantised_network_are_clipped_as_numbers() -> None:
    """Less their zero point, without their scale."""
    rng = np.random.default_rng(5)
    weight, zero = rng.integers(-20, 20, (60, 4)).astype(np.int8), np.array(3, np.int8)
    weight[7] = 120
    constants: dict[str, np.ndarray] = {
        "w": weight,
        "wz": zero,
        "xz": np.array(0, np.uint8),
        "yz": np.array(0, np.int8),
    }
    constants |= {name: np.array(value, np.float32) for name, value in (("ws", 0.02), ("xs", 0.1), ("ys", 1.0))}
    product = node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], "y")
    model = network([product], {"x": ["N", 60]}, constants, dtype=np.uint8, output_types={"y": np.int8})
    overrides = ["weights.range=percentile", "weights.percentile=95"]
    layer = only(xbarc.compile(model, overrides=overrides, verify=True))
    assert layer.read.clipping is not None
    centred = weight.astype(np.int64) - 3
    clips = np.array([ranked(column, "95") for column in centred.T])
    assert layer.read.clipping.clipped == np.count_nonzero(np.abs(centred) > clips)
    assert layer.read.clipping.largest_error == (117 - clips).max()
    assert np.all(np.abs(held(layer)[0] - np.clip(centred, -clips, clips)) <= clips / 255 / 2 * (1 + 1e-9))


def test_layers_of_one_matrix_say_the_same_and_the_page_says_it_once() -> None:
    weight = np.random.default_rng(1).standard_t(2, size=(40, 40)).astype(np.float32)
    model = network([node("MatMul", ["x", "w"], "h"), node("MatMul", ["h", "w"], "y")], {"x": ["N", 40]}, {"w": weight})
    program = xbarc.compile(model, overrides=["weights.range=percentile", "weights.scale=layer"], verify=True)
    first, second = program.report().layers
    assert second.shares == first.name
    assert first.weight_clipping == second.weight_clipping
    assert first.weight_clipping is not None
    assert first.weight_clipping.clipped == 1  # of 1600, 1598.4 are within
    (table,) = (each for each in utilisation_page(program.report(), title="x") if each.title == "Clipped weights")
    (row,) = table.rows
    assert row[:3] == (first.name, "1", "0.062 %")
    assert "range of the cells: 99.9 % of the nonzero weights of a layer" in table.notes


def test_what_is_clipped_is_in_the_file_and_in_the_report(tmp_path: Any) -> None:
    weight = np.random.default_rng(1).standard_t(2, size=(1, 40, 8)).astype(np.float32)
    program = xbarc.compile(grouped(weight), overrides=["weights.range=mse", "weights.expected_error=0.05"])
    program.save(tmp_path / "clipped.xbar.onnx")
    loaded = xbarc.load(tmp_path / "clipped.xbar.onnx")
    (entry,) = loaded.report().to_json()["layers"]
    assert entry["weight_clipping"] == program.report().to_json()["layers"][0]["weight_clipping"]
    assert entry["weight_clipping"]["rule"] == "least squared error of a column, each weight off by 0.05 of its range"
    assert entry["weight_clipping"]["clipped"] > 0
    (plain,) = xbarc.compile(grouped(weight)).report().to_json()["layers"]
    assert plain["weight_clipping"] is None


def test_the_proof_of_the_mapping_allows_clips_only_where_the_program_says_so() -> None:
    weight = np.random.default_rng(1).standard_t(2, size=(1, 40, 8)).astype(np.float32)
    program = xbarc.compile(grouped(weight), overrides=["weights.range=percentile", "weights.percentile=90"])
    layer = only(program)
    verify_cells(program.graph, program.hardware, {layer.name: weight})
    wrong = copy.copy(layer.read.levels)
    _, row, column = np.unravel_index(np.abs(weight).argmax(), weight.shape)
    wrong[:, :, 0, row, column] -= wrong[:, :, 0, row, column] > 0  # one level below the end of the range
    right, layer.read.levels = layer.read.levels, wrong
    with pytest.raises(InternalError, match=rf"row {row}, column {column} .*hold -254, and .*scale is -1729"):
        verify_cells(program.graph, program.hardware, {layer.name: weight})
    layer.read.levels, said = right, layer.read.clipping
    assert said is not None
    for other in (None, replace(said, largest_error=said.largest_error * 0.9)):
        layer.read.clipping = other
        with pytest.raises(InternalError, match="the weight over its scale is"):
            verify_cells(program.graph, program.hardware, {layer.name: weight})


@pytest.mark.parametrize(
    ("overrides", "what", "fix"),
    [
        (["weights.percentile=0"], "weights.percentile cannot be 0", "give a number above 0 and up to 100"),
        (["weights.percentile=100.1"], "weights.percentile cannot be 100.1", "give a number above 0 and up to 100"),
        (["weights.percentile=nan"], "weights.percentile cannot be nan", "give a number above 0 and up to 100"),
        (["weights.range=median"], 'weights.range cannot be "median"', 'give "max", "percentile" or "mse"'),
        (["weights.expected_error=-0.1"], "weights.expected_error cannot be -0.1", "give a number from 0 to 1"),
        (
            ["weights.expected_error=0.05"],
            'weights.expected_error = 0.05 has no effect with weights.range = "max"',
            'remove weights.expected_error, or set weights.range = "mse"',
        ),
    ],
)
def test_rules_that_cannot_be(overrides: list[str], what: str, fix: str) -> None:
    with pytest.raises(HardwareError) as caught:
        load_hardware("generic-pcm", overrides)
    assert (caught.value.what, caught.value.fix) == (what, fix)
    assert caught.value.where == f"override {overrides[0]}"
