"""Written chips on the command line, against onnxruntime, which runs what a chip's cells hold."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from command import Command, snapshot

import xbarc
from xbarc.api import series
from xbarc.api.writing import Written
from xbarc.devices.catalogue import DEVICES
from xbarc.devices.parameters import parameters_of
from xbarc.errors import DataError, UsageError

DAY_S = 86400.0


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def program(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits MLP, calibrated."""
    compiled = xbarc.compile(models_dir / "digits_mlp.onnx", calibration=models_dir / "digits_calibration.npz")
    return compiled.save(tmp_path_factory.mktemp("program") / "digits_mlp.xbar.onnx")


@pytest.fixture(scope="module")
def data(models_dir: Path) -> Path:
    return models_dir / "digits_test.npz"


def written_outputs(program: Path, data: Path, *, seed: int, time: str, compensated: bool) -> np.ndarray:
    """Outputs of a chip whose read noise is frozen, by onnxruntime."""
    chip = xbarc.load(program).write("pcm", seed=seed).at(time).compensated(compensated).with_read_noise("frozen")
    session = ort.InferenceSession(chip.model().SerializeToString())
    with np.load(data) as arrays:
        outputs: np.ndarray = session.run(["logits"], {"input": arrays["input"]})[0]
    return outputs


def labels_of(data: Path) -> np.ndarray:
    with np.load(data) as arrays:
        labels: np.ndarray = arrays["labels"]
    return labels


def decibels(signal: np.ndarray, errors: list[np.ndarray]) -> float:
    power = np.mean([np.sum(np.square(error, dtype=np.float64)) for error in errors])
    return float(10 * np.log10(np.sum(np.square(signal, dtype=np.float64)) / power))


@pytest.fixture(scope="module")
def outputs(program: Path, data: Path) -> dict[tuple[int, float, bool], np.ndarray]:
    """By seed, time and compensation."""
    return {
        (seed, time_s, on): written_outputs(program, data, seed=seed, time=time, compensated=on)
        for seed in (5, 6, 7)
        for on in (False, True)
        for time, time_s in (("0", 0.0), ("1d", DAY_S))
    }


def test_eval_measures_each_chip_at_each_time(
    command: Command, program: Path, data: Path, outputs: dict[tuple[int, float, bool], np.ndarray]
) -> None:
    spread = ("--device", "pcm", "--chips", 3, "--seed", 5, "--times", "0,1d", "--compensation", "both")
    result = command("eval", program, "--data", data, *spread, "--read-noise", "frozen", "--json").json()
    accuracy = {where: np.mean(found.argmax(-1) == labels_of(data)) for where, found in outputs.items()}
    measured = {(chip["seed"], chip["time_s"], chip["compensation"] == "layer"): chip for chip in result["chips"]}
    assert len(result["chips"]) == len(accuracy)
    assert {where: chip["accuracy"] for where, chip in measured.items()} == pytest.approx(accuracy)
    assert all(chip["device"] == "pcm" and chip["t0_s"] == 20.0 and chip["reason"] is None for chip in result["chips"])

    conditions = [(entry["compensation"], entry["time_s"]) for entry in result["by_time"]]
    assert conditions == [("off", 0.0), ("off", DAY_S), ("layer", 0.0), ("layer", DAY_S)]
    for entry in result["by_time"]:
        values = [accuracy[seed, entry["time_s"], entry["compensation"] == "layer"] for seed in (5, 6, 7)]
        reach = 4.302653 * np.std(values, ddof=1) / np.sqrt(3)  # Student's quantile for two degrees of freedom
        assert entry["count"] == 3
        assert entry["mean"] == pytest.approx(np.mean(values))
        assert entry["deviation"] == pytest.approx(np.std(values, ddof=1))
        low, high = np.mean(values) - reach, min(np.mean(values) + reach, 1.0)
        assert entry["interval_95"] == pytest.approx([low, high], rel=1e-6)


def test_the_ratio_of_the_last_layer_is_that_of_the_outputs(
    command: Command, program: Path, data: Path, outputs: dict[tuple[int, float, bool], np.ndarray]
) -> None:
    """The last layer of this network makes the output: onnxruntime gives both sides."""
    with np.load(data) as arrays:
        ideal = ort.InferenceSession(str(program)).run(["logits"], {"input": arrays["input"][:64]})[0]
    spread = ("--device", "pcm", "--chips", 3, "--seed", 5, "--times", "1d", "--compensation", "on")
    result = command("eval", program, "--data", data, *spread, "--read-noise", "frozen", "--json").json()
    errors = {seed: outputs[seed, DAY_S, True][:64] - ideal for seed in (5, 6, 7)}
    assert result["snr_samples"] == 64
    for chip in result["chips"]:
        assert chip["layer_snr_db"]["fc3"] == pytest.approx(decibels(ideal, [errors[chip["seed"]]]), abs=1e-4)
    (entry,) = result["by_time"]
    assert entry["layer_snr_db"]["fc3"] == pytest.approx(decibels(ideal, list(errors.values())), abs=1e-4)


def table(text: str, title: str) -> list[list[str]]:
    """The words of the rows of a plain table, its headings first."""
    lines = text[text.index(title) :].split("\n\n")[0].splitlines()
    return [line.split() for line in lines[1:] if not set(line) <= {"-", " "}]


def test_the_table_says_what_the_json_says(command: Command, program: Path, data: Path) -> None:
    arguments = ("eval", program, "--data", data, "--device", "pcm", "--chips", 3, "--times", "0,1d,1y")
    result = command(*arguments, "--compensation", "both", "--json").json()
    ran = command(*arguments, "--compensation", "both")
    assert (ran.code, ran.err) == (0, "")
    rows = table(ran.out, "3 chips (seeds 0 to 2) of pcm\n")[2:8]
    for row, entry in zip(rows, result["by_time"], strict=True):
        low, high = entry["interval_95"]
        time = {0.0: ["0"], DAY_S: ["1", "day"], 365 * DAY_S: ["1", "year"]}[entry["time_s"]]
        numbers = [f"{100 * value:.2f}" for value in (entry["mean"], entry["deviation"], low, high)]
        assert row == [
            *time,
            entry["compensation"],
            numbers[0],
            "%",
            numbers[1],
            "%",
            numbers[2],
            "..",
            numbers[3],
            "%",
        ]
    assert "time 0 is 20 s after programming" in ran.out
    assert "an inference of 1 ms" in ran.out
    ratios = table(ran.out, "Signal to noise of layers in dB, with drift compensation")
    assert ratios[0] == ["layer", "0", "1", "day", "1", "year"]
    shown = [entry["layer_snr_db"] for entry in result["by_time"] if entry["compensation"] == "layer"]
    assert ratios[1:4] == [[name, *(f"{entry[name]:.1f}" for entry in shown)] for name in ("fc1", "fc2", "fc3")]


def test_one_chip_is_one_value(command: Command, program: Path, data: Path) -> None:
    arguments = ("eval", program, "--data", data, "--device", "pcm:read_scale=0.5", "--seed", 4)
    result = command(*arguments, "--json").json()
    (chip,), (entry,) = result["chips"], result["by_time"]
    assert (chip["seed"], chip["time_s"], chip["compensation"]) == (4, 0.0, "off")
    assert (entry["count"], entry["deviation"], entry["interval_95"]) == (1, None, None)
    assert entry["mean"] == chip["accuracy"]
    assert chip["device"] == "pcm:read_scale=0.5"
    out = command(*arguments).out
    rows = table(out, "1 chip (seed 4) of pcm:read_scale=0.5, without drift compensation")
    assert rows[:2] == [["time", "top-1"], ["0", f"{100 * chip['accuracy']:.2f}", "%"]]
    assert "deviation" not in out


def test_the_ideal_device_has_no_chips(command: Command, program: Path, data: Path) -> None:
    for device in ([], ["--device", "ideal"]):
        ran = command("eval", program, "--data", data, *device)
        assert ran.code == 0
        assert "chip" not in ran.out
    result = command("eval", program, "--data", data, "--json").json()
    assert (result["chips"], result["by_time"], result["snr_samples"]) == ([], [], 0)


def test_a_missing_figure_has_its_reason_for_chips_too(
    command: Command, models_dir: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path("net.onnx")
    source.write_bytes((models_dir / "digits_mlp.onnx").read_bytes())
    assert command("compile", source).code == 0
    source.unlink()
    arguments = ("eval", "net.xbar.onnx", "--data", data, "--metric", "snr", "--device", "pcm", "--chips", 2)
    result = command(*arguments, "--json").json()
    for entry in (*result["chips"], *result["by_time"]):
        assert entry.get("accuracy") is entry.get("mean") is None
        assert "snr compares with the float network" in entry["reason"]
    ran = command(*arguments)
    assert ran.code == 0
    assert table(ran.out, "2 chips (seeds 0, 1) of pcm")[2] == ["0", "none", "none", "-"]
    assert "0: none, the chip of seed 0 has none: snr compares with the float network" in ran.out


def test_a_metric_in_units_keeps_them(command: Command, program: Path, data: Path) -> None:
    arguments = ("eval", program, "--data", data, "--metric", "snr", "--device", "pcm", "--chips", 2)
    (entry,) = command(*arguments, "--json").json()["by_time"]
    low, high = entry["interval_95"]
    assert 1 < entry["mean"] < high  # decibels are not held within 0..1
    row = table(command(*arguments).out, "2 chips (seeds 0, 1) of pcm")[2]
    assert row[:5] == ["0", f"{entry['mean']:.4g}", "dB", f"{entry['deviation']:.4g}", "dB"]
    assert row[5:] == [f"{low:.4g}", "..", f"{high:.4g}", "dB"]


def test_one_chip_is_in_memory_at_a_time_on_one_thread(
    command: Command, program: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells: list[weakref.ref[np.ndarray]] = []
    chips: list[weakref.ref[xbarc.Chip]] = []
    write_chip = series.write_chip

    def write(*arguments: Any, **options: Any) -> Written:
        assert [alive for alive in cells if alive() is not None] == []
        written = write_chip(*arguments, **options)
        cells.extend(weakref.ref(layer.programmed) for layer in written.cells.values())
        return written

    class Chip(xbarc.Chip):
        def __init__(self, *arguments: Any) -> None:
            assert [alive for alive in chips if alive() is not None] == []
            super().__init__(*arguments)
            chips.append(weakref.ref(self))

    monkeypatch.setattr(series, "write_chip", write)
    monkeypatch.setattr(series, "Chip", Chip)
    ran = command("eval", program, "--data", data, "--device", "pcm", "--chips", 3, "--times", "0,1d", "--threads", 1)
    assert ran.code == 0, ran.err
    assert (len(cells), len(chips)) == (3 * 3, 3 * 2)


def test_progress_names_chips_and_times_and_counts_all_samples(program: Path, data: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    loaded = xbarc.load(program)
    chips = loaded.series("pcm", seeds=[7, 9], times=["0", "1d"], compensated=[True])
    loaded.write(threads=1).evaluate(data, chips=chips, progress=lambda *news: told.append(news))
    assert [news[1:] for news in told] == [(450 * part, 450 * 5) for part in range(1, 6)]
    assert [news[0] for news in told] == [
        "ideal device",
        *(f"chip {seed} at {time}, compensated" for seed in (7, 9) for time in ("0 s", "1 day")),
    ]


def test_what_no_series_can_do_is_said_before_anything_is_measured(program: Path, data: Path) -> None:
    loaded = xbarc.load(program)
    with np.load(data) as arrays:
        batches = [(arrays["input"][:8], arrays["labels"][:8])]
    chip = loaded.write("pcm")
    assert chip.evaluate(batches).chips[0].figure.value is not None
    with pytest.raises(DataError, match="an iterator gives its batches once"):
        chip.evaluate(iter(batches))
    with pytest.raises(UsageError, match="no chips to tell apart"):
        chip.evaluate(batches, chips=[loaded.write()])
    with pytest.raises(UsageError, match="all chips of the ideal device are one"):
        loaded.series("ideal", seeds=[1])
    with pytest.raises(UsageError, match="a seed is given twice"):
        loaded.series("pcm", seeds=[1, 1])
    with pytest.raises(UsageError, match="a series without a chip"):
        loaded.series("pcm", seeds=[1], times=[])
    with pytest.raises(UsageError, match=r"the time -1\.0 s is not a time"):
        loaded.series("pcm", seeds=[1], times=[-1])
    with pytest.raises(UsageError, match="unknown read noise 'slow'"):
        chip.with_read_noise("slow")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has no duration"):
        chip.with_inference_time(float("inf"))


def run_logits(command: Command, program: Path, data: Path, *options: object) -> np.ndarray:
    ran = command("run", program, "--input", data, "--output", "y.npz", *options)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    with np.load("y.npz") as outputs:
        logits: np.ndarray = outputs["logits"]
    return logits


def test_run_on_a_chip_gives_what_onnxruntime_gives(
    command: Command, program: Path, data: Path, outputs: dict[tuple[int, float, bool], np.ndarray]
) -> None:
    frozen = ("--device", "pcm", "--seed", 6, "--read-noise", "frozen")
    for options, where in (
        ((), (6, 0.0, False)),
        (("--time", "1d"), (6, DAY_S, False)),
        (("--time", "24 h", "--compensation", "on"), (6, DAY_S, True)),
    ):
        found = run_logits(command, program, data, *frozen, *options)
        np.testing.assert_array_equal(found, outputs[where], strict=True)


def test_run_draws_read_noise_as_it_is_told(command: Command, program: Path, data: Path) -> None:
    def logits(*options: object) -> np.ndarray:
        return run_logits(command, program, data, "--device", "pcm", *options)

    usual = logits()
    np.testing.assert_array_equal(logits("--seed", 0, "--time", "0", "--read-noise", "split"), usual)
    np.testing.assert_array_equal(logits("--inference-time", "1 ms", "--compensation", "off"), usual)
    for options in (
        ["--seed", 1],
        ["--inference-time", "1us"],
        ["--read-noise", "frozen"],
        ["--read-noise", "per-read"],
    ):
        assert np.any(logits(*options) != usual)
    # Nothing is faster than an inference as short as two read pulses, nothing slower than one as long as all the time.
    frozen, per_read = (logits("--read-noise", kind) for kind in ("frozen", "per-read"))
    np.testing.assert_array_equal(logits("--inference-time", "500ns"), frozen)
    np.testing.assert_array_equal(logits("--inference-time", "1min"), per_read)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_shown_with_its_parameters(command: Command, name: str) -> None:
    device = DEVICES[name]
    out = command("device", "show", name).out
    words = " ".join(out.split())
    assert device.description in words
    assert all(source in words for source in device.sources)
    for declared in parameters_of(device):
        assert re.search(rf"(?m)^{declared.name} +{declared.default:g} ", out)
        assert declared.meaning.split()[-1] in words
    assert ("20 s after programming" in out) == (name == "pcm")
    assert ("Parameters" in out) == (name != "ideal")


def test_a_device_is_shown_as_it_was_given(command: Command) -> None:
    given = "pcm:read_scale=0.12345678,stuck_at_gmin=0.5"
    out = command("device", "show", given).out
    assert re.search(r"(?m)^read_scale +0\.12345678 ", out)
    assert re.search(r"(?m)^stuck_at_gmin +0\.5 ", out)
    shown = command("device", "show", given, "--json").json()["device"]
    values = {parameter["name"]: parameter["value"] for parameter in shown["parameters"]}
    assert (values["read_scale"], values["stuck_at_gmin"], values["drift_scale"]) == (0.12345678, 0.5, 1.0)


def test_eval_writes_nothing(command: Command, program: Path, data: Path) -> None:
    assert command("eval", program, "--data", data, "--device", "pcm").code == 0
    assert snapshot(Path.cwd()) == {}
