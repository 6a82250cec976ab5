"""How cells are programmed in closed loop: one object, and the text that a person writes for it."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from xbarc.devices.switching.electrochemical import CurrentDrive, DrivenCell, ElectrochemicalCell, VoltageDrive
from xbarc.devices.switching.model import SwitchingModel
from xbarc.devices.switching.presets import SWITCHING
from xbarc.errors import UsageError
from xbarc.runtime.write_verify import Procedure


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCosts:
    """What single pulses and reads of a cell cost; ``None`` where that is not known.

    Attributes:
        pulse_s, read_s: how long they take.
        pulse_energy_j, read_energy_j: joule that they take.

    Raises:
        UsageError: a number that is negative or not finite.
    """

    pulse_s: float | None = None
    read_s: float | None = None
    pulse_energy_j: float | None = None
    read_energy_j: float | None = None

    def __post_init__(self) -> None:
        for name in ("pulse_s", "read_s", "pulse_energy_j", "read_energy_j"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"{name} = {value!r} is no cost of a write", fix=f"give {name} a number of at least 0")


#: A tenth of what the mean cell can hold stays unused at either end.
WITH_MARGIN: Final = Procedure(margin=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteVerify:
    """Cells that are pulsed until reads find their targets, instead of what a device's statistics leave of these.

    By default there is a margin at either end (:data:`WITH_MARGIN`): one of the two cells of a differential pair is to
    hold ``g_min``, and cells of narrower bounds would never come down to it.

    Not modelled: read noise that lasts from one verifying read to the next.

    Attributes:
        model: how cells switch. Its mean bounds stand for the ends of the hardware's range, less the margins; so do
            ``g_min`` and ``g_max`` of an electrochemical cell, whose V_OC counts siemens of its own range.
        procedure: what the controller does.
        read_sigma: standard deviation of verifying reads, over the range of conductances; ``None``: the read noise of
            the device that the chip is made of, at its reference moment, of a cell at its target.
        costs: of pulses and reads; a drive says itself what its pulses take.

    Raises:
        UsageError: a deviation that is no share, or pulses that V_OC at ``g_sym`` is as high as.
    """

    model: SwitchingModel | DrivenCell
    procedure: Procedure = WITH_MARGIN
    read_sigma: float | None = None
    costs: WriteCosts = WriteCosts()

    def __post_init__(self) -> None:
        if self.read_sigma is not None and not 0 <= self.read_sigma <= 1:
            raise UsageError(
                f"read_sigma = {self.read_sigma!r} is no deviation of verifying reads",
                fix="give read_sigma a share of the range of conductances, from 0 to 1",
            )
        of_pulses = self.costs.pulse_s, self.costs.pulse_energy_j
        if isinstance(self.model, DrivenCell) and of_pulses != (None, None):
            raise UsageError("what pulses of a drive take follows from the drive", fix="leave costs of pulses out")
        _ = self.switching  # that it can be driven

    @property
    def switching(self) -> SwitchingModel:
        """What a pulse does."""
        return self.model.model if isinstance(self.model, DrivenCell) else self.model

    @property
    def every_cost(self) -> WriteCosts:
        """What pulses and reads take, be they of a drive."""
        if not isinstance(self.model, DrivenCell):
            return self.costs
        drive = self.model.drive
        energy = drive.pulse_energy_j(self.model.cell)
        return dataclasses.replace(self.costs, pulse_s=drive.pulse_s, pulse_energy_j=energy)

    @property
    def relaxes(self) -> bool:
        """Whether cells lose what was written through gates that are not isolated."""
        return isinstance(self.model, DrivenCell) and math.isfinite(self.model.cell.r_leak)

    def relaxed(self, g: np.ndarray, t_s: float, *, g_min: float, g_max: float) -> np.ndarray:
        """What cells that held ``g`` hold ``t_s`` after the write, in siemens of the range ``g_min`` to ``g_max``.

        By the law of :meth:`~xbarc.devices.switching.electrochemical.ElectrochemicalCell.relaxed`, in the siemens of
        the cell that the range stands for; not below 0.
        """
        if not (isinstance(self.model, DrivenCell) and self.relaxes and t_s):
            return g
        cell, ends = self.model.cell, self.procedure.ends(g_min=g_min, g_max=g_max)
        scale = (cell.g_max - cell.g_min) / (ends["g_max"] - ends["g_min"])
        left = cell.relaxed(cell.g_min + (g.astype(np.float64) - ends["g_min"]) * scale, t_s)
        relaxed: np.ndarray = np.maximum((left - cell.g_min) / scale + ends["g_min"], 0.0).astype(g.dtype)
        return relaxed


#: By the names that texts begin with, with all parameters at their defaults.
WRITE_VERIFY: Final[Mapping[str, WriteVerify]] = MappingProxyType(
    {name: WriteVerify(model=model) for name, model in SWITCHING.items()}
    | {
        "ecram-current": WriteVerify(model=DrivenCell(cell=ElectrochemicalCell(), drive=CurrentDrive())),
        "ecram-voltage": WriteVerify(model=DrivenCell(cell=ElectrochemicalCell(), drive=VoltageDrive())),
    }
)

_NUMBERS: Final = ("float", "int", "float | None")
_OF_DRIVES: Final = ("pulse_s", "pulse_energy_j")


def find_write_verify(text: str) -> WriteVerify:
    """The closed loop of a text such as ``ecram-li`` or ``ecram-voltage:v_oc_slope=1e5,band=0.01,max_cycles=50``.

    Parameters are all numbers of the switching model, or of the electrochemical cell and its drive, of
    :class:`Procedure` and :class:`WriteCosts`, and ``read_sigma``.

    Raises:
        UsageError: an unknown model or parameter, with the nearest one; a parameter that is no number, out of its range
            or given twice.
    """
    name, colon, listed = (part.strip() for part in text.partition(":"))
    if name not in WRITE_VERIFY:
        near = _did_you_mean(name, WRITE_VERIFY)
        models = ", ".join(WRITE_VERIFY)
        raise UsageError(f"there is no switching model {name!r}", fix=f"{near}Switching models: {models}")
    plan = WRITE_VERIFY[name]
    where, known = f"the write {name}", dict(_numbers(plan))
    values: dict[str, float | int] = {}
    for item in listed.split(",") if colon else ():
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise UsageError(
                f"{item.strip()!r} is not name=value", where=where, fix=f"write it as in {name}:band=0.01,max_cycles=50"
            )
        if key not in known:
            near = _did_you_mean(key, known)
            raise UsageError(f"there is no parameter {key!r}", where=where, fix=f"{near}Parameters: {', '.join(known)}")
        if key in values:
            raise UsageError(f"{key} is given twice", where=where, fix="give it once")
        values[key] = _number(key, value, whole=isinstance(known[key], int), where=where)
    return _with(plan, values)


def write_verify_text(plan: WriteVerify) -> str:
    """The text that :func:`find_write_verify` makes this of: a name, and the parameters that are not the default.

    Of a model that has no name, one that tells it from others.
    """
    found = dict(_numbers(plan))
    for name, base in WRITE_VERIFY.items():
        if _kind(plan) == _kind(base):
            given = [f"{key}={found[key]!r}" for key, usual in _numbers(base) if found[key] != usual]
            return f"{name}:{','.join(given)}" if given else name
    return f"a model of its own, #{hashlib.sha256(repr(plan).encode()).hexdigest()[:8]}"


def stored_write_verify(plan: WriteVerify) -> str:
    """The text of a closed loop that can be found again by it.

    Raises:
        UsageError: its model has no name.
    """
    text = write_verify_text(plan)
    if text.partition(":")[0] not in WRITE_VERIFY:
        raise UsageError(
            "the model that the chip was written with cannot be found again by a name",
            fix="write with one of the switching models that have one, with parameters where they differ",
        )
    return text


def _parts(plan: WriteVerify) -> dict[str, Any]:
    """What has parameters, by the names of attributes."""
    model = {"cell": plan.model.cell, "drive": plan.model.drive} if isinstance(plan.model, DrivenCell) else {}
    return {**(model or {"model": plan.model}), "procedure": plan.procedure, "costs": plan.costs}


def _numbers(plan: WriteVerify) -> list[tuple[str, Any]]:
    """Every parameter with its value."""
    found = [("read_sigma", plan.read_sigma)]
    for which, part in _parts(plan).items():
        names = [field.name for field in dataclasses.fields(part) if field.type in _NUMBERS]
        if which == "costs" and isinstance(plan.model, DrivenCell):
            names = [name for name in names if name not in _OF_DRIVES]
        found += [(name, getattr(part, name)) for name in names]
    return found


def _kind(plan: WriteVerify) -> list[object]:
    """All that is no parameter."""
    parts = _parts(plan).values()
    fields = ((part, field) for part in parts for field in dataclasses.fields(part))
    return [*map(type, parts), *(getattr(part, field.name) for part, field in fields if field.type not in _NUMBERS)]


def _with(plan: WriteVerify, values: Mapping[str, Any]) -> WriteVerify:
    """The same with other values of parameters."""
    own = {"read_sigma": values["read_sigma"]} if "read_sigma" in values else {}
    changed: dict[str, Any] = {}
    for which, part in _parts(plan).items():
        fields = {field.name for field in dataclasses.fields(part)}
        if which == "costs" and isinstance(plan.model, DrivenCell):
            fields -= set(_OF_DRIVES)
        changed[which] = dataclasses.replace(part, **{name: values[name] for name in fields & values.keys()})
    if isinstance(plan.model, DrivenCell):
        changed["model"] = DrivenCell(cell=changed.pop("cell"), drive=changed.pop("drive"))
    return dataclasses.replace(plan, **own, **changed)


def _number(key: str, text: str, *, whole: bool, where: str) -> float | int:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "whole number" if whole else "number"
        raise UsageError(f"{key} = {text!r} is not a {kind}", where=where, fix=f"give {key} a {kind}") from None


def _did_you_mean(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? " if near else ""
