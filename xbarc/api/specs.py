"""What a model reads: its inputs, and which of them hold samples along axis 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.ir.sample_inputs import hold_samples
from xbarc.ir.types import Dim


@dataclass(frozen=True)
class InputSpec:
    """One input of a model.

    Attributes:
        name: of the input.
        dtype: of its elements, ``object`` for text; ``None`` where it is no tensor.
        shape: a size an axis, a symbol or ``None`` where the axis is dynamic; ``None`` where the rank is not known and
            where it is no tensor.
        kind: ``tensor``, or what else it is: a ``sequence``, an ``optional``, ...
    """

    name: str
    dtype: np.dtype | None
    shape: tuple[Dim, ...] | None
    kind: str = "tensor"

    def __str__(self) -> str:
        """The shape of its samples."""
        if self.shape is None:
            return f"({self.kind})" if self.dtype is None else "(any shape)"
        first, *rest = self.shape or (1,)
        sizes = [f"{first} x N" if isinstance(first, int) and first != 1 else "N", *map(_shown, rest)]
        return _tuple(sizes)

    @property
    def whole(self) -> str:
        """The shape where no axis holds samples."""
        return str(self) if self.shape is None else _tuple([_shown(size) for size in self.shape])


@dataclass(frozen=True, slots=True)
class Division:
    """How data for a model are parted into samples.

    Attributes:
        batched: the inputs that hold samples along axis 0; the others are given whole with every batch. Where there are
            none, each batch is one call of the model, whatever it holds, and counts as one sample.
        fixed: how many samples the model takes at once; ``None`` where that is free.
    """

    batched: frozenset[str]
    fixed: int | None


def divide(specs: Sequence[InputSpec]) -> Division:
    """Which inputs hold samples; see :func:`xbarc.ir.sample_inputs.hold_samples`."""
    held = hold_samples([spec.shape for spec in specs])
    batched = [spec for spec, holds in zip(specs, held, strict=True) if holds]
    sizes = [spec.shape[0] for spec in batched if spec.shape]
    fixed = sizes[0] if sizes and isinstance(sizes[0], int) else None
    return Division(frozenset(spec.name for spec in batched), fixed)


def describe(specs: Sequence[InputSpec]) -> str:
    """The inputs with the shapes that data for them have."""
    batched = divide(specs).batched
    return ", ".join(f"'{spec.name}' {spec if spec.name in batched else spec.whole}" for spec in specs)


def _shown(size: Dim) -> str:
    return str(size) if isinstance(size, int) else "any"


def _tuple(sizes: Sequence[str]) -> str:
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
