"""Chips that are evaluated side by side: what each gives alone, bit for bit, and no more in memory than threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import xbarc
from xbarc.api import judging, series
from xbarc.api.evaluation import Network
from xbarc.api.together import Remembered, Tally, side_by_side, turns_of
from xbarc.api.writing import Written
from xbarc.report.evaluation import Evaluation
from xbarc.runtime.host import HostModel


@pytest.fixture(scope="module")
def program(models_dir: Path) -> xbarc.Program:
    return xbarc.compile(models_dir / "digits_cnn.onnx", calibration=models_dir / "digits_calibration.npz")


@pytest.fixture(scope="module")
def data(models_dir: Path) -> dict[str, np.ndarray]:
    with np.load(models_dir / "digits_test.npz") as arrays:
        return {name: arrays[name][:90] for name in arrays}


def evaluated(program: xbarc.Program, data: dict[str, np.ndarray], chips: Any, **options: Any) -> Evaluation:
    threads = options.pop("threads", 1)
    return program.write(threads=threads).evaluate(data["input"], data["labels"], chips=chips, **options)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_chips_side_by_side_are_what_each_is_alone(
    program: xbarc.Program, data: dict[str, np.ndarray], threads: int
) -> None:
    def chips(seeds: range, threads: int) -> series.ChipSeries:
        return program.series("pcm", seeds=seeds, times=["0", "1y"], threads=threads)

    together = evaluated(program, data, chips(range(5), threads), threads=threads, metric="snr")
    alone = [
        figure
        for seed in range(5)
        for figure in evaluated(program, data, chips(range(seed, seed + 1), 1), metric="snr").chips
    ]
    assert list(together.chips) == alone
    assert len({figure.figure.value for figure in alone}) == 10


def test_chips_of_a_list_are_what_each_is_alone(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    written = [program.write("pcm", seed=seed, threads=4).at("1d") for seed in (3, 1, 2)]
    together = evaluated(program, data, written, threads=4, metric="mse")
    alone = [
        evaluated(program, data, [program.write("pcm", seed=seed, threads=1).at("1d")], metric="mse").chips[0]
        for seed in (3, 1, 2)
    ]
    assert list(together.chips) == alone
    assert [chip.setting.threads for chip in written] == [4, 4, 4]


def test_a_chip_on_other_threads_keeps_its_cells_and_its_outputs(
    program: xbarc.Program, data: dict[str, np.ndarray]
) -> None:
    chip = program.write("pcm", seed=1, threads=1)
    chip.prepare()
    other = chip.with_threads(2)
    assert chip.with_threads(1) is chip
    assert (other.setting.threads, chip.setting.threads) == (2, 1)
    assert other._found is chip._found
    assert other.run(data["input"])["logits"].tobytes() == chip.run(data["input"])["logits"].tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_chips_are_in_memory_than_threads(
    program: xbarc.Program, data: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    cells: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []
    write_chip = series.write_chip

    def write(*arguments: Any, **options: Any) -> Written:
        written = write_chip(*arguments, **options)
        cells.append(weakref.ref(next(iter(written.cells.values())).programmed))
        alive.append(sum(ref() is not None for ref in cells))
        return written

    monkeypatch.setattr(series, "write_chip", write)
    evaluated(program, data, program.series("pcm", seeds=range(7), times=["0", "1d"]), threads=threads)
    assert len(alive) == 7
    assert max(alive) <= threads


def test_the_float_network_runs_once_a_batch_for_all_chips(
    program: xbarc.Program, data: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def network(model: HostModel, output: str) -> Network:
        def run(batch: Any, first: int) -> np.ndarray:
            ran.append(first)
            return model.run(batch, [output])[0]

        return run

    monkeypatch.setattr(judging, "_network", network)
    evaluated(program, data, program.series("pcm", seeds=range(3)), threads=2)
    assert ran == [0]
    ran.clear()
    monkeypatch.setattr(judging, "KEPT_BYTES", 0)
    evaluated(program, data, program.series("pcm", seeds=range(3)), threads=2)
    assert ran == [0] * 4  # of the ideal device, and of each chip


def test_outputs_are_kept_as_far_as_there_is_room() -> None:
    asked: list[int] = []

    def network(batch: Any, first: int) -> np.ndarray:
        asked.append(first)
        return np.full(4, first, np.float32)

    kept = Remembered(network, room_bytes=40)  # two of 16 bytes each
    for _ in range(2):
        for first in (0, 4, 8):
            np.testing.assert_array_equal(kept({}, first), np.full(4, first, np.float32))
    assert asked == [0, 4, 8, 8]


def test_work_is_done_side_by_side_and_found_in_order() -> None:
    gate = threading.Barrier(3, timeout=20)

    def work(number: int) -> int:
        gate.wait()  # passes only where three are at work at once
        time.sleep(0.01 * (9 - number))
        return number**2

    assert side_by_side(turns_of(list(range(9))), work, workers=3) == [number**2 for number in range(9)]


def test_the_first_failure_is_told_and_no_other_turn_begins() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number >= 2:
            raise ValueError(f"chip {number}")
        return number

    for workers in (1, 2):
        begun.clear()
        with pytest.raises(ValueError, match="chip 2"):
            side_by_side(turns_of(list(range(50))), work, workers=workers)
        assert len(begun) <= 2 + workers


def test_chips_that_know_no_turns_are_gone_through_one_after_the_other() -> None:
    class Strange:
        def __iter__(self) -> Iterator[int]:
            return iter((1, 2, 3))

    (turn,) = turns_of(Strange())
    assert list(turn()) == [1, 2, 3]


def test_data_that_no_two_threads_can_read_are_read_by_one(program: xbarc.Program, data: dict[str, np.ndarray]) -> None:
    class Loader:
        """Begins again each time, and remembers who read it."""

        readers: ClassVar[set[int]] = set()

        def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for first in range(0, 90, 30):
                self.readers.add(threading.get_ident())
                part = slice(first, first + 30)
                yield data["input"][part], data["labels"][part]

    chips = program.series("pcm", seeds=range(3), threads=3)
    found = program.write(threads=3).evaluate(Loader(), chips=chips)
    assert Loader.readers == {threading.get_ident()}
    assert found.chips == evaluated(program, data, program.series("pcm", seeds=range(3))).chips


def test_progress_adds_up_over_all_parts() -> None:
    told: list[tuple[str, int, int | None]] = []
    tally = Tally(lambda *news: told.append(news), parts=3, done=1)
    one, two = tally.part("one"), tally.part("two")
    one(5, 10)
    two(10, 10)
    one(10, 10)
    assert told == [("one", 15, 30), ("two", 25, 30), ("one", 30, 30)]
    unknown = Tally(lambda *news: told.append(news), parts=2, done=1).part("stream")
    unknown(7, None)
    assert told[-1] == ("stream", 7, None)
