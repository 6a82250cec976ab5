"""``xbarc report --diff``: what two programs do not agree on, found key by key, and said to people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command import Command
from hypothesis import given, settings
from networks import network, node
from test_report_sums import programs

import xbarc


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def two_products(*, seed: int = 0, names: Sequence[str] = ("first", "y")) -> onnx.ModelProto:
    """Two matrices, and a sum on the host between them."""
    constants = {"a": numbers(20, 12, seed=seed), "c": numbers(12, 6, seed=9)}
    nodes = [
        node("MatMul", ["x", "a"], names[0]),
        node("Relu", [names[0]], "relu"),
        node("MatMul", ["relu", "c"], names[1]),
        node("Softmax", [names[1]], "z"),
        node("Neg", ["z"], "end"),
    ]
    return network(nodes, {"x": ("N", 20)}, constants, outputs=("end",))


def look_up(report: dict[str, Any], key: str) -> Any:
    """What a report says at a path."""
    found: Any = report
    for name in key.split("."):
        found = found[name]
    return ", ".join(map(str, found)) or None if isinstance(found, list) else found


@settings(max_examples=12, deadline=None)
@given(programs(segments=True), programs())
def test_changes_are_exactly_the_keys_that_differ(first: xbarc.Program, second: xbarc.Program) -> None:
    found = first.difference(second)
    reports = [program.report().to_json() for program in (first, second)]
    parts = ("totals", "replication", "schedule")
    for change in found.figures:
        if change.key.split(".")[0] in parts and "layers" not in change.key:
            assert [look_up(report, change.key) for report in reports] == [change.first, change.second]
        assert change.first != change.second
    listed = {change.key for change in found.figures}
    cells = [report["totals"]["cells"] for report in reports]
    for key in cells[0]:
        assert (f"totals.cells.{key}" in listed) == (cells[0][key] != cells[1][key])
    hardware = [program.hardware.to_dict() for program in (first, second)]
    for change in found.hardware:
        assert change.first != change.second
        assert change.key.split(".")[0] in hardware[0] | hardware[1]
    assert (not found.hardware) == (hardware[0] == hardware[1])
    assert found.equal == (first.text() == second.text() and not found.hardware and reports[0] == reports[1])
    back = second.difference(first)
    assert {(change.key, change.second, change.first) for change in back.figures} == {
        (change.key, change.first, change.second) for change in found.figures
    }
    assert [layer.name for layer in back.layers] == [layer.name for layer in found.layers]
    assert first.difference(first).equal


def test_equal_programs_say_so(command: Command) -> None:
    for name in ("a", "b"):
        xbarc.compile(two_products()).save(f"{name}.xbar.onnx")
    ran = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx")
    assert ran.code == 0
    assert re.search(r"in short +the programs are equal", ran.out)
    written = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx", "--json").json()
    assert written["equal"]
    assert (written["first"], written["second"]) == ("a.xbar.onnx", "b.xbar.onnx")
    nothing = ("hardware", "figures", "layers", "only_first", "only_second", "host", "host_only_first")
    assert all(written[key] == [] for key in nothing)
    assert written["same_layers"] == 2


def test_other_hardware(command: Command) -> None:
    model = two_products()
    xbarc.compile(model, calibration=numbers(8, 20)).save("a.xbar.onnx")
    changed = ["tile.rows=8", "weights.slices=2"]
    xbarc.compile(model, calibration=numbers(8, 20), overrides=changed).save("b.xbar.onnx")
    written = command("report", "a.xbar.onnx", "b.xbar.onnx", "--diff", "--json").json()
    assert not written["equal"]
    hardware = {change["key"]: (change["first"], change["second"]) for change in written["hardware"]}
    assert hardware == {"tile.rows": (256, 8), "weights.slices": (1, 2)}
    made = {change["key"]: change for change in written["made"]}
    assert (made["options.overrides"]["first"], made["options.overrides"]["second"]) == (None, ", ".join(changed))
    figures = {change["key"]: change for change in written["figures"]}
    tiles = figures["totals.physical_tiles"]
    assert (tiles["first"], tiles["second"], tiles["ratio"]) == (2, 10, 5.0)  # 3 and 2 row blocks, two slices
    layers = {layer["name"]: layer for layer in written["layers"]}
    assert [change["second"] for change in layers["first"]["changes"] if change["key"] == "physical_tiles"] == [6]
    assert layers["first"]["weights"]
    page = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx").out
    assert re.search(r"physical tiles +2 +10 +x 5\n", page)
    assert re.search(r"tile\.rows +256 -> 8\n", page)
    assert re.search(r"weights\.slices +1 -> 2\n", page)
    assert re.search(r"options\.overrides +- -> tile\.rows=8, weights\.slices=2\n", page)
    assert re.search(r"\nfirst +1 -> 6 .* differ\n", page)
    assert "2 keys of the hardware" in page


def test_other_weights_and_layers_of_one_alone(command: Command) -> None:
    xbarc.compile(two_products()).save("a.xbar.onnx")
    xbarc.compile(two_products(seed=1, names=("first", "last"))).save("b.xbar.onnx")
    written = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx", "--json").json()
    assert (written["only_first"], written["only_second"]) == (["y"], ["last"])
    assert written["hardware"] == []
    (layer,) = written["layers"]
    assert (layer["name"], layer["weights"]) == ("first", True)
    page = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx").out
    assert "only in the first: y\n" in page
    assert "only in the second: last\n" in page
    assert "2 layers or operators of one program alone" in " ".join(page.split())


def test_an_operator_that_moves_to_the_host(command: Command) -> None:
    xbarc.compile(two_products()).save("a.xbar.onnx")
    xbarc.compile(two_products(), host=["y"]).save("b.xbar.onnx")
    page = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx").out
    assert "only in the first: y\n" in page
    assert "only on the host of the second: y\n" in page
    assert "layers without a difference: 1\n" in page


def test_components_and_citations_do_not_fill_the_page(command: Command) -> None:
    for name in ("generic-pcm", "isaac"):
        xbarc.compile(two_products(), hardware=name).save(f"{name}.xbar.onnx")
    both = ("generic-pcm.xbar.onnx", "isaac.xbar.onnx")
    page, written = command("report", "--diff", *both).out, command("report", "--diff", *both, "--json").json()
    keys = {change["key"] for change in written["hardware"]}
    assert {"sources", "description", "components.adc.energy"} <= keys
    hardware = page[page.index("\nHardware\n") :]
    assert re.search(r"\nname +generic-pcm -> isaac\n", hardware)
    assert "components.adc" not in hardware
    assert re.search(r"components of the second alone: .*\badc\b", hardware)
    assert "--json lists them" in hardware


def test_what_a_host_computes_with_is_no_figure(command: Command) -> None:
    """Only a constant on the host differs: no figure does, and still the programs are not equal."""
    for name, constant in (("a", 1.0), ("b", 2.0)):
        constants = {"w": numbers(6, 4), "k": np.float32([[constant]])}
        nodes = [node("MatMul", ["x", "w"], "m"), node("Softmax", ["m"], "s"), node("Pow", ["s", "k"], "y")]
        xbarc.compile(network(nodes, {"x": ("N", 6)}, constants)).save(f"{name}.xbar.onnx")
    written = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx", "--json").json()
    assert (written["equal"], written["figures"], written["layers"], written["host"]) == (False, [], [], [])
    page = command("report", "--diff", "a.xbar.onnx", "b.xbar.onnx").out
    assert "all figures are equal, constants or connections of operators on the host are not" in page


def test_programs_are_counted(command: Command) -> None:
    for arguments, said in (
        (("--diff", "a"), "--diff is of two programs, not of 1"),
        (("--diff", "a", "b", "c"), "--diff is of two programs, not of 3"),
        (("a", "b"), "a report is of one program, not of 2"),
        ((), "a report is of one program, not of 0"),
        (("--diff", "--map", "a", "b"), "--map and --diff are two reports"),
    ):
        ran = command("report", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err
