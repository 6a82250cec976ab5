"""Memory: what a run takes is known beforehand, and batches and chips are cut to fit a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from chips import bits
from command import Command
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import network, node
from sketches import numbers, sketches

import xbarc
from xbarc.api.data import samples_from_arrays
from xbarc.api.memory import Load, batch_size, bytes_of, evaluation_load, held_bytes, snr_samples
from xbarc.errors import UsageError
from xbarc.ir.liveness import Need, memory
from xbarc.ir.samples import batching
from xbarc.runtime.steps import Context, Step


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys, monkeypatch)


@dataclass
class Counted:
    """A step that tells the bytes of all values that are there when it is done, with what the caller holds."""

    step: Step
    feeds: Mapping[str, np.ndarray]
    constants: set[int]
    most: list[int]

    @property
    def reads(self) -> tuple[str, ...]:
        return self.step.reads

    def run(self, values: Mapping[str, Any], context: Context) -> dict[str, Any]:
        made = self.step.run(values, context)
        arrays = {id(array): array for array in [*self.feeds.values(), *values.values(), *made.values()]}
        self.most.append(sum(array.nbytes for key, array in arrays.items() if key not in self.constants))
        return made


def measured(chip: xbarc.Chip, feeds: dict[str, np.ndarray]) -> int:
    """The most bytes that values take together while a chip runs one batch."""
    routine = chip._machine[0]._routine
    most: list[int] = [sum(array.nbytes for array in feeds.values())]
    known = {id(array) for array in routine._constants.values()}
    routine._steps[:] = [Counted(step, feeds, known, most) for step in routine._steps]
    chip.run_batch(feeds)
    return max(most)


@settings(max_examples=25, deadline=None)
@given(drawn=sketches(), written=st.booleans())
def test_values_never_take_more_than_was_estimated(drawn: tuple[onnx.ModelProto, np.ndarray], written: bool) -> None:
    model, x = drawn
    program = xbarc.compile(model, calibration=x)
    taken = memory(program.graph)
    assume(not taken.open and batching(program.graph).free)
    chip = program.write("pcm" if written else "ideal", threads=1)
    found = measured(chip, {"x": x})
    assert found <= taken.values.fixed + len(x) * taken.values.each


def convolutions(channels: int = 4, size: int = 8) -> onnx.ModelProto:
    """Two convolutions that are added up, behind a rectifier each."""
    kernels = {name: numbers((channels, channels, 3, 3), seed) for seed, name in enumerate(("k", "l"))}
    nodes = [
        node("Conv", ["x", "k"], "a", pads=[1, 1, 1, 1]),
        node("Relu", ["a"], "b"),
        node("Conv", ["b", "l"], "c", pads=[1, 1, 1, 1]),
        node("Add", ["b", "c"], "d"),
        node("Relu", ["d"], "y"),
    ]
    return network(nodes, {"x": ["n", channels, size, size]}, kernels)


def test_the_estimate_is_what_is_alive_at_once_and_no_more() -> None:
    x = numbers((5, 4, 8, 8))
    program = xbarc.compile(convolutions(), calibration=x)
    picture = 4 * 8 * 8 * 4
    # while the second convolution runs: the input, what it reads and what it makes, with codes and places of windows
    codes, places = 4 * 10 * 10 * 4, 8 * 8 * 40
    assert memory(program.graph).values == Need(0, 3 * picture + codes + places)
    # onnxruntime: b alone; d and y together, doubled as its arena grows
    assert memory(program.graph).arenas == Need(0, 2 * (picture + 2 * picture))
    assert memory(program.graph).layers == Need(0, 2 * picture)
    assert measured(program.write(threads=1), {"x": x}) == 5 * 4 * picture  # x, b, c and y, when all is added up


def test_a_layer_has_its_input_beside_its_output() -> None:
    kernels = {"k": numbers((8, 1, 3, 3)), "l": numbers((1, 8, 3, 3))}
    nodes = [node("Conv", ["x", "k"], "a", pads=[1, 1, 1, 1]), node("Conv", ["a", "l"], "y", pads=[1, 1, 1, 1])]
    program = xbarc.compile(network(nodes, {"x": ["n", 1, 8, 8]}, kernels), calibration=numbers((2, 1, 8, 8)))
    picture, codes, places = 8 * 8 * 4, 8 * 10 * 10 * 4, 8 * 8 * 40
    assert memory(program.graph).values == Need(0, picture + 8 * picture + picture + codes + places)
    assert memory(program.graph).arenas == Need()


def test_a_loop_counts_its_body_and_what_it_stacks() -> None:
    weights = {"w": numbers((6, 6)), "one": np.array(True)}
    step = onnx.helper.make_graph(
        [node("MatMul", ["s", "w"], "t"), node("Identity", ["c"], "going"), node("Identity", ["t"], "kept")],
        "body",
        [
            onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("s", onnx.TensorProto.FLOAT, ["n", 6]),
        ],
        [
            onnx.helper.make_tensor_value_info("going", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("t", onnx.TensorProto.FLOAT, ["n", 6]),
            onnx.helper.make_tensor_value_info("kept", onnx.TensorProto.FLOAT, ["n", 6]),
        ],
    )
    nodes = [node("Loop", ["times", "one", "x"], "last", "y", body=step)]
    model = network(nodes, {"x": ["n", 6]}, {**weights, "times": np.array(3)}, output_ranks={"y": 3})
    x = numbers((4, 6))
    program = xbarc.compile(model, calibration=x)
    taken = memory(program.graph)
    assert "y" in [value.hint for value in taken.open]  # ONNX does not say how often it runs
    inside = measured(program.write(threads=1), {"x": x}) - 3 * x.nbytes  # what is stacked is not known
    assert inside <= taken.values.fixed + 4 * taken.values.each


def room_for(program: xbarc.Program, samples: int, *, chips: int = 0) -> float:
    """The least budget that has room for a batch of so many samples."""
    load = Load(chips=chips, ideal=0 if chips else 1, threads=2)
    taken = memory(program.graph).whole
    return float(held_bytes(program.graph, load) + taken.fixed + samples * taken.each)


@settings(max_examples=8, deadline=None)
@given(samples=st.integers(1, 12), device=st.sampled_from(["ideal", "pcm"]))
def test_a_batch_is_as_large_as_the_budget_allows_and_changes_nothing(samples: int, device: str) -> None:
    x = numbers((11, 4, 8, 8))
    program = xbarc.compile(convolutions(), calibration=x)
    budget = room_for(program, samples, chips=int(device == "pcm"))
    load = Load(chips=int(device == "pcm"), ideal=int(device == "ideal"), threads=2)
    assert batch_size(program.graph, budget, load) == samples
    assert samples == 1 or batch_size(program.graph, budget - 1, load) == samples - 1
    chip = program.write(device, threads=2, memory=budget)
    assert len(next(iter(chip.run_batches(samples_from_arrays(x, program.inputs))))["y"]) == min(samples, 11)
    assert bits(chip.run(x)) == bits(program.write(device, threads=2).run(x))


def test_an_evaluation_gives_the_same_within_any_budget_that_is_enough() -> None:
    x = numbers((70, 4, 8, 8))
    program = xbarc.compile(convolutions(), calibration=x)
    found = []
    for memory_bytes in (None, "8 GB", "1 GB", 0.6e9):
        chips = program.series("pcm", seeds=[1, 2, 3], threads=3, memory=memory_bytes)
        ideal = program.write(threads=3, memory=memory_bytes)
        found.append(ideal.evaluate(x, chips=chips, metric="mse").to_json())
    assert found[0]["snr_samples"] == snr_samples(program.graph) == 64
    assert all(one["chips"] == found[0]["chips"] for one in found)


def test_a_small_budget_takes_fewer_chips_side_by_side_before_it_refuses() -> None:
    program = xbarc.compile(convolutions(32, 32), calibration=numbers((2, 32, 32, 32)))
    together = []
    for gigabytes in (0.5, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 4.0):
        load = evaluation_load(program.graph, gigabytes * 1e9, chips=10, has_reference=True, distorted=False, threads=4)
        together.append(load.chips)
    assert together == sorted(together)
    assert (together[0], together[-1]) == (1, 4)
    assert evaluation_load(program.graph, None, chips=10, has_reference=True, distorted=False, threads=4).chips == 4
    with pytest.raises(UsageError, match=r"a budget of 0\.50 GB is too small: a batch of \d+ takes"):
        batch_size(
            program.graph,
            0.5e9,
            evaluation_load(program.graph, 0.5e9, chips=10, has_reference=True, distorted=False, threads=4),
        )


def test_what_is_advised_is_enough() -> None:
    program = xbarc.compile(convolutions(), calibration=numbers((2, 4, 8, 8)))
    with pytest.raises(
        UsageError, match=r"a budget of 0\.10 GB is too small: a batch of 1 takes 0\.01 GB beside"
    ) as no:
        program.write("pcm", memory="100 MB")
    advised = str(no.value).rpartition("give at least ")[2]
    assert program.write("pcm", memory=advised).run(numbers((2, 4, 8, 8)))["y"].shape == (2, 4, 8, 8)


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ("2", '"2" has no unit, expected B'),
        ("much", "does not start with a number, expected a number and the unit B"),
        ("0 B", "the memory is 0 B, expected more than 0 B"),
        (-1.0, "the memory is -1.0, expected more than 0 B"),
        (float("inf"), "the memory is inf, expected more than 0 B"),
        (True, "the memory is True"),
        ([1], r"the memory is \[1\]"),
    ],
)
def test_what_is_no_size_is_refused(given_: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bytes_of(given_)


def test_sizes_are_read() -> None:
    assert [bytes_of(size) for size in ("2 GB", "512 MiB", 3e9, 5, None)] == [2e9, 2**29, 3e9, 5.0, None]


def test_no_budget_is_promised_where_it_cannot_be_kept() -> None:
    weights = {"w": numbers((6, 3))}
    x = numbers((2, 4, 6))
    longer = xbarc.compile(
        network([node("MatMul", ["x", "w"], "y")], {"x": ["n", "length", 6]}, weights), calibration=x
    )
    with pytest.raises(UsageError, match="no budget of memory can be kept: the model leaves sizes open"):
        longer.write(memory="4 GB")
    mixing = network(
        [node("MatMul", ["x", "w"], "z"), node("ReduceMean", ["z"], "m", axes=[0]), node("Sub", ["z", "m"], "y")],
        {"x": ["n", 6]},
        weights,
    )
    mixed = xbarc.compile(mixing, calibration=x[0])
    with pytest.raises(UsageError, match="no budget of memory can be kept: the model mixes samples, and all have to"):
        mixed.write(memory="4 GB")
    fixed = xbarc.compile(network([node("MatMul", ["x", "w"], "y")], {"x": [4, 6]}, weights), calibration=x[0])
    assert fixed.write(memory="1 GB").run(x.reshape(8, 6))["y"].shape == (8, 3)
    with pytest.raises(UsageError, match=r"is too small: a batch of 4 takes 0\.01 GB"):
        fixed.write(memory="1 MB")


def test_the_command_takes_a_budget(command: Command, models_dir: Path, tmp_path: Path) -> None:
    program, data = tmp_path / "net.xbar.onnx", models_dir / "digits_test.npz"
    xbarc.compile(models_dir / "digits_mlp.onnx", calibration=models_dir / "digits_calibration.npz").save(program)
    outputs = []
    for options in ([], ["--memory", "2 GB"], ["--memory", "330 MB", "--threads", "1"]):
        out = tmp_path / f"out{len(outputs)}.npz"
        ran = command("run", program, "--input", data, "--output", out, *options)
        assert ran.code == 0, ran.err
        outputs.append(dict(np.load(out)))
    assert bits(outputs[0]) == bits(outputs[1]) == bits(outputs[2])
    ran = command("eval", program, "--data", data, "--device", "pcm", "--chips", 2, "--memory", "2 GB", "--json")
    without = command("eval", program, "--data", data, "--device", "pcm", "--chips", 2, "--json")
    assert ran.json() == without.json()
    assert command("eval", program, "--data", data, "--memory", "2 MB").code == 2
    assert "is too small: a batch of" in command("run", program, "--input", data, "--output", out, "--memory", "1B").err
