"""Cut segments: let a network that is larger than the chip be written to it part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from xbarc.errors import CapacityError
from xbarc.hardware.schema import Hardware
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layer_of, layers
from xbarc.ir.operators import Control, Dac
from xbarc.ir.scopes import bodies
from xbarc.ir.stages import Stage

#: Tiles that layers take together, one copy of each; of each matrix, one layer is given.
Tiles = Callable[[Sequence[Layer]], int]


@dataclass(frozen=True)
class CutSegments:
    """Give each layer its reload segment: in the order of execution, as many to a segment as fit the chip.

    So there are as few segments as can be, where more layers never take fewer tiles. What must not come apart stays in
    one segment: the layers in the bodies of an ``If``, ``Loop`` or ``Scan``, which may run again, and all from the
    first to the last use of a matrix that layers share, which stays on the chip meanwhile.

    Attributes:
        hardware: with the tiles of the chip.
        tiles: that layers take.

    Raises:
        CapacityError: what must not come apart is larger than the chip.
    """

    name: ClassVar[str] = "cut-segments"
    requires: ClassVar[Stage] = Stage.RANGED
    ensures: ClassVar[Stage] = Stage.RANGED

    hardware: Hardware
    tiles: Tiles

    def run(self, graph: Graph) -> None:
        available = self.hardware.chip_tiles
        if available == "unlimited":
            return
        parts, segment = list(_parts(graph)), 0
        while parts:
            count = self._fitting(parts, available)
            if count == 0:
                raise self._too_large(parts[0], available)
            for layer in (layer for part in parts[:count] for layer in part):
                layer.read.segment = segment
            parts, segment = parts[count:], segment + 1

    def _fitting(self, parts: Sequence[Sequence[Layer]], available: int) -> int:
        """How many of the first parts fit together."""

        def fits(count: int) -> bool:
            return self.tiles(_owners(parts[:count])) <= available

        # Few calls where there are many layers: each may mean to pack them. The first `fit` do, `fit + step` may not.
        fit, step = 0, 1
        while fit + step <= len(parts) and fits(fit + step):
            fit, step = fit + step, 2 * step
        while step > 1:
            step //= 2
            if fit + step <= len(parts) and fits(fit + step):
                fit += step
        return fit

    def _too_large(self, part: Sequence[Layer], available: int) -> CapacityError:
        needed = self.tiles(_owners([part]))
        if len(part) == 1:
            what, why = f"layer {part[0].name!r} alone", "a layer is in one segment"
        else:
            what = f"what lies from layer {part[0].name!r} to {part[-1].name!r}"
            why = "they are the body of a control operator, or share a matrix, which stays on the chip meanwhile"
        return CapacityError(
            f"{what} needs {needed} physical tiles, the chip has {available}: {needed - available} too few",
            where=f"reload segments: {why}",
            fix=f"give the chip at least {needed} tiles, take larger ones, or leave layers digital (--host PATTERN)",
        )


def _parts(graph: Graph) -> Iterator[list[Layer]]:
    """The layers of a graph in the order of execution, together where they must not come apart."""
    found: list[list[Layer]] = []
    first_use: dict[str, int] = {}
    for together in _operators(graph):
        # All since the first use of one of its matrices.
        begin = min((first_use.get(layer.read.matrix, len(found)) for layer in together), default=len(found))
        joined = [layer for part in found[begin:] for layer in part] + together
        del found[begin:]
        found.append(joined)
        first_use.update({layer.read.matrix: begin for layer in joined})
    yield from found


def _operators(graph: Graph) -> Iterator[list[Layer]]:
    """The layers of each operator that has some: of a control operator, all in its bodies."""
    for operator in graph.operators():
        if isinstance(operator, Dac):
            yield [layer_of(operator)]
        elif isinstance(operator, Control):
            inner = [layer for body in bodies(operator) for layer in layers(body)]
            if inner:
                yield inner


def _owners(parts: Sequence[Sequence[Layer]]) -> list[Layer]:
    """The first layer of each matrix."""
    owners: dict[str, Layer] = {}
    for layer in (layer for part in parts for layer in part):
        owners.setdefault(layer.read.matrix, layer)
    return [*owners.values()]
