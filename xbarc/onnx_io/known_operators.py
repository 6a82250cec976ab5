"""Which operators, of which versions, somebody here can execute: ONNX's, onnxruntime's, the model's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import onnx
from onnxruntime.capi import onnxruntime_pybind11_state as binding

from xbarc.errors import ModelError
from xbarc.ir.naming import subgraphs

_NAMED = 5  # operators that a message names


def refuse_opsets(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse an opset that does not exist, and operator sets of which a model states several versions.

    Raises:
        ModelError: names the versions.
    """
    newest = onnx.defs.onnx_opset_version()
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = _domain(entry.domain)
        if domain == "" and not 1 <= entry.version <= newest:
            raise ModelError(
                f"there is no opset {entry.version}, as far as is known here: the newest is {newest}",
                where=where,
                fix=f"export the model again with opset {newest} or older, or upgrade onnx and onnxruntime",
            )
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ModelError(
                f"the model states two versions of the operators of domain {domain or 'ai.onnx'!r}: "
                f"{versions[domain]} and {entry.version}",
                where=where,
                fix="export the model again",
            )


def refuse_unknown(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse operators that neither ONNX, nor onnxruntime, nor the model itself defines.

    Raises:
        ModelError: names them with their nodes, domains and versions.
    """
    versions = {_domain(entry.domain): entry.version for entry in model.opset_import}
    functions = {(_domain(function.domain), function.name) for function in model.functions}
    found: dict[tuple[str, str], str] = {}
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    for node in _all(nodes):
        key = (_domain(node.domain), node.op_type)
        if key not in functions and key not in found and not _is_known(*key, versions.get(key[0])):
            found[key] = node.name or next(iter(node.output), "")
    if not found:
        return
    words = [_words(*key, versions.get(key[0]), node) for key, node in list(found.items())[:_NAMED]]
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise ModelError(
        f"neither ONNX nor onnxruntime knows {' or '.join(words)}{more}",
        where=where,
        fix="export the model again with operators of ONNX, or put the function that defines them into the model",
    )


def _is_known(domain: str, name: str, version: int | None) -> bool:
    if domain == "":
        return bool(onnx.defs.has(name, version or onnx.defs.onnx_opset_version(), "")) or (domain, name) in _runtime()
    return onnx.defs.has(name, domain) or (domain, name) in _runtime()


@lru_cache(maxsize=1)
def _runtime() -> frozenset[tuple[str, str]]:
    """Operators that onnxruntime has a definition of, by domain and name."""
    return frozenset((_domain(schema.domain), schema.name) for schema in binding.get_all_operator_schema())


def _words(domain: str, name: str, version: int | None, node: str) -> str:
    stated = "no version stated" if version is None else f"version {version}"
    return f"the operator {name!r} of domain {domain or 'ai.onnx'!r}, {stated} (node {node!r})"


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _all(nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        for subgraph in subgraphs(node):
            waiting.extend(subgraph.node)
