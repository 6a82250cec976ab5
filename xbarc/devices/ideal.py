"""The ideal device: every cell holds exactly its target, for ever."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from xbarc.errors import UsageError


@dataclass(frozen=True, slots=True)
class IdealDevice:
    """No programming error, no drift, no read noise.

    Not modelled: anything that a cell does. What remains of a chip is its quantisation and its converters' ranges.
    """

    name: str = "ideal"
    description: str = "every cell holds exactly its target: quantisation and converter ranges only"


DEVICES = {"ideal": IdealDevice()}


def find_device(name: str) -> IdealDevice:
    """The device of a name.

    Raises:
        UsageError: an unknown name, with the nearest one.
    """
    if name not in DEVICES:
        near = difflib.get_close_matches(name, DEVICES, n=1, cutoff=0.0)
        raise UsageError(f"there is no device {name!r}", fix=f"did you mean {near[0]!r}? Devices: {', '.join(DEVICES)}")
    return DEVICES[name]
