"""Repairs on the command line: figures of chips that are repaired, and what the table says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st

import xbarc
from xbarc.api.data import open_data, samples_from_arrays, samples_from_batches
from xbarc.api.specs import InputSpec
from xbarc.report.evaluation import Compensation

HOUR_S = 3600.0


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def program(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiled = xbarc.compile(models_dir / "digits_mlp.onnx", calibration=models_dir / "digits_calibration.npz")
    return compiled.save(tmp_path_factory.mktemp("program") / "digits_mlp.xbar.onnx")


@pytest.fixture
def arguments(models_dir: Path, program: Path) -> tuple[object, ...]:
    usual = ("--device", "pcm", "--seed", 3, "--read-noise", "frozen")
    return ("eval", program, "--data", models_dir / "digits_test.npz", *usual)


@pytest.fixture
def sample(models_dir: Path) -> Path:
    return models_dir / "digits_calibration.npz"


def accuracy(chip: xbarc.Chip, models_dir: Path) -> float:
    with np.load(models_dir / "digits_test.npz") as data:
        return float((chip.run(data["input"])["logits"].argmax(-1) == data["labels"]).mean())


@pytest.mark.parametrize("moment", [None, "0"])
def test_eval_repairs_each_chip(
    command: Command, program: Path, models_dir: Path, arguments: tuple[object, ...], sample: Path, moment: str | None
) -> None:
    """At each time anew, or once and for all; the sample counts from its first on."""
    repairs = ("--repair", "recalibrate,retune", "--calibrate", sample, "--calibrate-samples", 50)
    when = () if moment is None else ("--repair-time", moment)
    result = command(*arguments, "--times", "0,1h", "--compensation", "column", *repairs, *when, "--json").json()
    with np.load(sample) as data:
        first = data["input"][:50]
    for chip, time_s in zip(result["chips"], (0.0, HOUR_S), strict=True):
        repaired_s = time_s if moment is None else 0.0
        assert (chip["retuned_s"], chip["recalibrated_s"]) == (repaired_s, repaired_s)
        assert (chip["time_s"], chip["compensation"]) == (time_s, "column")
        ours = xbarc.load(program).write("pcm", seed=3).with_read_noise("frozen").compensated("column")
        ours = ours.at(repaired_s).retuned(first).recalibrated(first).at(time_s)
        assert chip["accuracy"] == accuracy(ours, models_dir)
        assert result["by_time"][int(time_s > 0)]["recalibrated_s"] == repaired_s


def test_the_table_says_which_repairs_were_made(command: Command, arguments: tuple[object, ...], sample: Path) -> None:
    repairs = ("--repair", "retune", "--calibrate", sample)
    out = command(*arguments, "--times", "0,1h", "--compensation", "both", *repairs, "--repair-time", "0").out
    rows = [line.split() for line in out.splitlines()]
    repaired = [row[:-2] for row in rows if "retuned" in row and row[0] in ("0", "1")]
    assert repaired == [
        ["0", "off", "retuned"],
        ["1", "h", "off", "retuned", "at", "0"],
        ["0", "layer", "retuned"],
        ["1", "h", "layer", "retuned", "at", "0"],
    ]
    assert "retuned: ranges of ADCs are chosen anew, from currents of the chip over a sample" in out
    assert "Signal to noise of layers in dB, with drift compensation, retuned\n" in out
    assert "recalibrated" not in out
    out = command(*arguments, "--repair", "recalibrate", "--calibrate", sample, "--compensation", "column").out
    assert "of pcm, with drift compensation by column\n" in out
    assert "recalibrated: each column has a scale and an offset, fitted to the ideal device's outputs" in out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--repair", "retune"), "repairs measure on a calibration sample, and none is given"),
        (("--repair", "retune,paint", "--calibrate"), "there is no repair 'paint'"),
        (("--calibrate",), "a sample or a time for repairs, and no repair"),
        (("--repair-time", "0"), "a sample or a time for repairs, and no repair"),
        (("--calibrate-samples", 5), "--calibrate-samples says how much of a sample to use, and there is none"),
        (("--repair", "recalibrate", "--calibrate-samples", 9, "--calibrate"), "the calibration sample is too small"),
        (("--device", "ideal", "--repair", "retune"), "--repair would change nothing"),
    ],
)
def test_repairs_that_cannot_be_made(
    command: Command, arguments: tuple[object, ...], sample: Path, options: tuple[object, ...], says: str
) -> None:
    given = (*options, sample) if options[-1] == "--calibrate" else options
    usual = arguments[:4] if "ideal" in options else arguments
    ran = command(*usual, *given)
    assert ran.code != 0
    assert says in ran.err


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(1, 900), st.integers(1, 300))
def test_the_first_samples_are_those_of_any_form(sizes: list[int], count: int, batch: int) -> None:
    """Whatever batches they come in and go out in; all where there are fewer."""
    x = np.arange(3 * sum(sizes), dtype=np.float32).reshape(-1, 3)
    specs = [InputSpec("x", np.dtype("float32"), (None, 3))]
    batches = np.split(x, np.cumsum(sizes)[:-1])
    for samples in (samples_from_arrays(x, specs), samples_from_batches(batches, specs)):
        first = samples.first(count)
        for _ in range(2):  # as often as one likes
            read = [inputs["x"] for inputs in first.batches(batch)]
            assert {len(each) for each in read[:-1]} <= {batch}
            np.testing.assert_array_equal(np.concatenate(read), x[:count])
        assert first.count == len(x[:count])


def test_run_compensates_by_column(command: Command, program: Path, models_dir: Path, tmp_path: Path) -> None:
    chip = xbarc.load(program).write("pcm", seed=0).at("1d")
    (spec,) = xbarc.load(program).inputs
    samples = open_data(models_dir / "digits_test.npz", [spec])
    wanted: dict[str, Compensation] = {"column": "column", "layer": "layer", "on": "layer", "off": "off"}
    for option, on in wanted.items():
        out = tmp_path / f"{option}.npz"
        options = ("--device", "pcm", "--time", "1d", "--compensation", option, "--output", out)
        assert command("run", program, "--input", models_dir / "digits_test.npz", *options).code == 0
        with np.load(out) as found:
            np.testing.assert_array_equal(found["logits"], chip.compensated(on).run(samples)["logits"])
