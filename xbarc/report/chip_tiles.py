"""What the tiles of the chip are for, and why those that hold nothing hold nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xbarc.report.replication import ReplicationUsage


@dataclass(frozen=True, slots=True)
class ChipTiles:
    """The tiles of the chip, told apart; the parts add up to ``total`` where the chip has an end.

    Those that hold nothing are free for one reason, all of them: what kept the slowest layer from more copies.

    Attributes:
        total: tiles of the chip; ``None``: unlimited.
        used: tiles that hold something.
        slack: replication slack: free tiles, too few for the copies with which the slowest layer would take fewer
            rounds.
        fragmentation: core fragmentation: free tiles, enough for these copies, but not within cores.
        spare: free tiles that no more copies were asked for to fill, or could make faster, or that are free as blocks
            share others, while copies are chosen as if they did not.
    """

    total: int | None
    used: int
    slack: int
    fragmentation: int
    spare: int

    @property
    def free(self) -> int | None:
        """Tiles that hold nothing; ``None`` on an unlimited chip."""
        return None if self.total is None else self.total - self.used


def chip_tiles(usage: ReplicationUsage, *, total: int | None, used: int) -> ChipTiles:
    """The tiles of a chip of ``total``, ``None`` for unlimited, of which a program uses some."""
    free = 0 if total is None else total - used
    reason = _reason(usage)
    return ChipTiles(
        total=total,
        used=used,
        slack=free if reason == "slack" else 0,
        fragmentation=free if reason == "fragmentation" else 0,
        spare=free if reason == "spare" else 0,
    )


def _reason(usage: ReplicationUsage) -> Literal["slack", "fragmentation", "spare"]:
    if usage.saved:
        return "spare"
    if usage.asked == "balance" and usage.bottleneck > 1:
        return "fragmentation" if usage.fragmentation else "slack"
    if usage.missed is not None:
        return "slack" if usage.short else "fragmentation"
    return "spare"
