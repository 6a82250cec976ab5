"""The sample that converter ranges are found with: real data, or random inputs where there are none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xbarc.api.data import Samples, open_data, samples_from_arrays, samples_from_batches
from xbarc.api.random_inputs import Trial, random_inputs
from xbarc.api.specs import InputSpec
from xbarc.errors import DataError
from xbarc.ir.executor import Batch

SampleLike = str | os.PathLike[str] | Mapping[str, np.ndarray] | np.ndarray | Iterable[Any] | Samples
CalibrationLike = SampleLike | None


@dataclass(frozen=True)
class Calibration:
    """A sample that can be read again and again.

    Attributes:
        specs: the inputs of the model.
        batch_size: samples at a time; ``None``: all at once.
        data: real data; ``None``: random inputs, made when they are needed: not every model can have them, and
            not every compilation asks for them.
        origin: the file, or what else it is, for the program's provenance.
        trial: makes what runs the model, to find sizes of random inputs.
    """

    specs: list[InputSpec]
    batch_size: int | None
    data: Samples | None
    origin: str
    trial: Callable[[], Trial]

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
        return self.data or samples_from_arrays(random_inputs(self.specs, self.trial), self.specs)

    def __iter__(self) -> Iterator[Batch]:
        if not self.specs:
            return iter([{}])  # a model without inputs has one sample
        return iter(self.samples.batches(self.batch_size or self.samples.count or 2**31))

    def facts(self) -> dict[str, Any]:
        """What a program remembers of it."""
        count, digest = (None, None) if self.data is None else (self.data.count, self.data.sha256())
        return {"measured": self.measured, "origin": self.origin, "samples": count, "sha256": digest}


def calibration_of(
    given: CalibrationLike, specs: list[InputSpec], batch_size: int | None, *, trial: Callable[[], Trial]
) -> Calibration:
    """The calibration sample in any of its forms; random inputs where none is given.

    Args:
        given: the sample.
        specs: the inputs of the model.
        batch_size: samples at a time; ``None``: all at once.
        trial: makes what runs the model, to find sizes of random inputs.

    Raises:
        DataError: data that do not fit the model, or an iterator, which can be read only once.
    """
    data, origin = (None, "seeded standard-normal inputs") if given is None else open_sample(given, specs)
    return Calibration(specs, batch_size, data, origin, trial)


def open_sample(given: SampleLike, specs: Sequence[InputSpec]) -> tuple[Samples, str]:
    """A sample of real data that can be read again and again, and what it is.

    Raises:
        DataError: data that do not fit the model, or an iterator, which can be read only once.
    """
    if isinstance(given, Samples):
        return given, "samples"
    if isinstance(given, str | os.PathLike):
        return open_data(given, specs), os.path.abspath(given)
    if isinstance(given, Mapping | np.ndarray):
        return samples_from_arrays(given, specs), "arrays"
    if iter(given) is given:
        raise DataError(
            "the calibration sample is an iterator, and it has to be read more than once",
            fix="pass arrays, a file, or a list of batches",
        )
    return samples_from_batches(given, specs), "batches"
