"""What a programming pulse does to a cell: a step up or down that depends on the state, and how cells differ.

The state ``w`` of a cell is in the unit of its model: published fits use a weight of some -1 to 1, electrochemical
cells siemens from a point in their range on. 0 lies within the bounds, and the mean bounds stand for the ends of the
range of conductances (:meth:`SwitchingModel.state`). With standard-normal deviates that are each drawn once per cell::

    step_up   = abs(step_up   + step * (gain + up_down_spread * xi_2))       step the larger of the two means
    step_down = abs(step_down + step * (gain - up_down_spread * xi_2))
    gain      = step_spread * xi_1, or exp(step_spread * xi_1) - 1 where the spread is lognormal
    high      =  abs(high * (1 + high_spread * xi_3))
    low       = -abs(low * (1 + low_spread * xi_4))

and with deviates that are drawn at every pulse, where ``f`` is the shape of the model (linear ones are 1 at state 0)::

    up    w += step_up   * f_up(w)   * (1 + cycle_spread * xi)       or  step_up   * (f_up(w)   + cycle_spread * xi)
    down  w -= step_down * f_down(w) * (1 + cycle_spread * xi)       or  step_down * (f_down(w) + cycle_spread * xi)
    w     = min(max(w, low), high)

What a read finds is ``w - reference + write_noise * step * xi``, with a deviate that lasts until the next pulses.

The formulas are those of aihwkit's pulsed devices, spreads included. Nothing here draws.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from xbarc.errors import UsageError

Floats = npt.NDArray[np.float64]

Quantity = Literal["step", "up/down", "high", "low", "slope up", "slope down", "reference"]
"""What of a cell is drawn once."""

Deviates = Callable[[Quantity], Floats]
"""Standard-normal numbers for each cell, of some shape."""


@dataclass(frozen=True, slots=True)
class SwitchingCells:
    """Cells as they came out of the fab: arrays of one shape, in the unit of the state.

    Attributes:
        up, down: steps where the shape is 1, above 0.
        low, high: bounds; below and above 0.
        slope_up, slope_down: of the shape over the state.
        reference: the state that a read takes for 0.
    """

    up: Floats
    down: Floats
    low: Floats
    high: Floats
    slope_up: Floats
    slope_down: Floats
    reference: Floats


class Law(NamedTuple):
    """The numbers of a model that all its cells share, as kernels take them.

    Attributes:
        exponential: whether the shape is that of :class:`ExponentialStep`; else of :class:`LinearStep`.
        additive: whether the spread from cycle to cycle is added to the shape; else the shape is multiplied by it.
        cycle_spread: standard deviation from one pulse to the next, over the step.
        write_noise: standard deviation of what a read finds besides the state, in the unit of the state.
        amplitude_up, exponent_up, amplitude_down, exponent_down, offset: of exponential steps.
    """

    exponential: bool
    additive: bool
    cycle_spread: float
    write_noise: float
    amplitude_up: float = 0.0
    exponent_up: float = 0.0
    amplitude_down: float = 0.0
    exponent_down: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchingModel(abc.ABC):
    """What all models share. Spreads are standard deviations.

    Not modelled: dependence of a step on the pulse's width or height or on earlier pulses; disturbance of neighbours;
    ageing; loss of the state over time.

    Attributes:
        description: what it is, in a sentence.
        sources: where its coefficients come from.
        step_up, step_down: mean steps where the shape is 1, above 0.
        low, high: mean bounds, below and above 0.
        step_spread: of the step from cell to cell, over the larger mean step, common to both directions.
        lognormal: whether that spread is of the logarithm; the mean step is then the median.
        up_down_spread: of what a cell has more up than down, over the larger mean step.
        low_spread, high_spread: of the bounds from cell to cell, over the mean bound.
        cycle_spread: from one pulse to the next, over the step.
        additive: whether it stays the same where the step shrinks; else it shrinks as well.
        write_noise: of what a read finds besides the state, redrawn by pulses, in larger mean steps.
        reference_spread: of the state that reads count from, in the unit of the state.

    Raises:
        UsageError: numbers that are not finite, steps or spreads below 0, bounds that do not enclose 0.
    """

    description: str = ""
    sources: tuple[str, ...] = ()
    step_up: float
    step_down: float
    low: float
    high: float
    step_spread: float = 0.0
    lognormal: bool = False
    up_down_spread: float = 0.0
    low_spread: float = 0.0
    high_spread: float = 0.0
    cycle_spread: float = 0.0
    additive: bool = False
    write_noise: float = 0.0
    reference_spread: float = 0.0

    def __post_init__(self) -> None:
        for declared in dataclasses.fields(self):
            value = getattr(self, declared.name)
            if isinstance(value, int | float) and not math.isfinite(value):
                raise UsageError(f"{declared.name} = {value} of a switching model is not finite", fix="give a number")
            if (declared.name.endswith("_spread") or declared.name == "write_noise") and value < 0:
                raise UsageError(f"{declared.name} = {value} of a switching model is negative", fix="give 0 or more")
        if not (self.step_up > 0 and self.step_down > 0):
            raise UsageError(
                f"the steps of a switching model are {self.step_up:g} up and {self.step_down:g} down",
                fix="give the sizes of both, above 0",
            )
        if not self.low < 0 < self.high:
            raise UsageError(
                f"the bounds {self.low:g} and {self.high:g} of a switching model do not enclose 0",
                fix="count the state from a point between its bounds",
            )

    @property
    def step(self) -> float:
        """The larger mean step where the shape is 1."""
        return max(self.step_up, self.step_down)

    @property
    def steps(self) -> float:
        """Mean steps of state 0 from bound to bound."""
        return (self.high - self.low) / self.step

    @abc.abstractmethod
    def law(self) -> Law:
        """The numbers that all cells share."""

    @abc.abstractmethod
    def shape(self, state: Floats, cells: SwitchingCells, *, up: bool) -> Floats:
        """The mean step up or down at a state, over that where the shape is 1."""

    @abc.abstractmethod
    def _slopes(self, low: Floats, high: Floats, deviates: Deviates) -> tuple[Floats, Floats]:
        """Slopes of the shape of cells with these bounds, upwards and downwards."""

    @abc.abstractmethod
    def _ends(self, cells: SwitchingCells) -> tuple[Floats, Floats]:
        """The states that steps down and up do not cross, be they out of bounds; infinite where there are none."""

    def cells(self, shape: tuple[int, ...], deviates: Deviates) -> SwitchingCells:
        """Cells by the deviates of each; what has no spread is asked for none."""

        def drawn(spread: float, quantity: Quantity) -> Floats:
            return spread * deviates(quantity) if spread else np.zeros(shape)

        gain = drawn(self.step_spread, "step")
        if self.lognormal:
            gain = np.expm1(gain)
        tilt = drawn(self.up_down_spread, "up/down")
        up = np.abs(self.step_up + self.step * (gain + tilt))
        down = np.abs(self.step_down + self.step * (gain - tilt))
        high = np.abs(self.high * (1 + drawn(self.high_spread, "high")))
        low = -np.abs(self.low * (1 + drawn(self.low_spread, "low")))
        slope_up, slope_down = self._slopes(low, high, deviates)
        reference = drawn(self.reference_spread, "reference")
        return SwitchingCells(up, down, low, high, slope_up, slope_down, reference)

    def mean_cells(self, shape: tuple[int, ...] = ()) -> SwitchingCells:
        """Cells without spread: what a controller takes every cell for."""
        return self.cells(shape, lambda quantity: np.zeros(shape))

    def mean_step(self, state: Floats, cells: SwitchingCells, *, up: bool) -> Floats:
        """The size of a step up or down at a state, on average over cycles."""
        return (cells.up if up else cells.down) * self.shape(state, cells, up=up)

    def asymmetry(self, state: Floats, cells: SwitchingCells) -> Floats:
        """What a step up is larger than a step down, over their sum: 0 where equal, 1 where there are only steps up."""
        up, down = (self.mean_step(state, cells, up=up) for up in (True, False))
        asymmetry: Floats = (up - down) / (up + down)
        return asymmetry

    def reach(self, cells: SwitchingCells) -> tuple[Floats, Floats]:
        """The lowest and the highest state that pulses bring each cell to, as reads count it, without write noise."""
        lowest, highest = self._ends(cells)
        return np.maximum(cells.low, lowest) - cells.reference, np.minimum(cells.high, highest) - cells.reference

    def state(self, g: Floats, *, g_min: float, g_max: float) -> Floats:
        """The state that stands for a conductance in a range that the mean bounds stand for the ends of."""
        state: Floats = self.low + (self.high - self.low) * ((g - g_min) / (g_max - g_min))
        return state

    def conductance(self, state: Floats, *, g_min: float, g_max: float) -> Floats:
        """The other way round."""
        g: Floats = g_min + (g_max - g_min) * ((state - self.low) / (self.high - self.low))
        return g


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearStep(SwitchingModel):
    """Steps that shrink linearly towards the bound they lead to: ``f_up = 1 - gamma_up * w / high``.

    Without ``gamma`` steps are constant; with 1 they vanish at the bound, which is then soft.

    Attributes:
        gamma_up, gamma_down: share that the step up has lost at the high bound, the step down at the low one; where it
            is above 1, steps end before the bound.
        gamma_spread: from cell to cell; the magnitude of what comes out is taken.
        own_bounds: whether the shape reaches ``1 - gamma`` at each cell's own bound; else at the mean bound.
        symmetric_reference: whether reads of each cell count from the state where its steps up and down are equal.

    Raises:
        UsageError: as for all models; a symmetric reference without any ``gamma``.
    """

    gamma_up: float = 0.0
    gamma_down: float = 0.0
    gamma_spread: float = 0.0
    own_bounds: bool = False
    symmetric_reference: bool = False

    def __post_init__(self) -> None:
        SwitchingModel.__post_init__(self)
        if self.symmetric_reference and not self.gamma_up * self.gamma_down > 0:
            raise UsageError(
                "constant steps are equal at no state that reads could count from",
                fix="leave symmetric_reference out, or give gamma_up and gamma_down",
            )

    def cells(self, shape: tuple[int, ...], deviates: Deviates) -> SwitchingCells:
        """As of every model, with the reference at the symmetric state where that is asked for."""
        cells = SwitchingModel.cells(self, shape, deviates)
        if not self.symmetric_reference:
            return cells
        symmetric = (cells.up - cells.down) / (cells.up * cells.slope_up - cells.down * cells.slope_down)
        return dataclasses.replace(cells, reference=cells.reference + symmetric)

    def law(self) -> Law:
        """Nothing but noise: slopes are each cell's own."""
        return Law(False, self.additive, self.cycle_spread, self.write_noise * self.step)

    def shape(self, state: Floats, cells: SwitchingCells, *, up: bool) -> Floats:
        """``1 - slope * w``."""
        return 1.0 - (cells.slope_up if up else cells.slope_down) * state

    def _slopes(self, low: Floats, high: Floats, deviates: Deviates) -> tuple[Floats, Floats]:
        up, down = np.full_like(high, self.gamma_up), np.full_like(low, self.gamma_down)
        if self.gamma_spread:
            up = np.abs(up + self.gamma_spread * deviates("slope up"))
            down = np.abs(down + self.gamma_spread * deviates("slope down"))
        return up / (high if self.own_bounds else self.high), down / (low if self.own_bounds else self.low)

    def _ends(self, cells: SwitchingCells) -> tuple[Floats, Floats]:
        with np.errstate(divide="ignore", over="ignore"):
            lowest = np.where(cells.slope_down < 0, 1.0 / cells.slope_down, -np.inf)
            return lowest, np.where(cells.slope_up > 0, 1.0 / cells.slope_up, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialStep(SwitchingModel):
    """Steps with an exponential part: ``f_up = max(1 - amplitude_up * exp(exponent_up * z), 0)``.

    Downwards the exponent has the other sign; ``z = 2 * scale * w / (high - low) + offset``, by the bounds of each
    cell. Where amplitudes are negative, steps are larger than where the exponential part is gone.

    Attributes:
        amplitude_up, amplitude_down, exponent_up, exponent_down, scale, offset: as above; pure numbers.
    """

    amplitude_up: float
    amplitude_down: float
    exponent_up: float
    exponent_down: float
    scale: float
    offset: float

    def law(self) -> Law:
        """Amplitudes, exponents and noise."""
        return Law(
            True,
            self.additive,
            self.cycle_spread,
            self.write_noise * self.step,
            self.amplitude_up,
            self.exponent_up,
            self.amplitude_down,
            self.exponent_down,
            self.offset,
        )

    def shape(self, state: Floats, cells: SwitchingCells, *, up: bool) -> Floats:
        """One less an exponential function, not below 0."""
        z = cells.slope_up * state + self.offset
        part = self.amplitude_up * np.exp(self.exponent_up * z)
        if not up:
            part = self.amplitude_down * np.exp(-self.exponent_down * z)
        return np.maximum(1.0 - part, 0.0)

    def _slopes(self, low: Floats, high: Floats, deviates: Deviates) -> tuple[Floats, Floats]:
        slope = 2 * self.scale / (high - low)
        return slope, slope

    def _ends(self, cells: SwitchingCells) -> tuple[Floats, Floats]:
        def end(amplitude: float, exponent: float, outwards: float) -> Floats:
            """Where the exponential part is 1 and grows outwards; NaN where there is no such state."""
            if amplitude <= 0 or exponent == 0:
                return np.full_like(cells.slope_up, np.nan)
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                state = (-math.log(amplitude) / exponent - self.offset) / np.asarray(cells.slope_up)
            return np.where(exponent * cells.slope_up * outwards > 0, state, np.nan)

        lowest = end(self.amplitude_down, -self.exponent_down, -1.0)
        highest = end(self.amplitude_up, self.exponent_up, 1.0)
        return np.where(np.isnan(lowest), -np.inf, lowest), np.where(np.isnan(highest), np.inf, highest)
