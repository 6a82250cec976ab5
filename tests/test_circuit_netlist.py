"""Netlists of tiles: read back by a solver of their own, and by ngspice."""

from __future__ import annotations

import json
import re
import shutil

import ngspice
import numpy as np
import pytest
from circuits import LARGEST_S, Case, cases
from hypothesis import given

from xbarc.errors import UsageError
from xbarc.runtime.circuit.effective import effective_conductances
from xbarc.runtime.circuit.netlist import spice_netlist
from xbarc.runtime.circuit.wiring import Wiring

TITLE = "a tile"
KEPT = json.loads(ngspice.RESULTS.read_text("utf-8"))


def netlist(case: Case) -> str:
    """Of the first input vector."""
    return spice_netlist(case.conductances, case.voltages[0], case.wiring, title=TITLE)


def expected(text: str) -> dict[str, float]:
    """The currents that a netlist tells, by the name of the source that measures them."""
    return {name: float(value) for name, value in re.findall(r"^\* i\((\S+)\) = (\S+)$", text, re.MULTILINE)}


def solved(text: str) -> dict[str, float]:
    """The currents of a netlist by modified nodal analysis, dense: a row a node, and a row a voltage source."""
    lines = text.splitlines()
    body = [line.split() for line in lines[1 : lines.index(".control")] if not line.startswith("*")]
    nodes = sorted({node for fields in body for node in fields[1:3]} - {"0"})
    sources = [fields for fields in body if fields[0][0].lower() == "v"]
    place = {"0": -1} | {node: number for number, node in enumerate(nodes)}
    size = len(nodes) + len(sources)
    # One row more takes what belongs to ground.
    system, right = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for name, one, other, *value in body:
        ends = [place[one], place[other]]
        if name[0].lower() == "r":
            siemens = 1 / float(value[0])
            system[ends, ends] += siemens
            system[ends, ends[::-1]] -= siemens
        else:
            assert value[0] == "DC"
            row = len(nodes) + [source[0] for source in sources].index(name)
            system[row, ends] += [1, -1]
            system[ends, row] += [1, -1]
            right[row] = float(value[1])
    found = np.linalg.solve(system[:size, :size], right[:size])
    # Positive from the first node through the source to the second.
    return {fields[0].lower(): current for fields, current in zip(sources, found[len(nodes) :], strict=True)}


@given(cases(longest=6))
def test_a_netlist_is_the_circuit(case: Case) -> None:
    text = netlist(case)
    told, found = expected(text), solved(text)
    assert len(told) == case.conductances[..., 0, :].size
    currents = case.voltages[0] @ effective_conductances(case.conductances, case.wiring)
    np.testing.assert_allclose(list(told.values()), currents.ravel(), rtol=0, atol=1e-9 * case.scale)
    for name, current in told.items():
        assert found[name] == pytest.approx(current, rel=0, abs=1e-9 * case.scale)


def test_what_a_netlist_says() -> None:
    wiring = Wiring(row_wire_ohm=1.0, column_wire_ohm=2.0, source_ohm=10.0, sense_ohm=20.0)
    text = spice_netlist(np.array([[1e-4, 0.0]]), np.array([0.5]), wiring, title="one row")
    assert (
        text
        == """one row
* 1 rows, 2 columns, 1 cells a site. Ohms, of wires those of a segment:
* row wire 1, column wire 2,
* source 10, sense 20
* Drivers, and the wires of the rows
Vdrive0 drive0 0 DC 0.5
Rrow0_0 drive0 row0_0 11
Rrow0_1 row0_0 row0_1 1
* Cells: plane, row, column
Rcell0_0_0 row0_0 col0_0_0 10000
* The wires of the columns, and their virtual grounds, each with the current expected into it
Rcol0_0_0 col0_0_0 sense0_0 22
* i(vsense0_0) = 4.983554270906e-05
Vsense0_0 sense0_0 0 DC 0
Rcol0_0_1 col0_0_1 sense0_1 22
* i(vsense0_1) = 0.000000000000e+00
Vsense0_1 sense0_1 0 DC 0
.control
set numdgt=15
op
print i(vsense0_0)
print i(vsense0_1)
quit
.endc
.end
"""
    )


@pytest.mark.parametrize("name", KEPT["tiles"])
def test_results_of_ngspice_that_are_kept(name: str) -> None:
    kept = KEPT["tiles"][name]
    case = Case(np.array(kept["conductances"]), np.array([kept["voltages"]]), Wiring(**kept["wiring"]))
    told = list(expected(netlist(case)).values())
    np.testing.assert_allclose(told, kept["currents"], rtol=0, atol=1e-10 * case.scale)


@pytest.mark.skipif(
    shutil.which("ngspice") is None, reason="needs ngspice on the path; its results are kept for others"
)
@pytest.mark.parametrize("shape", [(5, 4), (64, 64), (2, 32, 32)])
def test_ngspice_finds_the_currents_that_a_netlist_tells(shape: tuple[int, ...]) -> None:
    draws = np.random.default_rng(len(shape))
    wiring = Wiring(row_wire_ohm=2.0, column_wire_ohm=3.0, source_ohm=50.0, sense_ohm=20.0)
    case = Case(draws.uniform(0, LARGEST_S, shape), draws.uniform(-0.2, 0.2, (1, shape[-2])), wiring)
    text = netlist(case)
    np.testing.assert_allclose(ngspice.run(text), list(expected(text).values()), rtol=0, atol=1e-9 * case.scale)


@pytest.mark.parametrize("title", ["", "two\nlines"])
def test_titles_that_are_no_line(title: str) -> None:
    wiring = Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0)
    with pytest.raises(UsageError, match=r"the title or note '.*' of a netlist is not one line"):
        spice_netlist(np.ones((1, 1)), np.ones(1), wiring, title=title)
    with pytest.raises(UsageError, match="is not one line"):
        spice_netlist(np.ones((1, 1)), np.ones(1), wiring, title=TITLE, notes=["one line", title])


def test_a_netlist_has_one_input_vector() -> None:
    wiring = Wiring(row_wire_ohm=1.0, column_wire_ohm=1.0)
    with pytest.raises(UsageError, match="do not drive a tile of 1 rows"):
        spice_netlist(np.ones((1, 1)), np.ones(2), wiring, title=TITLE)
