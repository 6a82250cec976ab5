"""Random numbers: pure functions of a seed and a place. Nothing else in the project draws."""

from __future__ import annotations

import hashlib

import numpy as np


def standard_normal(shape: tuple[int, ...], *, seed: int, place: str) -> np.ndarray:
    """Standard-normal float64 numbers that depend on ``seed`` and ``place`` alone (Philox 4x64, counter-based)."""
    digest = hashlib.sha256(f"{seed}:{place}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(shape)
