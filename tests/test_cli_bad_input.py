"""Bad input ends a command with one message: what, where, what to do; no traceback, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from command import Command, snapshot
from networks import network, node
from onnx import numpy_helper

import xbarc


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def source(models_dir: Path) -> Path:
    return models_dir / "digits_mlp.onnx"


@pytest.fixture(scope="module")
def data(models_dir: Path) -> Path:
    return models_dir / "digits_test.npz"


@pytest.fixture(scope="module")
def program(source: Path, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiled = xbarc.compile(source, calibration=models_dir / "digits_calibration.npz")
    return compiled.save(tmp_path_factory.mktemp("program") / "p.xbar.onnx")


def refused(command: Command, *arguments: object, code: int = 1, says: str, fix: bool = True) -> str:
    """Runs a command that must fail and leave the current folder as it was; gives what it said."""
    before = snapshot(Path.cwd())
    ran = command(*arguments)
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\nerror: ") == 0
    assert says in ran.err
    assert ("\n  fix:   " in ran.err) == fix
    assert "Traceback" not in ran.err
    assert "defect of xbarc" not in ran.err
    assert snapshot(Path.cwd()) == before
    return ran.err


def external_model(source: Path, folder: Path) -> onnx.ModelProto:
    """A copy of the model with its weights in ``folder/weights.bin``, as it lies in ``folder/net.onnx``."""
    folder.mkdir()
    model = onnx.load(source)
    onnx.save_model(
        model, str(folder / "net.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return onnx.load(str(folder / "net.onnx"), load_external_data=False)


@pytest.mark.parametrize("verb", ["check", "compile", "inspect"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04" + bytes(100), "it is a zip archive"),
        (b"version https://example\n", "it is a text file"),
        (bytes(range(256)), "not an ONNX file"),
    ],
    ids=["empty", "zip", "text", "bytes"],
)
def test_a_file_that_is_no_onnx_model(command: Command, verb: str, content: bytes, says: str) -> None:
    Path("net.onnx").write_bytes(content)
    assert "where: net.onnx" in refused(command, verb, "net.onnx", says=says)


@pytest.mark.parametrize("verb", ["check", "compile", "inspect"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_model(command: Command, source: Path, verb: str, share: float) -> None:
    whole = source.read_bytes()
    Path("net.onnx").write_bytes(whole[: int(share * len(whole))])
    refused(command, verb, "net.onnx", says="net.onnx")


def test_a_file_that_is_not_there(command: Command, program: Path) -> None:
    for arguments in (["check"], ["compile"], ["inspect"], ["report"], ["eval", "--data", "d.npz"]):
        assert "where: none.onnx" in refused(command, *arguments, "none.onnx", says="there is no such file")
    refused(command, "eval", program, "--data", "none.npz", says="there is no such file")
    refused(command, "run", program, "--input", "none.npz", "--output", "y.npz", says="there is no such file")


def test_external_data_that_are_missing(command: Command, source: Path) -> None:
    external_model(source, Path("net"))
    Path("net/weights.bin").unlink()
    said = refused(command, "compile", "net/net.onnx", says="external data is missing: 'weights.bin'")
    assert "tensor " in said


def test_external_data_that_end_too_early(command: Command, source: Path) -> None:
    external_model(source, Path("net"))
    weights = Path("net/weights.bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    refused(command, "compile", "net/net.onnx", says="external data ends too early")


@pytest.mark.parametrize("location", ["../weights.bin", "/weights.bin", "inner/../../weights.bin"])
def test_external_data_outside_the_models_folder(command: Command, source: Path, location: str) -> None:
    model = external_model(source, Path("net"))
    Path("net/weights.bin").rename("weights.bin")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    Path("net/net.onnx").write_bytes(model.SerializeToString())
    refused(command, "compile", "net/net.onnx", says="external data lies outside the model's folder")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(command: Command, source: Path, value: float) -> None:
    model = onnx.load(source)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "fc2.weight")
    array = numpy_helper.to_array(weight).copy()
    array[1, 2] = value
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save(model, "net.onnx")
    said = refused(command, "compile", "net.onnx", says=f"1 of the {array.size} weights are not finite")
    assert "'fc2'" in said


def test_a_model_that_is_compiled_already(command: Command, program: Path) -> None:
    refused(command, "compile", program, "-o", "p.onnx", says="this model is compiled already")
    refused(command, "check", program, says="this model is compiled already")


def bad_arrays(case: str, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    cases = {
        "names": {"image": images, "labels": labels},
        "shapes": {"input": images[:, 0], "labels": labels},
        "types": {"input": images.astype(str), "labels": labels},
        "nan": {"input": np.where(images > 0.9, np.nan, images), "labels": labels},
        "none": {"input": images[:0], "labels": labels[:0]},
    }
    return cases[case]


@pytest.mark.parametrize("verb", ["compile", "eval", "run"])
@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("names", "no array for the model's input 'input'"),
        ("shapes", "the array has shape"),
        ("types", "the array has type"),
        ("nan", "nan is no number"),
        ("none", "there is not one sample"),
    ],
)
def test_data_that_do_not_fit(
    command: Command, source: Path, program: Path, data: Path, verb: str, case: str, says: str
) -> None:
    with np.load(data) as good:
        np.savez("bad.npz", **bad_arrays(case, good["input"], good["labels"]))
    arguments = {
        "compile": ["compile", source, "--calibrate", "bad.npz"],
        "eval": ["eval", program, "--data", "bad.npz"],
        "run": ["run", program, "--input", "bad.npz", "--output", "y.npz"],
    }
    assert "bad.npz" in refused(command, *arguments[verb], says=says)


def test_data_that_cannot_be_read(command: Command, source: Path, program: Path) -> None:
    Path("bad.npz").write_bytes(b"junk")
    for arguments in (["compile", source, "--calibrate", "bad.npz"], ["eval", program, "--data", "bad.npz"]):
        refused(command, *arguments, says="cannot be read")


def test_data_without_labels(command: Command, program: Path, data: Path) -> None:
    with np.load(data) as good:
        np.savez("bad.npz", input=good["input"])
    refused(command, "eval", program, "--data", "bad.npz", says="there are no labels")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("adc.bts=6", "unknown key adc.bts"),
        ("cell.g_max=25 V", 'has the unit "V", expected S'),
        ("cell.g_max=25", "has no unit, expected S"),
        ("adc.bits=0", "adc.bits cannot be 0"),
        ("adc.bits", "is not key.path=value"),
        ("cell.g_min=30 uS", "is not below cell.g_max"),
    ],
)
def test_hardware_overrides_that_cannot_be(command: Command, source: Path, override: str, says: str) -> None:
    refused(command, "compile", source, "--set", override, says=says)
    refused(command, "hardware", "show", "generic-pcm", "--set", override, says=says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("levels = 256", "level = 256", "unknown key cell.level"),
        ('"25 uS"', '"25 nF"', 'has the unit "nF", expected S'),
        ("tiles = 4096", "tiles = -1", "chip.tiles cannot be -1"),
        ("[adc]", "[adc", "TOML syntax error"),
    ],
)
def test_a_hardware_file_that_cannot_be(command: Command, source: Path, old: str, new: str, says: str) -> None:
    preset = (Path(xbarc.__file__).parent / "hardware" / "presets" / "generic-pcm.toml").read_text("utf-8")
    assert old in preset
    Path("chip.toml").write_text(preset.replace(old, new, 1), "utf-8")
    said = refused(command, "compile", source, "--hardware", "chip.toml", says=says)
    assert "chip.toml, line " in said


def test_hardware_that_is_not_there(command: Command, source: Path) -> None:
    refused(command, "compile", source, "--hardware", "generic-pmc", says="did you mean generic-pcm?")
    refused(command, "compile", source, "--hardware", "none.toml", says="none.toml")
    refused(command, "hardware", "show", "none", says='there is no hardware preset "none"')


def test_a_chip_that_is_too_small(command: Command, source: Path) -> None:
    said = refused(command, "compile", source, "--set", "chip.tiles=2", says="needs 3 physical tiles, the chip has 2")
    assert "the first 2 of 3 layers" in said
    assert "--host" in said


def test_a_replication_that_does_not_exist(command: Command, source: Path) -> None:
    for word in ("0", "-1", "most", "1.5"):
        refused(command, "compile", source, "--replicate", word, code=2, says=f"--replicate cannot be '{word}'")
    unlimited = ("--replicate", "balance", "--set", "chip.tiles=unlimited")
    refused(command, "compile", source, *unlimited, code=2, says="the chip has unlimited tiles")


def change_metadata(program: Path, change: Callable[[dict[str, object]], object]) -> Path:
    model = onnx.load(program)
    entry = next(entry for entry in model.metadata_props if entry.key == "ai.xbarc.program")
    facts = json.loads(entry.value)
    change(facts)
    entry.value = json.dumps(facts)
    onnx.save(model, "changed.onnx")
    return Path("changed.onnx")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda facts: facts.update(schema=99), "made by a newer xbarc: its schema is 99"),
        (lambda facts: facts.pop("layers"), "the program is damaged"),
        (lambda facts: facts.pop("hardware"), "the program is damaged"),
        (lambda facts: facts["hardware"]["adc"].update(bits=0), "the program is damaged"),
        (lambda facts: facts.pop("options"), "the program is damaged"),
        (lambda facts: facts["calibration"].pop("origin"), "the program lacks calibration.origin"),
        (lambda facts: facts["layers"]["fc1"].pop("pieces"), "the program is damaged"),
        (
            lambda facts: facts.update(schema=1),
            "the program was made by an older xbarc: its schema is 1, this one reads 2",
        ),
    ],
    ids=["newer", "layers", "hardware", "bits", "options", "calibration", "pieces", "older"],
)
def test_a_program_that_cannot_be_read(
    command: Command, program: Path, data: Path, change: Callable[[dict[str, object]], object], says: str
) -> None:
    changed = change_metadata(program, change)
    for arguments in (
        ["report", changed],
        ["inspect", changed],
        ["eval", changed, "--data", data],
        ["run", changed, "--input", data, "--output", "y.npz"],
    ):
        assert "where: changed.onnx" in refused(command, *arguments, says=says)


def test_a_model_where_a_program_is_wanted(command: Command, source: Path, data: Path) -> None:
    for arguments in (["report", source], ["eval", source, "--data", data]):
        refused(command, *arguments, says="this ONNX model is not a compiled program")


def test_a_reference_of_another_network(command: Command, program: Path, data: Path, models_dir: Path) -> None:
    arguments = ["eval", program, "--data", data, "--reference"]
    refused(command, *arguments, program, says="the reference is a compiled program")
    onnx.save(network([node("Relu", ["x"], "y")], {"x": ["N", 4]}), "other.onnx")
    refused(command, *arguments, "other.onnx", says="the reference reads x, the program input")
    onnx.save(network([node("Relu", ["input"], "y")], {"input": ["N", 1, 8, 8]}), "other.onnx")
    refused(command, *arguments, "other.onnx", says="the reference has no output 'logits'")
    Path("text.onnx").write_text("no model", "utf-8")
    refused(command, *arguments, "text.onnx", says="not an ONNX file")


def test_outputs_that_an_npz_cannot_hold(command: Command) -> None:
    cast = node("Cast", ["x"], "y", to=onnx.TensorProto.STRING)
    onnx.save(network([cast], {"x": ["N", 2]}, output_types={"y": object}), "text.onnx")
    assert command("compile", "text.onnx").code == 0
    np.savez("x.npz", x=np.eye(2))
    before = snapshot(Path.cwd())
    ran = command("run", "text.xbar.onnx", "--input", "x.npz", "--output", "y.npz")
    assert (ran.code, ran.out) == (1, "")
    assert "error: the output 'y' is no array of numbers" in ran.err
    assert snapshot(Path.cwd()) == before


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([node("Relu", ["x"], "y")], ["N", 3]),
        ([node("MatMul", ["x", "x"], "y")], ["N", "N"]),  # no fixed size, so random inputs cannot be made, nor need be
    ],
    ids=["no product", "no constant"],
)
def test_a_model_without_a_constant_matrix_is_no_error(
    command: Command, nodes: list[onnx.NodeProto], shape: list[int | str]
) -> None:
    onnx.save(network(nodes, {"x": shape}), "net.onnx")
    ran = command("compile", "net.onnx")
    assert (ran.code, ran.err) == (0, "warning: nothing is on tiles: the host runs the whole program\n")
    np.savez("x.npz", x=-np.eye(3))
    assert command("run", "net.xbar.onnx", "--input", "x.npz", "--output", "y.npz").code == 0
    with np.load("y.npz") as outputs:
        np.testing.assert_array_equal(outputs["y"], np.zeros((3, 3)) if shape[1] == 3 else np.eye(3))
    report = command("report", "net.xbar.onnx", "--json").json()
    assert (report["layers"], report["totals"]["physical_tiles"], report["calibrated"]) == ([], 0, True)


def test_wrong_usage(command: Command, source: Path, program: Path, data: Path) -> None:
    refused(command, "compile", source, "--host", "cf*", code=2, says="the pattern 'cf*' matches no matrix product")
    refused(command, "compile", source, "-o", "none/p.onnx", code=2, says="the folder none does not exist")
    refused(command, "compile", source, "-o", ".", code=2, says="is a folder")
    refused(command, "run", program, "--input", data, "--output", "none/y.npz", code=2, says="does not exist")
    refused(command, "eval", program, "--data", data, "--device", "pcx", code=2, says="there is no device 'pcx'")
    refused(command, "eval", program, "--data", data, "--metric", "top1x", code=2, says="unknown metric 'top1x'")
    refused(command, "eval", program, "--data", data, "--output", "y", code=2, says="its outputs are logits")
    refused(command, "device", "show", "pcx", code=2, says="there is no device 'pcx'")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--device", "pcn"], "there is no device 'pcn'\n  fix:   did you mean 'pcm'?"),
        (["--device", "pcm:read_scal=1"], "did you mean 'read_scale'?"),
        (["--device", "pcm:read_scale=-1"], "give read_scale a number from 0 to 100"),
        (["--device", "pcm:read_scale=much"], "'much' is not a number"),
        (["--device", "pcm:stuck_at_gmin=0.6,stuck_at_gmax=0.6"], "add up to more than 1"),
        (["--device", "ideal:x=1"], "has no parameters"),
        (["--device", "pcm", "--TIME", "-1d"], '"-1d" is negative'),
        (["--device", "pcm", "--TIME", "soon"], '"soon" does not start with a number'),
        (["--device", "pcm", "--TIME", "1 month"], 'has the unit "month"'),
        (["--device", "pcm", "--TIME", "5"], '"5" has no unit'),
        (["--device", "pcm", "--TIME", ""], '"" does not start with a number'),
        (["--device", "pcm", "--TIME", "11y"], "the time 11 years is beyond what the device 'pcm' has data for"),
        (["--device", "pcm", "--inference-time", "0"], "an inference of 0.0 s has no duration"),
        (["--device", "pcm", "--inference-time", "fast"], '"fast" does not start with a number'),
        (["--device", "pcm", "--seed", str(2**64)], f"the seed is {2**64}"),
        (["--TIME", "1d"], "would change nothing"),
        (["--device", "ideal", "--seed", "0", "--read-noise", "frozen"], "--seed, --read-noise would change nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_chips_that_cannot_be(command: Command, program: Path, data: Path, options: list[str], says: str) -> None:
    """Said before anything is measured: a progress bar, data that are not there, would come later."""
    evaluated = ["--times" if option == "--TIME" else option for option in options]
    run = ["--time" if option == "--TIME" else option for option in options]
    refused(command, "eval", program, "--data", "none.npz", *evaluated, code=2, says=says)
    refused(command, "run", program, "--input", data, "--output", "y.npz", *run, code=2, says=says)


def test_times_that_cannot_be_listed(command: Command, program: Path, data: Path) -> None:
    arguments = ("eval", program, "--data", data, "--device", "pcm", "--times")
    refused(command, *arguments, "0,1d,24h", code=2, says="a time is given twice")
    refused(command, *arguments, "0,,1d", code=2, says='"" does not start with a number')
    refused(command, *arguments, "0,1d,11y", code=2, says="the time 11 years is beyond")


def test_the_ideal_device_is_not_counted(command: Command, program: Path, data: Path) -> None:
    for option in (["--chips", 2], ["--compensation", "both"], ["--inference-time", "1ms"]):
        said = refused(
            command, "eval", program, "--data", data, *option, code=2, says=f"{option[0]} would change nothing"
        )
        assert "--device pcm" in said


@pytest.mark.parametrize(
    "option",
    [
        ["--chips", "0"],
        ["--chips", "many"],
        ["--chips", "1000000000"],
        ["--seed", "-1"],
        ["--seed", "1.5"],
        ["--compensation", "maybe"],
        ["--read-noise", "none"],
    ],
    ids=" ".join,
)
def test_what_the_parser_refuses_of_chips(command: Command, option: list[str]) -> None:
    ran = command("eval", "p.onnx", "--data", "d.npz", "--device", "pcm", *option)
    assert (ran.code, ran.out) == (2, "")
    assert f"Error: Invalid value for '{option[0]}': " in ran.err


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["compile"], ["run", "p"], ["report", "p", "--what"], ["compile", "m", "--threads", "0"]]
)
def test_what_the_parser_refuses(command: Command, arguments: list[str]) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: xbarc" in ran.err


def test_the_model_is_never_overwritten(command: Command, source: Path, data: Path) -> None:
    Path("net.onnx").write_bytes(source.read_bytes())
    Path("link.onnx").symlink_to("net.onnx")
    Path("data.npz").write_bytes(data.read_bytes())
    for output in ("net.onnx", "./net.onnx", "link.onnx"):
        refused(
            command,
            "compile",
            "net.onnx",
            "-o",
            output,
            code=2,
            says="the program would overwrite net.onnx, from which it is made",
        )
    arguments = ("compile", "net.onnx", "--calibrate", "data.npz", "-o", "data.npz")
    refused(command, *arguments, code=2, says="would overwrite data.npz")


def test_an_earlier_program_survives_a_failure(command: Command, source: Path) -> None:
    assert command("compile", source, "-o", "p.onnx").code == 0
    refused(command, "compile", source, "-o", "p.onnx", "--set", "chip.tiles=1", says="the chip has 1")
