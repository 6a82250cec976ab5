"""What reload segments cost: time and energy of writing, batches between reloads, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import finite_hardware
from test_replicated_programs import convolutional
from test_segments import SMALL, chain, numbers, places

import xbarc
from xbarc.errors import HardwareError
from xbarc.hardware.load import load_hardware
from xbarc.hardware.schema import Hardware
from xbarc.report.utilisation import UtilisationReport


def chip_of_costs(*changes: str) -> Hardware:
    written = ["tile.read_time=100 ns", "tile.write_time=2 us", *changes]
    part = ["components.writer.level=tile", "components.writer.use=cell-write", "components.writer.energy=10 pJ"]
    return load_hardware("generic-pcm", [*SMALL, "chip.tiles=6", *written, *part, "components.writer.source=this test"])


def costed(*changes: str) -> UtilisationReport:
    """A chain of 6 x 5, 5 x 7 and 7 x 2 on 6 tiles of 4 x 4: 4 tiles, 4 tiles, 2 tiles; 3 windows each."""
    model = chain([6, 5, 7, 2], tokens=3)
    return xbarc.compile(model, hardware=chip_of_costs(*changes), segments=True).report()


def test_writing_costs_what_it_does_by_hand() -> None:
    usage = costed().segments
    assert [segment.layers for segment in usage.segments] == [("l0",), ("l1", "l2")]
    # Pairs of cells lie at one site. Rows: 4 + 4 + 2 + 2, then 4 + 4 + 1 + 1 and 4 + 3.
    assert [segment.cells for segment in usage.segments] == [2 * 6 * 5, 2 * (5 * 7 + 7 * 2)]
    assert [segment.write_energy for segment in usage.segments] == pytest.approx([60 * 10e-12, 98 * 10e-12])
    assert [segment.write_time for segment in usage.segments] == pytest.approx([12 * 2e-6, 17 * 2e-6])
    assert [(segment.latency, segment.interval) for segment in usage.segments] == [(3, 3), (4, 3)]
    writing, alone, interval = 29 * 2e-6, 7 * 100e-9, 6 * 100e-9
    assert (usage.write_time, usage.write_energy) == pytest.approx((writing, 158 * 10e-12))
    assert usage.latency_s == pytest.approx(writing + alone)
    assert [batch.inferences for batch in usage.batches] == [1, 16, 256]
    for batch in usage.batches:
        # As if each segment were written and run by itself.
        parts = [
            segment.write_time + (segment.latency + (batch.inferences - 1) * segment.interval) * 100e-9
            for segment in usage.segments
            if segment.write_time is not None and segment.latency is not None and segment.interval is not None
        ]
        assert batch.time == pytest.approx(sum(parts))
        assert batch.throughput == pytest.approx(batch.inferences / sum(parts))
        assert batch.writing == pytest.approx(writing / sum(parts))
    assert usage.half is not None
    assert alone + (usage.half - 1) * interval >= writing > alone + (usage.half - 2) * interval


def test_tiles_that_are_written_at_once_take_as_long_as_the_last() -> None:
    assert [segment.write_time for segment in costed("chip.tiles_written=2").segments.segments] == pytest.approx(
        # Tiles of 4, 4, 2, 2 rows: 4 + 2 each. Then 4, 4, 1, 1, 4, 3: the first 4 + 1 + 4, the other 4 + 1 + 3.
        [6 * 2e-6, 9 * 2e-6]
    )
    assert [segment.write_time for segment in costed("chip.tiles_written=99").segments.segments] == pytest.approx(
        [4 * 2e-6, 4 * 2e-6]
    )


def test_what_the_hardware_does_not_say_is_not_known() -> None:
    program = xbarc.compile(chain([6, 5, 7, 2]), overrides=[*SMALL, "chip.tiles=6"], segments=True)
    usage = program.report().segments
    assert {(segment.write_time, segment.write_energy) for segment in usage.segments} == {(None, None)}
    assert (usage.write_time, usage.write_energy, usage.latency_s, usage.half) == (None, None, None, None)
    assert {(batch.time, batch.throughput, batch.writing) for batch in usage.batches} == {(None, None, None)}


@settings(max_examples=20)
@given(st.data())
def test_rows_written_are_those_that_hold_something(data: st.DataObject) -> None:
    """Of packed tiles, against a count row by row."""
    values = data.draw(finite_hardware()).to_dict()
    tile = values["tile"]
    assert isinstance(tile, dict)
    hardware = Hardware.from_dict({**values, "tile": {**tile, "write_time": "1 s"}})
    model, pack = data.draw(convolutional()), data.draw(st.sampled_from(["off", "network"]))
    x = numbers(2, *(entry.dim_value for entry in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    program = xbarc.compile(model, hardware=hardware, calibration=x, pack=pack)
    rows = {cell[:2] for _, cell, _ in places(program)}
    assert program.report().segments.write_time == len(rows)


@pytest.mark.parametrize("key", ["latency=1 us", "power=1 mW"])
def test_parts_that_write_have_an_energy_alone(key: str) -> None:
    name = key.split("=")[0]
    with pytest.raises(
        HardwareError, match=f'components.writer.{name} is of no effect with use = "cell-write"'
    ) as raised:
        chip_of_costs(f"components.writer.{key}")
    assert "give the energy of a cell there, and the time of a row as tile.write_time" in str(raised.value)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


def test_the_command_cuts_and_reports(command: Command, tmp_path: Path) -> None:
    path, output = tmp_path / "chain.onnx", tmp_path / "chain.xbar.onnx"
    onnx.save(chain([6, 5, 7, 2], tokens=3), path)
    sets = [*SMALL, "chip.tiles=6", "tile.read_time=100 ns", "tile.write_time=2 us"]
    options = [part for change in sets for part in ("--set", change)]
    refused = command("compile", path, "-o", output, *options)
    assert refused.code == 1
    assert "--segments" in refused.err
    assert command("compile", path, "-o", output, *options, "--segments", "--verify").code == 0
    usage = command("report", output, "--json").json()["segments"]
    assert [segment["layers"] for segment in usage["segments"]] == [["l0"], ["l1", "l2"]]
    assert usage["latency_s"] == pytest.approx(29 * 2e-6 + 7 * 100e-9)
    page = command("report", output).out
    assert "segments       2: writing the chip for them takes 58 us, which is not in these times" in page
    assert 'write energy: the hardware has no component with use = "cell-write" and an energy' in page
    assert "write time: " not in page
    assert "Reload segments" in page
    assert "98.8 % of the time writing" in page
    assert "from 97 inferences between reloads on" in page
    assert "segment" in command("report", output, "--map").out.splitlines()[1]
    fits = command("compile", path, "-o", output, *options, "--set", "chip.tiles=12")
    assert fits.code == 0
    assert "Reload segments" not in command("report", output).out
