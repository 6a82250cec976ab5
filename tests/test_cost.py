"""What an inference costs: hand-computed, by presets, and where figures or sizes are missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from costs import COMPONENTS, REFERENCE
from networks import network, node
from test_control_flow import repeated
from test_shared_weights import unrolled

import xbarc
from xbarc.hardware.schema import Hardware
from xbarc.report.cost import CostReport
from xbarc.report.cost_page import cost_tables
from xbarc.report.rendering import plain_text

#: Tiles of 4 x 4 pairs, one a core, two cores side by side.
SMALL: dict[str, Any] = {
    "name": "small",
    "cell": {"g_min": "0 S", "g_max": "10 uS", "levels": 11},
    "tile": {"rows": 4, "columns": 4, "read_time": "100 ns"},
    "dac": {"bits": 4, "range": "max"},
    "adc": {"bits": 8},
    "chip": {"mesh_rows": 1, "mesh_columns": 2},
    "components": COMPONENTS,
    "digital_reference": REFERENCE,
}
PICO = 1e-12


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def two_layers() -> onnx.ModelProto:
    nodes = [node("MatMul", ["x", "a"], "first"), node("Relu", ["first"], "r"), node("MatMul", ["r", "b"], "y")]
    return network(nodes, {"x": ("N", 4)}, {"a": numbers(4, 3, seed=1), "b": numbers(3, 2, seed=2)})


def cost_of(model: onnx.ModelProto, hardware: Hardware | str | dict[str, Any], **options: Any) -> CostReport:
    described = Hardware.from_dict(hardware) if isinstance(hardware, dict) else hardware
    return xbarc.compile(model, hardware=described, **options).report().cost


def changed(**tables: Any) -> dict[str, Any]:
    """Small hardware with some keys of its tables changed."""
    return SMALL | {name: SMALL.get(name, {}) | table for name, table in tables.items()}


def printed(cost: CostReport) -> str:
    return plain_text(list(cost_tables(cost)))


# By hand


def test_two_layers_by_hand() -> None:
    """Layers of 4 x 3 and 3 x 2, one window, one tile and one core each, codes of 4 bits, sums of 8."""
    scaled = {name: part | {"scales_with": "nothing"} for name, part in COMPONENTS.items()}
    cost = cost_of(two_layers(), SMALL | {"components": scaled}, calibration=numbers(9, 4))
    counts = {
        "dac": ("dac-conversion", 4 + 3, 1 * PICO),
        "adc": ("adc-conversion", 3 + 2, 2 * PICO),
        "array": ("tile-read", 2 * (1 + 1), 3 * PICO),  # two parts a tile
        "adder": ("shift-add", 0, 5 * PICO),  # each output is one code
        "buffer": ("buffer-bit", (4 + 3) * 4 + (3 + 2) * 4, 7 * PICO),
        "bus": ("bus-bit", (4 + 3) * 4 + (3 + 2) * 8, 11 * PICO),
        "router": ("network-bit", 3 * 4 + 2 * 4, 13 * PICO),  # to the other core, and back to where results leave
        "unit": ("digital-operation", 3 + 2 + 3, 17 * PICO),  # two scales, and Relu
    }
    lines = {line.part: line for line in cost.lines if line.use != "always"}
    assert {name: (line.use, line.count, line.figure) for name, line in lines.items()} == {
        name: (use, count, pytest.approx(figure)) for name, (use, count, figure) in counts.items()
    }
    always = {line.part: (line.count, line.figure, line.factor) for line in cost.lines if line.use == "always"}
    assert always == {
        "adder": (2, pytest.approx(1e-6), pytest.approx(100e-9)),
        "clock": (1, pytest.approx(2e-6), pytest.approx(100e-9)),  # half a part a tile
        "link": (1, pytest.approx(1e-3), pytest.approx(100e-9)),
    }
    first = 4 * 1 + 3 * 2 + 2 * 3 + 28 * 7 + 40 * 11 + 3 * 17
    second = 3 * 1 + 2 * 2 + 2 * 3 + 20 * 7 + 28 * 11 + 20 * 13 + 2 * 17
    assert [layer.energy for layer in cost.layers] == pytest.approx([first * PICO, second * PICO])
    assert cost.digital.energy == pytest.approx(3 * 17 * PICO)
    assert cost.always_on == pytest.approx((0.2 + 0.2 * 0.5 * 2 + 100) * PICO)
    total = (first + second + 51 + 100.4) * PICO
    assert cost.energy == pytest.approx(total)
    assert (cost.macs, cost.interval_s) == (18, pytest.approx(100e-9))
    assert cost.throughput == pytest.approx(36 / 100e-9)
    assert cost.efficiency == pytest.approx(36 / total)
    assert cost.power == pytest.approx(total / 100e-9)
    assert [layer.throughput for layer in cost.layers] == pytest.approx([24 / 100e-9, 12 / 100e-9])
    assert cost.layers[1].efficiency == pytest.approx(12 / (second * PICO))
    area = cost.area
    assert (area.tiles, area.cores) == (2, 2)
    areas = (area.tile_area, area.core_area, area.chip_area)
    assert areas == pytest.approx((2 * 100e-12, 2 * (100e-12 + 0.01e-6), 2 * (100e-12 + 0.01e-6) + 1e-6))
    assert cost.baseline is not None
    assert (cost.baseline.energy, cost.baseline.ratio) == pytest.approx((18 * PICO, 18 * PICO / total))
    assert cost.missing == ("no component says what it takes: cells",)


def test_the_page_has_every_count_and_figure() -> None:
    text = printed(cost_of(two_layers(), changed(tile={"read_voltage": "0.1 V"}), calibration=numbers(9, 4)))
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
    assert ["adc", "adc-conversion", "5", "2 pJ", "1", "10 pJ"] in [row[:6] for row in rows]
    assert ["link", "parts, on", "1", "1 mW", "100 ns", "100 pJ"] in [row[:6] for row in rows]
    assert ["bus", "bus-bit", "68", "11 pJ", "1", "748 pJ"] in [row[:6] for row in rows]
    assert ["first", "1", "4", "3"] in [row[:4] for row in rows]
    assert "18 MACs of 1 pJ, a processor" in text
    assert "not in the energy" not in text
    assert "inputs are taken as voltages in proportion to their codes or digits, on for a whole read" in text
    assert "UNCALIBRATED" not in text
    assert "UNCALIBRATED: the inputs that this depends on are random" in printed(cost_of(two_layers(), SMALL))


def test_the_energy_of_cells_counts_once() -> None:
    """Where the figures of a part hold it, the read voltage says only what the cells see."""
    volts = {"tile": {**SMALL["tile"], "read_voltage": "0.1 V", "read_time": "100 ns"}}
    part = {"level": "tile", "source": "x", "use": "tile-read", "energy": "1 pJ"}
    for includes, uses in (((), {"tile-read", "cells"}), (("cells",), {"tile-read"})):
        made = {**SMALL, **volts, "components": {"array": {**part, "includes": list(includes)}}}
        assert {line.use for line in cost_of(two_layers(), made, calibration=numbers(9, 4)).lines} == uses


@pytest.mark.parametrize(
    ("scaling", "factor"), [("nothing", 1), ("level", 10 / 28), ("level-squared", 54 / 196), ("nonzero", 3 / 4)]
)
def test_energy_of_a_converter_follows_the_sample(scaling: str, factor: float) -> None:
    """Codes 0, 1, 2 and 7 of three bits."""
    dac = {"dac": COMPONENTS["dac"] | {"scales_with": scaling}}
    model = network([node("MatMul", ["x", "a"], "y")], {"x": ("N", 4)}, {"a": numbers(4, 3)})
    x = np.array([[0, 1, 2, 7]], dtype=np.float32)
    cost = cost_of(model, changed(dac={"bits": 3}) | {"components": dac}, calibration=x)
    (line,) = cost.lines
    assert (line.count, line.factor) == (4, pytest.approx(factor))
    assert line.energy == pytest.approx(4 * PICO * factor)
    assert cost.layers[0].inputs is not None
    assert cost.layers[0].inputs.histogram == (1, 1, 1, 0, 0, 0, 0, 1)


def test_layers_of_one_matrix_and_in_loops_count_each_time() -> None:
    cost = cost_of(unrolled(), "isaac", calibration=numbers(8, 6))
    reads = [layer.counts.tile_reads for layer in cost.layers]
    assert reads == [16 * 8] * 4  # digits, slices
    assert cost.area.tiles == 2 * 8
    once, often = (cost_of(repeated(times), "isaac", calibration=numbers(8, 4)) for times in (1, 5))
    for use in ("tile_reads", "dac_conversions", "adc_conversions", "bus_bits", "digital_operations"):
        (one,), (five,) = ([getattr(layer.counts, use) for layer in cost.layers] for cost in (once, often))
        assert five == 5 * one > 0


def test_a_program_that_is_saved_costs_the_same(tmp_path: Path) -> None:
    program = xbarc.compile(two_layers(), hardware=Hardware.from_dict(SMALL), calibration=numbers(9, 4))
    loaded = xbarc.load(program.save(tmp_path / "p.onnx"))
    assert loaded.report().cost == program.report().cost


# Presets


def test_isaac_at_its_peak_takes_the_power_of_its_parts() -> None:
    """One core full of weights that reads all the time.

    The arrays come out exactly. Energies of converters are rounded in the library that they come from, and 129 columns
    are converted where the paper has 128: ADCs, DACs and adders come out within 9 %.
    """
    model = network([node("MatMul", ["x", "a"], "y")], {"x": ("N", 128)}, {"a": numbers(128, 1536)})
    program = xbarc.compile(model, hardware="isaac", calibration=np.abs(numbers(4, 128)))
    cost, parts = program.report().cost, program.hardware.components.by_name
    assert (cost.area.tiles, cost.area.cores) == (96, 1)
    product = 16 * 100e-9
    assert cost.layers[0].throughput == pytest.approx(41.29e12 / 168, rel=1e-3)
    energies = {line.part: line.energy for line in cost.lines if line.use != "always"}
    expected = (("array", 96, 1e-9), ("adc", 96, 0.09), ("dac", 96, 0.09), ("shift-and-add", 1, 0.09))
    for name, owners, tolerance in expected:
        part, energy = parts[name], energies[name]
        assert part.power is not None
        assert energy is not None
        assert energy / product == pytest.approx(owners * part.count * part.power, rel=tolerance)


def test_a_preset_of_a_whole_chip_has_its_published_efficiency() -> None:
    """Full tiles of hermes: 9.76 TOPS/W, whatever the number of tiles."""
    cost = cost_of(network([node("MatMul", ["x", "a"], "y")], {"x": ("N", 512)}, {"a": numbers(512, 256)}), "hermes")
    assert cost.efficiency == pytest.approx(9.76e12, rel=1e-3)
    assert cost.missing == ()


# What is not known


def test_without_components_uses_are_counted_and_nothing_has_an_energy() -> None:
    cost = cost_of(two_layers(), "exact")
    assert [layer.counts.tile_reads for layer in cost.layers] == [1, 1]
    assert [layer.counts.buffer_bits for layer in cost.layers] == [7 * 32, 5 * 32]  # float32 codes
    assert (cost.energy, cost.lines, cost.efficiency, cost.baseline) == (None, (), None, None)
    assert cost.missing == (
        "no component says what it takes: dac-conversion, adc-conversion, tile-read, buffer-bit, bus-bit, network-bit, "
        "digital-operation, cells",
    )
    assert "energy  unknown" in printed(cost)


def test_a_use_within_other_figures_is_not_missed() -> None:
    whole = {"tile": COMPONENTS["array"] | {"includes": ["dac-conversion", "adc-conversion", "cells", "buffer-bit"]}}
    cost = cost_of(two_layers(), SMALL | {"components": whole})
    assert cost.missing == ("no component says what it takes: bus-bit, network-bit, digital-operation",)


@pytest.mark.parametrize(
    ("hardware", "sentence"),
    [
        (
            SMALL | {"components": COMPONENTS | {"adc": {"level": "tile", "use": "adc-conversion", "area": "1 um2"}}},
            "adc: no energy of a use is given",
        ),
        ({**SMALL, "tile": {"rows": 4, "columns": 4, "read_voltage": "0.1 V"}}, "cells: no time of a read is given"),
        (
            {**SMALL, "tile": {"rows": 4, "columns": 4}},
            "link, always on: the time between inferences is not known",
        ),
        (
            {name: table for name, table in SMALL.items() if name != "chip"},
            "router: its bits are not known, as there is no mesh, or sizes of values are not known",
        ),
        (
            changed(dac={"bits": "unlimited"}),
            "dac: nothing was measured of the inputs of first, y",
        ),
    ],
)
def test_what_is_not_in_the_energy_is_said(hardware: dict[str, Any], sentence: str) -> None:
    source = {"source": "drawn"}
    components = {name: source | part for name, part in hardware["components"].items()}
    cost = cost_of(two_layers(), hardware | {"components": components})
    assert sentence in cost.missing
    part, _, _ = sentence.partition(":")
    assert part.removesuffix(", always on") in [line.part for line in cost.lines if line.energy is None]


def test_sizes_that_are_not_known_are_said() -> None:
    nodes = [node("Conv", ["x", "k"], "c"), node("GlobalAveragePool", ["c"], "g"), node("TopK", ["g", "one"], "y", "i")]
    constants = {"k": numbers(3, 2, 3, 3), "one": np.array([1])}
    model = network(nodes, {"x": ("N", 2, "H", "W")}, constants, output_ranks={"y": 4})
    cost = cost_of(model, SMALL | {"tile": {"rows": 18, "columns": 4}}, calibration=numbers(2, 2, 5, 5))
    assert cost.layers[0].counts.tile_reads is None
    assert "layers of which windows are not known: c" in cost.missing
    kinds = "GlobalAveragePool of unknown size, TopK"
    assert f"digital operators whose operations are not counted: {kinds}" in cost.missing
    assert (cost.layers[0].energy, cost.macs) == (None, None)


@pytest.mark.parametrize(
    ("kind", "attributes", "operations"),
    [
        ("Relu", {}, 2 * 6 * 6),
        ("Sigmoid", {}, 2 * 6 * 6),
        ("Softmax", {"axis": 1}, 5 * 2 * 6 * 6),
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [1, 2]}, 3 * 2 * 2 * 4 * 3),
        ("AveragePool", {"kernel_shape": [2, 2]}, 2 * 2 * 2 * 5 * 5),
        ("GlobalAveragePool", {}, 2 * 6 * 6),
        ("ReduceMean", {"axes": [2], "keepdims": 0}, 2 * 6 * 6),
        ("LRN", {"size": 3}, (2 * 3 + 4) * 2 * 6 * 6),
        ("Transpose", {"perm": [0, 2, 3, 1]}, 0),
        ("Flatten", {}, 0),
        ("ArgMax", {"axis": 1}, 2 * 6 * 6),
    ],
)
def test_digital_operators_by_hand(kind: str, attributes: dict[str, Any], operations: int) -> None:
    """Of two channels of 6 x 6, whatever the batch."""
    for batch in ("N", 3):
        types = {"y": np.int64} if kind == "ArgMax" else {}
        model = network([node(kind, ["x"], "y", **attributes)], {"x": (batch, 2, 6, 6)}, output_types=types, opset=17)
        assert cost_of(model, SMALL).digital.counts.digital_operations == operations


def test_digital_products_and_sums_of_several_by_hand() -> None:
    nodes = [
        node("MatMul", ["x", "x"], "square"),
        node("Sum", ["square", "x", "x"], "sum"),
        node("Add", ["sum", "one"], "y"),
    ]
    model = network(nodes, {"x": ("N", 5, 5)}, {"one": np.ones(1, dtype=np.float32)})
    assert cost_of(model, SMALL).digital.counts.digital_operations == 2 * 5 * 5 * 5 + 2 * 5 * 5 + 5 * 5


@pytest.mark.parametrize(
    ("encoding", "operations"),
    [
        ("differential", 2 * 3),
        ("offset-digital", 2 * 3 + 4 + 2 * 3),
    ],  # the sum of inputs, and for each output a product
)
def test_digital_ends_of_layers_by_hand(encoding: str, operations: int) -> None:
    """Scale and bias of three outputs, and what is taken off for offsets."""
    constants = {"a": numbers(4, 3), "b": numbers(3)}
    model = network([node("Gemm", ["x", "a", "b"], "y")], {"x": ("N", 4)}, constants)
    subtraction = "analog" if encoding == "differential" else "digital"
    cost = cost_of(model, changed(weights={"encoding": encoding, "subtraction": subtraction}))
    assert [layer.counts.digital_operations for layer in cost.layers] == [operations]
