"""Codes, scales and zero points of quantised networks."""

from __future__ import annotations

import numpy as np

#: Types of inputs and weights that every quantised product of onnxruntime takes.
PAIRS = ((np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8))


def codes(rng: np.random.Generator, shape: tuple[int, ...], dtype: type, *, weights: bool = False) -> np.ndarray:
    """Codes over the whole range of a type; int8 weights over half of it.

    Sums of two products of more than that saturate in onnxruntime on older processors.
    """
    ends = np.iinfo(dtype)
    half = weights and dtype == np.int8
    return rng.integers(-64 if half else ends.min, 64 if half else ends.max + 1, shape).astype(dtype)


def scales(rng: np.random.Generator, count: int | None) -> np.ndarray:
    """Positive numbers; powers of two half of the time, which give halves to be rounded."""
    numbers = 2.0 ** rng.integers(-9, 0, count) if rng.random() < 0.5 else rng.uniform(0.001, 0.1, count)
    return np.asarray(numbers, dtype=np.float32)


def zero_points(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """None that counts, or small ones."""
    if rng.random() < 0.3:
        return np.zeros(shape, dtype)
    return rng.integers(0 if dtype == np.uint8 else -9, 10, shape).astype(dtype)
