"""``xbarc device plot``: what its numbers are, that bars and pictures show them, and what it refuses."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from chips import HOUR, YEAR
from command import Command

from xbarc.devices.catalogue import DEVICES, find_device
from xbarc.report.device_curves import bars, curves_page, device_curves
from xbarc.report.device_svg import curves_svg
from xbarc.report.rendering import plain_text

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def test_curves_are_the_devices_own_figures() -> None:
    device = find_device("pcm:read_scale=0")
    curves = device_curves(device, g_max=25e-6)
    np.testing.assert_allclose(curves.programming, device.programming_sigma(curves.targets, 25e-6))
    assert (curves.targets[0], curves.targets[-1], curves.times_s[-1]) == (0.0, 25e-6, 10 * YEAR)
    hour = curves.times_s.index(HOUR)
    assert curves.mean[-1, hour] / 25e-6 == pytest.approx(0.7751, abs=2e-3)  # by the mean exponent
    assert curves.deviation[-1, 0] == pytest.approx(1.05538e-6, rel=1e-4)


@pytest.mark.parametrize("name", DEVICES)
def test_curves_end_where_the_device_does(name: str) -> None:
    device = find_device(name)
    curves = device_curves(device, g_max=40e-6)
    assert curves.targets[0] == pytest.approx(device.lowest_share * 40e-6)
    assert curves.times_s[-1] == min(device.t_max_s, 10 * YEAR)
    assert curves.mean.shape == curves.deviation.shape == (len(curves.lines), len(curves.times_s))
    assert np.all(np.isfinite(curves.mean) & (curves.mean >= 0) & np.isfinite(curves.deviation))


def test_bars_are_in_proportion() -> None:
    assert bars([0.0, 1.0, 2.0], width=10) == ["", "#" * 5, "#" * 10]
    assert bars([0.0, 0.0]) == ["", ""]


@pytest.mark.parametrize("name", DEVICES)
def test_pages_and_pictures_hold_every_curve(name: str) -> None:
    device = find_device(name)
    curves = device_curves(device, g_max=25e-6)
    text = plain_text(curves_page(device, curves))
    assert text.count("\n") > len(curves.targets) + len(curves.times_s)
    picture = ElementTree.fromstring(curves_svg(curves, title=f"<{name}>"))
    assert len(picture.findall(f"{SVG}polyline")) == 1 + len(curves.lines)
    assert len(picture.findall(f"{SVG}polygon")) == len(curves.lines)
    assert f"<{name}>" in [words.text for words in picture.iter(f"{SVG}text")]
    left, bottom, right, top = 0.0, 352.0, 944.0, 0.0
    for line in picture.findall(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = (float(number) for number in point.split(","))
            assert left <= x <= right
            assert top <= y <= bottom


def test_the_command_prints_and_writes(command: Command, tmp_path: Path) -> None:
    ran = command("device", "plot", "reram-wan", "--svg", tmp_path / "wan.svg")
    assert ran.code == 0
    assert "Programming error" in ran.out
    assert "Conductance by target over time" in ran.out
    assert ElementTree.parse(tmp_path / "wan.svg").getroot().tag == f"{SVG}svg"
    found = command("device", "plot", "reram-wan", "--g-max", "25 uS", "--json").json()
    assert found["device"] == "reram-wan"
    assert found["g_max"] == 25e-6
    assert max(found["programming"]["sigma"]) == pytest.approx(2.3e-6 / 1.6, rel=1e-2)
    assert found["over_time"]["t"][-1] == 2 * 86400


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pcx"], "there is no device 'pcx'"),
        (["pcm", "--g-max", "0 uS"], "--g-max 0 uS is no range"),
        (["pcm", "--g-max", "-1 uS"], "--g-max -1 uS is no range"),
        (["pcm", "--g-max", "25"], '--g-max: "25" has no unit, expected S'),
    ],
)
def test_what_cannot_be_plotted_is_refused(command: Command, arguments: list[str], says: str) -> None:
    ran = command("device", "plot", *arguments)
    assert ran.code == 2
    assert says in ran.err
