"""Equations of ``Einsum``: an index for each axis of each operand and of the result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: The indices of an array's axes. A letter, or ``...0``, ``...1``: axes of an ellipsis, counted from its last one.
Indices = tuple[str, ...]

_ELLIPSIS: Final = "..."
_TERM: Final = re.compile(r"([A-Za-z]*)(\.\.\.)?([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Equation:
    """A sum of products, ``result = sum over what it lacks of the product of the operands``."""

    operands: tuple[Indices, ...]
    result: Indices


def ellipsis_indices(count: int) -> Indices:
    """The indices of ``count`` axes that stand for an ellipsis, aligned at their ends as broadcasting does."""
    return tuple(f"{_ELLIPSIS}{place}" for place in reversed(range(count)))


def parse(text: str, ranks: Sequence[int | None]) -> Equation | None:
    """The equation of an ``Einsum``; ``None`` where it has no meaning, or one that depends on a rank that is not known.

    Args:
        text: such as ``ij,jk->ik`` or ``...ij,jk``; without ``->`` the result has, after the ellipsis, the letters that
            occur once, in alphabetical order.
        ranks: of the operands.
    """
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        return None
    operands = []
    for term, rank in zip(terms, ranks, strict=True):
        found = _TERM.fullmatch(term)
        letters = len(term.replace(_ELLIPSIS, ""))
        if found is None or (rank is not None and rank < letters):
            return None
        if found[2] is None:
            if rank not in (None, letters):
                return None
            operands.append(tuple(term))
        elif rank is None:
            return None
        else:
            operands.append((*found[1], *ellipsis_indices(rank - letters), *found[3]))
    widest = ellipsis_indices(max(sum(len(index) > 1 for index in indices) for indices in operands))
    if not arrow:
        counted = [index for indices in operands for index in indices if len(index) == 1]
        return Equation(tuple(operands), (*widest, *sorted(index for index in counted if counted.count(index) == 1)))
    found = _TERM.fullmatch(right)
    if found is None or (widest and found[2] is None):
        return None
    result = (*found[1], *(widest if found[2] else ()), *found[3])
    known = {index for indices in operands for index in indices}
    if len(set(result)) < len(result) or not known.issuperset(result):
        return None
    return Equation(tuple(operands), result)
