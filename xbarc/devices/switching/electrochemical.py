"""Three-terminal electrochemical cells (ECRAM): charge through the gate sets the conductance, ``dG = kappa * dQ``.

A gate that is driven by a current takes the same charge at every pulse: steps are constant and equal. A gate that is
driven by a voltage takes what the voltage is above the open-circuit voltage of the cell, which depends on what it
holds, ``V_OC(G) = v_oc_offset + v_oc_slope * (G - g_sym)``::

    dG_up   = kappa * t * (V_P - V_OC(G)) / R_e
    dG_down = kappa * t * (V_P + V_OC(G)) / R_e

so steps are linear in the state, ``(dG_up - dG_down) / (dG_up + dG_down) = -V_OC / V_P``, and they end where V_OC
reaches the height of the pulse. The lower V_OC over the range, the nearer is the voltage-driven cell to the
current-driven one. Between pulses a gate that is not isolated lets the charge flow back until V_OC is 0.

Numbers of a cell are its maker's to give: the defaults are round ones that give 1000 steps, of no measured cell.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xbarc.devices.switching.model import LinearStep
from xbarc.errors import UsageError

_Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectrochemicalCell:
    """What cells of one kind are, whoever drives them.

    Not modelled: dependence of ``kappa`` and ``R_e`` on the state; capacitance of the gate; V_OC that is not linear in
    G; its spread from cell to cell; diffusion within the channel after a pulse.

    Attributes:
        g_min, g_max: conductances that the channel ends at, in siemens.
        g_sym: between them; V_OC is ``v_oc_offset`` there.
        kappa: siemens a coulomb of gate charge.
        r_e: of the electrolyte and all else between gate and channel, in ohm.
        v_oc_offset: in volts.
        v_oc_slope: in volts a siemens, not negative.
        r_leak: what discharges the gate between pulses, in ohm, with all that is in series; infinite: it is isolated.
        step_spread: standard deviation of the step from cell to cell, over the step.
        cycle_spread: standard deviation of the step from pulse to pulse, over the step.

    Raises:
        UsageError: a number that is out of its range.
    """

    g_min: float = 5e-6
    g_max: float = 25e-6
    g_sym: float = 15e-6
    kappa: float = 2e3
    r_e: float = 1e9
    v_oc_offset: float = 0.0
    v_oc_slope: float = 0.0
    r_leak: float = math.inf
    step_spread: float = 0.0
    cycle_spread: float = 0.0

    sources: ClassVar[tuple[str, ...]] = (
        "charge balance of the gate (this module)",
        "W. Haensch, T. Gokmen and R. Puri, The next generation of deep learning hardware: analog computing, "
        "Proceedings of the IEEE 107(1):108-122 (2019), doi:10.1109/JPROC.2018.2871057 (that materials of non-volatile "
        "memory have to be re-engineered for analog arrays)",
    )

    def __post_init__(self) -> None:
        if not 0 <= self.g_min < self.g_sym < self.g_max < math.inf:
            raise UsageError(
                f"g_min = {self.g_min:g} S, g_sym = {self.g_sym:g} S and g_max = {self.g_max:g} S of an "
                "electrochemical cell are not in this order",
                fix="give conductances of at least 0, g_sym between the others",
            )
        for name in ("kappa", "r_e", "r_leak"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    f"{name} = {getattr(self, name):g} of an electrochemical cell is not above 0",
                    fix=f"give {name} a number above 0",
                )
        if not 0 <= self.v_oc_slope < math.inf:
            raise UsageError(
                f"v_oc_slope = {self.v_oc_slope:g} V/S of an electrochemical cell drives no charge back",
                fix="give v_oc_slope a number of at least 0",
            )

    def open_circuit_voltage(self, g: _Floats) -> _Floats:
        """V_OC of cells that hold ``g``, in volts."""
        voltage: _Floats = self.v_oc_offset + self.v_oc_slope * (g - self.g_sym)
        return voltage

    @property
    def time_constant_s(self) -> float:
        """Of the relaxation between pulses: ``r_leak / (kappa * v_oc_slope)``, infinite where nothing drives it."""
        return self.r_leak / (self.kappa * self.v_oc_slope) if self.v_oc_slope else math.inf

    def relaxed(self, g: _Floats, t_s: float) -> _Floats:
        """What cells that held ``g`` hold after ``t_s`` without pulses: on the way to V_OC = 0, within their bounds.

        ``dG/dt = -kappa * V_OC(G) / r_leak``, solved: exponential, or a straight line where V_OC does not depend on G.
        """
        if math.isinf(self.r_leak):
            return g
        share = t_s / self.time_constant_s
        mean = -math.expm1(-share) / share if share else 1.0  # the mean current of the time, over the first
        moved = g - self.kappa * t_s / self.r_leak * mean * self.open_circuit_voltage(g)
        return np.clip(moved, self.g_min, self.g_max)

    def _driven(self, up_a: float, down_a: float, *, pulse_s: float, gammas: tuple[float, float]) -> LinearStep:
        """The switching model of pulses that drive these currents through the gate at ``g_sym``."""
        return LinearStep(
            description="electrochemical cell; its state is siemens from g_sym on",
            sources=self.sources,
            step_up=self.kappa * up_a * pulse_s,
            step_down=self.kappa * down_a * pulse_s,
            low=self.g_min - self.g_sym,
            high=self.g_max - self.g_sym,
            gamma_up=gammas[0],
            gamma_down=gammas[1],
            step_spread=self.step_spread,
            cycle_spread=self.cycle_spread,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentDrive:
    """Pulses of one current: the same step everywhere.

    Not modelled: the voltage that the source can reach.

    Attributes:
        current_a: through the gate, in ampere.
        pulse_s: how long.

    Raises:
        UsageError: a current or duration that is not above 0.
    """

    current_a: float = 1e-9
    pulse_s: float = 10e-3

    def __post_init__(self) -> None:
        _check_above_0(self)

    def model(self, cell: ElectrochemicalCell) -> LinearStep:
        """Constant steps of ``kappa * current_a * pulse_s``."""
        return cell._driven(self.current_a, self.current_a, pulse_s=self.pulse_s, gammas=(0.0, 0.0))

    def pulse_energy_j(self, cell: ElectrochemicalCell) -> float:
        """Joule that the source delivers in a pulse at V_OC = 0."""
        return self.current_a**2 * cell.r_e * self.pulse_s


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltageDrive:
    """Pulses of one voltage, up and down from a bias.

    Attributes:
        v_pulse: height of the pulses, in volts.
        pulse_s: how long.
        bias: added to pulses up and down, in volts; steps are equal where V_OC is the bias, so a bias of
            ``v_oc_offset`` brings that state to ``g_sym``.

    Raises:
        UsageError: a voltage or duration that is not above 0.
    """

    v_pulse: float = 1.0
    pulse_s: float = 10e-3
    bias: float = 0.0

    def __post_init__(self) -> None:
        _check_above_0(self)

    def model(self, cell: ElectrochemicalCell) -> LinearStep:
        """Steps that shrink linearly towards the bound that they lead to.

        Raises:
            UsageError: V_OC at ``g_sym`` is as high as the pulse.
        """
        offset = cell.v_oc_offset - self.bias
        up, down = self.v_pulse - offset, self.v_pulse + offset
        if not (up > 0 and down > 0):
            raise UsageError(
                f"pulses of {self.v_pulse:g} V do not overcome the open-circuit voltage of {offset:g} V at g_sym",
                fix="give higher pulses, or a bias near v_oc_offset",
            )
        slope = cell.v_oc_slope
        gammas = slope * (cell.g_max - cell.g_sym) / up, slope * (cell.g_sym - cell.g_min) / down
        return cell._driven(up / cell.r_e, down / cell.r_e, pulse_s=self.pulse_s, gammas=gammas)

    def symmetric_conductance(self, cell: ElectrochemicalCell) -> float:
        """Where steps up and down are equal, in siemens, be it out of bounds; NaN where that is nowhere or everywhere.

        Without a bias it is where a gate that is not isolated comes to rest.
        """
        return cell.g_sym + (self.bias - cell.v_oc_offset) / cell.v_oc_slope if cell.v_oc_slope else math.nan

    def pulse_energy_j(self, cell: ElectrochemicalCell) -> float:
        """Joule that the source delivers in a pulse at V_OC = 0."""
        return self.v_pulse**2 / cell.r_e * self.pulse_s


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenCell:
    """Cells of one kind, and what drives them: what a write of such cells has to know.

    Attributes:
        cell: what they are.
        drive: the pulses.
    """

    cell: ElectrochemicalCell
    drive: CurrentDrive | VoltageDrive

    @property
    def model(self) -> LinearStep:
        """Their switching model.

        Raises:
            UsageError: V_OC at ``g_sym`` is as high as a pulse.
        """
        return self.drive.model(self.cell)


def _check_above_0(drive: CurrentDrive | VoltageDrive) -> None:
    for declared in dataclasses.fields(drive):
        value = getattr(drive, declared.name)
        if declared.name != "bias" and not 0 < value < math.inf:
            raise UsageError(
                f"{declared.name} = {value:g} of pulses is not above 0", fix=f"give {declared.name} a number above 0"
            )
