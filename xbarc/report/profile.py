"""Where the time of a run went: by layer, by host region, and by what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from xbarc.report.json_form import plain


@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """Seconds of the wall clock; of parts that ran side by side on several threads, their mean.

    Attributes:
        dac: inputs to codes, and codes to digits.
        windows: codes to windows.
        product: windows times levels.
        noise: deviates, with the products that give their variances.
        adc: conversions of currents, with all sums and scales behind them.
        host: operators that onnxruntime runs.
        other: all else: waiting for the slowest thread, starting threads, what Python does in between.
    """

    dac: float = 0.0
    windows: float = 0.0
    product: float = 0.0
    noise: float = 0.0
    adc: float = 0.0
    host: float = 0.0
    other: float = 0.0

    @property
    def total(self) -> float:
        """Of all."""
        return self.dac + self.windows + self.product + self.noise + self.adc + self.host + self.other


@dataclass(frozen=True, slots=True)
class StepProfile:
    """A layer, or a host region.

    Attributes:
        name: of the layer; of a host region its first operator and its last.
        kind: layer or host.
        calls: how often it ran: once a batch, in loops once a repetition.
        seconds: by what was done.
    """

    name: str
    kind: Literal["layer", "host"]
    calls: int
    seconds: PhaseSeconds


@dataclass(frozen=True, slots=True)
class RunProfile:
    """A run.

    Attributes:
        samples: that it had.
        threads: that it could use.
        load_s: seconds in which the program was read.
        write_s: seconds in which the chip was written and read at its time.
        first_s: seconds of one batch that was run before, so that what is loaded once counts nowhere else.
        run_s: seconds of the run.
        seconds: by what was done, in all; they add up to the run.
        steps: in the order in which they ran.
    """

    samples: int
    threads: int
    load_s: float
    write_s: float
    first_s: float
    run_s: float
    seconds: PhaseSeconds
    steps: tuple[StepProfile, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; every key as the attribute of that name says."""
        data: dict[str, Any] = plain(self)
        return data
