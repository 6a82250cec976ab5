"""The converters of a program's layers as tables: their ranges, and what single reads would need and clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from xbarc.ir.conversions import ReadConversions
from xbarc.ir.operators import InputRange
from xbarc.report.page import Column, Row, Table, numbers
from xbarc.report.utilisation import LayerUsage
from xbarc.report.words import exact, number, percent

_AXES: Final = ("slice", "side", "block", "digit")


def converter_tables(layers: Sequence[LayerUsage]) -> Iterator[Table]:
    """One for ranges and, where resolution is limited, one for reads."""
    yield _converters(layers)
    reads = tuple((layer.name, *_reads(layer.current_range.reads)) for layer in layers if layer.current_range.reads)
    if reads:
        columns = (
            Column("layer"),
            *numbers("reads", "lossless\nreads", "bits for\nlossless"),
            Column("most\nat"),
            *numbers("clipping\nreads", "worst\nshare"),
            Column("worst\nat"),
        )
        yield Table(
            "Reads of a window",
            columns,
            reads,
            notes=(
                "bits for lossless: of each read by itself, from its cells and the digits that it can be given",
                "clipping reads: those of which conversions of the sample met the end of the range; worst share: of "
                "the conversions of one read",
                "a side is one of two polarities that are converted apart; blocks count over diagonals of groups and, "
                "in each, over row blocks; digits from the most significant one on",
            ),
        )


def _reads(reads: ReadConversions) -> Row:
    lossless = np.array(reads.lossless)
    needed, most_at = "-", ""
    if reads.bits is not None:
        bits = np.array(reads.bits).reshape(reads.shape)
        low, high = int(bits.min()), int(bits.max())
        needed = str(high) if low == high else f"{low} .. {high}"
        most_at = "" if low == high else _where(bits)
    shares = reads.clipped_shares()
    clipping = int(np.count_nonzero(shares))
    worst = ("0", "", "") if not clipping else (exact(clipping), percent(float(shares.max())), _where(shares))
    return (exact(lossless.size), exact(int(lossless.sum())), needed, most_at, *worst)


def _where(figures: np.ndarray) -> str:
    """The first read with the largest figure; axes of one entry go without saying."""
    place = np.unravel_index(int(figures.argmax()), figures.shape)
    return ", ".join(
        f"{axis} {index}" for axis, index, size in zip(_AXES, place, figures.shape, strict=True) if size > 1
    )


def _converters(layers: Sequence[LayerUsage]) -> Table:
    """Each layer's basis is a letter that is explained below."""
    letters = _lettered(layer.input_range.basis for layer in layers)
    columns = (
        Column("layer"),
        *numbers("DAC\nrange"),
        Column("by"),
        *numbers("DAC\nclipped", "ADC\nlsb", "ADC\nused", "ADC\nclipped"),
        Column("loss-\nless"),
        *numbers("bits\nfor it"),
    )
    rows = tuple(
        (
            layer.name,
            _range(layer.input_range),
            letters[layer.input_range.basis],
            percent(layer.input_range.clipped),
            number(layer.current_range.lsb),
            "-" if layer.current_range.used is None else percent(layer.current_range.used),
            "-" if layer.current_range.clipped is None else percent(layer.current_range.clipped),
            "yes" if layer.current_range.lossless else "no",
            "-" if layer.current_range.lossless_bits is None else str(layer.current_range.lossless_bits),
        )
        for layer in layers
    )
    adc = " or ".join(dict.fromkeys(layer.current_range.basis for layer in layers))
    return Table(
        "Converters",
        columns,
        rows,
        notes=(
            *(f"{letter}: {basis}" for basis, letter in letters.items()),
            f"ADC range: {adc}",
            "ADC lsb: the current of one code, in conductance steps times input codes",
            "ADC used: the sample's largest current over the end of the range",
            "lossless: every current that the cells can give is a whole number of codes within the range",
            "bits for it: the fewest with which some range is lossless",
        ),
    )


def _range(found: InputRange) -> str:
    return f"{number(-found.limit) if found.signed else 0} .. {number(found.limit)}"


def _lettered(texts: Iterable[str]) -> dict[str, str]:
    return {text: chr(ord("a") + index) for index, text in enumerate(dict.fromkeys(texts))}
