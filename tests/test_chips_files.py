"""Chips as files: what comes back is what was saved, and what is no such file is refused for a stated reason."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chips import bits, product

import xbarc
from xbarc.errors import DataError, UsageError

WEIGHT = np.random.default_rng(0).normal(size=(40, 20))
X = np.random.default_rng(1).normal(size=(30, 40)).astype(np.float32)
STUCK = "stuck_at_gmin=0.01,stuck_at_gmax=0.02"
DEVICES = ["pcm", f"pcm:drift_scale=0.5,{STUCK}", "generic:programming_proportional=0.07,nu_mean=0.05,nu_sigma=0.01"]


@pytest.fixture(scope="module")
def program() -> xbarc.Program:
    return product(WEIGHT, ["adc.noise_lsb=0.5"], calibration=X)


@pytest.mark.parametrize("device", DEVICES)
def test_a_chip_comes_back_as_it_was(program: xbarc.Program, device: str, tmp_path: Path) -> None:
    chip, path = program.write(device, seed=2**64 - 1), tmp_path / "chip.npz"
    chip.at("1h").compensated().save(path)  # the cells, not the look at them
    loaded = program.load_chip(path)
    assert loaded.written.device == chip.written.device
    assert loaded.written.seed == 2**64 - 1
    for time in (0, "1d", "1y"):
        for on in (False, True):
            ours, theirs = (look.at(time).compensated(on).run(X) for look in (chip, loaded))
            assert bits(ours) == bits(theirs)
    again = tmp_path / "again.npz"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_a_saved_program_takes_its_chips(program: xbarc.Program, tmp_path: Path) -> None:
    chip = program.write("pcm", seed=1)
    chip.save(tmp_path / "chip.npz")
    again = xbarc.load(program.save(tmp_path / "program.xbar.onnx"))
    assert bits(again.load_chip(tmp_path / "chip.npz").run(X)) == bits(chip.run(X))


def test_a_whole_network_comes_back(models_dir: Path, tmp_path: Path) -> None:
    calibration = models_dir / "digits_calibration.npz"
    program = xbarc.compile(models_dir / "digits_dscnn.onnx", calibration=calibration)
    chip = program.write(f"pcm:{STUCK}", seed=3)
    chip.save(tmp_path / "chip.npz")
    x = np.random.default_rng(0).random((5, *program.inputs[0].shape[1:]), dtype=np.float32)
    assert bits(program.load_chip(tmp_path / "chip.npz").at("1d").run(x)) == bits(chip.at("1d").run(x))


OTHERS = {
    "weights": (2 * WEIGHT**3, []),
    "shape": (WEIGHT[:, :10], []),
    "range": (WEIGHT, ["cell.g_max=50 uS"]),  # equal levels, of other conductances
    "tiles": (WEIGHT, ["tile.rows=20"]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_chip_of_another_program_is_refused(program: xbarc.Program, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "chip.npz"
    program.write("pcm", seed=1).save(path)
    other = product(*OTHERS[kind], calibration=X)
    with pytest.raises(DataError, match="the chip was written with another program") as caught:
        other.load_chip(path)
    assert caught.value.where == str(path)


def test_an_ideal_chip_is_not_saved(program: xbarc.Program, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a chip on the ideal device has nothing to save"):
        program.write().save(tmp_path / "chip.npz")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_a_chip_cannot_be_written(program: xbarc.Program, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        program.write("pcm").save(tmp_path / "none" / "chip.npz")
    with pytest.raises(UsageError, match="is a folder"):
        program.write("pcm").save(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Damage


Arrays = dict[str, np.ndarray]


def lacking(name: str) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.pop(name)


def instead(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: change(arrays[name])})


def with_facts(**changes: object) -> Callable[[Arrays], object]:
    def change(arrays: Arrays) -> None:
        facts = {**json.loads(arrays["facts"].tobytes()), **changes}
        kept = {name: value for name, value in facts.items() if value is not ...}
        arrays["facts"] = np.frombuffer(json.dumps(kept).encode(), np.uint8)

    return change


def text(content: bytes) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({"facts": np.frombuffer(content, np.uint8)})


DAMAGE = {
    "no facts": (lacking("facts"), "this is no saved chip"),
    "lacks programmed": (lacking("0.programmed"), "damaged: it lacks '0.programmed'"),
    "lacks nu": (lacking("0.nu"), "damaged: it lacks '0.nu'"),
    "lacks held": (lacking("0.held"), "damaged: it lacks '0.held'"),
    "shape": (instead("0.nu", lambda nu: nu[..., :-1]), r"damaged: '0.nu' is float32 .* expected float32"),
    "type": (instead("0.programmed", lambda g: g.astype(np.float64)), "damaged: '0.programmed' is float64"),
    "type of held": (instead("0.held", lambda held: held.astype(np.float64)), "damaged: '0.held' is float64"),
    "not a number": (instead("0.programmed", lambda g: g * np.float32(np.nan)), "'0.programmed' holds numbers that no"),
    "infinite": (instead("0.nu", lambda nu: nu + np.float32(np.inf)), "'0.nu' holds numbers that no cell has"),
    "negative": (instead("0.programmed", lambda g: -g), "'0.programmed' holds numbers that no cell has"),
    "no JSON": (text(b"{"), "damaged: its facts cannot be read"),
    "no text": (text(b"\xff\xfe\x00"), "damaged: its facts cannot be read"),
    "JSON of a list": (text(b"[1]"), "damaged: its facts cannot be read"),
    "no schema": (with_facts(schema=...), "damaged: its facts cannot be read"),
    "strange schema": (with_facts(schema="one"), "damaged: its facts cannot be read"),
    "endless schema": (with_facts(schema=float("inf")), "damaged: its facts cannot be read"),
    "newer": (with_facts(schema=2), "the chip was saved by a newer xbarc: schema 2"),
    "no seed": (with_facts(seed=...), "damaged: its facts lack seed"),
    "no program or device": (with_facts(program=..., device=...), "damaged: its facts lack device, program"),
    "strange seed": (with_facts(seed="7"), "damaged: the seed is '7'"),
    "negative seed": (with_facts(seed=-7), "damaged: the seed is -7"),
    "unknown device": (with_facts(device="flash"), "damaged: there is no device 'flash'"),
    "no device": (with_facts(device=None), "damaged: there is no device 'None'"),
    "parameter": (with_facts(device="pcm:drift_scale=-1"), "damaged: drift_scale = -1.0 is out of range"),
    "other program": (with_facts(program=None), "the chip was written with another program"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(program: xbarc.Program, kind: str, tmp_path: Path) -> None:
    damage, message = DAMAGE[kind]
    path = tmp_path / "chip.npz"
    program.write(f"pcm:{STUCK}", seed=1).save(path)
    with np.load(path) as saved:
        arrays = dict(saved)
    assert set(arrays) == {"facts", "0.programmed", "0.nu", "0.held"}
    damage(arrays)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        program.load_chip(path)
    assert str(path) in str(caught.value.where)
    assert caught.value.fix
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(program: xbarc.Program, share: float, tmp_path: Path) -> None:
    path = tmp_path / "chip.npz"
    program.write("pcm", seed=1).save(path)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(DataError, match=re.compile(r"cannot be read|no saved chip")) as caught:
        program.load_chip(path)
    assert str(path) in str(caught.value.where)


def test_a_file_with_flipped_bits_is_refused(program: xbarc.Program, tmp_path: Path) -> None:
    path = tmp_path / "chip.npz"
    program.write("pcm", seed=1).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        program.load_chip(path)


def test_what_is_no_chip_file_at_all_is_refused(program: xbarc.Program, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        program.load_chip(tmp_path / "none.npz")
    with pytest.raises(DataError, match="no saved chip"):
        program.load_chip(tmp_path)
    (tmp_path / "text.npz").write_text("a chip")
    with pytest.raises(DataError, match="cannot be read"):
        program.load_chip(tmp_path / "text.npz")
    np.savez(tmp_path / "pickle.npz", facts=np.array([{"schema": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        program.load_chip(tmp_path / "pickle.npz")
    with pytest.raises(DataError, match="cannot be read"):
        program.load_chip(program.save(tmp_path / "program.xbar.onnx"))
