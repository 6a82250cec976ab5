"""Replicate: give layers of many windows several copies of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xbarc.errors import UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.cores import pack
from xbarc.ir.graph import Graph
from xbarc.ir.layer import layers
from xbarc.ir.replication import Demand, balance
from xbarc.ir.stages import Stage
from xbarc.ir.work import matrix_windows
from xbarc.passes.place_blocks import cores, tiles_of_copy


@dataclass(frozen=True)
class Replicate:
    """Set how often the chip holds each layer's cells, so that the slowest layer takes few rounds.

    Copies of a layer take turns at its windows; layers that share a matrix share its copies. A layer whose windows are
    not known keeps one. Every copy lies within as few cores as it can. A network whose single
    copies do not fit keeps them: placing says by how much.

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
        core_tiles, chip_cores = self.hardware.core.tiles, cores(self.hardware)
        if chip_cores is None and self.target is None:
            raise UsageError(
                "replication fills the chip, and the chip has unlimited tiles",
                fix="set chip.tiles, or say how many windows the slowest layer may take: --replicate WINDOWS",
            )
        found = layers(graph)
        windows = matrix_windows(graph)
        sizes = {layer.read.matrix: tiles_of_copy(layer, self.hardware) for layer in found}
        demands = [Demand(windows[matrix], size) for matrix, size in sizes.items()]

        def fits(copies: Sequence[int]) -> bool:
            return pack([*sizes.values()], copies, core_tiles=core_tiles, cores=chip_cores) is not None

        capacity = None if chip_cores is None else chip_cores * core_tiles
        copies = balance(demands, capacity, target=self.target or 1, fits=fits)
        if copies is not None:
            by_matrix = dict(zip(sizes, copies, strict=True))
            for layer in found:
                layer.read.copies = by_matrix[layer.read.matrix]
