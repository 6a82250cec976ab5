"""Random inputs for models that come without a calibration sample."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from xbarc.api.feeding import integer_limits
from xbarc.api.specs import InputSpec, divide
from xbarc.errors import DataError, ModelError, XbarcError
from xbarc.ir.types import Dim
from xbarc.random import Key, normals

#: Runs the model on inputs; raises where it does not take them.
Trial = Callable[[Mapping[str, np.ndarray]], None]

_SAMPLES: Final = (8, 1)
_SIZES: Final = (64, 224, 16, 8, 32, 128, 1)
_ENOUGH_NUMBERS: Final = 2**18  # of all inputs together, where sizes are given
_MOST_NUMBERS: Final = 2**24  # of all inputs together, where sizes are chosen here


def random_inputs(specs: Sequence[InputSpec], trial: Callable[[], Trial]) -> dict[str, np.ndarray]:
    """Seeded standard-normal inputs by name; of integers, their magnitudes rounded.

    Equal symbols get equal sizes. Where other axes than that of the samples are dynamic, sizes are tried in turn until
    the model runs.

    Args:
        specs: the inputs of the model.
        trial: makes what runs the model; called where something has to be tried.

    Raises:
        DataError: inputs of a kind that cannot be drawn, or no size with which the model runs.
    """
    for spec in specs:
        if spec.dtype is None or spec.shape is None or spec.dtype.kind in "Oc":
            held = "text" if spec.dtype is not None and spec.dtype.kind == "O" else f"{spec.kind}s"
            what = "has no known rank" if spec.dtype is not None and spec.shape is None else f"reads {held}"
            raise _impossible(f"the input {spec.name!r} {what}", f"input {spec.name!r}")
    batched = divide(specs).batched
    if all(isinstance(size, int) for spec in specs for size in (spec.shape or ())[spec.name in batched :]):
        return _draw(specs, _enough(specs, batched), 1, batched)
    run = trial()
    last: XbarcError | None = None
    for inputs in _candidates(specs, batched):
        try:
            run(inputs)
        except (ModelError, DataError) as error:
            last = error
        else:
            return inputs
    tried = ", ".join(map(str, sorted(_SIZES)))
    where = "; ".join(f"input {spec.name!r} {spec.whole}" for spec in specs)
    raise _impossible(
        f"the model runs with none of the sizes {tried} along its dynamic axes (the last: {last.what if last else ''})",
        where,
    )


def _enough(specs: Sequence[InputSpec], batched: frozenset[str]) -> int:
    """Fewer samples of large inputs: each has many windows, and eight photographs would only take longer."""
    numbers = sum(map(math.prod, _shapes(specs, 1, 1, batched)))
    return max(2, min(_SAMPLES[0], _ENOUGH_NUMBERS // max(numbers, 1)))


def _candidates(specs: Sequence[InputSpec], batched: frozenset[str]) -> Iterator[dict[str, np.ndarray]]:
    for samples, size in itertools.product(_SAMPLES, _SIZES):
        if sum(map(math.prod, _shapes(specs, samples, size, batched))) <= _MOST_NUMBERS:
            yield _draw(specs, samples, size, batched)


def _shapes(specs: Sequence[InputSpec], samples: int, size: int, batched: frozenset[str]) -> Iterator[tuple[int, ...]]:
    """Shapes of inputs with so many samples, and one size for all other dynamic axes."""
    symbols = {spec.shape[0] for spec in specs if spec.shape and spec.name in batched and spec.shape[0] is not None}

    def chosen(dim: Dim, *, first: bool) -> int:
        if isinstance(dim, int):
            return dim
        return samples if first or dim in symbols else size

    for spec in specs:
        dims = enumerate(spec.shape or ())
        yield tuple(chosen(dim, first=axis == 0 and spec.name in batched) for axis, dim in dims)


def _draw(specs: Sequence[InputSpec], samples: int, size: int, batched: frozenset[str]) -> dict[str, np.ndarray]:
    inputs = {}
    for spec, shape in zip(specs, _shapes(specs, samples, size, batched), strict=True):
        rows = shape[0] if shape else 1
        normal = normals(Key.stream(0, "calibration", spec.name), (rows, math.prod(shape[1:]))).reshape(shape)
        inputs[spec.name] = _typed(normal, spec)
    return inputs


def _typed(normal: np.ndarray, spec: InputSpec) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    limits = integer_limits(dtype)
    if dtype.kind == "b":
        normal = normal > 0
    elif limits is not None:
        normal = np.minimum(np.rint(np.abs(normal)), limits[1])
    return normal.astype(dtype)


def _impossible(why: str, where: str) -> DataError:
    return DataError(
        f"random inputs cannot be made: {why}", where=where, fix="give a calibration sample (--calibrate DATA.npz)"
    )
