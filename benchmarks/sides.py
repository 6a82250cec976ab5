"""The sides that a network is timed on: in floating point, and as a program on simulated tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from harness import Side

import xbarc
from xbarc.api.chip import Chip
from xbarc.api.program import Program

FLOAT: Final = "onnxruntime float"
#: Nothing is rounded: what is left is the lowering to tiles alone.
EXACT: Final = "exact"
#: 8-bit converters and 256 levels on the ideal device.
CONVERTERS: Final = "converters"
#: Phase-change memory a day after it was programmed, with all of its cells' read noise fresh in every read, and noise
#: of half an output code at every conversion.
FULL: Final = "full PCM"
ADC_NOISE: Final = "adc.noise_lsb=0.5"
SIDES: Final = (FLOAT, EXACT, CONVERTERS, FULL)

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A network, what it is calibrated with, and the batch that it runs.

    Attributes:
        model: its file, or itself.
        calibration: of its input.
        batch: of its input, by name.
        overrides: of the hardware.
    """

    model: Path | onnx.ModelProto
    calibration: np.ndarray | Path
    batch: Inputs
    overrides: Sequence[str] = ()

    def floating(self, threads: int) -> Side:
        """The network in onnxruntime."""
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = threads
        # or its idle threads would go on spinning while another side is timed
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        source = self.model.SerializeToString() if isinstance(self.model, onnx.ModelProto) else str(self.model)
        session = ort.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, self.batch)

    def compiled(self, *more: str, hardware: str = "generic-pcm") -> Program:
        """The program, with more overrides of the hardware."""
        overrides = ["chip.tiles=unlimited", *self.overrides, *more]
        return xbarc.compile(self.model, hardware=hardware, calibration=self.calibration, overrides=overrides)

    def side(self, name: str, threads: int) -> Side:
        """One of :data:`SIDES`."""
        if name == FLOAT:
            return self.floating(threads)
        if name == EXACT:
            return self.running(self.compiled(hardware="exact").write(threads=threads))
        program = self.compiled(ADC_NOISE)
        return self.running(full(program, threads) if name == FULL else program.write(threads=threads))

    def sides(self, threads: int, names: Sequence[str] = SIDES) -> dict[str, Side]:
        """Several of them."""
        return {name: self.side(name, threads) for name in names}

    def running(self, chip: Chip) -> Side:
        """Runs the batch."""
        return lambda: chip.run(self.batch)


def full(program: Program, threads: int, *, seed: int = 0) -> Chip:
    """A chip with everything that phase-change memory does to it."""
    return program.write("pcm", seed=seed, threads=threads).at("1d").with_read_noise("per-read")


def normals(*shape: int) -> np.ndarray:
    """Standard normal numbers."""
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def tiles(size: int) -> list[str]:
    """Square tiles of so many rows."""
    return [f"tile.rows={size}", f"tile.columns={size}"]
