"""Noise of reads: that of columns against cells each drawn anew, and that of converters against its definition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest
from chips import G_MAX, HOUR, Comparisons, cells_of, product

import xbarc
from xbarc.devices.device import ReadNoise
from xbarc.ir.layer import Layer

READS = 20_000
ROWS, COLUMNS = 10, 5
TILE_ROWS, BLOCK_COLUMNS = 7, 3  # so that there are two row blocks, and two column blocks where there is a reference
ADC_NOISE = 2.5

OFFSET = ("weights.encoding=offset", f"tile.columns={BLOCK_COLUMNS + 1}")
DIGITAL = ("weights.subtraction=digital",)
VARIANTS = {
    "differential": (),
    "adjacent": ("tile.polarity=adjacent-columns",),
    "digital": (*DIGITAL, "cell.g_min=2 uS"),
    "paired": (*DIGITAL, "tile.polarity=paired-tiles"),
    "offset": (*OFFSET, "cell.g_min=2 uS"),
    "offset, digital": (*OFFSET, *DIGITAL),
    "slices": ("cell.levels=4", "weights.slices=2"),
    "offset slices, digital": (*OFFSET, *DIGITAL, "cell.levels=4", "weights.slices=2", "cell.g_min=2 uS"),
}


@dataclass(frozen=True)
class Setup:
    """A chip, one input for it, and what its cells hold; levels and variances ``(S, P, row blocks, rows, columns)``."""

    program: xbarc.Program
    chip: xbarc.Chip
    layer: Layer
    codes: np.ndarray
    variance: np.ndarray

    @property
    def digital(self) -> bool:
        return self.program.hardware.weights.subtraction == "digital"

    @property
    def offset(self) -> bool:
        return self.program.hardware.weights.encoding == "offset"

    def sums(self, *, repeat: int = 0) -> np.ndarray:
        """What the chip adds up in many reads of its input, in steps of the ADC: ``(reads, columns)``."""
        x = np.tile((self.codes * self.layer.dac.scale).astype(np.float32), (READS, 1))
        return np.rint(self.chip.run(x, repeat=repeat)["y"] / self.layer.rescale.scale.astype(np.float64))

    def row_blocks(self) -> list[np.ndarray]:
        """The input codes of each."""
        return [self.codes[:TILE_ROWS], self.codes[TILE_ROWS:]]

    def pedestal(self) -> float:
        """Units of current for each input code, of the conductance that level 0 has."""
        cell = self.program.hardware.cell
        return cell.g_min / ((cell.g_max - cell.g_min) / (cell.levels - 1))

    def sides(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is subtracted from one another, of an array ``(..., P, columns)``: a pair, or columns and references."""
        if not self.offset:
            return columns[..., 0, :], columns[..., 1, :]
        # Three columns with their reference, then two with theirs.
        return columns[..., 0, [0, 1, 2, 4, 5]], columns[..., 0, [3, 3, 3, 6, 6]]


def setup(name: str, *overrides: str, read_noise: ReadNoise = "per-read", seed: int = 1) -> Setup:
    """A PCM chip after an hour, cut into small tiles."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(ROWS, COLUMNS))
    small = [f"tile.rows={TILE_ROWS}", "cell.levels=16", "dac.bits=4", "dac.range=max"]
    program = product(weight, [*small, *VARIANTS[name], *overrides], calibration=rng.normal(size=(64, ROWS)))
    chip = program.write("pcm", seed=seed).with_read_noise(read_noise).at("1h")
    ((layer,), _) = cells_of(program, chip)
    cells = chip.written.cells["y"]
    step = (G_MAX - program.hardware.cell.g_min) / (program.hardware.cell.levels - 1)
    # The published noise, written down anew: 1/f from 1 / t to the inverse of two read pulses of 250 ns.
    span = math.log((HOUR + 20 + 250e-9) / 500e-9)
    if read_noise == "split":
        span = math.log(1e-3 / 500e-9)  # what is faster than an inference
    quality = np.minimum(0.0088 / np.maximum(cells.programmed / G_MAX, 1e-5) ** 0.65, 0.2)
    drifted = cells.programmed * (1 + HOUR / 20) ** -cells.nu
    variance = (quality * drifted / step).astype(np.float64) ** 2 * span
    assert layer.read.levels.shape[2:4] == (2, TILE_ROWS)
    return Setup(program, chip, layer, rng.integers(-7, 8, ROWS), variance)


def brute_force(case: Setup, rng: np.random.Generator) -> np.ndarray:
    """As :meth:`Setup.sums`, from the definitions: every cell is drawn anew for every read."""
    layer, lsb = case.layer, case.layer.adc.range.lsb
    noise = case.program.hardware.adc.noise_lsb

    def convert(currents: np.ndarray) -> np.ndarray:
        noisy = currents / lsb + noise * rng.normal(size=currents.shape)
        return np.clip(np.rint(noisy), layer.adc.codes.low, layer.adc.codes.high)

    total = np.zeros((READS, COLUMNS))
    for slice_, weight in enumerate(layer.accumulate.slice_weights):
        for block, codes in enumerate(case.row_blocks()):
            place = (slice_, slice(None), block, slice(len(codes)))
            levels, spread = layer.read.levels[place], np.sqrt(case.variance[place])
            drawn = levels + spread * rng.normal(size=(READS, *levels.shape))
            currents = np.einsum("r,nprc->npc", codes, drawn) + case.pedestal() * codes.sum()
            if case.digital:
                positive, negative = case.sides(convert(currents))
                total += weight * (positive - negative)
            else:
                positive, negative = case.sides(currents)
                total += weight * convert(positive - negative)
    return total


def covariance(case: Setup) -> np.ndarray:
    """Of the sums of a read, in steps of the ADC: sum of squared codes times variances; references are shared."""
    layer, lsb = case.layer, case.layer.adc.range.lsb
    conversion = case.program.hardware.adc.noise_lsb**2 + 1 / 12
    total = np.zeros((COLUMNS, COLUMNS))
    for slice_, weight in enumerate(layer.accumulate.slice_weights):
        for block, codes in enumerate(case.row_blocks()):
            currents = np.einsum("r,prc->pc", codes**2, case.variance[slice_, :, block, : len(codes)]) / lsb**2
            positive, negative = case.sides(currents + conversion * case.digital)
            shared = np.equal.outer([0, 0, 0, 1, 1], [0, 0, 0, 1, 1]) if case.offset else np.eye(COLUMNS)
            total += weight**2 * (np.diag(positive + conversion * (not case.digital)) + shared * negative)
    return total


def ks_distance(left: np.ndarray, right: np.ndarray) -> float:
    """Kolmogorov's and Smirnov's: the largest difference of two empirical distribution functions."""
    values = np.concatenate([left, right])
    shares = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (left, right)]
    return float(np.abs(shares[0] - shares[1]).max())


FINE_ADC = ("adc.bits=24", "adc.range=unit", f"adc.noise_lsb={ADC_NOISE}")
COARSE_ADC = ("adc.bits=5", "adc.range=percentile", "adc.percentile=95", "adc.noise_lsb=0.3")


@pytest.mark.parametrize("read_noise", ["per-read", "split"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_noise_of_columns_has_the_variance_of_their_cells(variant: str, read_noise: ReadNoise) -> None:
    """Means, variances and covariances of 20,000 reads: 20 comparisons with a joint confidence of 99 %. Columns that
    share a reference column share its noise; no others have anything in common."""
    case = setup(variant, *FINE_ADC, read_noise=read_noise)
    assert case.chip.noisy
    drawn, expected = case.sums(), covariance(case)
    found = np.cov(drawn.T)
    levels, mean = case.layer.read.levels.astype(np.float64), np.zeros(COLUMNS)
    for slice_, weight in enumerate(case.layer.accumulate.slice_weights):
        for block, codes in enumerate(case.row_blocks()):
            sides = case.sides(np.einsum("r,prc->pc", codes, levels[slice_, :, block, : len(codes)]))
            mean += weight * (sides[0] - sides[1]) / case.layer.adc.range.lsb
    compared = Comparisons()
    for column in range(COLUMNS):
        error = math.sqrt(expected[column, column] / READS)
        compared.add((column, "mean"), drawn[:, column].mean(), mean[column], error)
        for other in range(column + 1):
            product_of_variances = expected[column, column] * expected[other, other]
            error = math.sqrt((product_of_variances + expected[column, other] ** 2) / READS)
            compared.add((column, other), found[column, other], expected[column, other], error)
    compared.check(20)


@pytest.mark.parametrize("adc", [FINE_ADC, COARSE_ADC], ids=["fine", "coarse"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_noise_of_columns_is_distributed_as_that_of_their_cells(variant: str, adc: tuple[str, ...]) -> None:
    """Two samples of 20,000 reads: of each column, of sums over all and of differences of neighbours. Ten tests by
    Kolmogorov and Smirnov with a joint confidence of 99 %; more on codes that are few, where they are conservative."""
    case = setup(variant, *adc)
    ours, theirs = case.sums(), brute_force(case, np.random.default_rng(99))
    views = np.concatenate([np.eye(COLUMNS), np.ones((1, COLUMNS)), np.eye(4, COLUMNS) - np.eye(4, COLUMNS, 1)])
    critical = math.sqrt(-math.log(0.01 / len(views) / 2) / READS)
    for view in views:
        assert ks_distance(ours @ view, theirs @ view) < critical
    centred = ours[:, 0] - ours[:, 0].mean()
    assert ks_distance(centred, 1.2 * centred) > critical


@pytest.mark.parametrize("dac_bits", [4, 8, 14])
def test_no_noise_is_lost_in_a_large_block(dac_bits: int) -> None:
    """However many rows and input codes: the variance of each column over that of its cells is 1, over 5,000 reads, and
    the mean over all columns: 33 comparisons with a joint confidence of 99 %."""
    rng, reads = np.random.default_rng(6), 5_000
    overrides = [f"dac.bits={dac_bits}", "dac.range=max", "adc.bits=24", "adc.range=unit"]
    program = product(rng.normal(size=(256, 32)), overrides, calibration=rng.normal(size=(64, 256)))
    chip = program.write("pcm", seed=2).with_read_noise("per-read")
    ((layer,), _) = cells_of(program, chip)
    cells = chip.written.cells["y"].programmed[0, :, 0].astype(np.float64)
    variance = (np.minimum(0.0088 / np.maximum(cells / G_MAX, 1e-5) ** 0.65, 0.2) * cells * 255 / G_MAX) ** 2
    largest = 2 ** (dac_bits - 1) - 1
    codes = rng.integers(-largest, largest + 1, 256)
    x = np.tile((codes * layer.dac.scale).astype(np.float32), (reads, 1))
    drawn = chip.run(x)["y"] / layer.rescale.unit_scale
    expected = codes.astype(float) ** 2 @ variance.sum(axis=0) * math.log(20 / 500e-9) + layer.adc.range.lsb**2 / 12
    ratios, compared = drawn.var(axis=0, ddof=1) / expected, Comparisons()
    for column, ratio in enumerate(ratios):
        compared.add(column, ratio, 1, math.sqrt(2 / reads))
    compared.add("mean", ratios.mean(), 1, math.sqrt(2 / reads / 32))
    compared.check(33)


def test_reads_have_nothing_in_common() -> None:
    """Repeats, samples and columns: correlations of 20,000 pairs within 4 of their standard errors, 99.9 % for all."""
    case = setup("differential", *FINE_ADC)
    first, again, other = case.sums(), case.sums(), case.sums(repeat=1)
    assert np.array_equal(first, again)
    for left, right in ((first, other), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])):
        for one, two in zip(left.T, right.T, strict=True):
            assert abs(np.corrcoef(one, two)[0, 1]) < 4 / math.sqrt(len(one))


@pytest.mark.parametrize("noise_lsb", [0.25, 0.5, 3.0])
def test_adc_noise_has_its_standard_deviation_in_codes(noise_lsb: float) -> None:
    """On cells that are quiet: how often each code comes up, of 20,000 reads, is what a normal number of this deviation
    added before the rounding gives. Joint confidence of 99 % for each deviation."""
    rng = np.random.default_rng(3)
    overrides = ["adc.range=fixed", "adc.fixed_lsb=37.3", "adc.bits=12", "dac.range=max", f"adc.noise_lsb={noise_lsb}"]
    program = product(rng.normal(size=(20, 4)), overrides, calibration=rng.normal(size=(32, 20)))
    chip = program.write("generic", seed=4)
    assert chip.noisy
    ((layer,), _) = cells_of(program, chip)
    codes = rng.integers(-127, 128, 20)
    x = np.tile((codes * layer.dac.scale).astype(np.float32), (READS, 1))
    found = np.rint(chip.run(x)["y"] / layer.rescale.scale)
    levels = layer.read.levels[0, :, 0, :20].astype(np.float64)
    compared, normal = Comparisons(), NormalDist()
    for column, current in enumerate(codes @ (levels[0] - levels[1]) / 37.3):
        for code in range(math.floor(current) - 12, math.ceil(current) + 13):
            low, high = ((code + side - current) / noise_lsb for side in (-0.5, 0.5))
            share = normal.cdf(high) - normal.cdf(low)
            if READS * share > 50:
                seen = np.count_nonzero(found[:, column] == code) / READS
                compared.add((column, code), seen, share, math.sqrt(share * (1 - share) / READS))
    assert len(compared.deviations) >= 8
    compared.check(len(compared.deviations))


def test_an_ideal_chip_has_no_converter_noise_and_a_quiet_one_draws_nothing() -> None:
    weight = np.random.default_rng(5).normal(size=(6, 3))
    assert not product(weight, ["adc.noise_lsb=1"]).write().noisy
    assert not product(weight).write("generic:programming_independent=0.1").noisy
    assert not product(weight).write("pcm").with_read_noise("frozen").noisy
    assert product(weight).write("pcm").noisy
    assert product(weight, ["adc.noise_lsb=1"]).write("generic").noisy
