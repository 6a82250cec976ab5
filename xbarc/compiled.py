"""Functions that numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is compiled when it is first called with arguments of some types, and runs without the GIL.

    What was compiled is kept for later processes: in the module's ``__pycache__``, or in the user's cache folder where
    that cannot be written. Where neither can, every process compiles anew.
    """
    try:
        kept: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba has found no folder to keep anything in
        kept = numba.njit(nogil=True)(function)
    return kept
