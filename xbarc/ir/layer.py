"""A compiled layer: the five steps of one product, taken together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xbarc.errors import InternalError
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.operators import Accumulate, Adc, CodeRange, Dac, Rescale, TileRead
from xbarc.ir.scopes import bodies

#: float32 holds every integer up to this one exactly.
FLOAT32_EXACT = 2**24

_Step = TypeVar("_Step", bound=Operator)


@dataclass(frozen=True, slots=True)
class Layer:
    """The chain of one layer, from its input to its output."""

    dac: Dac
    read: TileRead
    adc: Adc
    accumulate: Accumulate
    rescale: Rescale

    @property
    def name(self) -> str:
        """The name of the ONNX node that the layer comes from."""
        return self.read.name

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The operators in order."""
        return (self.dac, self.read, self.adc, self.accumulate, self.rescale)

    @property
    def input(self) -> Value:
        """What the layer reads."""
        return self.dac.operand

    @property
    def output(self) -> Value:
        """What the layer makes."""
        return self.rescale.result

    @property
    def single_ended(self) -> bool:
        """Whether each column is converted by itself, before anything is subtracted."""
        return self.read.subtraction == "digital"

    @property
    def applied(self) -> CodeRange | None:
        """What one read applies to a row: a whole code or a digit; ``None``: any number."""
        return self.dac.codes if self.read.digits is None else CodeRange(0, self.read.digits.high)

    @property
    def digit_weights(self) -> tuple[int, ...]:
        """What each read of a window counts."""
        return (1,) if self.read.digits is None else tuple(digit.weight for digit in self.read.digits.reads)

    @property
    def unquantised(self) -> str | None:
        """Why the layer's products are not sums of integers; ``None`` where they are."""
        if self.dac.codes is None:
            return "its DAC has unlimited resolution"
        if self.read.grid is None:
            return "its cells have unlimited levels"
        return None

    @property
    def in_whole_units(self) -> bool:
        """Whether currents are whole units, pedestals aside: not so of written cells, nor where products are no sums of
        integers."""
        return self.unquantised is None and self.read.grid == 1.0

    @property
    def double_sums(self) -> bool:
        """Whether sums of ADC codes can exceed what float32 holds exactly, so that they are taken in float64."""
        if self.adc.codes is None or self.accumulate.unit_correction is not None:
            return True
        return self.read.double or self.largest_code_sum > FLOAT32_EXACT

    @property
    def largest_code_sum(self) -> float:
        """The largest sum of ADC codes that a column can come to; without a range, of what is converted to none."""
        codes, how = self.adc.codes, self.accumulate.recombination
        if codes is None:
            return 0.0
        each = 2.0 if self.single_ended else 1.0
        if how is not None:
            each = 1.0 + float(np.abs(how.references).max(initial=0.0))
        counted = float(np.abs(self.accumulate.slice_weights).sum()) * float(np.abs(self.digit_weights).sum())
        return self.read.partition.row_blocks * counted * each * max(codes.high, -codes.low)

    def signed_levels(self, levels: np.ndarray | None = None) -> np.ndarray:
        """The layer's matrix as the cells hold it: ``(S, G, K, N)`` int64 (float64 where levels are unlimited).

        Positive minus negative polarity, or column less what stands for zero; of other ``levels`` of the same shape if
        given.
        """
        stack = self.read.levels if levels is None else levels
        partition = self.read.partition
        cells: np.ndarray = stack.astype(np.float64 if stack.dtype.kind == "f" else np.int64)
        columns = cells[..., partition.data_columns]
        how, offsets = self.accumulate.recombination, self.accumulate.offsets
        # A short block is padded with level 0, its reference column too: below, only rows with weights are looked at.
        if how is not None:
            references = cells[..., partition.reference_columns]
            columns = columns * how.signs[:, None, :, None] + references * how.references[:, None, :, None]
        elif partition.reference_column:
            columns = columns - cells[..., partition.reference_columns]
        elif offsets is not None:
            columns = columns - offsets.astype(cells.dtype).reshape(-1, 1, 1, 1, 1)
        signed = columns[:, 0] - columns[:, 1] if cells.shape[1] == 2 else columns[:, 0]
        signed = signed.astype(cells.dtype)
        slices, across = signed.shape[0], partition.diagonal_columns
        rows = signed.reshape(slices, partition.diagonals, partition.positions, -1, across)
        rows = rows[:, :, :, : partition.position_rows].swapaxes(2, 3).reshape(slices, partition.diagonals, -1, across)
        shape = (slices, partition.groups, partition.rows, partition.columns)
        matrix = np.zeros(shape, dtype=cells.dtype)
        for group in range(partition.groups):
            diagonal, place = divmod(group, partition.groups_per_diagonal)
            row, column = place * partition.rows, place * partition.columns
            matrix[:, group] = rows[:, diagonal, row : row + partition.rows, column : column + partition.columns]
        return matrix


def layers(graph: Graph) -> list[Layer]:
    """The layers of a tile-level graph and of the bodies within it, in the order of execution."""
    found = []
    for operator in graph.operators():
        if isinstance(operator, Dac):
            found.append(layer_of(operator))
        for body in bodies(operator):
            found.extend(layers(body))
    return found


def layer_of(dac: Dac) -> Layer:
    """The chain that starts at ``dac``."""
    read = _next(dac, TileRead)
    adc = _next(read, Adc)
    accumulate = _next(adc, Accumulate)
    return Layer(dac, read, adc, accumulate, _next(accumulate, Rescale))


def _next(operator: Operator, kind: type[_Step]) -> _Step:
    users = list(operator.result.users)
    if len(users) == 1 and isinstance(users[0], kind):
        return users[0]
    found = ", ".join(f"{user.mnemonic} {user.name!r}" for user in users) or "nothing"
    raise InternalError(f"{operator.mnemonic} {operator.name!r} must feed one {kind.mnemonic}, but feeds {found}")
