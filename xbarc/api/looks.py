"""How a written chip is looked at: at a time, with what is done about drift and noise, and what counts."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import Any, Self

from xbarc.api.corrections import UNREPAIRED, Corrections
from xbarc.api.effects import chosen_effects, effects_of
from xbarc.api.memory import Load, batch_size
from xbarc.api.reading import Reading, check_reading, compensation_of
from xbarc.api.setting import Setting
from xbarc.api.times import seconds_of
from xbarc.api.writing import Written, beside_cells
from xbarc.devices.catalogue import device_text
from xbarc.devices.device import Device, ReadNoise
from xbarc.devices.ideal import IdealDevice
from xbarc.errors import UsageError
from xbarc.ir.effects import EFFECTS, Effect
from xbarc.report.evaluation import Compensation, Condition
from xbarc.units import format_duration


class Look:
    """A program on one chip, looked at in one way: what :class:`xbarc.api.chip.Chip` runs.

    Looking in another way gives another object; the cells stay as they were written.

    Args:
        setting: the program and how it runs.
        written: the cells; ``None`` on the ideal device, where every cell holds its target and nothing is drawn.
        reading: the time, what is done about noise and drift, and which effects count.
        corrections: what repairs have changed.

    Raises:
        UsageError: a reading that the device cannot speak of.
    """

    def __init__(
        self,
        setting: Setting,
        written: Written | None = None,
        reading: Reading | None = None,
        corrections: Corrections | None = None,
    ) -> None:
        self.setting = setting
        self.written = written
        self.reading = reading or Reading()
        self.corrections = corrections or UNREPAIRED
        ideal, distorted = written is None, setting.hardware.dac.has_errors
        load = Load(chips=int(not ideal), ideal=int(ideal), distorted=distorted, threads=setting.threads)
        self._batch_size = batch_size(setting.graph, setting.memory_bytes, load)
        check_reading(self.device, self.reading)

    @property
    def device(self) -> Device:
        """What the cells are made of."""
        return IdealDevice() if self.written is None else self.written.device

    def at(self, time: float | str) -> Self:
        """The chip at a time: seconds from the device's reference moment on, or a text such as ``"1d"``.

        Raises:
            UsageError: a time before 0, one that cannot be read, or one beyond what the device's model speaks of.
        """
        return self._looked_at(time_s=seconds_of(time))

    def compensated(self, on: bool | Compensation = True) -> Self:
        """The chip with, or without, drift compensation: one factor a layer, or a column, measured on the chip."""
        return self._looked_at(compensation=compensation_of(on))

    def with_read_noise(self, read_noise: ReadNoise) -> Self:
        """The chip with another convention of what of the cells' read noise is frozen."""
        return self._looked_at(read_noise=read_noise)

    def with_inference_time(self, inference: float | str) -> Self:
        """The chip with inferences of another duration, seconds or a text: it parts slow from fast read noise.

        Raises:
            UsageError: a duration that is not above 0 or cannot be read.
        """
        return self._looked_at(inference_s=seconds_of(inference))

    def with_ir_drop(self, on: bool = True) -> Self:
        """The chip with, or without, what is lost on the wires of its tiles, where the hardware has any.

        With it is the default. The ideal device has none.
        """
        return self._looked_at(effects=self.reading.effects.switched("ir-drop", on=on))

    def with_threads(self, threads: int) -> Self:
        """The same look at the chip on another number of threads. Cells that were read are not read again."""
        if threads == self.setting.threads:
            return self
        other = copy.copy(self)
        other.setting = dataclasses.replace(self.setting, threads=threads)
        vars(other).pop("_machine", None)  # it has threads of its own
        return other

    def with_effects(self, kinds: Iterable[str] = EFFECTS, *, layers: Iterable[str] | None = None) -> Self:
        """The chip as if nothing but some effects parted it from its program, in some layers.

        All draw what they draw on the chip as it is. Without any, the program's weight levels are all that is left of
        its quantisation: inputs and sums are not rounded.

        Args:
            kinds: of effects (:data:`xbarc.ir.effects.EFFECTS`).
            layers: by name; all by default.

        Raises:
            UsageError: no such effect, or layer on tiles.
        """
        return self._looked_at(effects=chosen_effects(self.setting.graph, kinds, layers))

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What parts the chip from its program, of what this look at it lets count."""
        return effects_of(self.setting.graph, self.setting.hardware, self.written, self.reading)

    @property
    def ir_drop(self) -> bool:
        """Whether anything is lost on wires."""
        return (
            self.written is not None
            and "ir-drop" in self.reading.effects.kinds
            and self.setting.hardware.tile.has_wires
        )

    def _looked_at(self, **changes: Any) -> Self:
        return type(self)(self.setting, self.written, dataclasses.replace(self.reading, **changes), self.corrections)

    @property
    def seed(self) -> int:
        """That it was drawn from.

        Raises:
            UsageError: the ideal device has none.
        """
        if self.written is None:
            raise UsageError("the ideal device has no chips to tell apart", fix="write on another device")
        return self.written.seed

    @property
    def _facts(self) -> dict[str, Any]:
        """The reading, and when repairs were made, as plain data."""
        read = {field.name: getattr(self.reading, field.name) for field in dataclasses.fields(self.reading)}
        made = {"retuned_s": self.corrections.retuned_s, "recalibrated_s": self.corrections.recalibrated_s}
        return {**read, "effects": self.reading.effects.text, "ir_drop": self.ir_drop, **made}

    @property
    def condition(self) -> Condition:
        """All but the seed that figures of it depend on."""
        beside = beside_cells(self.setting.hardware, self.written)
        return Condition(device=device_text(self.device), t0_s=self.device.t0_s, **self._facts, **beside)

    @property
    def words(self) -> str:
        """What it is called while something is done with it."""
        done = {
            "compensated": self.reading.compensation == "layer",
            "compensated by column": self.reading.compensation == "column",
            "retuned": self.corrections.retuned_s is not None,
            "recalibrated": self.corrections.recalibrated_s is not None,
        }
        if self.written is None:
            return "ideal device"
        look = f"chip {self.seed} at {format_duration(self.reading.time_s)}"
        return ", ".join([look, *(word for word, on in done.items() if on)])
