"""Series of chips: one program written on many chips, each read under several conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from xbarc.api.chip import Chip
from xbarc.api.data import Samples
from xbarc.api.reading import Reading, check_reading
from xbarc.api.repairs import Repair
from xbarc.api.setting import Setting
from xbarc.api.writing import Written, check_faults, check_placement, check_seed, write_chip
from xbarc.devices.device import Device
from xbarc.devices.faults import FaultMap
from xbarc.devices.ideal import IdealDevice
from xbarc.errors import UsageError
from xbarc.report.evaluation import Placement
from xbarc.runtime.programming import WriteVerify


@dataclass(frozen=True)
class Repairs:
    """Repairs that are made on chips.

    Attributes:
        names: in the order in which they are made.
        sample: to make them with.
        time_s: when they are made; ``None``: anew at the time of each reading.
    """

    names: Sequence[Repair]
    sample: Samples
    time_s: float | None = None

    def made_on(self, chip: Chip) -> Chip:
        """A chip with the repairs."""
        repaired = chip if self.time_s is None else chip.at(self.time_s)
        for name in self.names:
            repaired = repaired.retuned(self.sample) if name == "retune" else repaired.recalibrated(self.sample)
        return repaired if self.time_s is None else repaired.at(chip.reading.time_s)


@dataclass(frozen=True)
class ChipSeries:
    """Chips in the order of their seeds, and of each its readings; made by :meth:`xbarc.api.program.Program.series`.

    A chip is written when its turn comes and forgotten afterwards, so that a series of any length takes the memory of
    one, or of one a thread where chips are evaluated side by side. Going through it again writes the same chips again.

    Attributes:
        setting: the program and how it runs.
        device: what the cells are made of.
        seeds: of the chips, each once.
        readings: times, and what is done about noise and drift, each once.
        faults: that every chip is known to have, beside those that are drawn.
        programming: the closed loop that every chip is written in; ``None``: in one shot.
        repairs: made on every chip, for each of its readings; ``None``: none.
        placement: how the faults of each are heeded.

    Raises:
        UsageError: the ideal device, of which all chips are one; no chip or no reading, or one that is given twice;
            what is no seed or placement; a reading that the device cannot speak of.
        DeviceError: faults at places that the chip does not have.
    """

    setting: Setting
    device: Device
    seeds: Sequence[int]
    readings: Sequence[Reading]
    faults: FaultMap | None = None
    programming: WriteVerify | None = None
    repairs: Repairs | None = None
    placement: Placement = "as-compiled"

    def __post_init__(self) -> None:
        if isinstance(self.device, IdealDevice):
            raise UsageError("all chips of the ideal device are one", fix="write on another device")
        if not self.seeds or not self.readings:
            raise UsageError("a series without a chip", fix="give at least one seed and one time")
        for seed in self.seeds:
            check_seed(seed)
        check_placement(self.placement)
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

    def turns(self) -> Sequence[Callable[[], Iterator[Chip]]]:
        """For each chip, what writes it and goes through its readings."""
        return [partial(self._one, seed) for seed in self.seeds]

    def _one(self, seed: int) -> Iterator[Chip]:
        setting = self.setting
        written = write_chip(
            setting.graph,
            setting.hardware,
            self.device,
            seed=int(seed),
            faults=self.faults,
            programming=self.programming,
            placement=self.placement,
            threads=setting.threads,
        )
        for reading in self.readings:
            yield self._look(written, reading)  # kept in no variable: the next look comes when this one is gone

    def _look(self, written: Written, reading: Reading) -> Chip:
        chip = Chip(self.setting, written, reading)
        return chip if self.repairs is None else self.repairs.made_on(chip)
