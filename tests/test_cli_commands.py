"""What each command does, against onnxruntime and the plain functions behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from command import Command, snapshot
from networks import network, node

import xbarc
from xbarc.devices.catalogue import DEVICES
from xbarc.hardware.load import load_hardware, preset_names
from xbarc.hardware.schema import Hardware
from xbarc.report.utilisation import report_schema

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    ["check"],
    ["compile"],
    ["run"],
    ["eval"],
    ["write"],
    ["report"],
    ["inspect"],
    ["export"],
    ["hardware", "list"],
    ["hardware", "show"],
    ["hardware", "new"],
    ["device", "list"],
    ["device", "show"],
)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def program(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits CNN, calibrated."""
    compiled = xbarc.compile(models_dir / "digits_cnn.onnx", calibration=models_dir / "digits_calibration.npz")
    return compiled.save(tmp_path_factory.mktemp("program") / "digits_cnn.xbar.onnx")


@pytest.fixture(scope="module")
def uncalibrated(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits MLP, with ranges from random inputs."""
    compiled = xbarc.compile(models_dir / "digits_mlp.onnx")
    return compiled.save(tmp_path_factory.mktemp("program") / "digits_mlp.xbar.onnx")


def onnxruntime_outputs(path: Path, inputs: np.ndarray) -> np.ndarray:
    output: np.ndarray = ort.InferenceSession(str(path)).run(["logits"], {"input": inputs})[0]
    return output


def all_keys(value: Any) -> Iterator[str]:
    """Every key of nested JSON, but for names that the user's files give."""
    match value:
        case dict():
            for key, inner in value.items():
                yield key
                if key not in ("folded", "reasons", "layer_snr_db"):
                    yield from all_keys(inner)
        case list():
            for inner in value:
                yield from all_keys(inner)


def test_the_version_is_the_packages(command: Command) -> None:
    ran = command("--version")
    assert (ran.code, ran.out) == (0, f"xbarc {xbarc.__version__}\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(command: Command, words: list[str]) -> None:
    ran = command(*words, "--help")
    assert ran.code == 0
    example = ran.out.partition("Example:")[2].split()
    assert example[: len(words) + 1] == ["xbarc", *words]
    options = [word for word in example if word.startswith("--")]
    assert all(re.search(rf"(?m)^  (-\w, )?{option}\b", ran.out) for option in options)


def test_help_names_every_command(command: Command) -> None:
    ran = command("--help")
    assert ran.code == 0
    assert {words[0] for words in COMMANDS} <= set(re.findall(r"(?m)^  (\w+)  ", ran.out))
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert ran.out.isascii()


def test_check_tells_operators_apart(command: Command, models_dir: Path) -> None:
    ran = command("check", models_dir / "digits_cnn.onnx")
    assert (ran.code, ran.err) == (0, "")
    rows = {line.split()[0]: line.split() for line in ran.out.splitlines() if line}
    assert rows["conv2"][:5] == ["conv2", "Conv", "tiles", "73.7", "k"]
    assert rows["relu1"] == ["relu1", "Relu", "host", "-", "no", "matrix", "product"]
    assert "2 BatchNormalization" in ran.out


def test_check_counts_the_arithmetic(command: Command, models_dir: Path) -> None:
    """84,224 multiply-accumulates: 64 windows of 9 x 16, 16 of 144 x 32, one of 128 x 10."""
    report = command("check", models_dir / "digits_cnn.onnx", "--json").json()
    macs = {operator["name"]: operator["macs"] for operator in report["operators"] if operator["analog"]}
    assert macs == {"conv1": 64 * 9 * 16, "conv2": 16 * 144 * 32, "fc": 128 * 10}
    assert (report["analog_macs"], report["host_macs"], report["analog_share"]) == (84_224, 0, 1.0)
    forced = command("check", models_dir / "digits_cnn.onnx", "--host", "conv*", "--analog", "conv2", "--json").json()
    analog = {operator["name"] for operator in forced["operators"] if operator["analog"]}
    assert analog == {"conv2", "fc"}
    assert forced["host_macs"] == macs["conv1"]
    assert forced["analog_share"] == pytest.approx((macs["conv2"] + macs["fc"]) / 84_224)


def test_check_counts_what_open_sizes_are_given_for(command: Command) -> None:
    """A recurrent layer of 20 steps: 20 x (4 x 12 + 3 x 12) multiply-accumulates a sample."""
    shapes = {"x": ["batch", "time", 4]}
    weights = {"W": np.ones((1, 12, 4), np.float32), "R": np.ones((1, 12, 3), np.float32)}
    steps = [node("Transpose", ["x"], "t", perm=[1, 0, 2]), node("LSTM", ["t", "W", "R"], "y", hidden_size=3)]
    onnx.save(network(steps, shapes, weights), "lstm.onnx")
    assert "give them with --size" in command("check", "lstm.onnx").out
    report = command("check", "lstm.onnx", "--size", "time=20", "--json").json()
    assert (report["analog_macs"], report["analog_share"]) == (20 * (4 * 12 + 3 * 12), 1.0)
    wrong = command("check", "lstm.onnx", "--size", "length=20")
    assert (wrong.code, wrong.out) == (2, "")
    assert "no input has a size called 'length'" in wrong.err
    assert "open sizes are: batch, time" in wrong.err
    assert "--size time is not NAME=N" in command("check", "lstm.onnx", "--size", "time").err


def test_check_does_not_claim_to_know_what_is_inside_an_operator(command: Command) -> None:
    model = network(
        [node("LSTM", ["x", "W", "R"], "h", hidden_size=3), node("MatMul", ["h", "M"], "y")],
        {"x": ["T", "N", 4], "W": [1, 12, 4], "R": [1, 12, 3]},
        {"M": np.ones((3, 2), np.float32)},
    )
    onnx.save(model, "lstm.onnx")
    report = command("check", "lstm.onnx", "--json").json()
    lstm, product = report["operators"]
    assert (lstm["macs"], lstm["analog"], report["analog_share"]) == (None, False, None)
    assert "not constant" in lstm["reason"]
    assert product["analog"]


def test_compile_writes_what_the_function_compiles(command: Command, models_dir: Path, program: Path) -> None:
    ran = command("compile", models_dir / "digits_cnn.onnx", "--calibrate", models_dir / "digits_calibration.npz")
    assert (ran.code, ran.err) == (0, "")
    assert list(snapshot(Path.cwd())) == ["digits_cnn.xbar.onnx"]
    assert Path("digits_cnn.xbar.onnx").read_bytes() == program.read_bytes()
    assert ran.out.startswith("Wrote digits_cnn.xbar.onnx\n")
    assert "3 logical, 3 physical" in ran.out


def test_compile_says_in_json_what_it_made(command: Command, models_dir: Path) -> None:
    model = models_dir / "digits_cnn.onnx"
    ran = command(
        "compile", model, "-o", "p.onnx", "--set", "tile.rows=64", "--set", "adc.bits=6", "--host", "fc", "--json"
    )
    made = ran.json()
    report = xbarc.load("p.onnx").report()
    assert (made["source"], made["program"]) == (str(model), "p.onnx")
    assert made["overrides"] == ["tile.rows=64", "adc.bits=6"]
    assert (made["layers"], made["totals"]["physical_tiles"]) == (2, report.totals.physical_tiles) == (2, 1 + 3)
    assert made["totals"]["host_macs"] == 1280
    assert not made["calibrated"]
    assert len(made["warnings"]) == 1
    assert ran.err.startswith("warning: uncalibrated: ")


def test_compile_takes_a_hardware_file_and_dumps_each_pass(command: Command, models_dir: Path) -> None:
    preset = Path(xbarc.__file__).parent / "hardware" / "presets" / "generic-pcm.toml"
    Path("mine.toml").write_text(preset.read_text("utf-8").replace('name = "generic-pcm"', 'name = "mine"'), "utf-8")
    ran = command(
        "compile", models_dir / "digits_mlp.onnx", "--hardware", "mine.toml", "--dump-folder", "dumps", "--json"
    )
    assert ran.json()["hardware"] == "mine"
    dumps = sorted(path.name for path in Path("dumps").iterdir())
    assert [name[:2] for name in dumps] == [f"{number:02d}" for number in range(1, len(dumps) + 1)]
    assert "stage placed" in Path("dumps", dumps[-1]).read_text("utf-8")


def test_nothing_to_calibrate_is_no_warning(command: Command, models_dir: Path) -> None:
    ran = command("compile", models_dir / "digits_mlp.onnx", "--hardware", "exact")
    assert (ran.code, ran.err) == (0, "")
    assert "UNCALIBRATED" not in ran.out


@pytest.mark.parametrize("arguments", [["report"], ["eval", "--data", "DATA"]], ids=lambda words: str(words[0]))
def test_every_report_says_that_a_program_is_uncalibrated(
    command: Command, models_dir: Path, uncalibrated: Path, arguments: list[str]
) -> None:
    data = str(models_dir / "digits_test.npz")
    ran = command(*(data if word == "DATA" else word for word in arguments), uncalibrated)
    assert ran.code == 0
    assert "UNCALIBRATED" in ran.out
    assert ran.err.startswith("warning: uncalibrated: ")


def test_run_gives_what_onnxruntime_gives(command: Command, models_dir: Path, program: Path) -> None:
    data = models_dir / "digits_test.npz"
    ran = command("run", program, "--input", data, "--output", "y.npz", "--threads", 2)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    with np.load("y.npz") as outputs, np.load(data) as inputs:
        assert outputs.files == ["logits"]
        np.testing.assert_array_equal(outputs["logits"], onnxruntime_outputs(program, inputs["input"]), strict=True)


def test_run_reads_a_folder_of_arrays(command: Command, models_dir: Path, program: Path) -> None:
    with np.load(models_dir / "digits_test.npz") as data:
        images = (data["input"] * 16).astype(np.uint8)  # another type, cast to the model's
    Path("images").mkdir()
    np.save("images/input.npy", images)
    assert command("run", program, "--input", "images", "--output", "y.npz").code == 0
    with np.load("y.npz") as outputs:
        expected = onnxruntime_outputs(program, images.astype(np.float32))
        np.testing.assert_array_equal(outputs["logits"], expected, strict=True)


def test_eval_gives_the_accuracy_that_onnxruntime_gives(command: Command, models_dir: Path, program: Path) -> None:
    with np.load(models_dir / "digits_test.npz") as data:
        images, labels = data["input"], data["labels"]
    chosen = {
        "float": onnxruntime_outputs(models_dir / "digits_cnn.onnx", images).argmax(-1),
        "ideal": onnxruntime_outputs(program, images).argmax(-1),
    }
    result = command("eval", program, "--data", models_dir / "digits_test.npz", "--json").json()
    assert result["samples"] == 450
    for name, classes in chosen.items():
        assert result[name] == pytest.approx(np.mean(classes == labels))
        low, high = result["interval_95"][name]
        assert low < result[name] < high
    assert result["agreement"]["ideal"] == pytest.approx(np.mean(chosen["ideal"] == chosen["float"]))
    ran = command("eval", program, "--data", models_dir / "digits_test.npz")
    shown = next(line for line in ran.out.splitlines() if line.startswith("ideal device"))
    assert f"{100 * result['ideal']:.2f} %" in shown
    assert f"{100 * result['agreement']['ideal']:.2f} %" in shown


def test_eval_gives_the_reason_for_a_missing_figure(
    command: Command, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path("net.onnx")
    source.write_bytes((models_dir / "digits_mlp.onnx").read_bytes())
    assert command("compile", source).code == 0
    source.unlink()
    arguments = ("eval", "net.xbar.onnx", "--data", models_dir / "digits_test.npz")
    result = command(*arguments, "--json").json()
    assert result["float"] is None
    assert "is gone" in result["reasons"]["float"]
    assert result["ideal"] > 0.9
    ran = command(*arguments)
    assert ran.code == 0
    assert "is gone" in ran.out.replace("\n", " ")
    again = command(*arguments, "--reference", models_dir / "digits_mlp.onnx", "--json").json()
    assert again["float"] > 0.9
    assert "float" not in again["reasons"]


def test_eval_measures_what_it_is_asked_for(command: Command, models_dir: Path, program: Path) -> None:
    with np.load(models_dir / "digits_test.npz") as data:
        images = data["input"]
    exact, ideal = (onnxruntime_outputs(path, images) for path in (models_dir / "digits_cnn.onnx", program))
    result = command(
        "eval", program, "--data", models_dir / "digits_test.npz", "--metric", "mse", "--output", "logits", "--json"
    ).json()
    assert (result["metric"], result["float"]) == ("mse", None)
    assert result["ideal"] == pytest.approx(np.mean((ideal - exact) ** 2), rel=1e-4)


def test_report_is_the_functions_report(command: Command, program: Path) -> None:
    assert command("report", program, "--json").json() == xbarc.load(program).report().to_json()
    ran = command("report", program)
    assert (ran.code, ran.err) == (0, "")
    for title in ("Layers on tiles", "Cells of used tiles", "Converters", "Operators on the host"):
        assert title in ran.out.splitlines()


def test_a_report_names_products_on_the_host_and_layers_of_which_less_is_promised(
    command: Command, models_dir: Path
) -> None:
    made = command("compile", models_dir / "digits_mlp.onnx", "--hardware", "exact", "--host", "fc3", "-o", "p.onnx")
    assert made.code == 0, made.err
    ran = command("report", "p.onnx")
    row = next(line for line in ran.out.splitlines() if line.startswith("fc3"))
    assert row.split() == ["fc3", "Gemm", "640", "left", "digital", "by", "'fc3'"]
    assert "onnxruntime may differ in the last bits at fc1, fc2: its DAC has unlimited resolution" in ran.out


def test_inspect_prints_models_and_programs(command: Command, models_dir: Path, program: Path) -> None:
    assert command("inspect", program).out == xbarc.load(program).text() + "\n"
    lowered, host = (
        command("inspect", models_dir / "digits_cnn.onnx", "--stage", stage).out for stage in ("lowered", "host")
    )
    assert 'matvec "conv1"' in lowered
    assert "BatchNormalization" not in lowered
    assert 'Conv "conv1"' in host
    assert "BatchNormalization" in host
    assert command("inspect", models_dir / "digits_cnn.onnx").out == lowered


def test_hardware_is_listed_and_shown(command: Command) -> None:
    listed = command("hardware", "list", "--json").json()["hardware"]
    assert [entry["name"] for entry in listed] == preset_names()
    assert all(entry["name"] in command("hardware", "list").out for entry in listed)
    shown = command("hardware", "show", "generic-pcm", "--set", "adc.bits=5", "--json").json()["hardware"]
    assert Hardware.from_dict(shown).adc.bits == 5
    ran = command("hardware", "show", "generic-pcm", "--set", "adc.bits=5")
    assert re.search(r"(?m)^adc\.bits +5 +resolution of an output code$", ran.out)


def test_hardware_shows_what_follows_beside_what_was_published(command: Command) -> None:
    out = " ".join(command("hardware", "show", "puma").out.split())
    assert "peak 31.4 TOPS 52.3 TOPS 2 x weights / product_time" in out
    assert "For 52.3 a product would have to take 1383 ns." in out
    assert re.search(r"mvmu core 2 19\.09 mW 0\.0116 mm2", out)
    derived = command("hardware", "show", "puma", "--json").json()["derived"]["peak"]
    assert derived["published"] == 52.3e12
    assert derived["value"] == pytest.approx(31.4e12, rel=1e-3)


def test_a_new_hardware_file_loads_and_is_not_overwritten(command: Command, models_dir: Path) -> None:
    assert command("hardware", "new", "-o", "mine.toml").code == 0
    text = Path("mine.toml").read_text("utf-8")
    assert load_hardware("mine.toml").to_dict() == load_hardware("generic-pcm").to_dict() | {"name": "mine"}
    ran = command("hardware", "new", "-o", "mine.toml", "--from", "isaac")
    assert ran.code == 2
    assert "the file mine.toml exists" in ran.err
    assert Path("mine.toml").read_text("utf-8") == text
    assert command("hardware", "new", "--set", "adc.bits=6").out.count("bits = 6\n") == 1
    ran = command("compile", models_dir / "digits_mlp.onnx", "--hardware", "mine.toml", "--json")
    assert ran.json()["hardware"] == "mine"


def test_devices_are_listed_and_shown(command: Command) -> None:
    listed = command("device", "list", "--json").json()["devices"]
    assert [entry["name"] for entry in listed] == list(DEVICES)
    assert command("device", "show", "ideal", "--json").json()["device"] == listed[0]
    assert listed[0]["description"] in command("device", "show", "ideal").out


def test_every_key_of_every_json_is_documented(command: Command, models_dir: Path, program: Path) -> None:
    page = (ROOT / "docs" / "json.md").read_text("utf-8")
    documented = set(re.findall(r"`(\w+)`", page)) | {*all_keys(report_schema())}  # which says what its keys mean
    results = [
        command("check", models_dir / "digits_cnn.onnx", "--json").json(),
        command("compile", models_dir / "digits_mlp.onnx", "--json").json(),
        command("report", program, "--json").json(),
        command("eval", program, "--data", models_dir / "digits_test.npz", "--device", "pcm", "--json").json(),
        command("hardware", "list", "--json").json(),
        command("device", "list", "--json").json(),
        command("device", "show", "pcm", "--json").json(),
    ]
    assert [result["schema"] for result in results] == [1, 2, 2, 2, 1, 1, 1]
    assert {key for result in results for key in all_keys(result)} - documented == set()


def test_plain_output_has_neither_boxes_nor_colours_and_fits_the_page(
    command: Command, models_dir: Path, program: Path
) -> None:
    for arguments in (
        ["check", models_dir / "digits_dscnn.onnx"],
        ["report", program],
        ["eval", program, "--data", models_dir / "digits_test.npz"],
        ["eval", program, "--data", models_dir / "digits_test.npz", "--device", "pcm", "--chips", 2],
        ["hardware", "show", "generic-pcm"],
        ["hardware", "show", "isaac"],
        ["hardware", "list"],
        ["device", "show", "generic"],
        ["device", "list"],
    ):
        out = command(*arguments).out
        assert out.isascii()
        assert "\x1b" not in out
        width = max(len(line) for line in out.splitlines() if str(models_dir) not in line)
        assert width <= 100


def test_a_terminal_gets_tables_and_colours(command: Command, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    ran = command("report", program)
    assert "\x1b[" in ran.out
    assert "─" in ran.out
    assert not command("report", program, "--json").out.startswith("\x1b")
