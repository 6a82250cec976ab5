"""The ideal device: every cell holds exactly its target, for ever."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from xbarc.devices.plain import PlainDevice


@dataclass(frozen=True, slots=True)
class IdealDevice(PlainDevice):
    """No programming error, no drift, no read noise, no stuck cells.

    Not modelled: anything that a cell does. What remains of a chip is its quantisation and its converters' ranges.
    """

    name: ClassVar[str] = "ideal"
    description: ClassVar[str] = "every cell holds exactly its target: quantisation and converter ranges only"
    sources: ClassVar[tuple[str, ...]] = ()
    t0_s: ClassVar[float] = 0.0
    t_max_s: ClassVar[float] = math.inf
    g_max_reference: ClassVar[float | None] = None
    stuck_at_gmin: ClassVar[float] = 0.0
    stuck_at_gmax: ClassVar[float] = 0.0
    dead_rows: ClassVar[float] = 0.0
    dead_columns: ClassVar[float] = 0.0
