"""Names of nodes: given to those that have none, told apart where several have the same."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from xbarc.ir.naming import FreshNames, subgraphs


def name_nodes(graph: onnx.GraphProto) -> None:
    """Name all nodes of a graph and of the bodies in it, in place, so that no two have the same name.

    Nodes without a name get one from their type and number, those in a body after the name of the node that holds it;
    of equal names, all but the first get a number at the end.
    """
    fresh = FreshNames(node.name for node, _ in _all(graph))
    taken: set[str] = set()
    for node, place in _all(graph):
        if not node.name or node.name in taken:
            node.name = fresh(node.name or place)
        taken.add(node.name)


def _all(graph: onnx.GraphProto, within: str = "") -> Iterator[tuple[onnx.NodeProto, str]]:
    """Every node, and what it is called where it has no name; the name of a node is read before its bodies are."""
    for number, node in enumerate(graph.node):
        yield node, f"{within}{node.op_type}_{number}"
        for body in subgraphs(node):
            yield from _all(body, f"{node.name}/")
