"""Choose what is analog: every product with a static matrix, unless a person says otherwise."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xbarc.errors import UsageError
from xbarc.ir.graph import Graph
from xbarc.ir.operators import Decision, HostOp
from xbarc.ir.scopes import scopes
from xbarc.ir.stages import Stage
from xbarc.passes.products.catalogue import recognise
from xbarc.passes.products.rule import Refusal


@dataclass(frozen=True)
class ChooseAnalog:
    """Give every operator its place and the reason for it.

    Attributes:
        analog: name patterns (``fnmatch``) of operators to put on tiles.
        host: name patterns of operators to leave digital. Where patterns of both kinds match a name, the one with more
            literal characters wins.
    """

    name: ClassVar[str] = "choose-analog"
    requires: ClassVar[Stage] = Stage.HOST
    ensures: ClassVar[Stage] = Stage.CHOSEN

    analog: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    def run(self, graph: Graph) -> None:
        found: dict[str, Refusal | str] = {}
        for operator in (operator for scope in scopes(graph) for operator in scope.operators()):
            if isinstance(operator, HostOp):
                product = recognise(operator)
                if isinstance(product, Refusal):
                    operator.decision = Decision(False, product.reason)
                    if product.is_product:
                        found[operator.name] = product
                else:
                    found[operator.name] = product.reason
                    operator.decision = self._decide(operator.name, product.reason)
        self._check_patterns(found)

    def _decide(self, name: str, reason: str) -> Decision:
        analog, host = _best_match(name, self.analog), _best_match(name, self.host)
        if analog is None and host is None:
            return Decision(True, reason)
        if host is None or (analog is not None and _literal(analog) > _literal(host)):
            return Decision(True, f"{reason}; asked for by {analog!r}")
        if analog is None or _literal(host) > _literal(analog):
            return Decision(False, f"left digital by {host!r}")
        raise UsageError(
            f"{name!r} is asked to be analog by {analog!r} and digital by {host!r}",
            fix="make one of the patterns more specific: the one with more literal characters wins",
        )

    def _check_patterns(self, found: dict[str, Refusal | str]) -> None:
        """A pattern that changes nothing is a mistake of whoever wrote it."""
        for pattern in (*self.analog, *self.host):
            names = [pattern] if pattern in found else fnmatch.filter(found, pattern)
            if not names:
                near = difflib.get_close_matches(pattern, found, n=3) or list(found)[:3]
                hint = (
                    f"such operators here are {', '.join(near)}" if near else "this model has no matrix product at all"
                )
                raise UsageError(f"the pattern {pattern!r} matches no matrix product", fix=hint)
            refused = [(name, found[name]) for name in names if isinstance(found[name], Refusal)]
            if pattern in self.analog and len(refused) == len(names):
                name, refusal = refused[0]
                reason = refusal.reason if isinstance(refusal, Refusal) else refusal
                raise UsageError(f"{name!r} cannot go on tiles: {reason}", where=f"the pattern {pattern!r}")


def _best_match(name: str, patterns: Sequence[str]) -> str | None:
    if name in patterns:
        return name
    matching = [pattern for pattern in patterns if fnmatch.fnmatchcase(name, pattern)]
    return max(matching, key=_literal, default=None)


def _literal(pattern: str) -> int:
    return sum(character not in "*?[]" for character in pattern)
