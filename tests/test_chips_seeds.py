"""One seed, one result: whatever the batch, the threads and the calls; and what other seeds and edits change."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from chips import bits, product
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import network, node

import xbarc
from xbarc.ir.layer import layers

#: All there is: programming error, drift, stuck cells, slow and fast read noise, and the noise of converters.
DEVICE = "pcm:stuck_at_gmin=0.002,stuck_at_gmax=0.001"
NOISY_ADC = ("adc.noise_lsb=0.5",)


def in_calls(chip: xbarc.Chip, x: np.ndarray, size: int, **place: int) -> dict[str, np.ndarray]:
    """The outputs for samples that are handed over so many at a time, each call told where it stands."""
    parts = [chip.run(x[start : start + size], first_sample=start, **place) for start in range(0, len(x), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_one_result(program: xbarc.Program, x: np.ndarray) -> None:
    chips = [program.write(DEVICE, seed=7, threads=threads).at("1d").compensated() for threads in (1, 2)]
    assert chips[0].noisy
    expected = chips[0].run(x)
    for chip in chips:
        for size in (7, 64, len(x)):
            assert bits(in_calls(chip, x, size)) == bits(expected)
        assert bits(in_calls(chip, x[:32], 1)) == bits({name: array[:32] for name, array in expected.items()})
        parts = [chip.run(x[:50]), chip.run(x[50:], first_sample=50)]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in expected}
        assert bits(joined) == bits(expected)


@pytest.fixture(scope="module")
def digits(models_dir: Path) -> tuple[xbarc.Program, np.ndarray]:
    with np.load(models_dir / "digits_test.npz") as data:
        x = data["input"][:128]
    calibration = models_dir / "digits_calibration.npz"
    return xbarc.compile(models_dir / "digits_cnn.onnx", calibration=calibration, overrides=NOISY_ADC), x


def test_digits_have_one_result(digits: tuple[xbarc.Program, np.ndarray]) -> None:
    check_one_result(*digits)


def test_resnet_has_one_result(shared_dir: Path) -> None:
    model, folder = shared_dir / "models" / "resnet8_cifar10.onnx", shared_dir / "data"
    paths = model, folder / "cifar10_test.npz", folder / "cifar10_calibration.npz"
    if missing := [str(path) for path in paths if not path.is_file()]:
        pytest.skip(f"needs {', '.join(missing)}")
    program = xbarc.compile(model, calibration=paths[2], overrides=NOISY_ADC)
    with np.load(paths[1]) as data:
        x = data[program.inputs[0].name][:128].astype(np.float32)
    check_one_result(program, x)


@settings(max_examples=30)
@given(
    *(st.integers(1, top) for top in (300, 40, 100)),
    st.tuples(st.integers(1, 3), st.booleans()),
    st.integers(1, 100),
    st.sampled_from(["generic-pcm", "exact"]),
)
def test_products_have_one_result(
    rows: int, columns: int, samples: int, inner: tuple[int, bool], size: int, hardware: str
) -> None:
    """Several vectors a sample, along either axis; also unquantised, where the sums of a read are no exact ones."""
    rng = np.random.default_rng(rows)
    vectors, across = inner
    constants = {"w": rng.normal(size=(rows, columns)).astype(np.float32)}
    nodes = [node("MatMul", ["t" if across else "x", "w"], "u" if across else "y")]
    if across:
        nodes = [node("Transpose", ["x"], "t", perm=[1, 0, 2]), *nodes, node("Transpose", ["u"], "y", perm=[1, 0, 2])]
    program = xbarc.compile(network(nodes, {"x": ("N", vectors, rows)}, constants), hardware=hardware)
    x = rng.normal(size=(samples, vectors, rows)).astype(np.float32)
    one, two = (program.write("pcm", seed=1, threads=threads) for threads in (1, 2))
    assert one.noisy
    assert bits(in_calls(two, x, size)) == bits(one.run(x))


def test_what_is_drawn_differs_by_seed_repeat_sample_and_time(digits: tuple[xbarc.Program, np.ndarray]) -> None:
    program, x = digits
    chip = program.write(DEVICE, seed=7)
    results = {
        "seed 7": chip.run(x),
        "seed 8": program.write(DEVICE, seed=8).run(x),
        "the largest seed": program.write(DEVICE, seed=2**64 - 1).run(x),
        "repeat 1": chip.run(x, repeat=1),
        "other samples": chip.run(x, first_sample=1),
        "1 h": chip.at("1h").run(x),
        "compensated": chip.at("1h").compensated().run(x),
        "frozen": chip.with_read_noise("frozen").run(x),
        "per read": chip.with_read_noise("per-read").run(x),
        "ideal": program.write().run(x),
    }
    assert len({tuple(bits(result).values()) for result in results.values()}) == len(results)
    again = program.write(DEVICE, seed=np.int64(7))  # as another program run would
    assert bits(again.at("1h").compensated().run(x)) == bits(results["compensated"])
    assert bits(again.at(3600).run(x)) == bits(results["1 h"])
    assert bits(again.at("60min").at(0).run(x)) == bits(results["seed 7"])
    assert bits(again.run(x, repeat=1)) == bits(results["repeat 1"])


def test_samples_draw_by_their_numbers(digits: tuple[xbarc.Program, np.ndarray]) -> None:
    """The same image gives one result as sample 3 and another as sample 4, in whatever batch."""
    program, x = digits
    chip = program.write("pcm", seed=1)
    same = np.repeat(x[:1], 6, axis=0)
    (several,) = chip.run(same).values()
    assert len(np.unique(several, axis=0)) == 6
    (alone,) = chip.run(same[:1], first_sample=3).values()
    assert alone.tobytes() == several[3:4].tobytes()


def test_no_two_cells_share_what_is_drawn() -> None:
    """Drift exponents of slices, polarities, layers and seeds: of all pairs of fields of 3,600 cells, correlations are
    within 5 standard errors. So are those with programming errors, where these are not clipped."""
    constants = {name: np.random.default_rng(0).normal(size=(60, 60)).astype(np.float32) for name in "vw"}
    nodes = [node("MatMul", ["x", "v"], "a"), node("MatMul", ["a", "w"], "b")]
    model = network(nodes, {"x": ("N", 60)}, constants, outputs=("b",))
    program = xbarc.compile(model, overrides=["weights.slices=2", "cell.levels=16"])
    device = "generic:programming_independent=0.01,nu_mean=0.5,nu_sigma=0.1"
    fields: list[np.ndarray] = []
    for seed in (1, 2):
        written = program.write(device, seed=seed).written
        for layer in layers(program.graph):
            cells, levels = written.cells[layer.name], layer.read.levels
            fields += list(cells.nu.reshape(4, -1))
            inside = levels > 0
            errors = cells.programmed - levels * 25e-6 / 15
            correlation = np.corrcoef(errors[inside], cells.nu[inside])[0, 1]
            assert abs(correlation) < 5 / np.sqrt(np.count_nonzero(inside))
    assert len(fields) == 2 * 2 * 4
    assert np.abs(np.corrcoef(fields) - np.eye(len(fields))).max() < 5 / np.sqrt(3600)


def test_layers_of_one_shape_draw_apart_when_they_are_read() -> None:
    """Two layers with the same weights and the same input: the noise of their reads is not the same."""
    constants = {"w": np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)}
    nodes = [node("MatMul", ["x", "w"], "a"), node("MatMul", ["x", "w"], "b")]
    program = xbarc.compile(network(nodes, {"x": ("N", 30)}, constants, outputs=("a", "b")))
    outputs = program.write("generic:read_independent=0.05").run(np.ones((5000, 30), np.float32))
    for one, two in zip(outputs["a"].T, outputs["b"].T, strict=True):
        assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(5000)


# What an edit leaves alone.


def two_layers(*, first: int = 0, host: tuple[str, ...] = (), overrides: tuple[str, ...] = ()) -> xbarc.Program:
    """A network of two products; ``first`` chooses the weights of the first."""
    rng = np.random.default_rng(first)
    constants = {"v": rng.normal(size=(20, 12)), "w": np.random.default_rng(100).normal(size=(12, 12))}
    nodes = [node("MatMul", ["x", "v"], "a"), node("Relu", ["a"], "r"), node("MatMul", ["r", "w"], "b")]
    weights = {name: array.astype(np.float32) for name, array in constants.items()}
    model = network(nodes, {"x": ("N", 20)}, weights, outputs=("b",))
    return xbarc.compile(model, host=host, overrides=overrides)


def test_editing_a_layer_leaves_the_cells_of_others_alone() -> None:
    """Its weights, or whether it is on tiles at all, that is, which tile the other layer has."""
    before, changed, moved = two_layers(), two_layers(first=1), two_layers(host=("a",))
    chips = [program.write("pcm", seed=3) for program in (before, changed, moved)]
    cells = [chip.written.cells for chip in chips]
    assert [set(found) for found in cells] == [{"a", "b"}, {"a", "b"}, {"b"}]
    for other in cells[1:]:
        assert np.array_equal(other["b"].programmed, cells[0]["b"].programmed)
        assert np.array_equal(other["b"].nu, cells[0]["b"].nu)
    assert not np.array_equal(cells[1]["a"].programmed, cells[0]["a"].programmed)


def test_a_layers_deviates_stay_when_its_weights_change() -> None:
    """An error that does not depend on the target comes out the same for other targets, where it is not clipped."""
    drawn = []
    for first in (0, 1):
        program = two_layers(first=first)
        chip = program.write("generic:programming_independent=0.001,nu_mean=0.5,nu_sigma=0.01", seed=3)
        levels = layers(program.graph)[0].read.levels
        cells, used = chip.written.cells["a"], levels > 5
        errors = np.where(used, cells.programmed - levels * 25e-6 / 255, np.nan)
        drawn.append((errors, cells.nu))
    both = np.isfinite(drawn[0][0]) & np.isfinite(drawn[1][0])
    assert np.count_nonzero(both) > 50
    np.testing.assert_allclose(drawn[0][0][both], drawn[1][0][both], rtol=0, atol=1e-11)
    assert np.array_equal(drawn[0][1], drawn[1][1])


@pytest.mark.parametrize("tile", [(20, 12), (7, 5)], ids=["whole", "cut"])
def test_deviates_belong_to_places_in_the_matrix_whatever_the_tiles(tile: tuple[int, int]) -> None:
    weight = np.random.default_rng(0).normal(size=(20, 12))
    fields = []
    for rows, columns in (tile, (64, 64)):
        program = product(weight, [f"tile.rows={rows}", f"tile.columns={columns}"])
        nu = program.write("pcm", seed=3).written.cells["y"].nu
        fields.append(np.concatenate(list(np.moveaxis(nu, 2, 0)), axis=2)[:, :, :20])
    assert np.array_equal(*fields)


def test_faults_stay_with_the_silicon_while_weights_move() -> None:
    """Two layers of one shape exchange their tiles when the first leaves: the tile's faults do not leave with it."""
    shape = ("tile.rows=20", "tile.columns=12")
    before, moved = two_layers(overrides=shape), two_layers(host=("a",), overrides=shape)
    faulty = "generic:stuck_at_gmin=0.1,stuck_at_gmax=0.1"
    first, second = (program.write(faulty, seed=3).written.cells for program in (before, moved))
    # Layer b has 12 rows of 20; it stands on the tile that layer a had.
    assert np.array_equal(second["b"].stuck[..., :12, :], first["a"].stuck[..., :12, :])
    assert not np.array_equal(second["b"].stuck, first["b"].stuck)
    stuck = second["b"].stuck[..., :12, :]
    assert np.array_equal(second["b"].held[..., :12, :][stuck], first["a"].held[..., :12, :][stuck])


def test_the_variance_of_reads_adds_up_exactly() -> None:
    """Whatever the order: so no place in a panel and no processor changes a bit of it."""
    program = product(np.random.default_rng(0).normal(size=(300, 40)))
    chip = program.write("pcm", seed=1).with_read_noise("per-read")
    (noise,) = chip._cells[1].values()
    (layer,) = layers(program.graph)
    assert noise.fast_variance is not None
    assert layer.dac.codes is not None
    squares = np.random.default_rng(1).integers(0, layer.dac.codes.high + 1, 256).astype(np.float64) ** 2
    for cells in np.moveaxis(noise.fast_variance, 2, 0):
        terms = squares[:, None] * cells.sum(axis=(0, 1))[: len(squares)]
        exact = [math.fsum(column) for column in terms.T]
        for order in (np.arange(256), np.arange(256)[::-1], np.random.default_rng(2).permutation(256)):
            assert np.cumsum(terms[order], axis=0)[-1].tolist() == exact
