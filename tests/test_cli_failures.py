"""How a command ends when it is interrupted, when nobody reads on, and when xbarc itself is wrong."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command, snapshot

from xbarc.api import checking


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def failing_check(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    def check(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(checking, "check", check)


def test_an_interrupt_is_quiet(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_check(monkeypatch, KeyboardInterrupt())
    ran = command("check", "net.onnx")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_an_interrupted_compilation_leaves_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, models_dir: Path
) -> None:
    def write_half(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", write_half)
    ran = command("compile", models_dir / "digits_mlp.onnx")
    assert ran.code == 130
    assert snapshot(Path.cwd()) == {}


def test_a_defect_is_owned_up_to(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_check(monkeypatch, ZeroDivisionError("by zero"))
    ran = command("check", "net.onnx")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: this is a defect of xbarc, not of your files: ZeroDivisionError: by zero\n")
    assert "XBARC_DEBUG=1" in ran.err
    assert "Traceback" not in ran.err
    monkeypatch.setenv("XBARC_DEBUG", "1")
    assert "Traceback (most recent call last)" in command("check", "net.onnx").err


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (MemoryError(), "error: out of memory\n  fix:   "),
        (OSError(errno.ENOSPC, "No space left on device", "p.onnx"), "No space left on device\n  where: p.onnx\n"),
    ],
)
def test_what_the_machine_refuses_is_no_defect(
    command: Command, monkeypatch: pytest.MonkeyPatch, failure: Exception, says: str
) -> None:
    failing_check(monkeypatch, failure)
    ran = command("check", "net.onnx")
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    """The pipe is closed before anything is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xbarc", "hardware", "show", "generic-pcm"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stderr is None:
        pytest.fail("no pipes")
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == ""
    process.wait()


def test_help_loads_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    """So that it is there at once."""
    program = (
        "import sys; from xbarc.cli.main import app; app(['--help'], standalone_mode=False);"
        "print('loaded', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.splitlines()[-1].split()[1:])
    assert {"xbarc", "typer"} <= loaded
    assert loaded.isdisjoint({"numpy", "numba", "onnx", "onnxruntime", "pydantic", "networkx", "scipy"})
