"""The command line as tests call it: in this process, with what it prints and how it exits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xbarc.cli.main import app


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one object on stdout; anything else there makes this raise."""
        assert self.code == 0, self.err
        return json.loads(self.out)


class Command:
    """Calls ``xbarc`` as from a shell without a terminal."""

    def __init__(self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "XBARC_DEBUG"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *arguments: object) -> Ran:
        self._capture.readouterr()
        with pytest.raises(SystemExit) as end:
            app([str(argument) for argument in arguments], prog_name="xbarc")
        out, err = self._capture.readouterr()
        return Ran(end.value.code if isinstance(end.value.code, int) else 0, out, err)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, hidden entries too: the bytes of files, ``None`` for folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
