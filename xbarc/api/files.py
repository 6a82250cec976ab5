"""Files: outputs that are whole or absent (written aside, then renamed), and arrays read without trusting them."""

from __future__ import annotations

import errno
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
        _check_target(target)
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


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes `arrays` as an uncompressed `.npz` with exactly these keys; equal arrays give equal bytes.

    Keys may be any names, also those that `numpy.savez` takes for its own arguments.

    Raises:
        UsageError, XbarcError: as :func:`atomic_path`.
    """
    with atomic_path(path) as aside, zipfile.ZipFile(aside, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


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


def _check_target(target: Path) -> None:
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
