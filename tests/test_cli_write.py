"""``xbarc write`` and ``--write-verify``: pages and JSON say what the chip says, and wrong usage is told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from chips import product
from command import Command
from conftest import ROOT
from networks import network, node

import xbarc
from xbarc.api.chip import Chip
from xbarc.report.rendering import plain_text
from xbarc.report.writing_page import writing_page

X = np.random.default_rng(1).normal(size=(30, 40)).astype(np.float32)
LOOP = "ecram-voltage:v_oc_slope=5e4,step_spread=0.1,cycle_spread=0.3,band=0.01,read_s=1e-6"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=X)
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weight = np.random.default_rng(0).normal(size=(40, 20))
    return product(weight, calibration=X).save(tmp_path_factory.mktemp("program") / "net.xbar.onnx")


def joined(text: str) -> str:
    """A text without its line ends."""
    return " ".join(text.split())


def chip(program: Path, device: str = "generic", seed: int = 0) -> Chip:
    return xbarc.load(program).write(device, seed=seed, programming=LOOP)


def test_a_chip_is_written_told_of_and_kept(command: Command, program: Path) -> None:
    device = "generic:stuck_at_gmax=0.02"
    arguments = ("write", program, "--device", device, "--seed", 3, "--write-verify", LOOP)
    expected = chip(program, device, 3)
    assert expected.writing is not None
    found = command(*arguments, "--json", "--save", "chip.npz").json()
    assert found == expected.writing.to_json() | {"layers": found["layers"], "total": found["total"]}
    assert found["total"]["pulses_up"] == expected.writing.total.pulses_up
    assert found["total"]["faulty"] > 0
    loaded = xbarc.load(program).load_chip("chip.npz")
    np.testing.assert_array_equal(loaded.run(X)["y"], expected.run(X)["y"])
    ran = command(*arguments)
    assert ran.code == 0
    assert ran.out == plain_text(writing_page(expected.writing, title=str(program)))


def test_every_key_is_documented(command: Command, program: Path) -> None:
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "json.md").read_text("utf-8")))
    found = command("write", program, "--write-verify", LOOP, "--json").json()
    total = found["total"]
    every = {*found, *total, *total["residual"], *found["layers"][0]}
    assert every - documented == set()
    assert set(found["layers"][0]) == {*total, "name", "copies"}


def test_a_page_says_what_the_report_says(program: Path) -> None:
    written = chip(program, "generic:stuck_at_gmax=0.02").writing
    assert written is not None
    total, text = written.total, plain_text(writing_page(written, title="net"))
    for line in (
        r"device +generic:stuck_at_gmax=0.02, chip 0",
        r"closed loop +ecram-voltage:v_oc_slope=50000.0,",
        r"range +0 S \.\. 25 uS",
        rf"asymmetry +{total.asymmetry_rms:.4g} rms, {total.asymmetry_largest:.4g} at most",
        rf"reads a cell +{total.cycles_mean:.4g} on average; half of all cells up to {total.cycles_p50:g}, 99 % up",
        r"energy +\d+(\.\d+)? uJ",
        r"time +\d+ (s|min) one cell after another, \d+(\.\d+)? (s|min) all at once",
        rf"{total.faulty} faulty cells do not follow pulses",
    ):
        assert re.search(f"(?m)^{line}", text), line
    row = next(line.split() for line in text.splitlines() if line.startswith("all "))
    assert row[1] == f"{total.cells:,}"
    assert f"{total.pulses_a_cell:.4g}" in row
    unknown = xbarc.load(program).write("generic", programming="ecram-li").writing
    assert unknown is not None
    assert re.search(r"(?m)^energy +unknown\ntime +unknown$", plain_text(writing_page(unknown, title="net")))


def test_copies_are_counted_and_said() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
    model = network([node("Conv", ["x", "w"], "y")], {"x": ("N", 3, 8, 8)}, {"w": weight})
    copied = xbarc.compile(model, replicate=3).write("generic", programming=LOOP).writing
    assert copied is not None
    assert copied.layers[0].copies > 1
    assert "layers lie on the chip several times" in joined(plain_text(writing_page(copied, title="net")))


def test_runs_and_evaluations_are_of_chips_written_so(command: Command, program: Path) -> None:
    ran = command(
        "run", program, "--input", "x.npz", "--output", "y.npz", "--device", "generic", "--write-verify", LOOP
    )
    assert ran.code == 0, ran.err
    with np.load("y.npz") as outputs:
        np.testing.assert_array_equal(outputs["y"], chip(program).run(X)["y"])
    arguments = ("eval", program, "--data", "x.npz", "--metric", "mse", "--device", "generic", "--write-verify", LOOP)
    (entry,) = command(*arguments, "--json").json()["chips"]
    assert entry["programming"].startswith("ecram-voltage:v_oc_slope=50000.0,")
    squared = float(np.square(chip(program).run(X)["y"] - xbarc.load(program).write().run(X)["y"]).mean())
    assert 0 < squared < 0.1
    assert "written in closed loop, ecram-voltage:v_oc_slope" in joined(command(*arguments).out)


def test_netlists_are_of_chips_written_so(command: Command, program: Path) -> None:
    shared = ("export", program, "--tile", 0, "--device", "generic", "--read-voltage", "0.2 V")
    for name, more in (("one.cir", ()), ("two.cir", ("--write-verify", LOOP))):
        assert command(*shared, "--spice", name, *more).code == 0
    one, two = (set(Path(name).read_text("utf-8").splitlines()) for name in ("one.cir", "two.cir"))
    assert len(one - two) > 400  # of 800 cells that hold a weight
    assert len(one & two) > 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("write", "{program}"), "--write-verify"),
        (("write", "{program}", "--write-verify", "ecram-x"), "there is no switching model 'ecram-x'"),
        (("write", "{program}", "--write-verify", "ecram-li:bend=1"), "there is no parameter 'bend'"),
        (
            ("write", "{program}", "--device", "ideal", "--write-verify", "ecram-li"),
            "--write-verify would change nothing",
        ),
        (("eval", "{program}", "--data", "x.npz", "--write-verify", "ecram-li"), "--write-verify would change nothing"),
        (
            ("run", "{program}", "--output", "y.npz", "--write-verify", "ecram-li"),
            "--write-verify would change nothing",
        ),
    ],
)
def test_wrong_usage_is_told(command: Command, program: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = command(*(text.format(program=program) for text in arguments))
    assert ran.code == 2
    assert said in ran.err
    assert not Path("y.npz").exists()
