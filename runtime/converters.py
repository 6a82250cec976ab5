"""Errors of converters: of the ADCs, drawn for each converter of each tile; of the DACs, a curve that all have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from xbarc.hardware.tables import Adc, Dac
from xbarc.ir.converter_errors import AdcErrors, AppliedLevels
from xbarc.ir.layer import Layer
from xbarc.random import Key, fill_normals
from xbarc.runtime.tile_parts import LineOrder, TilePart, tile_parts

#: Steps of a converter's own curve.
_STEPS: Final = 32
#: Half waves of it: smooth, and without gain and offset, which are errors of their own.
_WAVES: Final = 4
#: A finer step of an applied level does not show. Over an input code.
_FINEST_LEVEL_BITS: Final = 8
#: Of float64's 53: one for the sign of a sum, 20 for a cell's levels on their finest grid, two to spare.
_BITS_FOR_CODES: Final = 30


def adc_errors(layer: Layer, adc: Adc, *, seed: int, orders: Sequence[LineOrder] | None = None) -> AdcErrors | None:
    """The errors of the converters behind a layer's columns; ``None`` where they have none.

    Columns of a tile that take turns at one converter (``adc.columns_per_adc``) share its errors; where that is not
    given, each has its own. What is subtracted in the currents is converted behind the first polarity, or behind the
    column of the weights. Polarities at one site that are converted apart have converters of their own. Where the two
    lie in each other's place and are subtracted in the currents, a converter meets the opposite of each current.

    Gain and offset are normal. A converter's own nonlinearity is ``sum_k a_k xi_k sin(pi k u)``, ``k = 1 .. 4``, ``u``
    from 0 at the lowest code to 1 at the highest, ``a_k`` in proportion to ``1 / k`` such that its mean square over all
    codes and converters is that of ``adc.inl_sigma``; the ``xi_k`` are standard-normal.

    Not modelled: how these errors come about in a ramp or a capacitor array; missing codes; drift of converters.

    Args:
        layer: of a placed program.
        adc: what the hardware says of the converters.
        seed: of the chip.
        orders: in which the layer's lines lie (:func:`xbarc.runtime.tile_parts.tile_parts`).
    """
    if layer.adc.codes is None or not adc.has_errors:
        return None
    slices, polarities, stacked, _, columns = layer.read.levels.shape
    shape = (slices, polarities if layer.single_ended else 1, stacked)
    gain, offset = np.ones((*shape, columns), np.float32), np.zeros((*shape, columns), np.float32)
    common = _common_curve(adc)
    inl = None if common is None else np.tile(common[:, None], (*shape, 1, columns))
    waves = _waves(0 if common is None else len(common)) * adc.inl_sigma
    for part in tile_parts(layer, orders):
        # What lies where the first polarity would is behind the converter of a difference.
        if layer.single_ended:
            polarity, opposed = part.polarity, False
        elif part.polarity == int(part.swapped):
            polarity, opposed = 0, part.swapped
        else:
            continue
        at, across = (part.slice, polarity, part.block), part.columns
        if adc.gain_sigma:
            gain[at][across] = 1 + adc.gain_sigma * _deviates(Key.stream(seed, "adc gain"), part, adc)
        if adc.offset_sigma:
            offset[at][across] = (
                (-1 if opposed else 1) * adc.offset_sigma * _deviates(Key.stream(seed, "adc offset"), part, adc)
            )
        if adc.inl_sigma and inl is not None:
            key = Key.stream(seed, "adc inl")
            for plane, wave in enumerate(waves):
                inl[at][:, across] += wave[:, None] * _deviates(key, part, adc, plane=plane)
        if inl is not None and opposed:
            inl[at][:, across] = -inl[at][::-1, across]
    if layer.read.partition.reference_column and not layer.single_ended:
        data = layer.read.partition.data_columns
        gain, offset, inl = gain[..., data], offset[..., data], None if inl is None else inl[..., data]
    return AdcErrors(gain, offset, inl)


def applied_levels(layer: Layer, dac: Dac) -> AppliedLevels | None:
    """What the DACs of a layer apply for each code or digit; ``None`` where that is the code itself."""
    codes = layer.applied
    if codes is None or dac.inl is None or not dac.has_errors:
        return None
    largest = max(codes.high, -codes.low)
    spare = _BITS_FOR_CODES - math.ceil(math.log2(layer.read.partition.block_rows * largest))
    grid = 2.0 ** -max(min(_FINEST_LEVEL_BITS, spare), 0)
    every = np.arange(codes.low, codes.high + 1, dtype=np.float64)
    steps = np.linspace(0, largest, len(dac.inl))
    deviation = np.sign(every) * np.interp(np.abs(every), steps, dac.inl)
    return AppliedLevels(np.rint((every + deviation) / grid) * grid, codes.low, grid)


def _common_curve(adc: Adc) -> np.ndarray | None:
    """What all converters deviate by, ``(K,)``, on steps fine enough for a converter's own; ``None``: no curve."""
    if not (adc.inl_sigma or adc.inl):
        return None
    given = np.array(adc.inl or (0.0, 0.0))
    steps = len(given) - 1
    if adc.inl_sigma:
        steps *= math.ceil(_STEPS / steps)
    places = np.linspace(0, len(given) - 1, steps + 1)
    curve: np.ndarray = np.interp(places, np.arange(len(given)), given).astype(np.float32)
    return curve


def _waves(count: int) -> np.ndarray:
    """``a_k sin(pi k u)`` for a root mean square of 1, ``(waves, count)`` float32."""
    numbers = np.arange(1, _WAVES + 1)
    sizes = (1 / numbers) * math.sqrt(2 / np.sum(1 / numbers**2))
    waves: np.ndarray = sizes[:, None] * np.sin(np.pi * numbers[:, None] * np.linspace(0, 1, count))
    return waves.astype(np.float32)


def _deviates(key: Key, part: TilePart, adc: Adc, *, plane: int = 0) -> np.ndarray:
    """A standard-normal number for the converter of each column, ``(columns,)``."""
    converters = part.sites.columns // (adc.columns_per_adc or 1)
    first = int(converters.min())
    drawn = np.empty((1, int(converters.max()) - first + 1), dtype=np.float32)
    fill_normals(drawn, key, np.array([[part.sites.tile, part.sites.plane]], dtype=np.uint32), plane, first)
    deviates: np.ndarray = drawn[0, converters - first]
    return deviates
