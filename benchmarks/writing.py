"""Benchmarks of writing with verification: drives of electrochemical cells, and all switching models.

Targets are uniform over the range from 5 to 25 uS; reads deviate by 0.1 % of it, and the accepted band is 0.5 % of it.
Cells start at the low end. Electrochemical cells are the default ones, with steps that differ by 10 % from cell to cell
and by 30 % from pulse to pulse; their V_OC, over the height of the pulses, is named at the ends of the range.
``--json`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from xbarc.devices.switching.electrochemical import CurrentDrive, ElectrochemicalCell, VoltageDrive
from xbarc.devices.switching.model import SwitchingModel
from xbarc.devices.switching.presets import SWITCHING
from xbarc.report.writing import WriteReport, write_report
from xbarc.runtime.programming import WriteCosts
from xbarc.runtime.write_verify import Procedure, write_cells_verified
from xbarc.units import format_duration, format_quantity

G_MIN, G_MAX = 5e-6, 25e-6
READ_SIGMA = 0.001 * (G_MAX - G_MIN)
#: V_OC at the ends of the range, over the height of the pulses.
ENDS = (0.0, 0.1, 0.5, 1.25)
#: What a selector that is off leaves of a gate's isolation, in ohm, and seconds that it then waits.
LEAK = 1e12
RELAXED = (60.0, 600.0, 3600.0, 86400.0)


@dataclass(frozen=True)
class Result:
    """One write.

    Attributes:
        name: of the drive or model.
        seconds: that the simulation took.
        report: what came of it.
        relaxed: root mean square error in siemens after some times without pulses, where the gate leaks.
    """

    name: str
    seconds: float
    report: WriteReport
    relaxed: tuple[float, ...] = ()


def written(
    name: str, model: SwitchingModel, target: np.ndarray, costs: WriteCosts, cell: ElectrochemicalCell | None = None
) -> Result:
    """Write the targets once."""
    start = time.perf_counter()
    found = write_cells_verified(target, model, Procedure(), g_min=G_MIN, g_max=G_MAX, read_sigma=READ_SIGMA)
    seconds = time.perf_counter() - start
    relaxed = ()
    if cell is not None and cell.v_oc_slope:
        errors = [cell.relaxed(found.conductance, t_s) - target for t_s in RELAXED]
        relaxed = tuple(float(np.sqrt(np.square(error).mean())) for error in errors)
    return Result(name, seconds, write_report(found, costs), relaxed)


def drives(target: np.ndarray) -> Iterator[Result]:
    """Current, and voltage at each V_OC."""
    numbers = {"step_spread": 0.1, "cycle_spread": 0.3, "r_leak": LEAK}
    cell = ElectrochemicalCell(**numbers)
    driven: dict[str, tuple[CurrentDrive | VoltageDrive, ElectrochemicalCell]] = {"current": (CurrentDrive(), cell)}
    for end in ENDS:
        cell = ElectrochemicalCell(v_oc_slope=2 * end / (G_MAX - G_MIN), **numbers)
        driven[f"voltage, V_OC +-{end:g} V_P"] = VoltageDrive(), cell
    for name, (drive, cell) in driven.items():
        costs = WriteCosts(pulse_s=drive.pulse_s, read_s=1e-6, pulse_energy_j=drive.pulse_energy_j(cell))
        yield written(name, drive.model(cell), target, costs, cell)


def table(title: str, results: list[Result]) -> Table:
    """The results for people."""
    made = Table(title=title)
    made.add_column("")
    for (
        heading
    ) in "asymmetry,out of reach,accepted,reads,99 %,up,down,rms %,rms accepted %,nJ a cell,s a cell,run s".split(","):
        made.add_column(heading, justify="right")
    for result in results:
        report = result.report
        accepted = report.residual_accepted
        energy = report.pulse_energy_j
        made.add_row(
            result.name,
            f"{report.asymmetry_rms:.3f}",
            f"{report.out_of_reach:.1%}",
            f"{report.accepted:.1%}",
            f"{report.cycles_mean:.1f}",
            f"{report.cycles_p99:.0f}",
            f"{report.pulses_up / report.cells:.0f}",
            f"{report.pulses_down / report.cells:.0f}",
            _percent(report.residual.rms),
            "-" if accepted is None else _percent(accepted.rms),
            "-" if energy is None else f"{energy / report.cells * 1e9:.1f}",
            "-" if report.each_in_turn_s is None else f"{report.each_in_turn_s / report.cells:.1f}",
            f"{result.seconds:.2f}",
        )
    return made


def relaxation(results: list[Result]) -> Table:
    """What a gate that is not isolated does to the cells that were written."""
    made = Table(title=f"rms error over the range, %, after times with {format_quantity(LEAK, 'ohm')} at the gate")
    made.add_column("")
    for t_s in (0.0, *RELAXED):
        made.add_column(format_duration(t_s), justify="right")
    for result in results:
        if result.relaxed:
            made.add_row(result.name, *map(_percent, (result.report.residual.rms, *result.relaxed)))
    return made


def _percent(siemens: float) -> str:
    return f"{100 * siemens / (G_MAX - G_MIN):.2f}"


def plain(results: list[Result]) -> Mapping[str, object]:
    """The results as JSON data."""
    return {
        result.name: {"seconds": result.seconds, "relaxed": result.relaxed, **result.report.to_json()}
        for result in results
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--columns", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    target = np.random.default_rng(0).uniform(G_MIN, G_MAX, (options.rows, options.columns))
    # The first write compiles, or loads what was compiled.
    written("first", SWITCHING["ecram-li"], target[:1, :1], WriteCosts())
    by_drive = list(drives(target))
    by_model = [written(name, model, target, WriteCosts()) for name, model in SWITCHING.items()]
    if options.json:
        print(json.dumps({"drives": plain(by_drive), "models": plain(by_model)}, indent=2))
        return 0
    console = Console()
    console.print(table("Drives", by_drive), relaxation(by_drive), table("Switching models", by_model), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
