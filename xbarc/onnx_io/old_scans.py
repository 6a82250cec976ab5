"""The ``Scan`` of opset 8, which ran over a batch; later ones do not, and the converter just drops that axis."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper

from xbarc.errors import ModelError
from xbarc.ir.naming import FreshNames, subgraphs


def refuse_unconvertible(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse scans of opset 8 that :func:`scan_batches` cannot restore.

    Raises:
        ModelError: one has sequence lengths, or stands within another operator's body.
    """
    nested = (step for node in model.graph.node for body in subgraphs(node) for step in _nodes(body))
    for node, why in (
        *((node, "has sequence lengths") for node in model.graph.node if node.input and node.input[0]),
        *((node, "stands in a body") for node in nested),
    ):
        if node.op_type == "Scan":
            raise ModelError(
                f"the operator Scan of opset 8 {why}, and cannot be converted",
                where=f"node {node.name or node.output[0]!r} of {where}",
                fix="export the model again with opset 9 or newer",
            )


def scan_batches(converted: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Give the scans of a converted model their batch again: a scan over it, of what is a scan by now.

    Args:
        converted: changed in place; the types of its values went with the axis.
        source: the model before.
    """
    graph = converted.graph
    if not any(node.op_type == "Scan" for node in graph.node):
        return
    del graph.value_info[:], graph.input[:], graph.output[:]
    graph.input.extend(source.graph.input)
    graph.output.extend(source.graph.output)
    fresh = FreshNames(name for node in _nodes(graph) for name in (*node.input, *node.output))
    for node in graph.node:
        if node.op_type == "Scan":
            node.CopyFrom(_over_batch(node, fresh))


def _over_batch(node: onnx.NodeProto, fresh: FreshNames) -> onnx.NodeProto:
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    del inner.input[:], inner.output[:]
    inner.input.extend(fresh(f"{name}.sample") for name in node.input)
    inner.output.extend(fresh(f"{name or 'unused'}.sample") for name in node.output)
    for attribute in inner.attribute:
        if attribute.name == "directions":
            attribute.name = "scan_input_directions"
    body = onnx.GraphProto(name="sample", node=[inner])
    body.input.extend(onnx.ValueInfoProto(name=name) for name in inner.input)
    body.output.extend(onnx.ValueInfoProto(name=name) for name in inner.output)
    return helper.make_node(
        "Scan", list(node.input), list(node.output), name=node.name, num_scan_inputs=len(node.input), body=body
    )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from _nodes(body)
