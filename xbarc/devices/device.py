"""What a device is: the moments of one kind of cell, as functions of conductance and time. Nothing here draws.

All conductances are siemens, all times seconds. Arrays may have any shape, and float32 stays float32; ``g_max`` is a
Python float, the highest target conductance of the hardware. Time ``t_s`` counts from the device's reference moment:
0 is ``t0_s`` seconds after the last programming pulse.

How a chip follows from a device, with standard-normal deviates ``xi`` that are each drawn once per cell::

    g_programmed = programmed(g_target, xi_1, g_max)        mostly max(g_target + programming_sigma(...) * xi_1, 0)
    nu           = abs(mean + sigma * xi_2)                 with mean, sigma = drift_exponent(g_target, g_max)
    g_drifted    = drift(g_programmed, nu, t_s=t_s)
    g_drifted    = max(g_drifted + mean + sigma * xi_4, 0)  with mean, sigma = relaxation(g_target, ...), if not None
    g_read       = max(g_drifted + slow_read_sigma(...) * xi_3, 0)         xi_3 anew for every time of evaluation
    current      = sum V g_read, with the variance sum V^2 fast_read_sigma(...)^2 anew at every array read
                   and, of cells that are no resistors, nonlinear_current(g_read, V, ...) of each

A cell that drifts does so by a power law of its own exponent, by a relaxation whose moments are known at each time, or
not at all. One deviate serves a cell's relaxation at all times: a cell that went up goes on to be up.

A conductance is never negative, hence the zeros; nothing clips it from above, since no published statistics do. A stuck
cell holds ``g_min`` or ``g_max`` of the hardware exactly, without programming error, drift or read noise; a cell in a
dead row or column holds 0.

Errors of converters, such as ADC noise, are counted in codes and come with the hardware, whatever its cells are.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from xbarc.errors import UsageError
from xbarc.units import format_duration, format_quantity

Conductances = npt.NDArray[np.floating[Any]]
"""Siemens."""

Exponents = npt.NDArray[np.floating[Any]]
"""Pure numbers."""

Volts = npt.NDArray[np.floating[Any]]
"""Volts."""

ReadNoise = Literal["split", "per-read", "frozen"]
"""Which part of the read noise is slow, drawn once per time of evaluation, and which is fast, drawn at every read:
``split`` parts them at the duration of an inference, ``per-read`` takes all as fast, ``frozen`` takes all as slow.
Only ``split`` is physical; the others are what other simulators do, and bounds."""


class Device(Protocol):
    """The behaviour of one kind of cell: a frozen dataclass whose fields are its parameters, all of them numbers."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def name(self) -> str:
        """What the command line and reports call it."""

    @property
    def description(self) -> str:
        """What it is, in a sentence."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Where its coefficients come from."""

    @property
    def t0_s(self) -> float:
        """Seconds after the last programming pulse at which the programming statistics hold."""

    @property
    def t_max_s(self) -> float:
        """The latest time, from ``t0_s`` on, that the model speaks of; infinite where it has no limit."""

    @property
    def g_max_reference(self) -> float | None:
        """The range in siemens for which absolute coefficients were fitted; they scale with ``g_max`` over it.

        None where all coefficients are relative to ``g_max``.
        """

    @property
    def lowest_share(self) -> float:
        """The lowest conductance that a cell can be programmed to, over ``g_max``."""

    @property
    def stuck_at_gmin(self) -> float:
        """Share of cells that are stuck at ``g_min``."""

    @property
    def stuck_at_gmax(self) -> float:
        """Share of cells that are stuck at ``g_max``."""

    @property
    def dead_rows(self) -> float:
        """Share of rows of tiles whose cells carry no current."""

    @property
    def dead_columns(self) -> float:
        """Share of columns of tiles whose cells carry no current."""

    @property
    def v_max(self) -> float | None:
        """The highest read voltage at which the current of a cell is known; None: it is ``g v`` at any."""

    def programming_sigma(self, g_target: Conductances, g_max: float) -> Conductances:
        """Standard deviation of the programmed conductance at ``t0_s``, before it is clipped at 0."""

    def programmed(self, g_target: Conductances, xi: Conductances, g_max: float) -> Conductances:
        """The conductance at ``t0_s`` of cells that were to hold ``g_target``, from a standard-normal ``xi`` each."""

    def drift_exponent(self, g_target: Conductances, g_max: float) -> tuple[Exponents, Exponents]:
        """Mean and standard deviation of the drift exponent, before its absolute value is taken."""

    def drift(self, g_programmed: Conductances, nu: Exponents, *, t_s: float) -> Conductances:
        """The conductance at ``t_s`` of cells that were programmed to ``g_programmed``; at 0 it is unchanged."""

    def relaxation(
        self, g_target: Conductances, *, t_s: float, g_max: float
    ) -> tuple[Conductances, Conductances] | None:
        """Mean and standard deviation of what is added to the conductance by ``t_s``; ``None`` if nothing ever is."""

    def read_sigma(
        self, g_programmed: Conductances, g_drifted: Conductances, *, t_s: float, g_max: float
    ) -> Conductances:
        """Standard deviation of all read noise at ``t_s``, slow and fast."""

    def fast_share(self, *, t_s: float, t_inference_s: float) -> float:
        """Share, from 0 to 1, of the variance of read noise at ``t_s`` that is faster than an inference."""

    def nonlinear_current(
        self, g: Conductances, v: Volts, *, v_read: float, g_max: float
    ) -> tuple[tuple[Conductances, Volts], ...]:
        """What the current of cells has beyond ``g v``: a sum of products of siemens by cell and volts by voltage.

        A cell shows ``g`` at ``v_read``, the read voltage, where it is verified: there, as at 0 V, the sum is 0. Few
        products do for all cells and voltages, so that a column's current is as few sums over its rows.

        Args:
            g: of the cells as they are, of any shape.
            v: on their rows, of any shape; none beyond ``v_read`` either way.
            v_read: above 0 and at most ``v_max``.

        Returns:
            Pairs of siemens of the shape of ``g`` and volts of the shape of ``v``; none: the current is ``g v``.
        """


def slow_read_sigma(
    device: Device,
    g_programmed: Conductances,
    *,
    g_drifted: Conductances,
    t_s: float,
    g_max: float,
    t_inference_s: float,
    read_noise: ReadNoise = "split",
) -> Conductances:
    """Standard deviation of the read noise that lasts through an inference: drawn once per time of evaluation.

    Its square and that of :func:`fast_read_sigma` add up to that of ``device.read_sigma``, in every convention.

    Raises:
        UsageError: ``t_inference_s`` is not above 0.
    """
    share = 1 - _fast_share(device, t_s, t_inference_s, read_noise)
    return math.sqrt(share) * device.read_sigma(g_programmed, g_drifted, t_s=t_s, g_max=g_max)


def fast_read_sigma(
    device: Device,
    g_programmed: Conductances,
    *,
    g_drifted: Conductances,
    t_s: float,
    g_max: float,
    t_inference_s: float,
    read_noise: ReadNoise = "split",
) -> Conductances:
    """Standard deviation of the read noise that is faster than an inference: drawn at every array read.

    Raises:
        UsageError: ``t_inference_s`` is not above 0.
    """
    share = _fast_share(device, t_s, t_inference_s, read_noise)
    return math.sqrt(share) * device.read_sigma(g_programmed, g_drifted, t_s=t_s, g_max=g_max)


def check_time(device: Device, t_s: float) -> None:
    """Refuse a time that a device cannot speak of.

    Raises:
        UsageError: ``t_s`` is negative, not finite, or later than the device's data.
    """
    if not (math.isfinite(t_s) and t_s >= 0):
        raise UsageError(
            f"the time {t_s!r} s is not a time after programming",
            fix="give a time of at least 0, counted from the device's reference moment",
        )
    if t_s > device.t_max_s:
        raise UsageError(
            f"the time {format_duration(t_s)} is beyond what the device {device.name!r} has data for",
            fix=f"give a time up to {format_duration(device.t_max_s)}{_or_extrapolate(device)}",
        )


def check_range(device: Device, *, g_min: float, g_max: float) -> None:
    """Refuse conductances of a hardware that a device cannot be programmed to.

    Raises:
        UsageError: ``g_min`` is lower than a cell can hold.
    """
    lowest = device.lowest_share * g_max
    if g_min < lowest * (1 - 1e-6):  # the fix, as it is printed, is enough
        raise UsageError(
            f"the cells of the program go down to {_written(g_min)}, those of the device {device.name!r} to "
            f"{_written(lowest)} where g_max is {_written(g_max)}",
            fix=f'compile with --set cell.g_min="{_written(lowest)}" or more{_or_extrapolate(device)}',
        )


def check_read_voltage(device: Device, volts: float | None, *, largest: bool = True) -> None:
    """Refuse a read voltage at which a device does not know the current of its cells.

    Args:
        volts: at the largest input code or digit; ``None``: not known.
        largest: whether there is a largest input.

    Raises:
        UsageError: the current is no product of conductance and voltage, and the voltage is not known or too high.
    """
    if device.v_max is None:
        return
    linear = ", or add linear=1 to the device" if "linear" in device.__dataclass_fields__ else ""
    highest = format_quantity(device.v_max, "V")
    if not largest:
        raise UsageError(
            f"the current of a cell of {device.name!r} bends with the voltage, and inputs of unlimited resolution have "
            "no largest one to be at the read voltage",
            fix=f"compile with --set dac.bits=8 or so{linear}",
        )
    if volts is None:
        raise UsageError(
            f"the current of a cell of {device.name!r} bends with the voltage, and the hardware gives none",
            fix=f'compile with --set tile.read_voltage="{highest}" or less{linear}',
        )
    if volts > device.v_max:
        raise UsageError(
            f"the current of a cell of {device.name!r} is not known at {format_quantity(volts, 'V')}",
            fix=f'compile with --set tile.read_voltage="{highest}" or less{linear}',
        )


def check_inference(t_inference_s: float) -> None:
    """Refuse what is no duration of an inference.

    Raises:
        UsageError: ``t_inference_s`` is not above 0, or not finite.
    """
    if not 0 < t_inference_s < math.inf:
        raise UsageError(f"an inference of {t_inference_s!r} s has no duration", fix="give a duration above 0")


def check_read_noise(read_noise: str) -> None:
    """Refuse what is no convention of read noise.

    Raises:
        UsageError: it is none of :data:`ReadNoise`.
    """
    if read_noise not in get_args(ReadNoise):
        raise UsageError(f"unknown read noise {read_noise!r}", fix=f"choose one of {', '.join(get_args(ReadNoise))}")


def _fast_share(device: Device, t_s: float, t_inference_s: float, read_noise: ReadNoise) -> float:
    check_inference(t_inference_s)
    if read_noise == "split":
        return device.fast_share(t_s=t_s, t_inference_s=t_inference_s)
    return 1.0 if read_noise == "per-read" else 0.0


def _or_extrapolate(device: Device) -> str:
    return ", or add extrapolate=1 to the device" if "extrapolate" in device.__dataclass_fields__ else ""


def _written(siemens: float) -> str:
    return format_quantity(float(f"{siemens:.7g}"), "S")
