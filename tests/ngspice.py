"""What ngspice finds for small tiles: run as a script, it writes the results that are kept beside it anew.

``python tests/ngspice.py`` needs ngspice on the path.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from circuits import Case

from xbarc.runtime.circuit.netlist import spice_netlist
from xbarc.runtime.circuit.wiring import Wiring

RESULTS = Path(__file__).with_name("ngspice_currents.json")


def small_tiles() -> dict[str, Case]:
    """Tiles by name, each with one input vector."""
    draws = np.random.default_rng(2024)

    def tile(*shape: int, **ohms: float) -> Case:
        # Few digits: people read the file too.
        cells = np.round(draws.uniform(0, 1e-4, shape), 9)
        cells[draws.random(shape) < 0.2] = 0
        return Case(cells, np.round(draws.uniform(-0.2, 0.2, (1, shape[-2])), 5), Wiring(**ohms))

    return {
        "all resistances": tile(5, 4, row_wire_ohm=3.0, column_wire_ohm=2.0, source_ohm=50.0, sense_ohm=20.0),
        "planes": tile(2, 4, 3, row_wire_ohm=100.0, column_wire_ohm=250.0, source_ohm=10.0, sense_ohm=0.0),
        "ideal rows": tile(6, 5, row_wire_ohm=0.0, column_wire_ohm=40.0, source_ohm=0.0, sense_ohm=5.0),
        "ideal columns": tile(5, 6, row_wire_ohm=40.0, column_wire_ohm=0.0, source_ohm=5.0, sense_ohm=0.0),
        "only ends": tile(4, 4, row_wire_ohm=0.0, column_wire_ohm=0.0, source_ohm=500.0, sense_ohm=900.0),
        "no resistance": tile(3, 3, row_wire_ohm=0.0, column_wire_ohm=0.0),
    }


def run(netlist: str) -> np.ndarray:
    """The currents that ngspice prints for a netlist, in amperes, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tile.cir"
        path.write_text(netlist, encoding="utf-8")
        ran = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, check=True)
    return np.array([float(found) for found in re.findall(r"^i\(vsense\d+_\d+\) = (\S+)", ran.stdout, re.MULTILINE)])


def main() -> None:
    """Write the results."""
    version = subprocess.run(["ngspice", "--version"], capture_output=True, text=True, check=True).stdout
    found = {
        name: {
            "conductances": case.conductances.tolist(),
            "voltages": case.voltages[0].tolist(),
            "wiring": asdict(case.wiring),
            "currents": run(spice_netlist(case.conductances, case.voltages[0], case.wiring, title=name)).tolist(),
        }
        for name, case in small_tiles().items()
    }
    made_by = next(iter(re.findall(r"ngspice-\S+", version)), "ngspice")
    text = json.dumps({"simulator": made_by, "tiles": found}, indent=1)
    beside = RESULTS.with_suffix(".part")
    beside.write_text(re.sub(r"\s+(?=[-\d\]])", " ", text) + "\n", encoding="utf-8")
    beside.rename(RESULTS)


if __name__ == "__main__":
    main()
