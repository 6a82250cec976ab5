"""What `xbarc device` and writing on a device refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from command import Command
from networks import network, node

import xbarc
from xbarc.devices.catalogue import stored_device
from xbarc.devices.ideal import IdealDevice
from xbarc.errors import UsageError


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@pytest.mark.parametrize(("given", "says"), [("25", '--g-max: "25" has no unit'), ("0 S", "--g-max 0 S is no range")])
def test_ranges_that_are_none(command: Command, given: str, says: str) -> None:
    result = command("device", "plot", "pcm", "--g-max", given)
    assert result.code == 2
    assert says in result.err


def test_a_device_that_only_its_maker_has_is_not_stored() -> None:
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Mine(IdealDevice):
        name: ClassVar[str] = "mine"

    with pytest.raises(UsageError, match="the device 'mine' cannot be found again by its name"):
        stored_device(Mine())


def test_cells_that_go_lower_than_the_device_can() -> None:
    model = network([node("MatMul", ["x", "w"], "y")], {"x": ("N", 3)}, {"w": np.ones((3, 2), np.float32)})
    says = "the cells of the program go down to 0 S, those of the device 'reram-milo' to .* where g_max is 25 uS"
    with pytest.raises(UsageError, match=says):
        xbarc.compile(model).write("reram-milo")
