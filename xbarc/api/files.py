"""Files: outputs that are whole or absent (written aside, then renamed), and arrays read without trusting them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from xbarc.errors import DataError, InternalError, UsageError, XbarcError

_REFUSED_BY_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG})


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to write, and puts what was written at `path` when the block ends well.

    Where the block raises, `path` is as it was before. The path yielded has the file name of `path`.

    Raises:
        UsageError: the folder does not exist, or `path` is something other than a file.
        XbarcError: the folder cannot be written, or the disk is full.
    """
    with atomic_paths(path) as (aside,):
        yield aside


@contextmanager
def atomic_paths(*paths: str | os.PathLike[str]) -> Iterator[tuple[Path, ...]]:
    """Like :func:`atomic_path`, for files of one folder that belong together, all of which the block must write.

    Nothing is renamed before everything is written. The renames follow the order given, so a file that refers to
    others (a model and its external data) comes last. The files keep their names while they are aside, so they may
    refer to one another by relative path.
    """
    targets = [Path(path) for path in paths]
    folder = targets[0].parent
    if len({target.name for target in targets}) != len(targets) or any(target.parent != folder for target in targets):
        raise InternalError(f"files written together need one folder and different names: {targets}")
    for target in targets:
        check_output(target)
    with _staging_folder(folder) as aside:
        written = tuple(aside / target.name for target in targets)
        try:
            yield written
        except OSError as error:
            if error.errno in _REFUSED_BY_DISK:
                raise _cannot_write(folder, error) from error
            raise
        if missing := [path.name for path in written if not path.is_file()]:
            raise InternalError(f"announced but never written: {missing}")
        for path, target in zip(written, targets, strict=True):
            try:
                path.replace(target)
            except OSError as error:
                raise _cannot_write(target, error) from error


def write_npz(path: str | os.PathLike[str], batches: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Writes an uncompressed `.npz` with the keys of the batches, each array joined along axis 0.

    Arrays grow on the disk: the memory holds one batch. Equal arrays give equal bytes. Keys may be any names, also
    those that `numpy.savez` takes for its own arguments.

    Raises:
        DataError: arrays of objects (text, or what is no array at all), or batches that cannot be joined.
        UsageError, XbarcError: as :func:`atomic_path`.
    """
    with atomic_path(path) as aside, ExitStack() as files:
        grown: dict[str, _GrowingArray] = {}
        for batch in batches:
            for name, array in batch.items():
                if name not in grown:
                    file = files.enter_context(tempfile.TemporaryFile(dir=aside.parent))
                    grown[name] = _GrowingArray(name, file)
                grown[name].append(array)
        with zipfile.ZipFile(aside, "w") as archive:
            for name, whole in grown.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    whole.write(member)


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays of an `.npz`, or of the `.npy` files of a folder.

    Raises:
        DataError: `path` is neither.
    """
    path = Path(path)
    if not os.path.exists(path):  # Path.exists raises where a name is too long
        raise DataError("there is no such file or folder", where=str(path), fix="check the path")
    with _readable(str(path)):
        if path.is_dir():
            return sorted(file.stem for file in path.glob("*.npy"))
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_array(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """One array of those that :func:`array_names` lists: loaded from an `.npz`, memory-mapped from a folder.

    Raises:
        DataError: the array is damaged, too large for the memory, or of Python objects (nothing is unpickled).
    """
    path = Path(path)
    with _readable(f"{path}, array '{name}'"):
        if path.is_dir():
            return np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)


class _GrowingArray:
    """An array that lies in a file and takes more along axis 0."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name = name
        self._file = file
        self._dtype = np.dtype(float)
        self._shape: tuple[int, ...] | None = None

    def append(self, array: np.ndarray) -> None:
        if not isinstance(array, np.ndarray | np.generic) or array.dtype.hasobject:
            raise DataError(
                f"the output '{self._name}' is no array of numbers, and an .npz holds no other",
                fix="run the program from Python, which returns every output as it is",
            )
        if self._shape is None:
            self._dtype, self._shape = array.dtype, array.shape
        elif array.ndim == 0 or array.shape[1:] != self._shape[1:]:
            raise DataError(
                f"the output '{self._name}' cannot be joined over batches: {list(self._shape)} and {list(array.shape)}",
                fix="run the program from Python, batch by batch",
            )
        else:
            self._shape = (self._shape[0] + len(array), *self._shape[1:])
        self._file.write(array.tobytes())

    def write(self, file: IO[bytes]) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_2_0(file, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, 2**20)


def check_output(path: str | os.PathLike[str]) -> None:
    """Refuses what :func:`atomic_path` would refuse, so that a long job need not find that out at its end.

    Raises:
        UsageError: the folder does not exist, or `path` is something other than a file.
    """
    target = Path(path)
    if os.path.isdir(target):
        raise UsageError(f"the output {target} is a folder", fix="name a file in it")
    if os.path.exists(target) and not os.path.isfile(target):  # the methods of Path raise where a name is too long
        # A rename would put a file in the place of it.
        raise UsageError(
            f"the output {target} is a device or a pipe", fix="name a file: outputs are renamed into place"
        )
    if not target.parent.is_dir():
        raise UsageError(
            f"the folder {target.parent} does not exist", where=f"output {target}", fix="make the folder first"
        )


@contextmanager
def _staging_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder`, so that a rename out of it stays on one file system."""
    try:
        staging = tempfile.TemporaryDirectory(prefix=".xbarc-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with staging as name:
        yield Path(name)


def _cannot_write(place: Path, error: OSError) -> XbarcError:
    reason = error.strerror or str(error)
    return XbarcError(
        f"cannot write: {reason}", where=str(place), fix="free the disk, or choose another name or folder"
    )


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise DataError(
            "this array does not fit in memory",
            where=where,
            fix="store it as a folder of .npy files, which are read batch by batch",
        ) from error
    except Exception as error:  # a damaged header gets out of numpy as whatever Python's own parser raises
        raise DataError(
            f"cannot be read: {str(error) or type(error).__name__}",
            where=where,
            fix="write it again, with numpy.savez(path, **{input name: array}) or numpy.save",
        ) from error
