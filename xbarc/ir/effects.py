"""What parts a written chip from the numbers of its program, by kind and by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

#: In the order in which a signal meets them. Weight levels are none: a program holds nothing else.
Effect = Literal[
    "input-codes",
    "dac-errors",
    "programming",
    "drift",
    "read-noise",
    "faults",
    "cell-currents",
    "ir-drop",
    "adc-errors",
    "adc-noise",
    "output-codes",
]
EFFECTS: Final[tuple[Effect, ...]] = get_args(Effect)

#: For people.
MEANINGS: Final[dict[Effect, str]] = {
    "input-codes": "inputs are rounded to the codes of DACs, and clipped",
    "dac-errors": "levels that DACs apply are not their codes",
    "programming": "cells are not programmed to what they should hold",
    "drift": "conductances drift and relax until the chip is read",
    "read-noise": "conductances fluctuate, slower and faster than an inference",
    "faults": "cells are stuck or dead",
    "cell-currents": "currents of cells are not in proportion to voltages",
    "ir-drop": "voltage is lost on the wires of tiles",
    "adc-errors": "ADCs have gain, offset and nonlinearity of their own",
    "adc-noise": "conversions are noisy",
    "output-codes": "currents are rounded to the codes of ADCs, and clipped",
}


@dataclass(frozen=True, slots=True)
class Effects:
    """Which effects count, and in which layers; in other layers none does.

    Attributes:
        kinds: of effects.
        layers: by name; ``None``: all.
    """

    kinds: frozenset[Effect] = frozenset(EFFECTS)
    layers: frozenset[str] | None = None

    def within(self, layer: str) -> frozenset[Effect]:
        """What counts in a layer."""
        return self.kinds if self.layers is None or layer in self.layers else frozenset()

    def switched(self, effect: Effect, *, on: bool) -> Effects:
        """These with, or without, one effect."""
        return Effects(self.kinds | {effect} if on else self.kinds - {effect}, self.layers)

    @property
    def text(self) -> str | None:
        """For people; ``None`` where all count everywhere."""
        counted, out = ([kind for kind in EFFECTS if (kind in self.kinds) is on] for on in (True, False))
        kinds = "all" if not out else f"all but {', '.join(out)}" if len(out) < len(counted) else ", ".join(counted)
        if self.layers is None:
            return (kinds or "none") if out else None
        return f"{kinds or 'none'}; in {', '.join(sorted(self.layers)) or 'no layer'}"


EVERYTHING: Final = Effects()
