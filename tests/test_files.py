"""Outputs are whole or absent; arrays are read without trusting the file."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xbarc.api.files import array_names, atomic_path, atomic_paths, read_array, write_npz
from xbarc.errors import DataError, InternalError, UsageError, XbarcError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    with atomic_path(target) as aside:
        assert aside.name == target.name
        aside.write_bytes(b"new")
        assert not target.exists()
    assert contents(tmp_path) == {"out.onnx": b"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()])
def test_a_failing_block_leaves_everything_as_it_was(tmp_path: Path, failure: BaseException) -> None:
    model, data = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    model.write_bytes(b"old")

    def write_and_fail() -> None:
        with atomic_paths(data, model) as (data_aside, model_aside):
            data_aside.write_bytes(b"new data")
            model_aside.write_bytes(b"new")
            raise failure

    with pytest.raises(type(failure)):
        write_and_fail()
    assert contents(tmp_path) == {"m.onnx": b"old"}
    assert list(tmp_path.iterdir()) == [model]


def test_files_that_belong_together_can_refer_to_one_another_while_aside(tmp_path: Path) -> None:
    with atomic_paths(tmp_path / "m.data", tmp_path / "m") as (data, model):
        data.write_bytes(b"weights")
        model.write_text("m.data")
        assert (model.parent / model.read_text()).read_bytes() == b"weights"
        assert not (tmp_path / "m.data").exists()
    assert contents(tmp_path) == {"m.data": b"weights", "m": b"m.data"}


def test_a_file_announced_and_not_written_is_a_defect_and_renames_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(InternalError, match="never written: \\['b'\\]"),
        atomic_paths(tmp_path / "a", tmp_path / "b") as (a, _),
    ):
        a.write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("a", "a"), ("a", "sub/b")])
def test_files_together_need_one_folder_and_different_names(tmp_path: Path, names: tuple[str, str]) -> None:
    with (
        pytest.raises(InternalError, match="one folder and different names"),
        atomic_paths(*(tmp_path / n for n in names)),
    ):
        pass


def test_outputs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as missing, atomic_path(tmp_path / "no" / "out.npz"):
        pass
    assert str(missing.value) == (
        f"the folder {tmp_path / 'no'} does not exist\n"
        f"  where: output {tmp_path / 'no' / 'out.npz'}\n"
        "  fix:   make the folder first"
    )
    with pytest.raises(UsageError) as folder, atomic_path(tmp_path):
        pass
    assert str(folder.value) == f"the output {tmp_path} is a folder\n  fix:   name a file in it"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError) as pipe, atomic_path(tmp_path / "pipe"):
        pass
    assert str(pipe.value) == (
        f"the output {tmp_path / 'pipe'} is a device or a pipe\n  fix:   name a file: outputs are renamed into place"
    )


def test_a_full_disk_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(XbarcError) as full, atomic_path(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(full.value) == (
        f"cannot write: No space left on device\n  where: {tmp_path}\n"
        "  fix:   free the disk, or choose another name or folder"
    )
    with (
        pytest.raises(XbarcError, match="cannot write: File name too long"),
        atomic_path(tmp_path / ("x" * 300)) as aside,
    ):
        aside.write_bytes(b"")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "something else").read_bytes()


def test_a_target_that_became_a_folder_meanwhile_is_refused(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "out") as aside:
            aside.write_bytes(b"")
            (tmp_path / "out").mkdir()

    with pytest.raises(XbarcError, match="cannot write: "):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@given(
    arrays=st.dictionaries(
        st.sampled_from(["output", "file", "allow_pickle", "args", "/model/fc/Gemm", "a:0", "x.npy", "é"]),
        hnp.arrays(
            st.sampled_from([np.dtype("f4"), np.dtype(">i8"), np.dtype("?")]), hnp.array_shapes(min_dims=0, min_side=0)
        ),
    )
)
def test_written_arrays_are_what_numpy_reads(
    arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npz") / "y.npz"
    write_npz(path, [arrays])
    first = path.read_bytes()
    with np.load(path) as read:
        assert set(read.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array, strict=True)
    write_npz(path, [arrays])
    assert path.read_bytes() == first


@given(
    array=hnp.arrays(st.sampled_from([np.float32, np.int64, np.bool_]), hnp.array_shapes(min_dims=1, max_dims=3)),
    cuts=st.lists(st.integers(0, 10), max_size=3),
)
def test_an_npz_does_not_depend_on_how_its_arrays_were_cut(
    array: np.ndarray, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    write_npz(folder / "whole.npz", [{"y": array, "twice": 2.0 * array}])
    pieces = np.split(array, sorted(cuts))
    write_npz(folder / "pieces.npz", ({"y": piece, "twice": 2.0 * piece} for piece in pieces))
    assert (folder / "pieces.npz").read_bytes() == (folder / "whole.npz").read_bytes()


def test_batches_of_different_shapes_leave_nothing(tmp_path: Path) -> None:
    for first, second in ((np.ones((2, 3)), np.ones((2, 4))), (np.float32(1), np.float32(1))):
        with pytest.raises(DataError, match="'y' cannot be joined over batches"):
            write_npz(tmp_path / "y.npz", [{"y": first}, {"y": second}])
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_objects_are_never_pickled(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'y' is no array of numbers"):
        write_npz(tmp_path / "y.npz", [{"y": np.array([{}])}])
    assert list(tmp_path.iterdir()) == []


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def is_read_or_told(path: Path) -> bool:
    """Whether every array is read, or the error says where and what to do; any other error passes through."""
    try:
        arrays = [read_array(path, name) for name in array_names(path)]
    except DataError as error:
        return str(path) in str(error.where) and bool(error.fix)
    return all(isinstance(array, np.ndarray) for array in arrays)


WHOLE = packed(x=np.arange(24.0).reshape(4, 6), labels=np.arange(4))


@settings(max_examples=400)
@given(
    flips=st.dictionaries(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), max_size=3),
    end=st.integers(0, len(WHOLE)),
)
def test_a_damaged_npz_is_read_or_is_a_data_error(
    flips: dict[int, int], end: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray(WHOLE)
    for place, value in flips.items():
        damaged[place] = value
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    path.write_bytes(damaged[: end if end % 2 else len(WHOLE)])
    assert is_read_or_told(path)


@settings(max_examples=300)
@given(place=st.integers(0, 127), value=st.integers(0, 255), end=st.integers(0, 160))
def test_a_damaged_npy_is_read_or_is_a_data_error(
    place: int, value: int, end: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npy") / "x.npy"
    np.save(path, np.arange(4.0))
    damaged = bytearray(path.read_bytes())
    damaged[place] = value
    path.write_bytes(damaged[: end if end % 2 else len(damaged)])
    assert is_read_or_told(path.parent)


def test_what_is_no_data_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as missing:
        array_names(tmp_path / "no.npz")
    assert str(missing.value) == (
        f"there is no such file or folder\n  where: {tmp_path / 'no.npz'}\n  fix:   check the path"
    )
    for content in (b"", b"no zip", WHOLE[:100]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError) as bad:
            array_names(tmp_path / "bad.npz")
        assert str(bad.value) == (
            f"cannot be read: File is not a zip file\n  where: {tmp_path / 'bad.npz'}\n"
            "  fix:   write it again, with numpy.savez(path, **{input name: array}) or numpy.save"
        )


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([{}], dtype=object))
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))
    for place in (tmp_path / "x.npz", tmp_path):
        with pytest.raises(DataError) as error:
            read_array(place, "x")
        assert error.value.what.startswith("cannot be read: ")
        assert error.value.where == f"{place}, array 'x'"
        assert error.value.fix == "write it again, with numpy.savez(path, **{input name: array}) or numpy.save"


def test_an_array_beyond_the_memory_gets_the_advice_of_a_folder(tmp_path: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(DataError) as error:
        read_array(tmp_path / "x.npz", "x")
    assert str(error.value) == (
        f"this array does not fit in memory\n  where: {tmp_path / 'x.npz'}, array 'x'\n"
        "  fix:   store it as a folder of .npy files, which are read batch by batch"
    )
