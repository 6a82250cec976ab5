"""Values for a model's inputs: checked for shape and type, and cast where that changes nothing but last digits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xbarc.api.specs import InputSpec, describe
from xbarc.errors import DataError


def feeds_of(given: Mapping[str, Any], specs: Sequence[InputSpec]) -> dict[str, Any]:
    """One call's worth of inputs, each in the type of the model.

    Tensors are checked for rank and fixed sizes, and cast. Text is given as arrays of strings; what is no tensor is
    left to onnxruntime, which takes lists for sequences and ``None`` for an empty optional.

    Raises:
        DataError: an input is missing, does not fit, or is none of the model's.
    """
    refuse_missing(list(given), specs, "the given inputs")
    refuse_strangers(given, specs, "the given inputs")
    feeds = {}
    for spec in specs:
        where = f"input '{spec.name}'"
        value = as_fed(given[spec.name], spec, where)
        if isinstance(value, np.ndarray):
            check_shape(value, spec, where, samples=False)
        feeds[spec.name] = fitted(value, spec, where)
    return feeds


def fitted(value: Any, spec: InputSpec, where: str) -> Any:
    """What is given whole, cast where it is an array of another type than the model's. Floats may be infinite or none.

    Raises:
        DataError: numbers that the model's type does not hold.
    """
    if not isinstance(value, np.ndarray) or value.dtype == spec.dtype:
        return value
    return cast(value, spec, where=where, finite=False)


def as_fed(value: Any, spec: InputSpec, where: str) -> Any:
    """What is given for an input, as an array where it is a tensor; type and numbers are not looked at yet.

    Raises:
        DataError: it is no array, or one of another kind of elements.
    """
    if spec.dtype is None:
        return value
    if spec.dtype.kind == "O":
        return _text_array(value, where)
    return number_array(value, where, also=spec.dtype)


def number_array(value: Any, where: str, *, also: np.dtype | None = None) -> np.ndarray:
    """An array of real numbers, or of the type ``also``, which numpy may not count among them.

    Raises:
        DataError: it is none.
    """
    array = _array(value, where)
    if array.dtype.kind not in "biuf" and array.dtype != also:
        raise DataError(
            f"the array has type {array.dtype}, not one of real numbers", where=where, fix="store integers or floats"
        )
    return array


def _text_array(value: Any, where: str) -> np.ndarray:
    array = _array(value, where)
    if array.dtype.kind == "O" and all(isinstance(entry, str | bytes) for entry in array.flat):
        return array
    if array.dtype.kind not in "US":
        raise DataError(
            f"the array has type {array.dtype}, and the model reads text", where=where, fix="give an array of strings"
        )
    return array.astype(object)


def _array(value: Any, where: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"cannot be read as an array: {error}", where=where, fix="give a numpy array") from error


def check_shape(array: np.ndarray, spec: InputSpec, where: str, *, samples: bool) -> None:
    """Refuse an array of another shape than the model reads.

    Args:
        samples: whether axis 0 runs over any number of samples.

    Raises:
        DataError: rank or sizes do not fit.
    """
    if spec.shape is None:
        return
    first = 1 if samples else 0
    pairs = zip(array.shape[first:], spec.shape[first:], strict=False)
    if array.ndim != len(spec.shape) or any(isinstance(wanted, int) and size != wanted for size, wanted in pairs):
        raise DataError(
            f"the array has shape {array.shape}, the model reads {spec if samples else spec.whole}",
            where=where,
            fix=_shape_advice(array, spec) if samples else "prepare the data as for the source model",
        )


def _shape_advice(array: np.ndarray, spec: InputSpec) -> str:
    wanted = (spec.shape or ())[1:]
    if array.shape == wanted:
        return "add the sample axis in front: array[None]"
    if array.ndim == len(wanted) + 1 > 2:
        for source, target in ((-1, 1), (1, -1)):
            if np.moveaxis(array, source, target).shape[1:] == wanted:
                return f"the channels stand elsewhere: np.moveaxis(array, {source}, {target})"
    sizes = [size for size in wanted if isinstance(size, int)]
    if array.ndim > 0 and len(sizes) == len(wanted) and np.prod(array.shape[1:]) == np.prod(np.array(sizes, dtype=int)):
        return f"array.reshape({', '.join(map(str, (-1, *sizes)))}), if the order of the elements is the model's"
    return "prepare the data as for the source model"


def refuse_missing(present: Sequence[str], specs: Sequence[InputSpec], origin: str) -> None:
    """Refuse data that lack an input, with the nearest name that they have.

    Raises:
        DataError: they do.
    """
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
    raise DataError(
        f"no array for the model's input '{missing[0]}'",
        where=f"{origin} holds {found}; the model reads {describe(specs)}",
        fix=fix,
    )


def refuse_strangers(given: Mapping[str, Any], specs: Sequence[InputSpec], origin: str) -> None:
    """Refuse what is given for no input of the model: for a misspelt one, or for a constant that was compiled.

    Raises:
        DataError: names it.
    """
    names = {spec.name for spec in specs}
    strange = next((name for name in given if name not in names and name != "labels"), None)
    if strange is not None:
        raise DataError(
            f"the model has no input '{strange}'",
            where=f"{origin}; the model reads {describe(specs)}",
            fix="leave it out; what the model itself gives a value to is compiled, and cannot be given another one",
        )


def cast(array: np.ndarray, spec: InputSpec, *, where: str, first: int = 0, finite: bool = True) -> np.ndarray:
    """``array`` in the type of ``spec``, refused where that would change more than the last digits of a float.

    Args:
        where: the array comes from.
        first: the index in the data set of the first sample of ``array``.
        finite: whether floats must be finite.

    Raises:
        DataError: numbers that are not finite, or that the type does not hold.
    """
    dtype = spec.dtype
    if dtype is None or dtype.kind == "O":
        return array
    refuse = _refusing(array, where, first)
    limits = integer_limits(dtype)
    is_integer = integer_limits(array.dtype) is not None
    beyond = np.zeros(array.shape, dtype=bool) if is_integer else ~np.isfinite(array)
    if finite or limits is not None:
        refuse(beyond, "is no number that a model can read")
    if limits is not None:
        low, high = limits
        # At least float32, which holds the powers of two at the ends of every integer type; float16 does not.
        values = array if is_integer else array.astype(np.result_type(_plain(array), np.float32), copy=False)
        if array.dtype.kind != "b":  # a truth value fits every type, and does not compare with large numbers
            refuse((values < low) | (values >= high + 1), f"does not fit the model's type {dtype}")
        if not is_integer:
            refuse(values != np.trunc(values), f"is not whole, and the model reads {dtype}")
        return np.asarray(array, dtype=dtype, order="C")
    with np.errstate(over="ignore"):
        converted = np.asarray(array, dtype=dtype, order="C")
    if array.dtype != dtype:
        refuse(~np.isfinite(converted) & ~beyond, f"does not fit the model's type {dtype}")
    return converted


def _refusing(array: np.ndarray, where: str, first: int) -> Callable[[np.ndarray, str], None]:
    """A function that refuses an array where it is marked as bad, for a reason."""

    def refuse(bad: np.ndarray, reason: str) -> None:
        if bad.any():
            place = np.unravel_index(int(bad.argmax()), bad.shape)
            index = ", ".join(str(int(i) + (first if axis == 0 else 0)) for axis, i in enumerate(place))
            raise DataError(
                f"{array[place]} {reason}",
                where=f"{where}, index [{index}]",
                fix="correct or leave out the sample",
            )

    return refuse


def integer_limits(dtype: np.dtype) -> tuple[int, int] | None:
    """The smallest and the largest number of an integer type, also of those of a few bits that numpy does not know;
    ``None`` for floats."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if match := re.fullmatch(r"(u?)int(\d+)", dtype.name):
        bits = int(match[2])
        return (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return None


def _plain(array: np.ndarray) -> np.dtype:
    """A type that numpy can promote, for floats that it does not know."""
    return array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
