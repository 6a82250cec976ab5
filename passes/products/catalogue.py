"""All rules, by kind of operator."""

from __future__ import annotations

from typing import Final

from xbarc.ir.foreign import MOVING_PRODUCTS
from xbarc.ir.operators import HostOp
from xbarc.ir.work import has_hidden_products
from xbarc.passes.products import (
    block_quantised,
    convolution,
    einsum,
    fused,
    linear_models,
    matrices,
    microsoft_attention,
    microsoft_quantised,
    quantised,
    recurrent,
    transposed_convolution,
)
from xbarc.passes.products.rule import Lowering, Refusal, Rule, bad

RULES: Final[dict[str, Rule]] = {
    **block_quantised.RULES,
    **convolution.RULES,
    **einsum.RULES,
    **fused.RULES,
    **linear_models.RULES,
    **matrices.RULES,
    **microsoft_attention.RULES,
    **microsoft_quantised.RULES,
    **quantised.RULES,
    **recurrent.RULES,
    **transposed_convolution.RULES,
}


def recognise(operator: HostOp) -> Lowering | Refusal:
    """How the static matrices of an operator are reached, or why it stays digital.

    Raises:
        ModelError: attributes that contradict one another or have no meaning.
    """
    rule = RULES.get(operator.kind)
    if rule is not None:
        try:
            return rule(operator)
        except UnicodeDecodeError:
            raise bad(operator, "an attribute that should be text is not") from None
    if operator.kind in MOVING_PRODUCTS:
        return Refusal("its matrices are not constant")
    if has_hidden_products(operator.node):
        return Refusal(f"products inside {operator.kind} are not recognised")
    return Refusal("no matrix product", is_product=False)
