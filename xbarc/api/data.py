"""Sample data in the form that a model reads: files, arrays and streams of batches, checked and cast batch by batch.

Axis 0 of every input is the sample axis. A model may fix it (an export for batches of 4): then samples come in a
multiple of that number and every batch has exactly that size.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.api.files import array_names, read_array
from xbarc.errors import DataError, UsageError

Inputs = dict[str, np.ndarray]
Batch = tuple[Inputs, np.ndarray | None]
"""Inputs by name, and the labels of the same samples where they were asked for."""

_HASH_BATCH = 256


@dataclass(frozen=True)
class InputSpec:
    """One input of a model. `shape` has None for a dynamic axis."""

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        first, *rest = self.shape or (1,)
        sizes = ["N" if first in (None, 1) else f"{first} x N", *("any" if n is None else str(n) for n in rest)]
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


class Samples:
    """Samples of a model's inputs, and their labels where asked for; made by the functions of this module.

    Attributes:
        specs: the inputs of the model.
        count: the number of samples; None for a stream that was not yet read to its end.
        labels: `(count, ...)` of samples held as arrays; None where not asked for, and for a stream, whose labels come
            with :meth:`labelled_batches`.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        specs: Sequence[InputSpec],
        *,
        has_labels: bool,
        origin: str | None = None,
        count: int | None = None,
        labels: np.ndarray | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self.count = count
        self.labels = labels
        self._batches = batches
        self._has_labels = has_labels
        self._origin = origin
        self._is_spent = False
        self._sha256: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.specs)

    def batches(self, size: int) -> Iterator[Inputs]:
        """:meth:`labelled_batches` without the labels."""
        return (inputs for inputs, _ in self.labelled_batches(size))

    def labelled_batches(self, size: int) -> Iterator[Batch]:
        """The samples in order, cast to the types of the model, `size` at a time and fewer in the last batch.

        A model with a fixed first axis gets exactly its own number instead. Only what a batch needs is read from a
        memory-mapped folder or a stream. A stream from an iterator can be read once. Batches may be views of the data:
        they are not to be written.

        Raises:
            DataError: values that the model's type cannot hold, batches of a stream that do not fit the model, a stream
                that is empty or was read before.
            UsageError: a size below 1.
        """
        if size < 1:
            raise UsageError(f"a batch size of {size}", fix="use 1 or more")
        if self._is_spent:
            raise DataError(
                "these batches were read before, and an iterator gives them only once",
                fix="pass arrays, or a list of batches",
            )
        self._is_spent = iter(self._batches) is self._batches
        return self._read(_fixed_count(self.specs) or size)

    def sha256(self) -> str:
        """The hash of the inputs as the model reads them, and of the labels where asked for; equal for any file form.

        Reads all samples the first time, batch by batch; that of an iterator is known when it was read to its end.

        Raises:
            DataError: as :meth:`labelled_batches`.
        """
        if self._sha256 is None:
            digest = _Digest(self.specs)
            for batch in self.labelled_batches(_HASH_BATCH):
                digest.add(batch)
            self._sha256 = digest.hexdigest()
        return self._sha256

    def _read(self, size: int) -> Iterator[Batch]:
        digest = _Digest(self.specs) if self._is_spent else None
        count = 0
        for batch in _regroup(self._cast_batches(size), size):
            count += _size(batch)
            _refuse_remainder(count, self.specs, self._origin or "the last batch")
            if digest:
                digest.add(batch)
            yield batch
        if count == 0:
            raise _no_samples(self._origin or "the given batches")
        self.count = count
        if digest:
            self._sha256 = digest.hexdigest()

    def _cast_batches(self, size: int) -> Iterator[Batch]:
        """The batches as given, checked, cut to at most `size` samples and cast."""
        first = 0
        for number, given in enumerate(self._batches):
            origin = self._origin or f"batch {number}"
            inputs, labels = _checked(given, self.specs, has_labels=self._has_labels, origin=origin)
            count = _size((inputs, labels))
            for start in range(0, count, size):
                part = slice(start, start + size)
                cast = {
                    spec.name: _cast(inputs[spec.name][part], spec, origin=origin, first=first + start)
                    for spec in self.specs
                }
                yield cast, None if labels is None else labels[part]
            first += count


def open_data(path: str | os.PathLike[str], specs: Sequence[InputSpec], *, labels: bool = False) -> Samples:
    """Opens an `.npz` whose keys are the names of the inputs, or a folder of `.npy` files of these names.

    A folder is memory-mapped and read batch by batch; the arrays of an `.npz` are loaded once. Keys that the model does
    not know are ignored; `labels`, `(samples, ...)`, is read where asked for. Nothing is ever unpickled.

    Raises:
        DataError: the file is missing or damaged, or does not hold what the model reads.
    """
    origin = os.fspath(path)
    present = array_names(path)
    _refuse_missing(present, specs, origin)
    if labels and "labels" not in present:
        raise _no_labels(origin)
    arrays = {spec.name: read_array(path, spec.name) for spec in specs}
    return _from_arrays(arrays, specs, labels=read_array(path, "labels") if labels else None, origin=origin)


def samples_from_arrays(
    arrays: Mapping[str, Any] | Any, specs: Sequence[InputSpec], *, labels: Any | None = None
) -> Samples:
    """Samples from arrays by input name, or from one array where the model has one input.

    Raises:
        DataError: the arrays do not fit the model.
    """
    return _from_arrays(arrays, specs, labels=labels, origin="the given arrays")


def samples_from_batches(batches: Iterable[Any], specs: Sequence[InputSpec], *, labels: bool = False) -> Samples:
    """Samples from any iterable of batches: mappings by input name, single arrays, or `(inputs, labels)` of either.

    Nothing is read before :meth:`Samples.labelled_batches`, which cuts and joins the batches to the size wanted. An
    iterator (a generator, say) is read once; a list or a loader that can start again may be read several times.

    Args:
        labels: whether every batch must come with labels; otherwise labels are ignored.
    """
    return Samples(batches, specs, has_labels=labels)


class _Digest:
    """One running hash an input, so that the cut into batches does not matter."""

    def __init__(self, specs: Sequence[InputSpec]) -> None:
        self._hashes = {spec.name: hashlib.sha256(f"{spec.name} {spec.dtype.name}".encode()) for spec in specs}
        self._labels = hashlib.sha256()

    def add(self, batch: Batch) -> None:
        inputs, labels = batch
        for name, array in inputs.items():
            self._hashes[name].update(array.tobytes())
        if labels is not None:
            self._labels.update(labels.tobytes())

    def hexdigest(self) -> str:
        parts = [part.digest() for part in (*self._hashes.values(), self._labels)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


def _size(batch: Batch) -> int:
    return len(next(iter(batch[0].values())))


def _from_arrays(arrays: Any, specs: Sequence[InputSpec], *, labels: Any, origin: str) -> Samples:
    has_labels = labels is not None
    batch = _checked((arrays, labels), specs, has_labels=has_labels, origin=origin)
    count = _size(batch)
    if count == 0:
        raise _no_samples(origin)
    _refuse_remainder(count, specs, origin)
    return Samples([batch], specs, has_labels=has_labels, origin=origin, count=count, labels=batch[1])


def _regroup(batches: Iterator[Batch], size: int) -> Iterator[Batch]:
    """Joins and cuts batches to `size` samples each, fewer in the last; a batch of that size is not copied."""
    held: list[Batch] = []
    room = size
    for inputs, labels in batches:
        start, count = 0, _size((inputs, labels))
        while start < count:
            part = slice(start, start + room)
            piece = {name: array[part] for name, array in inputs.items()}, None if labels is None else labels[part]
            held.append(piece)
            start, room = start + _size(piece), room - _size(piece)
            if room == 0:
                yield _joined(held)
                held, room = [], size
    if held:
        yield _joined(held)


def _joined(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    inputs, labels = zip(*pieces, strict=True)
    try:
        joined = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
        return joined, None if labels[0] is None else np.concatenate(labels)
    except ValueError as error:
        raise DataError(
            "batches of different shapes cannot be joined into one",
            where=str(error),
            fix="give batches of one shape, each with as many samples as the batch size",
        ) from error


def _checked(given: Any, specs: Sequence[InputSpec], *, has_labels: bool, origin: str) -> Batch:
    """One batch as plain arrays of the right names, shapes and kinds of type; not yet cast, values not looked at."""
    if not specs:
        raise DataError("the model has no input to feed", where=origin, fix="run it without data")
    inputs, labels = given, None
    if isinstance(given, tuple | list):
        if len(given) not in (1, 2):
            raise DataError(
                f"a batch is a {type(given).__name__} of {len(given)} parts",
                where=origin,
                fix="give one array, a mapping by input name, or (inputs, labels)",
            )
        inputs, labels = given if len(given) == 2 else (given[0], None)
    if not isinstance(inputs, Mapping):
        if len(specs) != 1:
            names = ", ".join(f"'{spec.name}'" for spec in specs)
            raise DataError(
                f"one array for a model of {len(specs)} inputs: {names}",
                where=origin,
                fix="give a mapping by input name",
            )
        inputs = {specs[0].name: inputs}
    _refuse_missing(list(inputs), specs, origin)
    arrays = {spec.name: _number_array(inputs[spec.name], f"{origin}, input '{spec.name}'") for spec in specs}
    for spec in specs:
        _check_shape(arrays[spec.name], spec, origin)
    if len({len(array) for array in arrays.values()}) > 1:
        counts = ", ".join(f"'{name}' has {len(array)}" for name, array in arrays.items())
        raise DataError(
            f"the inputs have different numbers of samples: {counts}", where=origin, fix="give each input every sample"
        )
    if not has_labels:
        return arrays, None
    if labels is None:
        raise _no_labels(origin)
    marks = _number_array(labels, f"{origin}, labels")
    count = _size((arrays, marks))
    if marks.ndim == 0 or len(marks) != count:
        raise DataError(
            f"labels of shape {marks.shape} for {count} samples", where=origin, fix="give a label for each sample"
        )
    return arrays, marks


def _number_array(value: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"cannot be read as an array: {error}", where=where, fix="give a numpy array") from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"the array has type {array.dtype}, not one of real numbers", where=where, fix="store integers or floats"
        )
    return array


def _check_shape(array: np.ndarray, spec: InputSpec, origin: str) -> None:
    where = f"{origin}, input '{spec.name}'"
    if spec.dtype.kind not in "biuf" and spec.dtype.name != "bfloat16":
        raise DataError(
            f"the model reads type {spec.dtype}, and only real numbers can be fed",
            where=where,
            fix="move what makes numbers of it out of the model",
        )
    if not spec.shape:
        raise DataError("the model's input has no sample axis", where=where, fix="make it a constant in the model")
    pairs = zip(array.shape[1:], spec.shape[1:], strict=False)
    if array.ndim != len(spec.shape) or any(size != wanted for size, wanted in pairs if wanted is not None):
        raise DataError(
            f"the array has shape {array.shape}, the model reads {spec}", where=where, fix=_shape_advice(array, spec)
        )


def _shape_advice(array: np.ndarray, spec: InputSpec) -> str:
    wanted = spec.shape[1:]
    if array.shape == wanted:
        return "add the sample axis in front: array[None]"
    if array.ndim == len(spec.shape) > 2:
        for source, target in ((-1, 1), (1, -1)):
            if np.moveaxis(array, source, target).shape[1:] == wanted:
                return f"the channels stand elsewhere: np.moveaxis(array, {source}, {target})"
    if array.ndim > 0 and None not in wanted and np.prod(array.shape[1:]) == np.prod(np.array(wanted, dtype=int)):
        return f"array.reshape({', '.join(map(str, (-1, *wanted)))}), if the order of the elements is the model's"
    return "prepare the data as for the source model"


def _fixed_count(specs: Sequence[InputSpec]) -> int | None:
    """The number of samples that the model takes at once, None where that is free."""
    fixed = {spec.shape[0] for spec in specs if spec.shape and spec.shape[0] is not None}
    if len(fixed) > 1:
        shapes = ", ".join(f"'{spec.name}' {spec.shape}" for spec in specs)
        raise DataError(
            f"the model's inputs take different numbers of samples at once: {shapes}",
            fix="export the model with a dynamic first axis",
        )
    return fixed.pop() if fixed else None


def _refuse_remainder(count: int, specs: Sequence[InputSpec], origin: str) -> None:
    fixed = _fixed_count(specs)
    if fixed and count % fixed:
        raise DataError(
            f"{count} samples, and the model takes exactly {fixed} at once",
            where=origin,
            fix=f"give a multiple of {fixed}, or export the model with a dynamic first axis",
        )


def _refuse_missing(present: Sequence[str], specs: Sequence[InputSpec], origin: str) -> None:
    missing = [spec.name for spec in specs if spec.name not in present]
    if not missing:
        return
    near = difflib.get_close_matches(missing[0], present, n=1)
    spare = [name for name in present if name != "labels"]
    if near or (len(specs) == 1 and len(spare) == 1):
        fix = f"rename '{(near or spare)[0]}' to '{missing[0]}'"
    elif "/" in missing[0]:
        fix = "an .npz can hold a name with '/', a folder cannot"
    else:
        fix = "name each array as the input of the model"
    found = ", ".join(f"'{name}'" for name in present) or "nothing"
    wanted = ", ".join(f"'{spec.name}' {spec}" for spec in specs)
    raise DataError(
        f"no array for the model's input '{missing[0]}'",
        where=f"{origin} holds {found}; the model reads {wanted}",
        fix=fix,
    )


def _no_labels(origin: str) -> DataError:
    return DataError("there are no labels", where=origin, fix="add an array 'labels', one entry a sample")


def _no_samples(origin: str) -> DataError:
    return DataError("there is not one sample", where=origin, fix="give at least one")


def _cast(array: np.ndarray, spec: InputSpec, *, origin: str, first: int) -> np.ndarray:
    """`array` in the type of `spec`, refused where that would change more than the last digits of a float.

    Args:
        first: the index in the data set of the first sample of `array`.
    """

    def refuse(bad: np.ndarray, reason: str) -> None:
        if bad.any():
            place = np.unravel_index(int(bad.argmax()), bad.shape)
            index = ", ".join(str(int(i) + (first if axis == 0 else 0)) for axis, i in enumerate(place))
            raise DataError(
                f"{array[place]} {reason}",
                where=f"{origin}, input '{spec.name}', index [{index}]",
                fix="correct or leave out the sample",
            )

    is_float = array.dtype.kind == "f"
    if is_float:
        refuse(~np.isfinite(array), "is no number that a model can read")
    if spec.dtype.kind in "biu":
        low, high = (0, 1) if spec.dtype.kind == "b" else (np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max)
        # At least float32, which holds the powers of two at the ends of every integer type; float16 does not.
        values = array.astype(np.result_type(array, np.float32), copy=False) if is_float else array
        if array.dtype.kind != "b":  # a truth value fits every type, and does not compare with large numbers
            refuse((values < low) | (values >= high + 1), f"does not fit the model's type {spec.dtype}")
        if is_float:
            refuse(values != np.trunc(values), f"is not whole, and the model reads {spec.dtype}")
        return np.asarray(array, dtype=spec.dtype, order="C")
    with np.errstate(over="ignore"):
        cast = np.asarray(array, dtype=spec.dtype, order="C")
    refuse(~np.isfinite(cast), f"does not fit the model's type {spec.dtype}")
    return cast
