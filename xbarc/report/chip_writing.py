"""What writing a whole chip in closed loop came to, layer by layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from xbarc.report.writing import WriteReport


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWriting:
    """The cells of one matrix.

    Attributes:
        name: of its layer, or of the first that shares it.
        copies: how often it lies on the chip; they are taken to be alike, and ``report`` is of one.
        report: of the write.
    """

    name: str
    copies: int
    report: WriteReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipWriting:
    """One chip, written in closed loop.

    Attributes:
        programming: the switching model and what the controller did, as ``--write-verify`` reads it.
        device: what the cells are made of, as ``--device`` reads it.
        seed: of the chip.
        g_min, g_max: the range of conductances, in siemens.
        layers: in the order of execution; layers that share a matrix are one.
        total: of the cells of all layers, of each its first copy.
    """

    programming: str
    device: str
    seed: int
    g_min: float
    g_max: float
    layers: tuple[LayerWriting, ...]
    total: WriteReport

    @property
    def pulses(self) -> int:
        """Of all copies of all layers, each taken to be like the first."""
        return sum(entry.copies * (entry.report.pulses_up + entry.report.pulses_down) for entry in self.layers)

    @property
    def energy_j(self) -> float | None:
        """Joule of all pulses and reads of all copies; of pulses alone where reads have no known energy."""
        if self.total.pulse_energy_j is None:
            return None
        reports = [(entry.copies, entry.report) for entry in self.layers]
        return sum(copies * ((of.pulse_energy_j or 0.0) + (of.read_energy_j or 0.0)) for copies, of in reports)

    def to_json(self) -> dict[str, Any]:
        """Plain data; every key as the attribute of that name says."""
        layers = [{"name": of.name, "copies": of.copies, **_without_schema(of.report)} for of in self.layers]
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        figures = {"pulses": self.pulses, "energy_j": self.energy_j}
        return {"schema": 1, **plain, **figures, "layers": layers, "total": _without_schema(self.total)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The report that :meth:`to_json` made this of.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        found = {field.name: data[field.name] for field in dataclasses.fields(cls)}
        found["layers"] = tuple(
            LayerWriting(name=str(entry["name"]), copies=int(entry["copies"]), report=WriteReport.from_json(entry))
            for entry in found["layers"]
        )
        return cls(**{**found, "total": WriteReport.from_json(found["total"])})


def _without_schema(report: WriteReport) -> dict[str, Any]:
    return {key: value for key, value in report.to_json().items() if key != "schema"}
