"""Replicate: give layers of many windows several copies of their cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from xbarc.errors import UsageError
from xbarc.hardware.derived import read_time
from xbarc.hardware.schema import Hardware
from xbarc.ir.cores import pack
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.replication import Demand, balance
from xbarc.ir.segments import owners_by_segment
from xbarc.ir.stages import Stage
from xbarc.ir.work import matrix_windows
from xbarc.passes.place_blocks import cores, reads_before_placing, tiles_of_copy

#: By so much, as a share, a quotient of seconds may be rounded off.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """A throughput to be reached."""

    inferences_a_second: float


@dataclass(frozen=True)
class Replicate:
    """Set how often the chip holds each layer's cells, so that the slowest layer takes few rounds.

    Copies of a layer take turns at its windows; layers that share a matrix share its copies. A layer whose windows are
    not known keeps one. Every copy lies within as few cores as it can. Each reload segment has the chip for itself. A
    network whose single copies do not fit keeps them: placing says by how much.

    Attributes:
        target: what is fast enough, missed by the least where the chip is too small for it: rounds of the slowest
            layer, at least 1, or inferences a second. ``None``: as fast as the chip allows.

    Raises:
        UsageError: no target on an unlimited chip, where there would be a copy for every window; inferences a second
            of a chip that does not tell the time of a read.
    """

    name: ClassVar[str] = "replicate"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.RANGED

    hardware: Hardware
    target: int | Rate | None = None

    def run(self, graph: Graph) -> None:
        if cores(self.hardware) is None and self.target is None:
            raise UsageError(
                "replication fills the chip, and the chip has unlimited tiles",
                fix="set chip.tiles, or say how many windows the slowest layer may take: --replicate WINDOWS",
            )
        target = self._rounds(graph, self.target) if isinstance(self.target, Rate) else self.target or 1
        windows, copies = matrix_windows(graph), dict[str, int]()
        for owners in owners_by_segment(graph):
            copies.update(self._copies(owners, windows, target))
        for layer in layers(graph):
            layer.read.copies = copies.get(layer.read.matrix, 1)

    def _rounds(self, graph: Graph, rate: Rate) -> int:
        """Rounds of the layer of most reads a window that take no longer than there is from one inference to the next.

        What digital units and the network add is not in it.
        """
        seconds = read_time(self.hardware)
        if seconds is None:
            raise UsageError(
                "how many copies make so many inferences a second depends on the time of a read, which is not known",
                fix="set tile.read_time, or say how many windows the slowest layer may take: --replicate WINDOWS",
            )
        most = max((reads_before_placing(layer, self.hardware) for layer in layers(graph)), default=1)
        rounds = 1.0 / (rate.inferences_a_second * seconds * most)
        return max(math.floor(rounds * (1.0 + _ROUNDING)), 1)

    def _copies(self, owners: Sequence[Layer], windows: Mapping[str, int | None], target: int) -> Mapping[str, int]:
        """By matrix, of the layers that are on the chip together; empty where one copy each does not fit."""
        core_tiles, chip_cores = self.hardware.core.tiles, cores(self.hardware)
        sizes = {layer.read.matrix: tiles_of_copy(layer, self.hardware) for layer in owners}
        demands = [Demand(windows[matrix], size) for matrix, size in sizes.items()]

        def fits(copies: Sequence[int]) -> bool:
            return pack([*sizes.values()], copies, core_tiles=core_tiles, cores=chip_cores) is not None

        capacity = None if chip_cores is None else chip_cores * core_tiles
        copies = balance(demands, capacity, target=target, fits=fits)
        return {} if copies is None else dict(zip(sizes, copies, strict=True))
