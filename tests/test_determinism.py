"""Neither the size of a batch nor the number of threads changes a bit of any result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node

import xbarc

BUNDLED = ("digits_cnn", "digits_dscnn", "digits_mlp")
SHARED = ("kws_dscnn", "mnist_lenet5_bn", "mnist_mlp", "resnet8_cifar10", "vww_mobilenet_v1_025")

#: Samples of the larger networks that are also run one by one.
ALONE = 9


def bits(outputs: dict[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {name: (array.shape, array.tobytes()) for name, array in outputs.items()}


def in_batches(chip: xbarc.Chip, x: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """The outputs for samples that are handed over so many at a time."""
    parts = [chip.run(x[start : start + size]) for start in range(0, len(x), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check(path: Path, hardware: str, *, alone: int) -> None:
    spec = xbarc.compile(path, hardware="exact").inputs[0]
    x = np.random.default_rng(0).random((64, *(size or 1 for size in spec.shape[1:])), dtype=np.float32)
    program = xbarc.compile(path, hardware=hardware, calibration=x[:16])
    chips = [program.write(threads=threads) for threads in (1, 2)]
    expected = chips[0].run(x)
    assert all(len(array) == 64 for array in expected.values())
    assert bits(chips[1].run(x)) == bits(expected)
    for chip in chips:
        assert bits(in_batches(chip, x, 7)) == bits(expected)
        first = {name: array[:alone] for name, array in expected.items()}
        assert bits(in_batches(chip, x[:alone], 1)) == bits(first)


@pytest.mark.parametrize("hardware", ["generic-pcm", "exact"])
@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_networks(models_dir: Path, name: str, hardware: str) -> None:
    check(models_dir / f"{name}.onnx", hardware, alone=64)


@pytest.mark.parametrize("hardware", ["generic-pcm", "exact"])
@pytest.mark.parametrize("name", SHARED)
def test_larger_networks(shared_dir: Path, name: str, hardware: str) -> None:
    path = shared_dir / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"needs the model {path}")
    check(path, hardware, alone=ALONE)


@settings(max_examples=25)
@given(st.tuples(*(st.integers(1, top) for top in (600, 70, 300))), st.integers(1, 300), st.integers(1, 3))
def test_products_of_real_numbers(sizes: tuple[int, int, int], batch: int, threads: int) -> None:
    """The last bits of such sums depend on the shape of a product, so only one shape must ever be used."""
    rows, columns, samples = sizes
    rng = np.random.default_rng(rows)
    constants = {"w": rng.normal(size=(rows, columns)).astype(np.float32)}
    program = xbarc.compile(network([node("MatMul", ["x", "w"], "y")], {"x": ("N", rows)}, constants), hardware="exact")
    x = rng.normal(size=(samples, rows)).astype(np.float32)
    expected = program.write(threads=1).run(x)
    assert bits(in_batches(program.write(threads=threads), x, batch)) == bits(expected)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_program_does_not_depend_on_how_it_was_compiled(models_dir: Path, name: str) -> None:
    """Neither on the number of threads nor on how the calibration sample comes."""
    path = models_dir / f"{name}.onnx"
    with np.load(models_dir / "digits_calibration.npz") as data:
        x = data["input"][:100]
    whole = xbarc.compile(path, calibration=x, threads=1)
    cut = xbarc.compile(path, calibration=[x[:1], x[1:8], x[8:]], threads=2)
    assert cut.text() == whole.text()
    assert cut.report().layers == whole.report().layers
