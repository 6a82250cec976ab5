"""What follows from a hardware description: counts, times, sums over components, peak figures.

Every figure bears its formula in the words of the description, and is ``None`` where something that it needs is not
given. Operations count a multiply-accumulate as two.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from xbarc.hardware.components import Level
from xbarc.hardware.quantities import rounded
from xbarc.hardware.schema import Hardware
from xbarc.hardware.tables import Unlimited
from xbarc.ir.digits import Digits

Sum = Literal["power", "area"]


@dataclass(frozen=True)
class Figure:
    """One derived value.

    Attributes:
        key: what it is called.
        value: an SI number, a count, ``"unlimited"``, or ``None``: not known.
        unit: of the number; empty for counts.
        formula: how it comes from the keys.
        published: what was published for it, in the same unit.
    """

    key: str
    value: float | int | str | None
    unit: str
    formula: str
    published: float | None = None

    @property
    def text(self) -> str:
        """The value with its unit, to four digits; counts whole."""
        return _text(self.value, self.unit)

    @property
    def published_text(self) -> str:
        """What was published, likewise; empty where nothing was."""
        return "" if self.published is None else _text(self.published, self.unit)


def cores_on_chip(hardware: Hardware) -> int | Unlimited:
    """Cores of the mesh, or as many as the tiles of the chip fill."""
    tiles = hardware.chip_tiles
    return tiles if tiles == "unlimited" else tiles // hardware.core.tiles


def cells_on_chip(hardware: Hardware) -> int | Unlimited:
    """Programmable conductances; sites of unit cells hold one a polarity."""
    tiles = hardware.chip_tiles
    sites = hardware.weights.polarities if hardware.tile.polarity == "unit-cell" else 1
    return tiles if tiles == "unlimited" else tiles * hardware.tile.rows * hardware.tile.columns * sites


def weights_on_chip(hardware: Hardware) -> int | Unlimited:
    """Weights that fill all tiles, with their slices and polarities."""
    tiles = hardware.chip_tiles
    if tiles == "unlimited":
        return tiles
    sides = hardware.weights.polarities if hardware.tile.polarity == "paired-tiles" else 1
    return tiles // (hardware.weights.slices * sides) * hardware.tile.rows * hardware.weight_columns


def reads_a_product(hardware: Hardware) -> int:
    """Reads of a tile for one product with signed input codes: its digits times its groups of active rows."""
    tile, bits = hardware.tile, hardware.dac.bits
    digits = 1
    if hardware.input.mode == "bit-serial" and bits != "unlimited":
        digits = len(Digits(bits - 1, hardware.input.digit_bits, hardware.input.sign).reads)
    return digits * ceil(tile.rows / (tile.active_rows or tile.rows))


def conversion_time(hardware: Hardware) -> float | None:
    """Seconds in which the converters of a tile convert all columns once."""
    adc = hardware.adc
    return None if adc.columns_per_adc is None or adc.rate is None else adc.columns_per_adc / adc.rate


def read_time(hardware: Hardware) -> float | None:
    """Seconds of one read of a tile: as given, or else those of its conversions."""
    return hardware.tile.read_time or conversion_time(hardware)


def product_time(hardware: Hardware) -> float | None:
    """Seconds between products of one tile."""
    read = read_time(hardware)
    return None if read is None else read * reads_a_product(hardware)


def peak_throughput(hardware: Hardware) -> float | None:
    """Operations in a second with every weight in use all the time."""
    weights, time = weights_on_chip(hardware), product_time(hardware)
    return None if time is None or weights == "unlimited" else 2 * weights / time


def component_sum(hardware: Hardware, level: Level, figure: Sum) -> float | None:
    """Power [W] or area [m2] of a tile, core or chip: its own parts, all in use, and those of what it consists of.

    Parts that do not tell the figure are left out; ``None`` where none tells it, or the chip has no end.
    """
    own = [
        part.count * value
        for part in hardware.components.by_name.values()
        if part.level == level and (value := part.full_power if figure == "power" else part.area) is not None
    ]
    if level == "tile":
        return sum(own) if own else None
    inner = component_sum(hardware, "tile" if level == "core" else "core", figure)
    count = hardware.core.tiles if level == "core" else cores_on_chip(hardware)
    if inner is None:
        return sum(own) if own else None
    return None if count == "unlimited" else sum(own) + count * inner


def derived_figures(hardware: Hardware) -> list[Figure]:
    """All figures, in the order in which they build on each other."""
    published = hardware.published
    peak, power, area = (
        peak_throughput(hardware),
        component_sum(hardware, "chip", "power"),
        component_sum(hardware, "chip", "area"),
    )
    published_peak = published.throughput if published else None
    published_power = published.power if published else None
    published_area = published.area if published else None
    link = hardware.network
    bandwidth = None if link.link_bits is None or link.clock is None else link.link_bits * link.clock
    return [
        Figure("cell.g_step", hardware.cell.g_step, "S", "(cell.g_max - cell.g_min) / (cell.levels - 1)"),
        Figure("weights.polarities", hardware.weights.polarities, "", "cells a weight and slice"),
        Figure(
            "magnitude_levels",
            hardware.magnitude_levels,
            "",
            "cell.levels ^ weights.slices: magnitudes that all slices of one polarity hold together",
        ),
        Figure("weight_columns", hardware.weight_columns, "", "columns of weights that one tile holds"),
        Figure("cores", cores_on_chip(hardware), "", "chip.mesh_rows x chip.mesh_columns, or chip.tiles / core.tiles"),
        Figure("tiles", hardware.chip_tiles, "", "cores x core.tiles"),
        Figure("cells", cells_on_chip(hardware), "", "tiles x tile.rows x tile.columns x cells a site"),
        Figure(
            "weights",
            weights_on_chip(hardware),
            "",
            "tiles / (weights.slices x tiles of a pair) x tile.rows x weight_columns",
        ),
        Figure(
            "reads_a_product",
            reads_a_product(hardware),
            "",
            "digits of a signed input code x groups of tile.active_rows",
        ),
        Figure("conversion_time", conversion_time(hardware), "s", "adc.columns_per_adc / adc.rate"),
        Figure("read_time", read_time(hardware), "s", "tile.read_time, or conversion_time where that is not given"),
        Figure("product_time", product_time(hardware), "s", "reads_a_product x read_time"),
        Figure("link_bandwidth", bandwidth, "bit/s", "network.link_bits x network.clock"),
        *_sums(hardware, "tile", "sum of count x {} over the parts of a tile"),
        *_sums(hardware, "core", "sum of count x {} over the parts of a core, and core.tiles x that of a tile"),
        *_sums(
            hardware,
            "chip",
            "sum of count x {} over the parts of the chip, and cores x that of a core",
            power=published_power,
            area=published_area,
        ),
        Figure("peak", peak, "OPS", "2 x weights / product_time", published_peak),
        Figure(
            "peak_per_watt",
            _ratio(peak, power),
            "OPS/W",
            "peak / chip.power",
            _ratio(published_peak, published_power),
        ),
        Figure(
            "peak_per_area",
            _ratio(peak, area),
            "OPS/m2",
            "peak / chip.area",
            _ratio(published_peak, published_area),
        ),
    ]


def _sums(
    hardware: Hardware, level: Level, formula: str, *, power: float | None = None, area: float | None = None
) -> list[Figure]:
    """Power and area of a level, beside what was published for them."""
    return [
        Figure(f"{level}.power", component_sum(hardware, level, "power"), "W", formula.format("power"), power),
        Figure(f"{level}.area", component_sum(hardware, level, "area"), "m2", formula.format("area"), area),
    ]


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


def _text(value: float | int | str | None, unit: str) -> str:
    if value is None:
        return "not known"
    if isinstance(value, str):
        return value
    if unit == "OPS/m2":
        return f"{rounded(value * 1e-6, 'OPS')}/mm2"
    return rounded(value, unit) if unit else f"{value:,}"
