"""The five published trends, each measured on networks that it is handed; who published what is in docs/trends.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from trend_gates import gated_snr_db
from trend_networks import ROWS, Network, normal_product
from trend_points import Curve, Point, Trend, apart, enough_from, falls_at, point, told

import xbarc
from xbarc.ir.layer import layers
from xbarc.units import parse_duration

#: Points of accuracy, over 100, that count as none lost, and as lost.
NONE_LOST, LOST, MUCH_LOST = 0.01, 0.05, 0.20
TILE = f"tile.rows={ROWS}"
ENCODINGS = {
    "differential": (),
    "offset": ("weights.encoding=offset-digital", "weights.subtraction=digital"),
}
#: Bits of an ADC that the publication calls enough for differential cells, and rows up to which for an offset.
ENOUGH_BITS, OFFSET_ROWS = 8, 144


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        chips: of each condition that has any.
        images: that each chip sees, the first of a test set; ADCs without chips see all that there are.
        bits: of ADCs.
        rows: that one conversion sums at most, ending with all of a tile.
        errors: of cells, as shares.
        times: after time 0.
        noises: as shares of the largest.
        wires: resistance of a segment times the conductance of the best cell.
    """

    chips: int = 10
    images: int = 300
    bits: tuple[int, ...] = (4, 5, 6, 7, 8, 9, 10, 11, 12)
    rows: tuple[int, ...] = (72, OFFSET_ROWS, 288, 576, ROWS)
    errors: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    times: tuple[str, ...] = ("1s", "1h", "1d", "30d", "1y")
    noises: tuple[float, ...] = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    wires: tuple[float, ...] = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


def adc_bits(networks: Sequence[Network], sizes: Sizes) -> Trend:
    """Accuracy over the bits of ADCs, by encoding, by the rows that a conversion sums, and by the range policy."""
    curves, fills = [], {}
    for network in networks:
        for encoding, cells in ENCODINGS.items():
            for rows in sizes.rows:
                if rows == ROWS or rows < network.rows:
                    overrides = (*cells, TILE, f"tile.active_rows={rows}")
                    curves.append(_bits_curve(network, f"{encoding}, {rows} rows", sizes.bits, overrides))
            whole = (*cells, TILE, "adc.range=full-scale")
            curves.append(_bits_curve(network, f"{encoding}, {ROWS} rows, full range", sizes.bits, whole))
            fills[f"{network.name}, {encoding}"] = _fill(network, cells)
    truth = {network.name: network.float_accuracy() for network in networks}
    needed = {(curve.network, curve.series): enough_from(curve, truth[curve.network] - NONE_LOST) for curve in curves}
    differential = [needed[name, f"differential, {ROWS} rows"] for name in truth]
    offset = [needed[name, f"offset, {ROWS} rows"] for name in truth]
    tall = f"{ROWS} rows"
    words = "; ".join(
        f"{name} {told(a, sizes.bits)} and {told(b, sizes.bits)}"
        for name, a, b in zip(truth, differential, offset, strict=True)
    )
    return Trend(
        key="adc-bits",
        title="Accuracy over bits of the ADC",
        axis="bits of the ADC",
        ticks=tuple(str(bits) for bits in sizes.bits),
        curves=tuple(curves),
        drawn=(
            *(f"differential, {tall}{policy}" for policy in ("", ", full range")),
            f"offset, {OFFSET_ROWS} rows",
            *(f"offset, {tall}{policy}" for policy in ("", ", full range")),
        ),
        float=truth,
        reproduced=all(a <= ENOUGH_BITS and a < b for a, b in zip(differential, offset, strict=True)),
        verdict=f"bits that lose at most a point, differential and offset, all rows at once: {words}",
        facts={
            "bits_needed": {f"{name}, {series}": _finite(bits) for (name, series), bits in needed.items()},
            "calibrated_over_full_range": fills,
        },
    )


def cell_errors(networks: Sequence[Network], sizes: Sizes) -> Trend:
    """Accuracy over the relative error of cells: proportional to the state or independent of it, by encoding."""
    networks = [network.first(sizes.images) for network in networks]
    curves = []
    for network in networks:
        for encoding, cells in ENCODINGS.items():
            program = network.compiled(*cells, "adc.bits=unlimited")
            for kind in ("proportional", "independent"):
                points = [
                    point(network, program.series(f"generic:programming_{kind}={m}", seeds=range(sizes.chips)))
                    for m in sizes.errors
                ]
                curves.append(Curve(network.name, f"{encoding}, {kind}", sizes.errors, tuple(points)))
    truth = {network.name: network.float_accuracy() for network in networks}
    borne = {(curve.network, curve.series): falls_at(curve, truth[curve.network] - LOST) for curve in curves}
    words, held = [], []
    for name in truth:
        pair, offset, pair_any, offset_any = (
            borne[name, f"{encoding}, {kind}"] for kind in ("proportional", "independent") for encoding in ENCODINGS
        )
        held.append(pair > max(offset, pair_any))
        words.append(
            f"{name} {told(pair, sizes.errors)} and {told(offset, sizes.errors)}, "
            f"independent {told(pair_any, sizes.errors)} and {told(offset_any, sizes.errors)}"
        )
    return Trend(
        key="cell-errors",
        title="Accuracy over relative error of cells",
        axis="standard deviation, of the cell or of g_max",
        ticks=tuple(f"{m:g}" for m in sizes.errors),
        curves=tuple(curves),
        float=truth,
        reproduced=all(held),
        verdict=f"error that loses {100 * LOST:g} points, proportional, differential and offset: {'; '.join(words)}",
        facts={"error_borne": {f"{name}, {series}": _finite(m) for (name, series), m in borne.items()}},
    )


def drift(networks: Sequence[Network], sizes: Sizes) -> Trend:
    """Accuracy of phase-change memory over time, with and without global drift compensation."""
    networks = [network.first(sizes.images) for network in networks]
    curves = []
    seconds = tuple(parse_duration(time) for time in sizes.times)
    for network in networks:
        program = network.compiled()
        for series, compensated in (("as it is", False), ("compensated", True)):
            points = [
                point(network, program.series("pcm", seeds=range(sizes.chips), times=[s], compensated=[compensated]))
                for s in seconds
            ]
            curves.append(Curve(network.name, series, seconds, tuple(points)))
    words, held = [], []
    for network in networks:
        plain, repaired = (
            next(c for c in curves if (c.network, c.series) == (network.name, series))
            for series in ("as it is", "compensated")
        )
        lost, left = (curve.means[0] - curve.means[-1] for curve in (plain, repaired))
        better = apart(repaired.points[-1], plain.points[-1]) and left < lost / 2
        held.append(not apart(plain.points[-1], repaired.points[-1]) if lost <= LOST else better)
        words.append(f"{network.name} {100 * lost:.1f} and {100 * left:.1f}")
    return Trend(
        key="drift",
        title="Accuracy of phase-change memory over time",
        axis="time after t0",
        ticks=sizes.times,
        curves=tuple(curves),
        float={network.name: network.float_accuracy() for network in networks},
        reproduced=all(held),
        verdict=f"points lost from {sizes.times[0]} to {sizes.times[-1]}, as it is and compensated: {'; '.join(words)}",
    )


NOISES = ("inputs", "outputs", "weights, every read", "weights, written once")


def noise_places(networks: Sequence[Network], sizes: Sizes) -> Trend:
    """Accuracy over noise of equal relative size: on inputs, on outputs, on weights at every read or once for all.

    A size is a standard deviation over the largest input, output or weight. Both cells of a pair have noise, so each
    has less by the root of two. Errors of weights that are written once are clipped where a cell would be below 0.
    """
    networks = [network.first(sizes.images) for network in networks]
    curves = [
        Curve(
            network.name,
            where,
            sizes.noises,
            tuple(point(network, noisy_chips(network, where, m, sizes.chips)) for m in sizes.noises),
        )
        for network in networks
        for where in NOISES
    ]
    truth = {network.name: network.float_accuracy() for network in networks}
    borne = {(curve.network, curve.series): falls_at(curve, truth[curve.network] - LOST) for curve in curves}
    products = {where: product_error(where, sizes.chips) for where in NOISES}
    words, held = [], []
    for name in truth:
        inputs, outputs, weights, written = (borne[name, where] for where in NOISES)
        held.append(max(inputs, outputs) < weights)
        words.append(f"{name} {', '.join(told(m, sizes.noises) for m in (inputs, outputs, weights, written))}")
    return Trend(
        key="noise-places",
        title="Accuracy over noise of equal relative size",
        axis="standard deviation, of the largest",
        ticks=tuple(f"{m:g}" for m in sizes.noises),
        curves=tuple(curves),
        float=truth,
        reproduced=all(held),
        verdict=f"noise that loses {100 * LOST:g} points, on {'; '.join(NOISES)}: {'; '.join(words)} "
        f"(weights bear most in {sum(held)} of {len(held)} networks)",
        facts={
            "noise_borne": {f"{name}, {where}": _finite(m) for (name, where), m in borne.items()},
            "error_of_normal_product_over_noise": products,
        },
    )


def noisy_chips(network: Network, where: str, share: float, count: int) -> Iterator[xbarc.Chip]:
    """Chips with noise at one place; of noise on inputs one chip, whose every run draws anew."""
    fine = "dac.bits=unlimited"  # no step of a DAC is to hide noise on inputs, or be changed by it
    if where == "inputs":
        chip = network.with_noisy_inputs(share).compiled(fine).write()
        for _ in range(count):
            yield chip
    elif where == "outputs":
        plain = network.compiled(fine)
        codes = 2 ** (int(plain.hardware.adc.bits) - 1) - 1
        yield from network.compiled(fine, f"adc.noise_lsb={share * codes}").series("generic", seeds=range(count))
    else:
        kind = "read" if where == "weights, every read" else "programming"
        device = f"generic:{kind}_independent={share / math.sqrt(2)}"
        yield from network.compiled(fine).series(device, seeds=range(count))


def product_error(where: str, chips: int, share: float = 0.02) -> float:
    """Error of a product of normal numbers, over the product and the share of noise; with nothing but that noise."""
    network = normal_product()
    exact = network.compiled("dac.bits=unlimited").write().run({"x": network.images})
    wanted = next(iter(exact.values())).astype(np.float64)
    found = [next(iter(chip.run({"x": network.images}).values())) for chip in noisy_chips(network, where, share, chips)]
    errors = statistics.fmean(float(np.square(output - wanted).mean()) for output in found)
    return math.sqrt(errors / float(np.square(wanted).mean())) / share


def wires(networks: Sequence[Network], sizes: Sizes) -> Trend:
    """Accuracy over the resistance of wires, on tiles of 256 and of 1152 rows, and with one scale a layer."""
    networks = [network.first(sizes.images) for network in networks]
    kinds = {
        "256 rows": ("tile.rows=256",),
        f"{ROWS} rows": (TILE,),
        f"{ROWS} rows, one scale a layer": (TILE, "weights.scale=layer"),
    }
    curves = [
        Curve(network.name, series, sizes.wires, tuple(_wired(network, wire, kind) for wire in sizes.wires))
        for network in networks
        for series, kind in kinds.items()
    ]
    truth = {network.name: network.float_accuracy() for network in networks}
    words, held = [], []
    small, large = sizes.wires.index(1e-4), sizes.wires.index(1e-3)
    falls = {(curve.network, curve.series): falls_at(curve, truth[curve.network] - MUCH_LOST) for curve in curves}
    for name in truth:
        plain = next(c for c in curves if (c.network, c.series) == (name, "256 rows"))
        lost = [truth[name] - plain.means[place] for place in (small, large)]
        held.append(lost[0] <= LOST and lost[1] >= MUCH_LOST)
        at = ", ".join(told(falls[name, series], sizes.wires) for series in kinds)
        words.append(f"{name} {100 * lost[0]:.1f} and {100 * lost[1]:.1f} points; {100 * MUCH_LOST:g} points at {at}")
    return Trend(
        key="wires",
        title="Accuracy over resistance of wires",
        axis="R x G",
        ticks=tuple(f"{wire:.0e}".replace("e-0", "e-") for wire in sizes.wires),
        curves=tuple(curves),
        float=truth,
        reproduced=all(held),
        verdict=f"lost at 1e-4 and 1e-3 in tiles of 256 rows, and where much is lost in {', '.join(kinds)}: "
        f"{'; '.join(words)} ({sum(held)} of {len(held)} networks have their knee between)",
        facts={
            "much_lost_at": {f"{name}, {series}": _finite(wire) for (name, series), wire in falls.items()},
            "widest_product_db_plain_and_gated": {
                network.name: [gated_snr_db(network, wire) for wire in sizes.wires] for network in networks
            },
        },
    )


def _wired(network: Network, wire: float, kind: tuple[str, ...]) -> Point:
    """Two chips with hardly an error: the ideal device has no wires."""
    ohm = wire / 25e-6
    program = network.compiled(*kind, f"tile.row_wire={ohm:g} Ohm", f"tile.column_wire={ohm:g} Ohm")
    return point(network, program.series("generic:programming_independent=0.0001", seeds=range(2)))


def _bits_curve(network: Network, series: str, bits: tuple[int, ...], overrides: tuple[str, ...]) -> Curve:
    points = [point(network, [network.compiled(*overrides, f"adc.bits={each}").write()]) for each in bits]
    return Curve(network.name, series, tuple(float(each) for each in bits), tuple(points))


def _fill(network: Network, cells: tuple[str, ...]) -> float:
    """The calibrated range over the full one, in the middle of the layers."""
    ranges = [
        [layer.adc.range.lsb for layer in layers(network.compiled(*cells, TILE, "adc.bits=12", policy).graph)]
        for policy in ("adc.range=percentile", "adc.range=full-scale")
    ]
    return statistics.median(calibrated / full for calibrated, full in zip(*ranges, strict=True))


def _finite(number: float) -> float | None:
    return None if math.isinf(number) else number
