"""The operators: host operators and matrix products at graph level, the steps of the hardware at tile level.

A compiled layer is the chain ``Dac -> TileRead -> Adc -> Accumulate -> Rescale``. Letters in shapes: ``S`` slices,
``P`` polarities, ``D`` block rows and diagonals (see :class:`xbarc.ir.partition.Partition`), ``R`` rows and ``C``
columns of a block, ``K`` rows and ``N`` columns of the layer's matrix in each of ``G`` groups.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import onnx

from xbarc.ir.cell_currents import NonlinearCurrents
from xbarc.ir.conversions import ReadConversions
from xbarc.ir.converter_errors import AdcErrors, AppliedLevels
from xbarc.ir.digits import Digits
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.input_statistics import InputStatistics
from xbarc.ir.partition import Partition
from xbarc.ir.recombination import Recombination
from xbarc.ir.windows import Windows

#: What the basis of a converter's range says where a sample did not get to it: a branch that it never takes.
NEVER_REACHED: Final = "the sample holds nothing for it"

#: Where ``g+ - g-``, or column minus reference column, is formed: in the currents, or in the codes after the ADC.
Subtraction = Literal["analog", "digital"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an operator goes on tiles, and the reason that people are told."""

    analog: bool
    reason: str


@dataclass(eq=False, kw_only=True)
class HostOp(Operator):
    """An ONNX operator that stays digital.

    Attributes:
        node: operator type, domain and attributes; its input and output names mean nothing, operands and results do.
        captures: names by which the node's subgraphs know outer values: the last operands, in this order.
        decision: set by the pass that chooses what is analog.
    """

    mnemonic: ClassVar[str] = "host"

    node: onnx.NodeProto
    captures: tuple[str, ...] = ()
    decision: Decision | None = None

    @property
    def kind(self) -> str:
        """The operator type, with its domain where that is not ONNX's own."""
        return f"{self.node.domain}.{self.node.op_type}" if self.node.domain else self.node.op_type

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of one of the node's attributes."""
        return _attribute(self.node, name, default)


@dataclass(eq=False, kw_only=True)
class Control(Operator):
    """``If``, ``Loop`` or ``Scan``, with its bodies as graphs, so that products in them can go on tiles.

    A body is closed: what it reads of the outer graph comes in by inputs of its own, after those that ONNX gives it,
    the same for every body of the operator. Constants are constants in the body too.

    Attributes:
        node: operator type and attributes, without the bodies.
        bodies: by the name of the attribute: ``then_branch`` and ``else_branch``, or ``body``.
        captured: how many of the last operands are outer values that the bodies read.
    """

    mnemonic: ClassVar[str] = "control"

    node: onnx.NodeProto
    bodies: dict[str, Graph]
    captured: int = 0

    @property
    def kind(self) -> str:
        """The operator type."""
        return str(self.node.op_type)

    @property
    def explicit(self) -> list[Value | None]:
        """The operands that ONNX lists, without the captured ones."""
        return self.operands[: len(self.operands) - self.captured]

    @property
    def captures(self) -> list[Value | None]:
        """The outer values that bodies read: the last operands."""
        return self.operands[len(self.operands) - self.captured :]

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of one of the node's attributes."""
        return _attribute(self.node, name, default)

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin.bodies = {name: body.copy() for name, body in self.bodies.items()}
        return twin


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


@dataclass(frozen=True, slots=True)
class InputRange:
    """The range that a layer's DAC covers.

    Attributes:
        limit: the largest magnitude that is not clipped, in units of the layer's input.
        signed: whether negative inputs occur.
        basis: how that is known, for people: ``calibration sample``, ``known bounds``, ``random inputs``; with the
            sign's.
        clipped: share of the sample's values beyond ``limit``.
    """

    limit: float
    signed: bool
    basis: str
    clipped: float = 0.0


@dataclass(frozen=True, slots=True)
class WeightClipping:
    """What became of the largest weights of a layer, where its cells do not reach them.

    Attributes:
        rule: how the range of the cells was chosen, for people.
        clipped: number of weights beyond it: their cells hold its end.
        largest_error: how far beyond it the furthest lies, in the weights' units; 0: none is.
        largest_weight: the largest magnitude before clipping, in the same units.
    """

    rule: str
    clipped: int
    largest_error: float
    largest_weight: float


@dataclass(frozen=True, slots=True)
class Encoding:
    """Weights as cell levels: ``weight = scale[n] * sum over slices of slice_weight * signed level``.

    The signed level is ``level+ - level-`` for a differential pair and ``level - reference_level`` for an offset code.

    Attributes:
        levels: ``(S, P, G, K, N)``, unsigned integers, or floats in 0..1 where levels are unlimited.
        scale: ``(G * N,)`` float64, weight units per signed level.
        slice_weights: ``(S,)`` float64, most significant slice first.
        reference_levels: ``(S,)`` levels of the reference column's cells; ``None`` where there is none.
        zero_levels: ``(S,)`` levels that stand for the weight zero; ``None``: level 0 does.
        clipping: of the largest weights; ``None``: they are not clipped.
    """

    levels: np.ndarray
    scale: np.ndarray
    slice_weights: np.ndarray
    reference_levels: np.ndarray | None
    zero_levels: np.ndarray | None = None
    clipping: WeightClipping | None = None


@dataclass(eq=False, kw_only=True)
class MatVec(Operator):
    """A product of windows of the input with a static matrix, ``y = x W + b``, on its way to tiles.

    Attributes:
        source: ONNX operator type that it comes from.
        origin: name of the ONNX node that it comes from: its own name, but where a node has several products.
        matrix: name of the product whose cells hold the weights: its own, unless several share them.
        weight: ``(G, K, N)`` float32 or float64.
        bias: ``(G * N,)`` float32 or float64, or ``None``.
        windows: where windows lie in the input ``(images, G * channels, *spatial)``; a plain product takes the last
            axis.
        reason: why it is on tiles.
        sample_axis: axis of the input along which samples lie; ``None`` where windows mix samples.
        input_range, encoding, partition: set by the passes that calibrate, encode and split.
    """

    mnemonic: ClassVar[str] = "matvec"

    source: str
    origin: str
    matrix: str
    weight: np.ndarray
    bias: np.ndarray | None
    windows: Windows
    reason: str
    sample_axis: int | None = None
    input_range: InputRange | None = None
    encoding: Encoding | None = None
    partition: Partition | None = None

    @property
    def groups(self) -> int:
        """Number of groups; 1 for a dense product."""
        return int(self.weight.shape[0])

    @property
    def columns(self) -> int:
        """Outputs a window."""
        return int(self.weight.shape[0] * self.weight.shape[2])


@dataclass(frozen=True, slots=True)
class CodeRange:
    """Integer codes of a converter, both ends included."""

    low: int
    high: int

    @classmethod
    def of_bits(cls, bits: int, *, signed: bool) -> CodeRange:
        """Signed: symmetric about an exact zero, ``2^b - 1`` codes. Unsigned: all ``2^b`` codes."""
        return cls(-(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1) if signed else cls(0, 2**bits - 1)


@dataclass(eq=False, kw_only=True)
class Dac(Operator):
    """``code = clip(round_half_even(x / scale), low, high)``; with no ``codes`` the input passes unquantised.

    Attributes:
        statistics: of what the calibration sample applies; ``None``: it does not reach the layer, or nothing was
            measured.
        applied: what is applied for each code or digit, on a written chip; ``None``: the code itself.
        quantises: without it, what rounding and clipping take off is applied too, with the digit that counts 1: to see
            what they cost.
    """

    mnemonic: ClassVar[str] = "dac"

    codes: CodeRange | None
    scale: float
    input_range: InputRange
    sample_axis: int | None
    statistics: InputStatistics | None = None
    applied: AppliedLevels | None = None
    quantises: bool = True


@dataclass(eq=False, kw_only=True)
class TileRead(Operator):
    """Column currents of every block, in units of (one conductance step) x (one input code).

    Attributes:
        source: ONNX operator type that the layer comes from.
        reason: why it is on tiles.
        matrix: name of the layer that the cells are called by: its own, unless several share them.
        levels: ``(S, P, D, R, C)``: the cells, short blocks padded with level 0.
        windows: where windows lie in the codes.
        partition: how the layer's matrix is cut.
        subtraction: analog: the currents of the two polarities, or of a column and its reference, are subtracted here.
        digits: how codes are applied one digit after the other; ``None``: whole, at once.
        pedestal: units per input code that ``g_min`` adds to a single-ended read; 0 where it cancels.
        double: whether sums can exceed what float32 holds exactly, so that products are taken in float64.
        grid: what the levels are whole multiples of: 1 in a program, a fraction of it on a written chip; ``None`` where
            targets are not quantised.
        copies: how often the chip holds the cells, so that windows can be read side by side.
        active_rows: that one read of a tile may drive; ``None``: all.
        segment: which of the reload segments holds the layer: the chip is written for one after the other, from 0 on.
        clipping: of the weights that the cells hold; ``None``: the largest is within their range.
        pieces: where the cells lie on the chip, of all copies (:data:`xbarc.ir.pieces.PIECE`); ``None`` before
            placement.
        nonlinear: what the currents of cells have beyond this, on a written chip; ``None``: nothing.
    """

    mnemonic: ClassVar[str] = "tile_read"

    source: str
    reason: str
    matrix: str
    levels: np.ndarray
    windows: Windows
    partition: Partition
    subtraction: Subtraction
    pedestal: float
    double: bool
    digits: Digits | None = None
    grid: float | None = 1.0
    copies: int = 1
    active_rows: int | None = None
    segment: int = 0
    clipping: WeightClipping | None = None
    pieces: np.ndarray | None = None
    nonlinear: NonlinearCurrents | None = None


@dataclass(frozen=True, slots=True)
class CurrentRange:
    """The range of a layer's ADCs and how it was found.

    Attributes:
        lsb: units of current per code.
        basis: policy and sample, for people.
        clipped: share of the sample's conversions that met the end of the range; ``None`` where none was seen.
        used: largest current of the sample over the largest that is not clipped; ``None`` where none was seen.
        lossless: whether every current that the cells can give is a whole number of codes within the range.
        lossless_bits: the fewest bits with which some range is lossless; ``None`` where there are none, or no need.
        reads: the same of each read by itself; ``None`` where resolution is unlimited, and in programs of before.
    """

    lsb: float
    basis: str
    clipped: float | None
    used: float | None
    lossless: bool
    lossless_bits: int | None = None
    reads: ReadConversions | None = None


@dataclass(eq=False, kw_only=True)
class Adc(Operator):
    """``code = clip(round_half_even(current / lsb), low, high)``; with no ``codes`` the current passes unquantised.

    Attributes:
        errors: of the converters of a written chip; ``None``: they have none.
        quantises: without it, numbers are neither rounded nor clipped, errors and noise added: to see what that costs.
    """

    mnemonic: ClassVar[str] = "adc"

    codes: CodeRange | None
    range: CurrentRange | None = None
    errors: AdcErrors | None = None
    quantises: bool = True


@dataclass(eq=False, kw_only=True)
class Accumulate(Operator):
    """Shift-and-add over slices and polarities, then sum over row blocks: integers.

    Attributes:
        slice_weights: ``(S,)``; the sign of two's complement counts negatively.
        subtraction: digital: the codes of the two polarities, or of a column and its reference, are subtracted here.
        recombination: where columns and reference columns count otherwise.
        offsets: ``(S,)`` levels that the digital unit takes off for each input code; ``None``: none.
        unit_correction: ``(D, C)`` float64, current that is taken off a column for each input code, times the sum of
            the codes of its rows: offsets, and what ``g_min`` adds where nothing else takes it off; ``None``: nothing.
        correction: the same in ADC codes, on a grid on which all sums are exact; set with the ADC's range.
    """

    mnemonic: ClassVar[str] = "accumulate"

    slice_weights: np.ndarray
    subtraction: Subtraction
    recombination: Recombination | None = None
    offsets: np.ndarray | None = None
    unit_correction: np.ndarray | None = None
    correction: np.ndarray | None = None


@dataclass(eq=False, kw_only=True)
class Rescale(Operator):
    """``y = float32(sum) * scale[n] + bias[n]``, multiplied and added apart.

    Attributes:
        unit_scale: ``(G * N,)`` float64, output units per unit of current: DAC step times weight scale.
        scale: ``(G * N,)`` float32, output units per ADC code; set with the ADC's range.
        bias: ``(G * N,)`` float32, or ``None``.
    """

    mnemonic: ClassVar[str] = "rescale"

    unit_scale: np.ndarray
    scale: np.ndarray | None = None
    bias: np.ndarray | None = field(default=None)
