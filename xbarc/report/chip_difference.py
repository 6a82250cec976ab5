"""What two written chips of one program, or one chip at two times, differ by, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from xbarc.report.json_form import plain

CHIP_DIFFERENCE_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedChip:
    """One of the two.

    Attributes:
        device: what its cells are made of, with parameters that are not the default.
        seed: that it was drawn from; ``None``: the ideal device.
        time_s: when it is looked at, in seconds from the device's reference moment on.
        programming: the closed loop that it was written in; ``None``: in one shot.
    """

    device: str
    seed: int | None
    time_s: float
    programming: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsDifference:
    """What some cells, and the weights that they hold, differ by.

    Attributes:
        cells: how many; those of a layer's first copy, without padding.
        mean_siemens: mean of what the second holds more than the first.
        rms_siemens: root mean square difference of conductances.
        rms_share: the same over the range of conductances.
        largest_siemens: largest difference, without its sign.
        correlation: of conductances; ``None`` where either chip's do not vary.
        over_a_level: cells that differ by more than a step between levels; ``None`` where levels are unlimited.
        stuck_first, stuck_second, stuck_both: faulty cells of the first, of the second, of both.
        weights_share: root mean square difference of weights over the root mean square of the program's; ``None`` where
            these are all 0.
        weights_correlation: of weights; ``None`` where either chip's do not vary.
    """

    cells: int
    mean_siemens: float
    rms_siemens: float
    rms_share: float
    largest_siemens: float
    correlation: float | None
    over_a_level: int | None
    stuck_first: int
    stuck_second: int
    stuck_both: int
    weights_share: float | None
    weights_correlation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """The cells of one matrix.

    Attributes:
        name: of its layer, or of the first that shares it.
        difference: of its cells.
    """

    name: str
    difference: CellsDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipDifference:
    """What two chips differ by.

    Attributes:
        first, second: the chips.
        layers: in the order of execution; layers that share a matrix are one.
        total: of all cells.
    """

    first: ComparedChip
    second: ComparedChip
    layers: tuple[LayerDifference, ...]
    total: CellsDifference

    def to_json(self) -> dict[str, Any]:
        """Plain data; every key as the attribute of that name says."""
        return {"schema": CHIP_DIFFERENCE_SCHEMA, **plain(self)}
