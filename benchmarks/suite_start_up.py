"""Start-up: what a process takes before it does anything, and before its first result."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness import Case, Figure, Options, compare
from suite_networks import ROOT

import xbarc

SUITE = "start-up"
NAME = "a new process"
HELP, IMPORT, RUN, NOISY = "xbarc --help", "import xbarc", "xbarc run, one sample", "xbarc run, one sample on PCM"


def _process(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def measure(options: Options) -> list[Figure]:
    """Beside a Python that does nothing. Commands run for the second time at least: what they compiled is kept."""
    with tempfile.TemporaryDirectory() as folder:
        program, given, made = (str(Path(folder) / name) for name in ("program.xbar.onnx", "in.npz", "out.npz"))
        calibration = ROOT / "models/digits_calibration.npz"
        xbarc.compile(ROOT / "models/digits_cnn.onnx", calibration=calibration).save(program)
        with np.load(calibration) as data:
            np.savez(given, input=data["input"][:1])
        run = ("-m", "xbarc", "run", program, "--input", given, "--output", made)
        commands: dict[str, Sequence[str]] = {
            "python that does nothing": ("-c", "pass"),
            HELP: ("-m", "xbarc", "--help"),
            IMPORT: ("-c", "import xbarc"),
            RUN: run,
            NOISY: (*run, "--device", "pcm"),
        }
        sides = {name: lambda words=words: _process(*words) for name, words in commands.items()}
        return compare(SUITE, NAME, sides, options)


CASES = GOALS = (Case(SUITE, NAME, measure),)
QUICK: tuple[Case, ...] = ()
