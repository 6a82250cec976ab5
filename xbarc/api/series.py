"""Series of chips: one program written on many chips, each read under several conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xbarc.api.chip import Chip
from xbarc.api.reading import Reading, check_reading
from xbarc.api.setting import Setting
from xbarc.api.writing import check_faults, check_seed, write_chip
from xbarc.devices.device import Device
from xbarc.devices.faults import FaultMap
from xbarc.devices.ideal import IdealDevice
from xbarc.errors import UsageError


@dataclass(frozen=True)
class ChipSeries:
    """Chips in the order of their seeds, and of each its readings; made by :meth:`xbarc.api.program.Program.series`.

    A chip is written when its turn comes and forgotten afterwards, so that a series of any length takes the memory of
    one. Going through it again writes the same chips again.

    Attributes:
        setting: the program and how it runs.
        device: what the cells are made of.
        seeds: of the chips, each once.
        readings: times, and what is done about noise and drift, each once.
        faults: that every chip is known to have, beside those that are drawn.

    Raises:
        UsageError: the ideal device, of which all chips are one; no chip or no reading, or one that is given twice;
            what is no seed; a reading that the device cannot speak of.
        DeviceError: faults at places that the chip does not have.
    """

    setting: Setting
    device: Device
    seeds: Sequence[int]
    readings: Sequence[Reading]
    faults: FaultMap | None = None

    def __post_init__(self) -> None:
        if isinstance(self.device, IdealDevice):
            raise UsageError("all chips of the ideal device are one", fix="write on another device")
        if not self.seeds or not self.readings:
            raise UsageError("a series without a chip", fix="give at least one seed and one time")
        for seed in self.seeds:
            check_seed(seed)
        for reading in self.readings:
            check_reading(self.device, reading)
        if self.faults is not None:
            check_faults(self.faults, self.setting.hardware)
        if len(set(self.seeds)) < len(self.seeds):
            raise UsageError("a seed is given twice", fix="give every seed once: each chip counts once")
        if len(set(self.readings)) < len(self.readings):
            raise UsageError("a time is given twice", fix="give every time once: each chip counts once")

    def __len__(self) -> int:
        return len(self.seeds) * len(self.readings)

    def __iter__(self) -> Iterator[Chip]:
        for seed in self.seeds:
            yield from self._one(seed)

    def _one(self, seed: int) -> Iterator[Chip]:
        setting = self.setting
        written = write_chip(setting.graph, setting.hardware, self.device, seed=int(seed), faults=self.faults)
        for reading in self.readings:
            yield Chip(self.setting, written, reading)
