"""What docs/devices.md says of devices holds, and its examples run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from chips import HOUR, product
from conftest import ROOT

import xbarc
from xbarc.devices.catalogue import DEVICES, find_device
from xbarc.devices.parameters import parameters_of
from xbarc.devices.table import TableDevice
from xbarc.errors import UsageError

TEXT = (ROOT / "docs" / "devices.md").read_text("utf-8")


def block(language: str) -> str:
    """The only example in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def test_the_table_names_every_device_in_the_order_of_the_catalogue() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    assert re.findall(r"`([a-z-]+)`", " ".join(rows))[: len(DEVICES)] == [
        *(name for name in DEVICES if not name.startswith("generic")),
        *(name for name in DEVICES if name.startswith("generic")),
    ]


def test_every_device_says_what_it_does_not_model() -> None:
    for name, device in DEVICES.items():
        docs = [kind.__doc__ or "" for kind in type(device).__mro__]
        assert any("Not modelled" in doc for doc in docs), name
        assert parameters_of(device) or name == "ideal"


def test_both_tables_are_one_device(tmp_path: Path) -> None:
    found = []
    for language in ("toml", "csv"):
        path = tmp_path / f"my-reram.{language}"
        path.write_text(block(language), encoding="utf-8")
        found.append(find_device(str(path)))
    one, other = found
    assert isinstance(one, TableDevice)
    assert isinstance(other, TableDevice)
    assert one.table.model_copy(update={"sources": []}) == other.table.model_copy(update={"at": one.table.at})
    g = np.array([10e-6])
    later = [device.relaxation(g, t_s=HOUR, g_max=40e-6) for device in found]
    np.testing.assert_allclose(later, [[[-0.1e-6], [0.5e-6]]] * 2)


def test_a_device_of_ones_own_needs_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.random.default_rng(0).normal(size=(60, 40))
    program = product(weight)
    program.save(tmp_path / "net.xbar.onnx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(block("python"), encoding="utf-8")
    made = runpy.run_path(str(tmp_path / "example.py"))
    chip, aged = made["chip"], made["aged"]
    assert isinstance(chip, xbarc.Chip)
    assert isinstance(aged, xbarc.Chip)
    largest = np.abs(weight).max(axis=0)
    errors = chip.written.cells["y"].programmed[0, 0, 0][:60, :40] / 25e-6 - np.maximum(weight / largest, 0)
    far = weight > 0.5 * largest
    assert errors[far].std() == pytest.approx(0.03, rel=0.2)
    x = np.ones((1, 60), np.float32)
    before, after = (look.run(x)["y"] for look in (chip, aged))
    np.testing.assert_allclose(after, before * (1 + 365 * 86400 / 10) ** -0.01, atol=0.05 * np.abs(before).max())
    with pytest.raises(UsageError, match="the device 'ferroelectric' cannot be found again by its name"):
        chip.save(tmp_path / "chip.npz")
    assert not (tmp_path / "chip.npz").exists()
