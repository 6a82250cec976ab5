"""The verdict that an ADC loses nothing, against every input that there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ENCODINGS, Draw, network, node

import xbarc
from xbarc.hardware.schema import Hardware
from xbarc.ir.conversions import ReadConversions
from xbarc.ir.layer import Layer, layers
from xbarc.passes.magnitudes import Magnitudes
from xbarc.report.utilisation_page import utilisation_page


def only(program: xbarc.Program) -> Layer:
    (layer,) = layers(program.graph)
    return layer


POLICIES = ("unit", "full-scale", "mse", "fixed", "percentile")


@st.composite
def tiny_hardware(draw: Draw, policies: Sequence[str]) -> dict[str, object]:
    """Of few input codes, so that all inputs can be tried; pedestals of nothing, of whole units and of half of one."""
    encoding = draw(st.sampled_from(ENCODINGS))
    slices = draw(st.integers(2 if encoding == "twos-complement" else 1, 2))
    both = encoding in ("differential", "constant-sum", "offset")
    policy = draw(st.sampled_from(policies))
    given = {"fixed": {"fixed_lsb": draw(st.sampled_from([0.5, 1.0, 2.0, 3.0]))}, "percentile": {"percentile": 50}}
    return {
        "name": "tiny",
        "cell": {"g_min": draw(st.sampled_from(["0 S", "8 uS", "4 uS"])), "g_max": "24 uS", "levels": 3},
        "tile": {"rows": draw(st.integers(1, 4)), "columns": draw(st.integers(2, 5))},
        "weights": {
            "encoding": encoding,
            "slices": slices,
            "subtraction": draw(st.sampled_from(["analog", "digital"])) if both else "digital",
        },
        "dac": {"bits": draw(st.integers(2, 3))},
        "adc": {"bits": draw(st.sampled_from([2, 3, 4, 5, 8])), "range": policy, **given.get(policy, {})},
        "input": {
            "mode": draw(st.sampled_from(["bit-serial", "parallel"])),
            "digit_bits": draw(st.integers(1, 2)),
            "sign": draw(st.sampled_from(["twos-complement", "phases"])),
        },
    }


@st.composite
def compiled(draw: Draw, policies: Sequence[str] = POLICIES) -> tuple[Layer, dict[str, object], np.ndarray, np.ndarray]:
    """A layer, its hardware, weights ``(K, N)`` per group stacked, and its calibration sample."""
    groups = draw(st.sampled_from([1, 2, 3, 5]))
    rows, columns = draw(st.integers(1, 3 if groups < 3 else 2)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kernel = rng.integers(-3, 4, (groups * columns, rows, 1)).astype(np.float32)
    if draw(st.booleans()):
        kernel *= rng.random(kernel.shape) < 0.3
    sample = rng.standard_normal((5, groups * rows, 1)).astype(np.float32)
    sample = sample if draw(st.booleans()) else np.abs(sample)
    description = draw(tiny_hardware(policies))
    return compile_layer(description, kernel, sample), description, kernel, sample


def compile_layer(description: dict[str, object], kernel: np.ndarray, sample: np.ndarray) -> Layer:
    inner = kernel.shape[1]
    model = network(
        [node("Conv", ["x", "w"], "y", group=sample.shape[1] // inner)], {"x": ["N", *sample.shape[1:]]}, {"w": kernel}
    )
    return only(xbarc.compile(model, hardware=Hardware.from_dict(description), calibration=sample))


@dataclass(frozen=True)
class Read:
    """One read of a window: what an input 1 at each row adds to each column, ``(rows, columns)``, and its inputs."""

    index: tuple[int, int, int, int]
    terms: np.ndarray
    lowest: int
    highest: int

    @property
    def inputs(self) -> np.ndarray:
        return np.array(list(itertools.product(range(self.lowest, self.highest + 1), repeat=len(self.terms))))

    @property
    def currents(self) -> np.ndarray:
        """Of every input, ``(inputs, columns)``."""
        return self.inputs @ self.terms


def reads_of(layer: Layer) -> list[Read]:
    """Over slices, sides, blocks and digits."""
    read, partition, codes = layer.read, layer.read.partition, layer.dac.codes
    assert codes is not None
    ends = [(codes.low, codes.high)] if read.digits is None else [(0, 2**each.width - 1) for each in read.digits.reads]
    found = []
    for number, slice_levels in enumerate(read.levels.astype(np.float64)):
        for place in range(partition.stacked):
            diagonal, row_block = divmod(place, partition.row_blocks)
            cells = slice_levels[:, place, : partition.rows_in(diagonal, row_block)]
            count = partition.columns * partition.groups_in(diagonal)
            data = partition.data_columns[:count]
            if read.subtraction == "digital":
                references = sorted(set(partition.reference_columns[:count]))
                sides = list(cells[..., data + references] + read.pedestal)
            elif partition.reference_column:
                reference = partition.reference_columns[:count]
                sides = [cells[0][:, data] - cells[0][:, reference]]
            else:
                sides = [cells[0][:, data] - cells[1][:, data]]
            for side, terms in enumerate(sides):
                found += [Read((number, side, place, digit), terms, *ends[digit]) for digit in range(len(ends))]
    return found


def comes_out(currents: np.ndarray, low: int, high: int, lsb: float) -> np.ndarray:
    """Which currents the codes of an ADC give back."""
    return np.clip(np.rint(currents / lsb), low, high) * lsb == currents


def ends(bits: int, *, signed: bool) -> tuple[int, int]:
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


Case = tuple[Layer, dict[str, object], np.ndarray, np.ndarray]


@settings(max_examples=120, deadline=None)
@given(compiled())
def test_the_verdict_is_that_of_all_inputs(case: Case) -> None:
    layer, description, kernel, sample = case
    found, codes = layer.adc.range, layer.adc.codes
    assert found is not None
    assert codes is not None
    currents = np.unique(np.concatenate([read.currents.ravel() for read in reads_of(layer)]))
    if not layer.read.pedestal.is_integer():
        assert (found.lossless, found.lossless_bits) == (False, None)
        return
    assert found.lossless == comes_out(currents, codes.low, codes.high, found.lsb).all()
    signed, bits = codes.low < 0, found.lossless_bits
    assert bits is not None
    assert not found.lossless or bits <= description["adc"]["bits"]  # type: ignore[index]
    steps = range(1, int(np.abs(currents).max()) + 2)
    assert any(comes_out(currents, *ends(bits, signed=signed), step).all() for step in steps)
    if bits > 1:  # with one bit less, whatever a code stands for, an input comes out wrong
        assert not any(comes_out(currents, *ends(bits - 1, signed=signed), step).all() for step in steps)
    if bits >= 2:
        step = max(step for step in steps if comes_out(currents, *ends(bits, signed=signed), step).all())
        enough = {**description, "adc": {"bits": bits, "range": "fixed", "fixed_lsb": float(step)}}
        again = compile_layer(enough, kernel, sample).adc.range
        assert again is not None
        assert again.lossless


@settings(max_examples=120, deadline=None)
@given(compiled())
def test_the_verdict_on_a_read_is_that_of_all_its_inputs(case: Case) -> None:
    layer, *_ = case
    codes, found = layer.adc.codes, layer.adc.range
    assert codes is not None
    assert found is not None
    assert found.reads is not None
    each = reads_of(layer)
    assert [read.index for read in each] == sorted(
        np.ndindex(found.reads.shape), key=lambda index: (index[0], index[2])
    )
    assert found.lossless == all(found.reads.lossless)
    for read in each:
        place, currents = np.ravel_multi_index(read.index, found.reads.shape), read.currents
        if not layer.read.pedestal.is_integer():
            assert (found.reads.bits, found.reads.lossless[place]) == (None, False)
            continue
        assert found.reads.lossless[place] == comes_out(currents, codes.low, codes.high, found.lsb).all()
        assert found.reads.bits is not None
        bits, signed = found.reads.bits[place], codes.low < 0
        steps = range(1, int(np.abs(currents).max()) + 2)
        assert any(comes_out(currents, *ends(bits, signed=signed), step).all() for step in steps)
        if bits > 1:
            for step in steps:
                assert wrong_input(read, *ends(bits - 1, signed=signed), step) is not None


def wrong_input(read: Read, low: int, high: int, lsb: float) -> np.ndarray | None:
    """An input at which a column of the read converts to another current than its own; ``None``: there is none.

    Either each row by itself shows that a code is no whole part of what it adds, or the largest current that is
    possible at a column, or the smallest one, is beyond the range.
    """
    rows = len(read.terms)
    single = [np.eye(rows, dtype=int)[row] for row in range(rows)]
    signs = np.sign(read.terms).T
    most = [np.where(sign > 0, read.highest, np.where(sign < 0, read.lowest, 0)) for sign in signs]
    least = [np.where(sign > 0, read.lowest, np.where(sign < 0, read.highest, 0)) for sign in signs]
    for codes in (*single, *most, *least):
        assert codes.shape == (rows,)
        assert read.lowest <= codes.min() <= codes.max() <= read.highest
        if not comes_out(codes @ read.terms, low, high, lsb).all():
            return codes
    return None


@settings(max_examples=120, deadline=None)
@given(compiled(policies=("percentile", "fixed", "mse")))
def test_what_a_read_clips_is_counted_on_the_sample(case: Case) -> None:
    layer, _, _, sample = case
    codes, applied, found, partition = layer.adc.codes, layer.dac.codes, layer.adc.range, layer.read.partition
    assert codes is not None
    assert applied is not None
    assert found is not None
    assert found.reads is not None
    inputs = np.clip(np.rint(sample[..., 0] / np.float32(layer.dac.scale)), applied.low, applied.high).astype(np.int64)
    digits = inputs[None] if layer.read.digits is None else layer.read.digits.split(inputs)
    clipped, whole = 0, layer.read.pedestal.is_integer()
    for read in reads_of(layer):
        diagonal, row_block = divmod(read.index[2], partition.row_blocks)
        first = diagonal * partition.diagonal_rows + row_block * partition.block_rows
        currents = digits[read.index[3]][:, first : first + len(read.terms)] @ read.terms
        beyond = int((np.abs(currents) >= (codes.high + 0.5) * found.lsb).sum())
        place = np.ravel_multi_index(read.index, found.reads.shape)
        assert found.reads.conversions[read.index[2]] == currents.size
        assert found.reads.clipped[place] == beyond or not whole
        assert found.reads.clipped_shares()[read.index] * currents.size == pytest.approx(found.reads.clipped[place])
        clipped += found.reads.clipped[place]
    total = sum(found.reads.conversions) * len(found.reads.clipped) // len(found.reads.conversions)
    assert found.reads.clipped_share() == clipped / total
    assert found.clipped in (None, clipped / total)


def test_many_parts_are_told_apart_in_coarser_bins() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-4000, 4000, (300, 50)).astype(np.float32)
    few, many = Magnitudes("few", parts=100), Magnitudes("many", parts=300)
    for part in rng.permutation(300):  # whatever comes first
        few.add(values[part], int(part) % 100)
        many.add(values[part], int(part))
    for limit in (0.0, 1000.0, 2048.0, 3999.5, 5000.0):
        exact = (np.abs(values) >= max(limit, 1.0)).sum(axis=1)
        assert few.beyond(limit).tolist() == exact.reshape(3, 100).sum(axis=0).tolist()
        # 2048 bins up to 4096, each two units wide.
        coarse = (np.abs(values) >= max(2.0 * np.ceil(limit / 2.0), 1.0)).sum(axis=1)
        assert many.beyond(limit).tolist() == coarse.tolist()
    assert Magnitudes("none", parts=2).beyond(1.0).tolist() == [0, 0]


def test_without_quantised_levels_or_with_unlimited_resolution_no_bits_are_named() -> None:
    kernel, sample = np.ones((2, 3, 1), np.float32), np.ones((4, 3, 1), np.float32)
    base = {"name": "base", "cell": {"g_min": "0 S", "g_max": "24 uS", "levels": 3}, "tile": {"rows": 4, "columns": 4}}
    kinds = [("unlimited", 4, 8), (3, "unlimited", 8), (3, 4, "unlimited"), (3, 4, 8)]
    named = []
    for levels, dac, adc in kinds:
        cell = {"g_min": "0 S", "g_max": "24 uS", "levels": levels}
        layer = compile_layer({**base, "cell": cell, "dac": {"bits": dac}, "adc": {"bits": adc}}, kernel, sample)
        assert layer.adc.range is not None
        named.append(layer.adc.range.lossless_bits)
    # Three cells at level 2, codes up to 15: currents of up to 90, in steps of 2, and a sign.
    assert named == [None, None, None, 7]


def test_digits_are_never_negative_and_currents_may_be() -> None:
    """An input code 3 at two cells of level -2: a current of -12, and none above 0."""
    kernel, sample = np.array([[[-1.0], [-1.0]]], np.float32), np.ones((4, 2, 1), np.float32)
    cell = {"g_min": "0 S", "g_max": "24 uS", "levels": 3}
    base = {"name": "base", "cell": cell, "tile": {"rows": 2, "columns": 1}, "dac": {"bits": 2}}
    verdicts = []
    for bits in (3, 4):  # codes to 3 and to 7, of 2 units each
        adc = {"bits": bits, "range": "fixed", "fixed_lsb": 2.0}
        found = compile_layer({**base, "input": {"mode": "bit-serial", "digit_bits": 2}, "adc": adc}, kernel, sample)
        assert found.adc.range is not None
        assert found.adc.range.reads is not None
        verdicts.append((found.adc.range.lossless, found.adc.range.reads.bits, found.adc.range.clipped))
    assert verdicts == [(False, (4,), 1.0), (True, (4,), 0.0)]


def uneven_program() -> xbarc.Program:
    """Of a layer of two row blocks and digits of 2 bits and 1; the second block holds a single, small weight."""
    kernel = np.array([[[3.0], [3.0], [1.0]], [[0.0], [3.0], [0.0]]], np.float32)
    model = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 3, 1]}, {"w": kernel})
    description = {
        "name": "uneven",
        "cell": {"g_min": "0 S", "g_max": "24 uS", "levels": 4},
        "tile": {"rows": 2, "columns": 2},
        "dac": {"bits": 3},
        "input": {"mode": "bit-serial", "digit_bits": 2},
        "adc": {"bits": 3, "range": "fixed", "fixed_lsb": 3.0},
    }
    sample = np.array([[[1.0], [1.0], [1.0]], [[0.0], [1.0], [1.0]]], np.float32)
    return xbarc.compile(model, hardware=Hardware.from_dict(description), calibration=sample)


def test_a_report_tells_reads_apart() -> None:
    # Block 0: at most 2 x 3 a digit, in steps of 3; block 1: at most 1 a digit. Digits to 1, then to 3.
    reads = ReadConversions(
        shape=(1, 1, 2, 2),
        bits=(3, 4, 2, 3),
        lossless=(True, False, False, False),
        conversions=(4, 4),
        clipped=(0, 1, 0, 0),
    )
    report = uneven_program().report()
    assert report.layers[0].current_range.reads == reads
    assert report.to_json()["layers"][0]["current_range"]["reads"] == {
        "shape": [1, 1, 2, 2],
        "bits": [3, 4, 2, 3],
        "lossless": [True, False, False, False],
        "conversions": [4, 4],
        "clipped": [0, 1, 0, 0],
    }
    table = next(table for table in utilisation_page(report, title="uneven") if table.title == "Reads of a window")
    assert [column.heading.replace("\n", " ") for column in table.columns] == [
        *("layer", "reads", "lossless reads", "bits for lossless", "most at", "clipping reads", "worst share"),
        "worst at",
    ]
    assert table.rows == (("y", "4", "1", "2 .. 4", "block 0, digit 1", "1", "25.0 %", "block 0, digit 1"),)


def test_a_file_holds_the_verdicts_on_reads(tmp_path: Path) -> None:
    program = uneven_program()
    program.save(tmp_path / "uneven.xbar.onnx")
    assert only(xbarc.load(tmp_path / "uneven.xbar.onnx")).adc.range == only(program).adc.range


def test_without_a_range_or_whole_currents_the_report_names_no_bits() -> None:
    kernel, sample = np.ones((2, 3, 1), np.float32), np.ones((4, 3, 1), np.float32)
    model = network([node("Conv", ["x", "w"], "y")], {"x": ["N", 3, 1]}, {"w": kernel})
    base = {"name": "base", "cell": {"g_min": "0 S", "g_max": "24 uS", "levels": "unlimited"}}
    rows = []
    for bits in (8, "unlimited"):
        description = {**base, "tile": {"rows": 2, "columns": 2}, "dac": {"bits": 3}, "adc": {"bits": bits}}
        program = xbarc.compile(model, hardware=Hardware.from_dict(description), calibration=sample)
        page = utilisation_page(program.report(), title="base")
        rows.append([table.rows for table in page if table.title == "Reads of a window"])
    assert rows == [[(("y", "2", "0", "-", "", "0", "", ""),)], []]
