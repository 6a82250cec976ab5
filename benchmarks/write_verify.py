"""What write-and-verify repairs: accuracy of chips written in one shot and in closed loop, and what that takes.

    python benchmarks/write_verify.py NETWORK.onnx CALIBRATION.npz TEST.npz

One shot is the device's own error; loops put bands of several widths in its place. Drift, relaxation and read noise
stay the device's, and so does what its noise does to verifying reads. ``--json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

import xbarc

#: Of cells whose numbers are round ones: 1000 steps of 10 ms and 10 pJ, that differ as those of published cells do.
_VOLTAGE = "ecram-voltage:v_oc_slope=5e4,step_spread=0.1,cycle_spread=0.3"
#: Closed loops, without the device: bands over the range of conductances, margins for cells of narrow bounds.
LOOPS = (
    *(f"ecram-li:band={band}" for band in (0.1, 0.05, 0.02, 0.01, 0.005)),
    "ecram-li:band=0.01,margin=0",
    *(f"{_VOLTAGE},band={band}" for band in (0.05, 0.01)),
    *(f"{model}:band=0.05,margin={margin}" for model in ("reram-sb", "reram-array-om") for margin in (0.1, 0.25, 0.4)),
)


@dataclass(frozen=True)
class Result:
    """Some chips that were written in the same way.

    Attributes:
        device: that they are made of.
        loop: that they were written in; ``None``: one shot.
        accuracy: means at time 0 and at the later time; the program's own where there is no device.
        rms, accepted, reads, pulses: of the cells: error over the range, share, means a cell.
        energy_j: of all pulses of a chip.
    """

    device: str
    loop: str | None
    accuracy: tuple[float, ...]
    rms: float | None = None
    accepted: float | None = None
    reads: float | None = None
    pulses: float | None = None
    energy_j: float | None = None


def measured(options: argparse.Namespace) -> Iterator[Result]:
    """The program, then chips: in one shot, and in each loop."""
    program = xbarc.compile(options.network, calibration=options.calibration)
    with np.load(options.test) as data:
        (name,) = (key for key in data.files if key != "labels")
        x, labels = data[name][: options.samples], data["labels"][: options.samples]

    def accuracy(chip: xbarc.Chip) -> float:
        (scores,) = chip.run(x).values()
        return float((scores.argmax(-1) == labels).mean())

    def chips(device: str, loop: str | None) -> Result:
        seeds = range(options.chips)
        written = [program.write(device, seed=seed, programming=loop) for seed in seeds]
        found = tuple(float(np.mean([accuracy(chip.at(time)) for chip in written])) for time in (0, options.later))
        cell = program.hardware.cell
        if loop is None:
            errors = [program.write().compare(chip.with_effects(["programming"])).total.rms_share for chip in written]
            return Result(device, None, found, rms=float(np.mean(errors)))
        reports = [chip.writing for chip in written if chip.writing is not None]
        energies = [report.energy_j for report in reports if report.energy_j is not None]
        return Result(
            device,
            loop,
            found,
            rms=float(np.mean([report.total.residual.rms for report in reports])) / (cell.g_max - cell.g_min),
            accepted=float(np.mean([report.total.accepted for report in reports])),
            reads=float(np.mean([report.total.cycles_mean for report in reports])),
            pulses=float(np.mean([report.total.pulses_a_cell for report in reports])),
            energy_j=float(np.mean(energies)) if energies else None,
        )

    yield Result("ideal", None, (accuracy(program.write()),))
    for device in options.device:
        yield chips(device, None)
    for loop in LOOPS:
        yield chips(options.device[0], loop)


def table(title: str, results: list[Result]) -> Table:
    """The results for people."""
    made = Table(title=title)
    for heading in ("device", "closed loop", "accuracy", "later", "rms", "accepted", "reads", "pulses", "energy, uJ"):
        made.add_column(heading, justify="left" if heading in ("device", "closed loop") else "right")
    for result in results:
        times = [f"{100 * value:.1f} %" for value in result.accuracy]
        energy = None if result.energy_j is None else 1e6 * result.energy_j
        numbers = (result.rms, result.accepted, result.reads, result.pulses, energy)
        shapes = ("{:.2%}", "{:.1%}", "{:.1f}", "{:.0f}", "{:.3g}")
        texts = ("-" if number is None else shape.format(number) for number, shape in zip(numbers, shapes, strict=True))
        made.add_row(result.device, result.loop or "one shot", times[0], (*times, "-")[1], *texts)
    return made


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("network", "calibration", "test"):
        parser.add_argument(name)
    parser.add_argument("--device", nargs="+", default=["reram-wan", "reram-wan:programming_scale=3"])
    parser.add_argument("--chips", type=int, default=3)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--later", default="1d", help="the other time at which chips are read")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = list(measured(options))
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        Console(width=200).print(table(f"{options.network}, later {options.later}", results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
