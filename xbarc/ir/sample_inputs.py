"""Which inputs of a model hold samples along axis 0."""

from __future__ import annotations

from collections.abc import Sequence

from xbarc.ir.types import Dim


def hold_samples(shapes: Sequence[tuple[Dim, ...] | None]) -> list[bool]:
    """Of each input, by its shape (``None``: not known, or no tensor), whether its axis 0 runs over samples.

    Inputs whose first axis is dynamic share the batch, and the others (scalars, tables) are the same for every sample.
    Where none is dynamic, one fixed size that all first axes have is the model's batch; different ones are no samples
    at all, nor are empty ones.
    """
    firsts: list[Dim] = [shape[0] if shape else 0 for shape in shapes]  # 0: there is no axis to hold any
    dynamic = [not isinstance(first, int) for first in firsts]
    if any(dynamic):
        return dynamic
    one_size = len({shape[0] for shape in shapes if shape}) == 1
    return [one_size and first != 0 for first in firsts]
