"""``Einsum`` of one computed operand and constants."""

from __future__ import annotations

import math
import string

import numpy as np

from xbarc.ir.equations import Equation, parse
from xbarc.ir.operators import HostOp
from xbarc.passes.products.contraction import Term, contraction
from xbarc.passes.products.rule import Lowering, Refusal, Rule, constant, refused_type


def einsum(operator: HostOp) -> Lowering | Refusal:
    """A sum of products, all factors but one constant."""
    count = len(operator.operands)
    if count < 2:
        return Refusal("no matrix product", is_product=False)
    refused = refused_type(operator)
    if refused is not None:
        return refused
    arrays = [constant(operator, place) for place in range(count)]
    computed = [place for place, array in enumerate(arrays) if array is None]
    if len(computed) != 1:
        return Refusal("more than one of its operands is not constant")
    (place,) = computed
    value = operator.operands[place]
    if value is None:
        return Refusal("it lacks an operand")
    ranks = [None if each is None or each.shape is None else len(each.shape) for each in operator.operands]
    text = operator.attribute("equation", b"").decode()
    equation = parse(text, ranks)
    if equation is None:
        return Refusal(f"the equation {text!r} is not understood for operands of ranks {ranks}")
    indices = equation.operands[place]
    if len(set(indices)) < len(indices):
        return Refusal(f"the equation {text!r} takes a diagonal of its input")
    fixed = _merged(equation, place, [array for array in arrays if array is not None])
    if isinstance(fixed, Refusal):
        return fixed
    broadcast = [index for index in indices if len(index) > 1]
    return contraction(value, indices, fixed, equation.result, operand=place, broadcast=broadcast)


def _merged(equation: Equation, computed: int, arrays: list[np.ndarray]) -> Term | Refusal:
    """All constants as one, diagonals taken."""
    given = [indices for place, indices in enumerate(equation.operands) if place != computed]
    if len(given) == 1 and len(set(given[0])) == len(given[0]):
        return Term(given[0], arrays[0])
    sizes: dict[str, int] = {}
    for indices, array in zip(given, arrays, strict=True):
        for index, size in zip(indices, array.shape, strict=True):
            sizes[index] = size if sizes.get(index, 1) == 1 else sizes[index]
    read = {*equation.operands[computed], *equation.result}
    kept = tuple(index for index in sizes if index in read)
    if math.prod(sizes[index] for index in kept) > sum(array.size for array in arrays):
        return Refusal("its constants, multiplied out, are larger than apart")
    letter = dict(zip(sizes, string.ascii_letters, strict=False))
    left, right = (",".join("".join(map(letter.__getitem__, each)) for each in side) for side in (given, [kept]))
    whole = np.einsum(f"{left}->{right}", *(array.astype(np.float64) for array in arrays), optimize=True)
    return Term(kept, np.asarray(whole, dtype=np.result_type(*arrays)))


RULES: dict[str, Rule] = {"Einsum": einsum}
