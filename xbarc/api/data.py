"""Sample data in the form that a model reads: files, arrays and streams of batches, checked and cast batch by batch.

Axis 0 of an input is the sample axis where :func:`xbarc.api.specs.divide` says so; other inputs (scalars, tables beside
a dynamic batch, sequences) are given whole with every batch. A model may fix its samples (an export for batches of 4):
then they come in a multiple of that number and every batch has exactly that size. A model without samples takes each
batch as one call.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarc.api.feeding import as_fed, cast, check_shape, fitted, number_array, refuse_missing, refuse_strangers
from xbarc.api.files import array_names, read_array
from xbarc.api.specs import InputSpec, divide
from xbarc.errors import DataError, UsageError

Inputs = dict[str, Any]
"""By name: arrays, and what else a model may read."""
Batch = tuple[Inputs, np.ndarray | None]
"""Inputs by name, and the labels of the same samples where they were asked for."""

_HASH_BATCH = 256


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
        self._division = divide(self.specs)
        self._is_spent = False
        self._sha256: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.specs)

    @property
    def lasting(self) -> bool:
        """Whether they lie in arrays or lists, which several threads may read at once."""
        return isinstance(self._batches, list | tuple)

    def batches(self, size: int) -> Iterator[Inputs]:
        """:meth:`labelled_batches` without the labels."""
        return (inputs for inputs, _ in self.labelled_batches(size))

    def labelled_batches(self, size: int) -> Iterator[Batch]:
        """The samples in order, cast to the types of the model, `size` at a time and fewer in the last batch.

        A model with a fixed first axis gets exactly its own number instead, and one without samples what was given at
        once. Only what a batch needs is read from a memory-mapped folder or a stream. A stream from an iterator can be
        read once. Batches may be views of the data: they are not to be written.

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
        return self._read(self._division.fixed or size)

    def size_of(self, inputs: Mapping[str, Any]) -> int:
        """How many samples a batch holds."""
        return _size(inputs, self._division.batched)

    def first(self, count: int) -> Samples:
        """The first `count` samples, all where there are fewer, without labels; still read batch by batch."""
        known = None if self.count is None else min(count, self.count)
        return Samples(_First(self, count), self.specs, has_labels=False, origin=self._origin, count=known)

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
        batches = self._cast_batches(size)
        for batch in _regroup(batches, size, self._division.batched) if self._division.batched else batches:
            count += self.size_of(batch[0])
            _refuse_remainder(count, self._division.fixed, self._origin or "the last batch")
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
        batched = self._division.batched
        for number, given in enumerate(self._batches):
            origin = self._origin or f"batch {number}"
            inputs, labels = _checked(given, self.specs, has_labels=self._has_labels, origin=origin)
            whole = {
                spec.name: fitted(inputs[spec.name], spec, f"{origin}, input '{spec.name}'")
                for spec in self.specs
                if spec.name not in batched
            }
            if not batched:
                yield whole, labels
                continue
            count = _size(inputs, batched)
            for start in range(0, count, size):
                part = slice(start, start + size)
                cut = {
                    spec.name: cast(
                        inputs[spec.name][part],
                        spec,
                        where=f"{origin}, input '{spec.name}'",
                        first=first + start,
                    )
                    for spec in self.specs
                    if spec.name in batched
                }
                together = {name: cut[name] if name in cut else whole[name] for name in self.names}
                yield together, None if labels is None else labels[part]
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
    refuse_missing(present, specs, origin)
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


@dataclass(frozen=True)
class _First:
    """The first of some samples, in batches."""

    samples: Samples
    count: int

    def __iter__(self) -> Iterator[Inputs]:
        left, batched = self.count, divide(self.samples.specs).batched
        for inputs in self.samples.batches(min(self.count, _HASH_BATCH)):
            yield {name: value[:left] if name in batched else value for name, value in inputs.items()}
            left -= self.samples.size_of(inputs)
            if left <= 0:
                return


class _Digest:
    """One running hash an input, so that the cut into batches does not matter."""

    def __init__(self, specs: Sequence[InputSpec]) -> None:
        self._hashes = {spec.name: hashlib.sha256(f"{spec.name} {spec.dtype}".encode()) for spec in specs}
        self._batched = divide(specs).batched
        self._whole: dict[str, bytes] = {}
        self._labels = hashlib.sha256()

    def add(self, batch: Batch) -> None:
        inputs, labels = batch
        for name, value in inputs.items():
            content = _bytes(value)
            if self._batched and name not in self._batched:
                if content == self._whole.get(name):
                    continue  # given with every batch, it counts once
                self._whole[name] = content
            self._hashes[name].update(content)
        if labels is not None:
            self._labels.update(labels.tobytes())

    def hexdigest(self) -> str:
        parts = [part.digest() for part in (*self._hashes.values(), self._labels)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


def _bytes(value: Any) -> bytes:
    """What a value holds; that of two arrays joined is that of one and the other."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.tobytes()
    if isinstance(value, np.ndarray | list | tuple):
        return b"".join(_bytes(entry) for entry in (value.flat if isinstance(value, np.ndarray) else value))
    text = value if isinstance(value, bytes) else str(value).encode()
    return len(text).to_bytes(8, "little") + text


def _size(inputs: Mapping[str, Any], batched: frozenset[str]) -> int:
    return next((len(value) for name, value in inputs.items() if name in batched), 1)


def _from_arrays(arrays: Any, specs: Sequence[InputSpec], *, labels: Any, origin: str) -> Samples:
    has_labels = labels is not None
    inputs, marks = _checked((arrays, labels), specs, has_labels=has_labels, origin=origin)
    division = divide(specs)
    count = _size(inputs, division.batched)
    if count == 0:
        raise _no_samples(origin)
    _refuse_remainder(count, division.fixed, origin)
    return Samples([(inputs, marks)], specs, has_labels=has_labels, origin=origin, count=count, labels=marks)


def _regroup(batches: Iterator[Batch], size: int, batched: frozenset[str]) -> Iterator[Batch]:
    """Joins and cuts batches to `size` samples each, fewer in the last; a batch of that size is not copied."""
    held: list[Batch] = []
    room = size
    for inputs, labels in batches:
        start, count = 0, _size(inputs, batched)
        while start < count:
            part = slice(start, start + room)
            piece = {name: value[part] if name in batched else value for name, value in inputs.items()}
            held.append((piece, None if labels is None else labels[part]))
            taken = _size(piece, batched)
            start, room = start + taken, room - taken
            if room == 0:
                yield _joined(held, batched)
                held, room = [], size
    if held:
        yield _joined(held, batched)


def _joined(pieces: list[Batch], batched: frozenset[str]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    inputs, labels = zip(*pieces, strict=True)
    for name in inputs[0]:
        if name not in batched and len({_bytes(each[name]) for each in inputs}) > 1:
            raise DataError(
                f"batches with different values of the input '{name}' cannot be joined into one",
                where="its axis 0 does not run over samples",
                fix="give batches that have as many samples as the batch size",
            )
    try:
        joined = {
            name: np.concatenate([each[name] for each in inputs]) if name in batched else inputs[0][name]
            for name in inputs[0]
        }
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
    inputs, labels = _inputs_and_labels(given, specs, origin)
    refuse_missing(list(inputs), specs, origin)
    refuse_strangers(inputs, specs, origin)
    batched = divide(specs).batched
    fed = {}
    for spec in specs:
        where = f"{origin}, input '{spec.name}'"
        value = fed[spec.name] = as_fed(inputs[spec.name], spec, where)
        if isinstance(value, np.ndarray):
            check_shape(value, spec, where, samples=spec.name in batched)
    counts = {name: len(value) for name, value in fed.items() if name in batched}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"'{name}' has {count}" for name, count in counts.items())
        raise DataError(
            f"the inputs have different numbers of samples: {told}", where=origin, fix="give each input every sample"
        )
    if not has_labels:
        return fed, None
    if labels is None:
        raise _no_labels(origin)
    marks = number_array(labels, f"{origin}, labels")
    count = _size(fed, batched)
    if batched and (marks.ndim == 0 or len(marks) != count):
        raise DataError(
            f"labels of shape {marks.shape} for {count} samples", where=origin, fix="give a label for each sample"
        )
    return fed, marks


def _inputs_and_labels(given: Any, specs: Sequence[InputSpec], origin: str) -> tuple[Mapping[str, Any], Any]:
    """A batch in any of its forms, parted."""
    inputs, labels = given, None
    if isinstance(given, tuple | list):
        if len(given) not in (1, 2):
            raise DataError(
                f"a batch is a {type(given).__name__} of {len(given)} parts",
                where=origin,
                fix="give one array, a mapping by input name, or (inputs, labels)",
            )
        inputs, labels = given if len(given) == 2 else (given[0], None)
    if isinstance(inputs, Mapping):
        return inputs, labels
    if len(specs) != 1:
        names = ", ".join(f"'{spec.name}'" for spec in specs)
        raise DataError(
            f"one array for a model of {len(specs)} inputs: {names}",
            where=origin,
            fix="give a mapping by input name",
        )
    return {specs[0].name: inputs}, labels


def _refuse_remainder(count: int, fixed: int | None, origin: str) -> None:
    if fixed and count % fixed:
        raise DataError(
            f"{count} samples, and the model takes exactly {fixed} at once",
            where=origin,
            fix=f"give a multiple of {fixed}, or export the model with a dynamic first axis",
        )


def _no_labels(origin: str) -> DataError:
    return DataError("there are no labels", where=origin, fix="add an array 'labels', one entry a sample")


def _no_samples(origin: str) -> DataError:
    return DataError("there is not one sample", where=origin, fix="give at least one")
