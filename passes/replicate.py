"""Replicate: give layers of many windows several copies of their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from xbarc.errors import UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.cores import pack
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.ir.replication import Demand, balance
from xbarc.ir.segments import owners_by_segment
from xbarc.ir.stages import Stage
from xbarc.ir.work import matrix_windows
from xbarc.passes.place_blocks import cores, tiles_of_copy


@dataclass(frozen=True)
class Replicate:
    """Set how often the chip holds each layer's cells, so that the slowest layer takes few rounds.

    Copies of a layer take turns at its windows; layers that share a matrix share its copies. A layer whose windows are
    not known keeps one. Every copy lies within as few cores as it can. Each reload segment has the chip for itself. A
    network whose single copies do not fit keeps them: placing says by how much.

    Attributes:
        target: rounds of the slowest layer that are few enough, at least 1; missed by the least where the chip is too
            small for it. ``None``: as few as the chip allows.

    Raises:
        UsageError: no target on an unlimited chip, where there would be a copy for every window.
    """

    name: ClassVar[str] = "replicate"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.RANGED

    hardware: Hardware
    target: int | None = None

    def run(self, graph: Graph) -> None:
        if cores(self.hardware) is None and self.target is None:
            raise UsageError(
                "replication fills the chip, and the chip has unlimited tiles",
                fix="set chip.tiles, or say how many windows the slowest layer may take: --replicate WINDOWS",
            )
        windows, copies = matrix_windows(graph), dict[str, int]()
        for owners in owners_by_segment(graph):
            copies.update(self._copies(owners, windows))
        for layer in layers(graph):
            layer.read.copies = copies.get(layer.read.matrix, 1)

    def _copies(self, owners: Sequence[Layer], windows: Mapping[str, int | None]) -> Mapping[str, int]:
        """By matrix, of the layers that are on the chip together; empty where one copy each does not fit."""
        core_tiles, chip_cores = self.hardware.core.tiles, cores(self.hardware)
        sizes = {layer.read.matrix: tiles_of_copy(layer, self.hardware) for layer in owners}
        demands = [Demand(windows[matrix], size) for matrix, size in sizes.items()]

        def fits(copies: Sequence[int]) -> bool:
            return pack([*sizes.values()], copies, core_tiles=core_tiles, cores=chip_cores) is not None

        capacity = None if chip_cores is None else chip_cores * core_tiles
        copies = balance(demands, capacity, target=self.target or 1, fits=fits)
        return {} if copies is None else dict(zip(sizes, copies, strict=True))
