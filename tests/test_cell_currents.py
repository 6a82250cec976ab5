"""Cells that are no resistors: the law of each, and what written chips of them compute, against sums over cells."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from chips import bits, cells_of, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import open_session
from scipy.optimize import brentq, root

import xbarc
from xbarc.api.writing import conductances, wiring
from xbarc.devices.catalogue import find_device
from xbarc.devices.parameters import ParametricDevice
from xbarc.devices.reram_milo import ReramMiloDevice
from xbarc.errors import InternalError, UsageError
from xbarc.ir.layer import Layer, layers
from xbarc.ir.verify import verify
from xbarc.runtime.circuit.wiring import Wiring
from xbarc.runtime.nonlinear import nonlinear_currents

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 40)).astype(np.float32)
WEIGHT = RNG.normal(size=(40, 22))
G_MAX, V_READ = 225e-6, 0.3
MILO = ("cell.g_max=225 uS", "cell.g_min=60 uS", "tile.rows=16", "tile.columns=12", f"tile.read_voltage={V_READ} V")
QUIET, LINEAR = "reram-milo:programming_scale=0", "reram-milo:programming_scale=0,linear=1"
DIGITAL, FINE = "weights.subtraction=digital", "adc.bits=unlimited"
VARIANTS = {
    "differential": (),
    "digital": (DIGITAL,),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "offset": ("weights.encoding=offset",),
    "offset, digital": ("weights.encoding=offset", DIGITAL),
    "offset-digital": ("weights.encoding=offset-digital", DIGITAL),
    "slices": ("cell.levels=16", "weights.slices=2"),
    "digits": ("input.mode=bit-serial", "input.digit_bits=3"),
    "phases": ("input.mode=bit-serial", "input.digit_bits=2", "input.sign=phases"),
    "curved DAC": ("dac.inl=[0, 0.4, 0]",),
}


def published(slope: float, volts: Any) -> Any:
    """Amperes: G V + N2 V^2 + N3 V^3, digits as published, highest power of log10 G first."""
    exponent = math.log10(slope)
    second = np.polyval([1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], exponent)
    third = np.polyval([8.871e-5, 6.7919e-4, 1.2968e-3], exponent)
    return slope * volts + second * volts**2 + third * volts**3


def milo(shown: float, volts: Any, v_read: float = V_READ) -> Any:
    """The same of a cell by what it shows at the read voltage; beyond the range in proportion to the nearest."""
    lowest, highest = (published(slope, v_read) / v_read for slope in (50e-6, 225e-6))
    within = min(max(shown, lowest), highest)
    slope = brentq(lambda slope: published(slope, v_read) / v_read - within, 49.9e-6, 225.1e-6)
    return published(slope, volts) * (shown / within)


def compiled(*overrides: str, weight: np.ndarray = WEIGHT) -> xbarc.Program:
    return product(weight, (*MILO, *overrides), calibration=X[:, : len(weight)])


# The device


@settings(max_examples=60)
@given(slope=st.floats(50e-6, 225e-6), v_read=st.floats(0.01, 0.5), share=st.floats(-1, 1))
def test_a_cell_follows_the_published_law(slope: float, v_read: float, share: float) -> None:
    shown, volts = published(slope, v_read) / v_read, share * v_read
    for scale in (1.0, 0.1):  # figures go with the range
        terms = ReramMiloDevice().nonlinear_current(
            np.array([scale * shown]), np.array([volts]), v_read=v_read, g_max=scale * G_MAX
        )
        current = scale * shown * volts + sum(float(siemens[0] * level[0]) for siemens, level in terms)
        assert current == pytest.approx(scale * published(slope, volts), rel=1e-6, abs=1e-15)


def test_it_is_what_it_shows_at_the_read_voltage_and_bends_in_proportion_beyond_its_range() -> None:
    device, volts = ReramMiloDevice(), np.linspace(-0.5, 0.5, 11)

    def beyond(siemens: float) -> np.ndarray:
        terms = device.nonlinear_current(np.array(siemens), volts, v_read=0.5, g_max=G_MAX)
        return np.asarray(sum(cell * level for cell, level in terms)) / (siemens or 1.0)

    assert np.array_equal(beyond(100e-6)[[5, -1]], [0, 0])
    assert np.abs(beyond(100e-6)).max() > 0.03, "no resistor"
    assert beyond(0.0).tolist() == [0.0] * 11
    lowest = published(50e-6, 0.5) / 0.5
    np.testing.assert_allclose(beyond(1e-6), beyond(lowest), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(beyond(300e-6), beyond(published(225e-6, 0.5) / 0.5), rtol=1e-6, atol=1e-12)
    assert find_device("reram-milo:linear=1").nonlinear_current(volts, volts, v_read=0.5, g_max=G_MAX) == ()
    assert find_device("pcm").nonlinear_current(volts, volts, v_read=0.5, g_max=G_MAX) == ()


# Chips of it


@dataclass(frozen=True)
class Twin:
    """What a chip's layer gives, cell by cell."""

    layer: Layer
    program: xbarc.Program
    law: Callable[[float, np.ndarray], np.ndarray]

    def outputs(self, codes: np.ndarray) -> np.ndarray:
        layer, cell = self.layer, self.program.hardware.cell
        step, partition, digits = cell.g_step, layer.read.partition, layer.read.digits
        assert step is not None
        assert layer.applied is not None
        driven = codes[None] if digits is None else digits.split(codes)
        largest = max(layer.applied.high, -layer.applied.low)
        total = np.zeros((len(codes), partition.columns))
        every = np.arange(layer.applied.low, layer.applied.high + 1)
        volts = V_READ * self.applied(every, largest) / largest
        for place, slice_ in np.ndindex(partition.stacked, layer.read.levels.shape[0]):
            held = partition.rows_of(0, place)
            levels = layer.read.levels[slice_, :, place, : len(held)].astype(np.float64)
            # Amperes of each cell at each code, in steps of conductance and of code.
            found = np.stack([self.law(cell.g_min + level * step, volts) for level in levels.ravel()])
            units = found.reshape(*levels.shape, -1) / (step * V_READ / largest)
            for digit, weight in zip(driven, layer.digit_weights, strict=True):
                index = digit[:, held.start : held.stop] - layer.applied.low
                currents = units[:, np.arange(len(held)), :, index].sum(axis=1)  # (windows, polarities, columns)
                both = currents[:, 0] - currents[:, 1] if len(levels) == 2 else currents[:, 0]
                total += weight * layer.accumulate.slice_weights[slice_] * both
        return total * layer.rescale.unit_scale

    def applied(self, codes: np.ndarray, largest: int) -> np.ndarray:
        given = self.program.hardware.dac.inl
        if given is None:
            return codes
        return codes + np.sign(codes) * np.interp(np.abs(codes) / largest, [0, 0.5, 1], given)


def codes_of(layer: Layer, x: np.ndarray) -> np.ndarray:
    assert layer.dac.codes is not None
    return np.clip(np.rint(x / np.float32(layer.dac.scale)), layer.dac.codes.low, layer.dac.codes.high).astype(int)


@pytest.mark.parametrize("variant", ["differential", "digital", "adjacent", "slices", "digits", "phases", "curved DAC"])
@pytest.mark.parametrize("signed", [True, False])
def test_a_chip_adds_up_the_currents_of_its_cells(variant: str, signed: bool) -> None:
    """Each cell solved for its slope, each voltage by the published law; a converter that rounds nothing."""
    x = X[:8, :20] if signed else np.abs(X[:8, :20])
    program = product(WEIGHT[:20, :5], (*MILO, FINE, *VARIANTS[variant]), calibration=x)
    chip = program.write("reram-milo:programming_scale=0.3", seed=3)
    ((layer,), _) = cells_of(program, chip)
    expected = Twin(layer, program, milo).outputs(codes_of(layer, x))
    found = chip.run(x)["y"]
    reach = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * reach)
    straight = program.write("reram-milo:programming_scale=0.3,linear=1", seed=3).run(x)["y"]
    assert np.abs(straight - expected).max() > 100e-4 * reach


@pytest.mark.parametrize("variant", VARIANTS)
def test_onnxruntime_computes_the_same_bits(variant: str) -> None:
    program = compiled(*VARIANTS[variant])
    chip = program.write("reram-milo:stuck_at_gmin=0.01,dead_rows=0.02", seed=3)
    model, y = chip.model(), chip.run(X)["y"]
    onnx.checker.check_model(model, full_check=True)
    for optimized in (False, True):
        assert open_session(model, optimized=optimized).run(None, {"x": X})[0].tobytes() == y.tobytes()
    again = xbarc.load(model)
    assert again.write().run(X)["y"].tobytes() == y.tobytes()
    assert bits(program.write("reram-milo:stuck_at_gmin=0.01,dead_rows=0.02,linear=1", seed=3).run(X)) != bits({"y": y})


@pytest.mark.parametrize("variant", ["differential", "digits"])
def test_neither_batches_nor_threads_change_a_bit(variant: str) -> None:
    program = compiled(*VARIANTS[variant])
    whole = program.write("reram-milo", seed=3, threads=1).run(X)["y"]
    parts = program.write("reram-milo", seed=3, threads=3)
    assert np.concatenate([parts.run(X[start : start + 7])["y"] for start in range(0, 60, 7)]).tobytes() == (
        whole.tobytes()
    )


def test_digits_of_one_bit_see_one_voltage_and_nothing_bends() -> None:
    """What a cell shows where it is verified is what it is read at, so a read voltage is not even asked for."""
    serial = ("input.mode=bit-serial", "input.digit_bits=1")
    program = compiled(*serial)
    assert bits(program.write(QUIET).run(X)) == bits(program.write(LINEAR).run(X))
    without = product(WEIGHT, [each for each in (*MILO, *serial) if "read_voltage" not in each], calibration=X)
    assert bits(without.write(QUIET).run(X)) == bits(program.write(QUIET).run(X))


def test_less_voltage_bends_less() -> None:
    errors = []
    for volts in (0.4, 0.1, 0.025):
        program = compiled(f"tile.read_voltage={volts} V")
        plain = program.write(LINEAR).run(X)["y"]
        errors.append(np.abs(program.write(QUIET).run(X)["y"] - plain).mean() / np.abs(plain).mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0


# Another law


@dataclass(frozen=True, slots=True, kw_only=True)
class SinhDevice(ParametricDevice):
    """Cells whose current is a hyperbolic sine of the voltage, the same for all but for its size."""

    name: ClassVar[str] = "sinh"
    description: ClassVar[str] = "an example"
    sources: ClassVar[tuple[str, ...]] = ()
    t0_s: ClassVar[float] = 0.0
    t_max_s: ClassVar[float] = 0.0
    g_max_reference: ClassVar[float | None] = None
    v_max: ClassVar[float | None] = 1.0

    def nonlinear_current(self, g: Any, v: Any, *, v_read: float, g_max: float) -> Any:
        return ((g, v_read * np.sinh(v / 0.2) / np.sinh(v_read / 0.2) - v),)


def test_any_law_that_is_a_sum_of_products_will_do() -> None:
    program = product(WEIGHT[:20, :5], (*MILO, FINE), calibration=X[:, :20])
    chip = program.write(SinhDevice(), seed=3)
    ((layer,), _) = cells_of(program, chip)

    def law(siemens: float, volts: np.ndarray) -> np.ndarray:
        return siemens * V_READ * np.sinh(volts / 0.2) / np.sinh(V_READ / 0.2)

    expected = Twin(layer, program, law).outputs(codes_of(layer, X[:, :20]))
    np.testing.assert_allclose(chip.run(X[:, :20])["y"], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    # One curve for all cells is one curve of the DAC.
    codes = np.arange(-127, 128)
    same = 127 * np.sinh(codes / 127 * V_READ / 0.2) / np.sinh(V_READ / 0.2) - codes
    curve = f"dac.inl={np.interp(np.linspace(0, 127, 128), codes, same).tolist()}"
    curved = product(WEIGHT[:20, :5], (*MILO, FINE, curve), calibration=X[:, :20]).write(LINEAR)
    np.testing.assert_allclose(curved.run(X[:, :20])["y"], expected, rtol=0, atol=3e-4 * np.abs(expected).max())


# Behind wires


def solved(cells: np.ndarray, volts: np.ndarray, wires: Wiring) -> np.ndarray:
    """Column currents of a tile of nonlinear cells, one input: Kirchhoff's law at every node, by Newton's method."""
    rows, columns = cells.shape
    slopes = np.array([brentq(lambda s, g=g: published(s, V_READ) / V_READ - g, 49e-6, 240e-6) for g in cells.ravel()])
    exponents = np.log10(slopes).reshape(cells.shape)
    second = np.polyval([1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], exponents)
    third = np.polyval([8.871e-5, 6.7919e-4, 1.2968e-3], exponents)

    def through(across: np.ndarray) -> np.ndarray:
        return slopes.reshape(cells.shape) * across + second * across**2 + third * across**3

    def surplus(nodes: np.ndarray) -> np.ndarray:
        row, column = nodes.reshape(2, rows, columns)
        current = through(row - column)
        along = np.diff(np.column_stack([volts, row]), axis=1) / wires.row_wire_ohm  # towards the driver
        down = np.diff(np.vstack([column, np.zeros(columns)]), axis=0) / wires.column_wire_ohm
        beyond = np.column_stack([along[:, 1:], np.zeros(rows)])
        above = np.vstack([np.zeros(columns), down[:-1]])
        return np.concatenate([(beyond - along - current).ravel(), (down - above + current).ravel()])

    found = root(surplus, np.concatenate([np.repeat(volts, columns), np.zeros(cells.size)]), tol=1e-14)
    assert np.abs(surplus(found.x)).max() < 1e-10
    return np.asarray(found.x.reshape(2, rows, columns)[1, -1] / wires.column_wire_ohm)


@pytest.mark.parametrize("ohm", [2.0, 20.0])
def test_wires_leave_as_much_of_it_as_of_the_rest_to_first_order(ohm: float) -> None:
    """Off by at most the share lost times the nonlinear part: here of currents with a row in twelve at full voltage."""
    wired = (f"tile.row_wire={ohm} Ohm", f"tile.column_wire={ohm} Ohm", "tile.rows=12", "tile.columns=6", FINE)
    layout = ("weights.encoding=offset-digital", DIGITAL)
    program = product(WEIGHT[:12, :6], (*MILO, *wired, *layout), calibration=X[:, :12])
    chip = program.write("reram-milo:programming_scale=0.1", seed=2)
    ((layer,), _) = cells_of(program, chip)
    ((bare,), _) = cells_of(program, chip.with_ir_drop(False))
    assert layer.read.nonlinear is not None
    cell = program.hardware.cell
    assert cell.g_step is not None
    cells = cell.g_min + bare.read.levels[0, 0, 0].astype(np.float64) * cell.g_step
    codes = np.random.default_rng(1).integers(-127, 128, 12)
    exact = solved(cells, V_READ * codes / 127, wiring(program.hardware)) / (cell.g_step * V_READ / 127)
    straight = codes @ (layer.read.levels[0, 0, 0].astype(np.float64) + cell.g_min / cell.g_step)
    terms = zip(layer.read.nonlinear.cells[:, 0, 0, 0], layer.read.nonlinear.curves, strict=True)
    bent = sum(curve[codes + 127] @ term for term, curve in terms)
    lost = 1 - (layer.read.levels[0, 0, 0] + cell.g_min / cell.g_step) / (cells / cell.g_step)
    terms = zip(layer.read.nonlinear.cells[:, 0, 0, 0], layer.read.nonlinear.curves, strict=True)
    size = max(np.abs(curve[codes + 127]) @ np.abs(term).max(axis=1) for term, curve in terms)
    assert np.abs(straight - exact).max() > 5 * np.abs(straight + bent - exact).max()
    assert np.abs(straight + bent - exact).max() < 2 * lost.max() * size


# What cannot be


@pytest.mark.parametrize(
    ("overrides", "says", "fix"),
    [
        ((), "the current of a cell of 'reram-milo' bends with the voltage, and the hardware gives none", "0.5 V"),
        (("tile.read_voltage=0.6 V",), "the current of a cell of 'reram-milo' is not known at 600 mV", "500 mV"),
        (
            ("dac.bits=unlimited", "tile.read_voltage=0.2 V"),
            "and inputs of unlimited resolution have no largest one to be at the read voltage",
            "dac.bits=8",
        ),
    ],
)
def test_voltages_that_are_not_known_are_refused(overrides: Sequence[str], says: str, fix: str) -> None:
    program = product(WEIGHT, [*MILO[:4], *overrides], calibration=X)
    with pytest.raises(UsageError, match=says) as refused:
        program.write("reram-milo")
    assert "or add linear=1 to the device" in str(refused.value.fix)
    assert program.write("reram-milo:linear=1").run(X)["y"].shape == (60, 22)
    assert fix.replace("0.5 V", "500 mV") in str(refused.value.fix)


def test_a_saved_chip_of_voltages_that_are_not_known_is_refused(tmp_path: Path) -> None:
    """As cells were saved when all of them were resistors."""
    program, path = product(WEIGHT, MILO[:4], calibration=X), tmp_path / "chip.npz"
    program.write("reram-milo:linear=1").save(path)
    with np.load(path) as saved:
        arrays = dict(saved)
    facts = json.loads(arrays["facts"].tobytes()) | {"device": "reram-milo"}
    np.savez(path, **arrays | {"facts": np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)})
    with pytest.raises(UsageError, match="bends with the voltage, and the hardware gives none"):
        program.load_chip(path)


def test_what_was_not_checked_is_no_user_s_error() -> None:
    program = product(WEIGHT, MILO[:4], calibration=X)
    ((layer,), _) = cells_of(program, program.write(LINEAR))
    span = conductances(program.hardware)
    with pytest.raises(InternalError, match="has no voltages"):
        nonlinear_currents(layer, find_device("reram-milo"), layer.read.levels, v_read=None, span=span)


def test_a_graph_whose_nonlinear_part_does_not_fit_is_no_program() -> None:
    chip = compiled().write(QUIET)
    graph = chip._cells[0].copy()
    (layer,) = layers(graph)
    whole = layer.read.nonlinear
    assert whole is not None
    layer.read.nonlinear = dataclasses.replace(whole, curves=whole.curves[:, 1:])
    with pytest.raises(InternalError, match="nonlinear currents for all of its cells and codes"):
        verify(graph)
