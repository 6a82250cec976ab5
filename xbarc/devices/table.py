"""A device by its user's own measured table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xbarc.devices.device import Conductances, Exponents
from xbarc.devices.laws import one_over_f_fast_share, power_law_drift
from xbarc.devices.measured import EXTRAPOLATE
from xbarc.devices.parameters import ParametricDevice, choice, parameter

if TYPE_CHECKING:
    from xbarc.devices.table_schema import DeviceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDevice(ParametricDevice):
    """Programming error, drift and read noise as a table gives them over the conductance.

    Between the conductances of the table all figures are interpolated linearly; between its times, linearly in the
    logarithm of the time since the last pulse. Conductances scale with ``g_max`` over the table's highest.

    Not modelled: distributions that are not normal; how cells move between the times: one deviate serves a cell's
    change at all times.

    Attributes:
        table: the figures.
        path: the file that they come from.
    """

    table: DeviceTable
    path: str

    extrapolate: float = choice(0.0, EXTRAPOLATE, 1.0)
    programming_scale: float = parameter(1.0, "factor on the standard deviation of the programming error", high=100)
    drift_scale: float = parameter(1.0, "factor on drift exponents and on changes", high=100)
    read_scale: float = parameter(1.0, "factor on the standard deviation of the read noise", high=100)

    @property
    def name(self) -> str:
        """As the table says."""
        return self.table.name

    @property
    def description(self) -> str:
        """As the table says."""
        return self.table.description or f"the figures of {self.path}"

    @property
    def sources(self) -> tuple[str, ...]:
        """As the table says, and the file."""
        return (*self.table.sources, self.path)

    @property
    def t0_s(self) -> float:
        """As the table says."""
        return self.table.t0

    @property
    def t_max_s(self) -> float:
        """The last time of the table, or the one up to which it says that its exponents hold; no limit if asked for."""
        return math.inf if self.extrapolate else max(self.table.t_max or 0.0, self._times[-1])

    @property
    def lowest_share(self) -> float:
        """The lowest conductance of the table, over its highest; 0 if asked for."""
        return 0.0 if self.extrapolate else self.table.conductance[0] / self.g_max_reference

    @property
    def g_max_reference(self) -> float:
        """The highest conductance of the table."""
        return self.table.conductance[-1]

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """From the table; with ``levels_only``, of a cell at the level next to its target."""
        return self.programming_scale * self._siemens(self.table.programming_sigma, g_target, g_max)

    def programmed(self, g_target: Conductances, xi: Conductances, g_max: float) -> Conductances:
        """Normal errors around the target, or around the level next to it."""
        centre = self._levels(g_target, g_max) if self.table.levels_only else g_target
        g: Conductances = np.maximum(centre + xi * self.programming_sigma(centre, g_max), 0.0)
        return g

    def drift_exponent(self, g_target: Conductances, g_max: float) -> tuple[Exponents, Exponents]:
        """From the table; 0 where it has none."""
        mean, sigma = (self._at(values, g_target, g_max) for values in (self.table.nu_mean, self.table.nu_sigma))
        return self.drift_scale * mean, self.drift_scale * sigma

    def drift(self, g_programmed: Conductances, nu: Exponents, *, t_s: float) -> Conductances:
        """A power law of the time since the last pulse."""
        return power_law_drift(g_programmed, nu, t_s=t_s, t0_s=self.t0_s)

    def relaxation(
        self, g_target: Conductances, *, t_s: float, g_max: float
    ) -> tuple[Conductances, Conductances] | None:
        """Changes from the table, which has them by time."""
        if not self.table.later or t_s == 0.0:
            return None
        later = [self.table.later[time] for time in self._by_time]
        means, sigmas = ([None, *(getattr(row, name) for row in later)] for name in ("drift_mean", "drift_sigma"))
        return (
            self.drift_scale * self._over_time(means, g_target, t_s, g_max),
            self.drift_scale * self._over_time(sigmas, g_target, t_s, g_max),
        )

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """From the table, at the conductance at that time; that of time 0 where a time has none."""
        first = self.table.read_sigma
        rows = [first, *(self.table.later[time].read_sigma or first for time in self._by_time)]
        return self.read_scale * self._over_time(rows, g_drifted, t_s, g_max)

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """That of 1/f noise where the table has a width of read pulses; all of it, white noise, where not."""
        pulse_s = self.table.read_pulse
        if pulse_s is None:
            return 1.0
        return one_over_f_fast_share(self.t0_s + t_s, t_read_s=pulse_s, t_inference_s=t_inference_s)

    @property
    def _by_time(self) -> list[str]:
        """The times after 0 in their order, as the table spells them."""
        return sorted(self.table.later, key=self.table.seconds)

    @property
    def _times(self) -> list[float]:
        return [0.0, *(self.table.seconds(time) for time in self._by_time)]

    def _over_time(
        self, rows: Sequence[Sequence[float] | None], g: Conductances, t_s: float, g_max: float
    ) -> Conductances:
        """Interpolated between the two rows around a time: the last one's from the last time on."""
        times = self._times
        if t_s >= times[-1]:
            return self._siemens(rows[-1], g, g_max)
        number = next(number for number, (_, end) in enumerate(itertools.pairwise(times)) if t_s < end)
        start, now, end = (math.log(self.t0_s + time) for time in (times[number], t_s, times[number + 1]))
        share = (now - start) / (end - start)
        before, after = (self._siemens(values, g, g_max) for values in rows[number : number + 2])
        return (1 - share) * before + share * after

    def _siemens(self, values: Sequence[float] | None, g: Conductances, g_max: float) -> Conductances:
        """Figures of the table that are conductances, on this range."""
        return self._at(values, g, g_max) * (g_max / self.g_max_reference)

    def _at(self, values: Sequence[float] | None, g: Conductances, g_max: float) -> Conductances:
        if values is None:
            return np.zeros_like(g)
        found = np.interp(g * (self.g_max_reference / g_max), self.table.conductance, values)
        return np.asarray(found, dtype=g.dtype)

    def _levels(self, g: Conductances, g_max: float) -> Conductances:
        """The conductance of the table next to each."""
        levels = np.array(self.table.conductance)
        nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, g * (self.g_max_reference / g_max))
        return (levels[nearest] * (g_max / self.g_max_reference)).astype(g.dtype)
