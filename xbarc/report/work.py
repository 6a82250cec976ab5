"""How much of a network's arithmetic is analog."""

from __future__ import annotations

from collections.abc import Iterable


def total_macs(macs: Iterable[int | None]) -> int | None:
    """The sum of multiply-accumulates; ``None`` where one of them is not known."""
    known = list(macs)
    found = [number for number in known if number is not None]
    return sum(found) if len(found) == len(known) else None


def analog_share(analog: int | None, host: int | None) -> float | None:
    """Multiply-accumulates on tiles over all; ``None`` where they are not known, or there are none."""
    if analog is None or host is None or analog + host == 0:
        return None
    return analog / (analog + host)
