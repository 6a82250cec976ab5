"""Data reaches a model whole, in order and in its types, whatever form it comes in; or the error says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xbarc.api.data import Samples, open_data, samples_from_arrays, samples_from_batches
from xbarc.api.specs import InputSpec
from xbarc.errors import DataError, UsageError

IMAGE = InputSpec("image", np.dtype("float32"), (None, 2, 3))
MARK = InputSpec("mark", np.dtype("int8"), (None,))
SPECS = (IMAGE, MARK)

batch_sizes = st.integers(1, 9)


def digits(count: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """A valid data set of `count` samples, in types other than the model's."""
    draw = np.random.default_rng(seed)
    return {
        "image": draw.integers(0, 256, (count, 2, 3), dtype=np.uint8),
        "mark": draw.integers(-128, 128, count).astype(np.float64),
        "labels": draw.integers(0, 10, count),
    }


def chunked(data: dict[str, np.ndarray], cuts: list[int]) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    for part in np.split(np.arange(len(data["labels"])), sorted(cuts)):
        yield {name: data[name][part] for name in ("image", "mark")}, data["labels"][part]


def folder_of(data: dict[str, np.ndarray], folder: Path) -> Path:
    for name, array in data.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def refused(call: Callable[..., object], *args: object, **options: object) -> tuple[str, str | None, str | None]:
    """What, where and fix of the DataError that the call raises."""
    with pytest.raises(DataError) as error:
        call(*args, **options)
    return error.value.what, error.value.where, error.value.fix


# --- what comes out


@given(count=st.integers(1, 30), size=batch_sizes, cuts=st.lists(st.integers(0, 30), max_size=5))
def test_every_form_gives_the_same_batches(
    count: int, size: int, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = digits(count)
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "data.npz", **data)
    forms: list[Samples] = [
        open_data(folder / "data.npz", SPECS, labels=True),
        open_data(folder_of(data, folder), SPECS, labels=True),
        samples_from_arrays(data, SPECS, labels=data["labels"]),
        samples_from_batches(chunked(data, cuts), SPECS, labels=True),
        samples_from_batches(list(chunked(data, cuts)), SPECS, labels=True),
    ]
    for samples in forms:
        batches = list(samples.labelled_batches(size))
        assert [len(inputs["image"]) for inputs, _ in batches] == [
            min(size, count - start) for start in range(0, count, size)
        ]
        for number, (inputs, labels) in enumerate(batches):
            part = slice(number * size, (number + 1) * size)
            np.testing.assert_array_equal(inputs["image"], data["image"][part].astype(np.float32), strict=True)
            np.testing.assert_array_equal(inputs["mark"], data["mark"][part].astype(np.int8), strict=True)
            np.testing.assert_array_equal(labels, data["labels"][part], strict=True)
            assert all(array.flags.c_contiguous for array in inputs.values())
        assert samples.count == count
        assert samples.names == ("image", "mark")
    assert len({samples.sha256() for samples in forms}) == 1


def test_batches_are_the_inputs_alone_and_can_be_read_again() -> None:
    data = digits(5)
    samples = samples_from_arrays(data, SPECS, labels=data["labels"])
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([batch["image"] for batch in samples.batches(2)]), data["image"])
    np.testing.assert_array_equal(samples.labels, data["labels"])


def test_labels_are_left_alone_where_not_asked_for(tmp_path: Path) -> None:
    data = digits(3) | {"labels": np.array([{}], dtype=object)}
    np.savez(tmp_path / "data.npz", **data)
    samples = open_data(tmp_path / "data.npz", SPECS)
    assert samples.labels is None
    assert [labels for _, labels in samples.labelled_batches(2)] == [None, None]


def test_labels_may_be_of_any_shape_and_of_floats() -> None:
    labels = np.linspace(0, 1, 12).reshape(3, 2, 2)
    samples = samples_from_arrays(digits(3), SPECS, labels=labels)
    np.testing.assert_array_equal(np.concatenate([part for _, part in samples.labelled_batches(2)]), labels)


def test_a_model_of_one_input_takes_a_single_array() -> None:
    pixels = np.arange(12).reshape(2, 2, 3)
    from_array = samples_from_arrays(pixels, [IMAGE])
    from_list = samples_from_arrays(pixels.tolist(), [IMAGE])
    from_batches = samples_from_batches([pixels[:1], [pixels[1:]]], [IMAGE])
    for samples in (from_array, from_list, from_batches):
        (batch,) = samples.batches(5)
        np.testing.assert_array_equal(batch["image"], pixels.astype(np.float32), strict=True)


def test_a_folder_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    """A sparse file larger than the memory: only what a batch holds can ever be read."""
    shape = (2**36, 2, 3)
    with (tmp_path / "image.npy").open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        try:
            file.truncate(file.tell() + 4 * 2**36 * 6)
        except OSError:
            pytest.skip("this file system takes no file of 1.5 TiB")
    try:
        samples = open_data(tmp_path, [IMAGE])
    except DataError as error:
        pytest.skip(f"this machine maps no file of 1.5 TiB: {error.what}")
    assert samples.count == 2**36
    assert next(samples.batches(4))["image"].shape == (4, 2, 3)


def test_a_stream_is_read_only_as_far_as_asked() -> None:
    read = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal read
        while True:
            read += 1
            yield np.zeros((3, 2, 3))

    samples = samples_from_batches(endless(), [IMAGE])
    assert (read, samples.count) == (0, None)
    batches = samples.batches(4)
    next(batches)
    assert read == 2
    next(batches)
    assert read == 3
    assert samples.count is None


@given(data=st.data(), size=batch_sizes, fixed=st.integers(1, 5), groups=st.integers(1, 5))
def test_a_fixed_first_axis_rules_the_batches(data: st.DataObject, size: int, fixed: int, groups: int) -> None:
    spec = InputSpec("image", np.dtype("float32"), (fixed, 2, 3))
    pixels = digits(fixed * groups)["image"]
    cuts = data.draw(st.lists(st.integers(0, len(pixels)), max_size=4))
    for samples in (
        samples_from_arrays(pixels, [spec, MARK][:1]),
        samples_from_batches(np.split(pixels, sorted(cuts)), [spec]),
    ):
        batches = list(samples.batches(size))
        assert [len(batch["image"]) for batch in batches] == [fixed] * groups
        np.testing.assert_array_equal(np.concatenate([batch["image"] for batch in batches]), pixels)


def test_the_hash_is_of_what_the_model_reads() -> None:
    data = digits(4)
    plain = samples_from_arrays(data, SPECS).sha256()
    assert plain == samples_from_arrays({**data, "image": data["image"].astype(np.float64)}, SPECS).sha256()
    assert plain != samples_from_arrays({**data, "image": data["image"][::-1]}, SPECS).sha256()
    assert plain != samples_from_arrays(data, SPECS, labels=data["labels"]).sha256()
    assert len(plain) == 64


def test_the_hash_of_an_iterator_is_known_once_it_is_read() -> None:
    data = digits(7)
    samples = samples_from_batches(chunked(data, [3]), SPECS)
    for _ in samples.batches(2):
        pass
    assert samples.sha256() == samples_from_arrays(data, SPECS).sha256()


# --- casts


@given(
    values=hnp.arrays(
        st.sampled_from([np.dtype(kind) for kind in ("?", "i1", "u1", "i4", ">i8", "u8", "f2", "f4", ">f8")]),
        st.integers(1, 5),
    ),
    target=st.sampled_from([np.dtype(kind) for kind in ("?", "i1", "u1", "i8", "u8", "f2", "f4", "f8")]),
)
def test_a_cast_keeps_the_value_or_is_refused(values: np.ndarray, target: np.dtype) -> None:
    """Judged in Python's own numbers: whole and within the type for an integer, within its range for a float."""

    def is_held(value: float) -> bool:
        if not np.isfinite(value):
            return False
        if target.kind == "f":
            with np.errstate(over="ignore"):
                return bool(np.isfinite(np.float64(value).astype(target)))
        low, high = (0, 1) if target.kind == "b" else (int(np.iinfo(target).min), int(np.iinfo(target).max))
        return int(value) == value and low <= int(value) <= high

    numbers = values.tolist()
    bad = [index for index, value in enumerate(numbers) if not is_held(value)]
    samples = samples_from_arrays(values, [InputSpec("x", target, (None,))])
    if bad:
        _, where, fix = refused(next, samples.batches(9))
        assert fix == "correct or leave out the sample"
        assert int(str(where).rsplit("[")[-1].rstrip("]")) in bad
    else:
        (batch,) = samples.batches(9)
        assert batch["x"].dtype == target
        if target.kind == "f":
            limits = np.finfo(target)
            np.testing.assert_allclose(batch["x"], numbers, rtol=limits.eps, atol=limits.smallest_subnormal)
        else:
            assert batch["x"].tolist() == numbers


@pytest.mark.parametrize(
    ("value", "dtype", "what"),
    [
        (np.nan, "float32", "nan is no number that a model can read"),
        (-np.inf, "int8", "-inf is no number that a model can read"),
        (1e300, "float32", "1e+300 does not fit the model's type float32"),
        (0.5, "int8", "0.5 is not whole, and the model reads int8"),
        (128.0, "int8", "128.0 does not fit the model's type int8"),
    ],
)
def test_a_value_that_cannot_be_fed_is_named_with_its_place_in_the_set(value: float, dtype: str, what: str) -> None:
    spec = InputSpec("image", np.dtype(dtype), (None, 2, 3))
    pixels = np.zeros((7, 2, 3))
    pixels[5, 1, 2] = value
    pixels[6] = value
    fix = "correct or leave out the sample"
    assert refused(list, samples_from_arrays({"image": pixels}, [spec]).batches(2)) == (
        what,
        "the given arrays, input 'image', index [5, 1, 2]",
        fix,
    )
    assert refused(list, samples_from_batches(np.split(pixels, [4]), [spec]).batches(2)) == (
        what,
        "batch 1, input 'image', index [5, 1, 2]",
        fix,
    )


# --- what does not fit


@pytest.mark.parametrize(
    ("array", "found", "fix"),
    [
        (np.zeros((2, 3)), "(2, 3)", "add the sample axis in front: array[None]"),
        (np.zeros((4, 3, 2)), "(4, 3, 2)", "the channels stand elsewhere: np.moveaxis(array, -1, 1)"),
        (np.zeros((4, 6)), "(4, 6)", "array.reshape(-1, 2, 3), if the order of the elements is the model's"),
        (np.zeros((4, 2, 4)), "(4, 2, 4)", "prepare the data as for the source model"),
        (np.zeros(()), "()", "prepare the data as for the source model"),
    ],
)
def test_a_wrong_shape_is_told_with_advice(array: np.ndarray, found: str, fix: str) -> None:
    assert refused(samples_from_arrays, {"image": array}, [IMAGE]) == (
        f"the array has shape {found}, the model reads (N, 2, 3)",
        "the given arrays, input 'image'",
        fix,
    )


def test_the_channel_advice_goes_both_ways() -> None:
    spec = InputSpec("image", np.dtype("float32"), (None, 32, 32, 3))
    assert (
        refused(samples_from_arrays, np.zeros((5, 3, 32, 32)), [spec])[2]
        == "the channels stand elsewhere: np.moveaxis(array, 1, -1)"
    )


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((None,), "(N,)"), ((1, 8), "(N, 8)"), ((4, 8), "(4 x N, 8)"), ((None, None, 80), "(N, any, 80)")],
)
def test_a_shape_is_shown_with_its_free_axes(shape: tuple[int | None, ...], shown: str) -> None:
    assert str(InputSpec("x", np.dtype("float32"), shape)) == shown


def test_a_missing_input_is_told_with_what_is_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", imag=np.zeros((1, 2, 3)), labels=np.zeros(1))
    assert refused(open_data, tmp_path / "d.npz", SPECS) == (
        "no array for the model's input 'image'",
        f"{tmp_path / 'd.npz'} holds 'imag', 'labels'; the model reads 'image' (N, 2, 3), 'mark' (N,)",
        "rename 'imag' to 'image'",
    )
    one = np.zeros(1)
    assert refused(samples_from_arrays, {"x": one, "labels": one}, [IMAGE])[2] == "rename 'x' to 'image'"
    assert refused(samples_from_arrays, {"x": one, "y": one}, SPECS)[2] == "name each array as the input of the model"
    (tmp_path / "empty").mkdir()
    _, where, fix = refused(open_data, tmp_path / "empty", [InputSpec("/in", np.dtype("float32"), (None,))])
    assert where == f"{tmp_path / 'empty'} holds nothing; the model reads '/in' (N,)"
    assert fix == "an .npz can hold a name with '/', a folder cannot"


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.zeros((1, 2, 3), complex), "complex128"),
        (np.full((1, 2, 3), "a"), "<U1"),
        (np.full((1, 2, 3), {}), "object"),
    ],
)
def test_only_real_numbers_are_fed(array: np.ndarray, dtype: str) -> None:
    assert refused(samples_from_arrays, array, [IMAGE]) == (
        f"the array has type {dtype}, not one of real numbers",
        "the given arrays, input 'image'",
        "store integers or floats",
    )


def test_what_is_no_array_is_told() -> None:
    what, where, fix = refused(samples_from_arrays, [[1.0], [1.0, 2.0]], [IMAGE])
    assert what.startswith("cannot be read as an array: ")
    assert (where, fix) == ("the given arrays, input 'image'", "give a numpy array")


def test_data_for_a_model_without_inputs_are_refused() -> None:
    assert refused(samples_from_arrays, {}, []) == (
        "the model has no input to feed",
        "the given arrays",
        "run it without data",
    )


def test_inputs_need_equally_many_samples() -> None:
    assert refused(samples_from_arrays, {"image": np.zeros((3, 2, 3)), "mark": np.zeros(2)}, SPECS) == (
        "the inputs have different numbers of samples: 'image' has 3, 'mark' has 2",
        "the given arrays",
        "give each input every sample",
    )


def test_one_array_for_two_inputs_is_refused() -> None:
    assert refused(samples_from_arrays, np.zeros(3), SPECS) == (
        "one array for a model of 2 inputs: 'image', 'mark'",
        "the given arrays",
        "give a mapping by input name",
    )


def test_labels_must_be_there_and_fit(tmp_path: Path) -> None:
    data = digits(3)
    del data["labels"]
    np.savez(tmp_path / "d.npz", **data)
    fix = "add an array 'labels', one entry a sample"
    assert refused(open_data, tmp_path / "d.npz", SPECS, labels=True) == (
        "there are no labels",
        str(tmp_path / "d.npz"),
        fix,
    )
    assert refused(next, samples_from_batches([data], SPECS, labels=True).labelled_batches(1)) == (
        "there are no labels",
        "batch 0",
        fix,
    )
    for labels in (np.zeros(4), np.zeros(())):
        assert refused(samples_from_arrays, data, SPECS, labels=labels) == (
            f"labels of shape {labels.shape} for 3 samples",
            "the given arrays",
            "give a label for each sample",
        )
    assert refused(samples_from_arrays, data, SPECS, labels=["cat", "dog", "cat"]) == (
        "the array has type <U3, not one of real numbers",
        "the given arrays, labels",
        "store integers or floats",
    )


def test_no_samples_is_an_error_in_every_form(tmp_path: Path) -> None:
    fix = "give at least one"
    none = digits(0)
    np.savez(tmp_path / "d.npz", **none)
    folder_of(none, tmp_path)
    for path in (tmp_path, tmp_path / "d.npz"):
        assert refused(open_data, path, SPECS) == ("there is not one sample", str(path), fix)
    for batches in ([], [none]):
        assert refused(list, samples_from_batches(batches, SPECS).batches(1)) == (
            "there is not one sample",
            "the given batches",
            fix,
        )


def test_a_fixed_first_axis_takes_a_multiple() -> None:
    spec = InputSpec("image", np.dtype("float32"), (4, 2, 3))
    what = "6 samples, and the model takes exactly 4 at once"
    fix = "give a multiple of 4, or export the model with a dynamic first axis"
    assert refused(samples_from_arrays, np.zeros((6, 2, 3)), [spec]) == (what, "the given arrays", fix)
    assert refused(list, samples_from_batches([np.zeros((6, 2, 3))], [spec]).batches(2)) == (
        what,
        "the last batch",
        fix,
    )


def test_an_iterator_is_read_once() -> None:
    samples = samples_from_batches(iter([np.zeros((1, 2, 3))]), [IMAGE])
    list(samples.batches(1))
    what, _, fix = refused(samples.batches, 1)
    assert what == "these batches were read before, and an iterator gives them only once"
    assert fix == "pass arrays, or a list of batches"


def test_batches_of_different_shapes_are_not_joined() -> None:
    spec = InputSpec("tokens", np.dtype("int64"), (None, None))
    given = [np.zeros((2, 5)), np.zeros((2, 7))]
    assert [batch["tokens"].shape for batch in samples_from_batches(given, [spec]).batches(2)] == [(2, 5), (2, 7)]
    what, _, fix = refused(list, samples_from_batches(given, [spec]).batches(3))
    assert what == "batches of different shapes cannot be joined into one"
    assert fix == "give batches of one shape, each with as many samples as the batch size"


def test_a_batch_of_three_parts_is_refused() -> None:
    assert refused(list, samples_from_batches([(1, 2, 3)], [IMAGE]).batches(1)) == (
        "a batch is a tuple of 3 parts",
        "batch 0",
        "give one array, a mapping by input name, or (inputs, labels)",
    )


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="a batch size of 0\n  fix:   use 1 or more"):
        samples_from_arrays(digits(1), SPECS).batches(0)
