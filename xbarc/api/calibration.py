"""The sample that converter ranges are found with: real data, or random inputs where there are none."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xbarc.api.data import InputSpec, Samples, open_data, samples_from_arrays, samples_from_batches
from xbarc.errors import DataError
from xbarc.ir.executor import Batch
from xbarc.random import Key, normals

CalibrationLike = str | os.PathLike[str] | Mapping[str, np.ndarray] | np.ndarray | Iterable[Any] | None

_RANDOM_SAMPLES = 8


@dataclass(frozen=True)
class Calibration:
    """A sample that can be read again and again.

    Attributes:
        specs: the inputs of the model.
        batch_size: samples at a time; ``None``: all at once.
        data: real data; ``None``: random inputs, made when they are needed: not every model can have them, and
            not every compilation asks for them.
        origin: the file, or what else it is, for the program's provenance.
    """

    specs: list[InputSpec]
    batch_size: int | None
    data: Samples | None
    origin: str

    @property
    def measured(self) -> bool:
        """Whether it is real data."""
        return self.data is not None

    @cached_property
    def samples(self) -> Samples:
        """The data.

        Raises:
            DataError: random inputs cannot be made.
        """
        return self.data or _random_samples(self.specs)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.samples.batches(self.batch_size or self.samples.count or 2**31))

    def facts(self) -> dict[str, Any]:
        """What a program remembers of it."""
        count, digest = (None, None) if self.data is None else (self.data.count, self.data.sha256())
        return {"measured": self.measured, "origin": self.origin, "samples": count, "sha256": digest}


def calibration_of(given: CalibrationLike, specs: list[InputSpec], batch_size: int | None) -> Calibration:
    """The calibration sample in any of its forms; random inputs where none is given.

    Raises:
        DataError: data that do not fit the model, or an iterator, which can be read only once.
    """
    if given is None:
        return Calibration(specs, batch_size, None, "seeded standard-normal inputs")
    if isinstance(given, str | os.PathLike):
        return Calibration(specs, batch_size, open_data(given, specs), os.path.abspath(given))
    if isinstance(given, Mapping | np.ndarray):
        return Calibration(specs, batch_size, samples_from_arrays(given, specs), "arrays")
    if iter(given) is given:
        raise DataError(
            "the calibration sample is an iterator, and it has to be read more than once",
            fix="pass arrays, a file, or a list of batches",
        )
    return Calibration(specs, batch_size, samples_from_batches(given, specs), "batches")


def _random_samples(specs: list[InputSpec]) -> Samples:
    """Standard-normal inputs; of integer inputs, their magnitudes rounded."""
    arrays = {}
    for spec in specs:
        first = spec.shape[0] if spec.shape and spec.shape[0] is not None else _RANDOM_SAMPLES
        unknown = [axis for axis, size in enumerate(spec.shape) if size is None and axis > 0]
        if unknown:
            raise DataError(
                f"random inputs cannot be made: the input {spec.name!r} has no fixed size along axis {unknown[0]}",
                where=f"input {spec.name!r}, {spec}",
                fix="give a calibration sample (--calibrate DATA.npz)",
            )
        shape = (first, *(size or 1 for size in spec.shape[1:]))
        normal = normals(Key.stream(0, "calibration", spec.name), (first, math.prod(shape[1:]))).reshape(shape)
        if spec.dtype.kind in "iu":
            normal = np.rint(np.abs(normal))
        elif spec.dtype.kind == "b":
            normal = normal > 0
        arrays[spec.name] = normal.astype(spec.dtype)
    return samples_from_arrays(arrays, specs)
