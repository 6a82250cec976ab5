"""Which axis runs over samples: claims about small random networks, tried in onnxruntime, and cases that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from networks import network, node, open_session, run
from sketches import numbers, sketches

import xbarc
from xbarc.api.compiler import lower
from xbarc.api.source import read_source
from xbarc.ir.graph import Graph
from xbarc.ir.sample_loops import MIXED, SampleAxis
from xbarc.ir.samples import batching, sample_axes

#: Nodes, and constants that they read.
Steps = tuple[list[onnx.NodeProto], dict[str, np.ndarray]]


def named(graph: Graph) -> dict[str, SampleAxis]:
    """What is claimed of each output, by its name."""
    axes = sample_axes(graph)
    return {name: axes.get(value) for name, value in zip(graph.output_names, graph.outputs, strict=True)}


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-4, atol=1e-4, equal_nan=True)


def part_of(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """What some outputs need: the rest may not even work for one sample."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    needed, nodes = set(names), []
    for each in reversed(model.graph.node):
        if needed.intersection(each.output):
            nodes.append(each)
            needed.update(each.input)
    outputs = [output for output in model.graph.output if output.name in names]
    del part.graph.node[:], part.graph.output[:]
    part.graph.node.extend(reversed(nodes))
    part.graph.output.extend(outputs)
    return part


def check_claims(model: onnx.ModelProto, x: np.ndarray) -> list[dict[str, SampleAxis]]:
    """What is claimed of each output, as read and as lowered; tried in onnxruntime, all samples at once and alone."""
    graph = read_source(model).graph
    found = [named(graph)]
    lower(graph)
    found.append(named(graph))
    claims = [(name, axis) for each in found for name, axis in each.items() if axis is None or isinstance(axis, int)]
    names = sorted({name for name, _ in claims})
    if not names:
        return found
    session = open_session(part_of(model, names))
    together = dict(zip(names, session.run(names, {"x": x}), strict=True))
    alone = [session.run(names, {"x": x[number : number + 1]}) for number in range(len(x))]
    for name, axis in claims:
        parts = [results[names.index(name)] for results in alone]
        if axis is None:
            assert all(same(part, together[name]) for part in parts), name
        else:
            assert same(np.concatenate(parts, axis=axis), together[name]), name
    return found


@settings(max_examples=300)
@given(sketches())
def test_claims_about_random_networks_hold_in_onnxruntime(drawn: tuple[onnx.ModelProto, np.ndarray]) -> None:
    """Every result, not the last alone: run together, it is what each sample gives alone, side by side on that axis."""
    found = check_claims(*drawn)
    for before, after in zip(found[0].values(), found[1].values(), strict=True):
        assert after == before or before == MIXED  # lowering may only make clearer


# Cases that are known


def one(
    kind: str, *constants: np.ndarray, results: Sequence[str] = ("y",), first: bool = True, **attributes: Any
) -> Steps:
    """One operator on the input and constants, the input first or last."""
    names = [f"c{number}" for number in range(len(constants))]
    operands = ["x", *names] if first else [*names, "x"]
    return [node(kind, operands, *results, **attributes)], dict(zip(names, constants, strict=True))


def scaled_by(axis: int) -> Steps:
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Gather", ["shape", "axis"], "size"),
        node("Cast", ["size"], "real", to=onnx.TensorProto.FLOAT),
        node("Mul", ["x", "real"], "y"),
    ]
    return nodes, {"axis": np.array(axis)}


def convolved_along_samples() -> Steps:
    nodes = [
        node("Transpose", ["x"], "t", perm=[2, 1, 0]),
        node("Conv", ["t", "w"], "c"),
        node("Transpose", ["c"], "y", perm=[2, 1, 0]),
    ]
    return nodes, {"w": numbers((2, 3, 1))}


def normalised(training: int) -> Steps:
    names = ["scale", "shift", "mean", "variance"]
    constants = {name: np.abs(numbers((3,), seed)) + 0.1 for seed, name in enumerate(names)}
    results = ("y", "m", "v") if training else ("y",)
    return [node("BatchNormalization", ["x", *names], *results, training_mode=training)], constants


def pooled() -> Steps:
    nodes, _ = one("MaxPool", results=("largest", "place"), kernel_shape=[2])
    return [*nodes, node("Cast", ["place"], "y", to=onnx.TensorProto.FLOAT)], {}


def times_itself() -> Steps:
    return [node("Transpose", ["x"], "t", perm=[1, 0]), node("MatMul", ["x", "t"], "y")], {}


#: Steps from ``x`` to ``y``, the shape of ``x``, and the axis of samples in ``y``.
KNOWN: dict[str, tuple[Steps, tuple[int, ...], SampleAxis]] = {
    "softmax over samples": (one("Softmax", axis=0), (3, 4), MIXED),
    "softmax over the last axis": (one("Softmax"), (3, 4), 0),
    "mean over samples": (one("ReduceMean", axes=[0], keepdims=0), (3, 4), MIXED),
    "mean over everything": (one("ReduceMean", keepdims=0), (3, 4), MIXED),
    "mean over the last axis": (one("ReduceMean", axes=[1], keepdims=0), (3, 4), 0),
    "samples merged with the next axis": (one("Reshape", np.array([-1, 2])), (3, 4, 2), MIXED),
    "samples cut in two": (one("Reshape", np.array([-1, 4])), (3, 2, 4), MIXED),
    "samples kept by a copied size": (one("Reshape", np.array([0, -1])), (3, 4, 2), 0),
    "samples kept by the other sizes": (one("Reshape", np.array([-1, 2, 4])), (3, 4, 2), 0),
    "flattened": (one("Flatten"), (3, 4, 2), 0),
    "flattened with samples": (one("Flatten", axis=2), (3, 4, 2), MIXED),
    "one constant a sample": (one("Add", numbers((3, 1))), (3, 4), MIXED),
    "one constant a column": (one("Add", numbers((4,))), (3, 4), 0),
    "a constant of more axes": (one("Add", numbers((1, 1, 4))), (3, 4), 1),
    "transposed": (one("Transpose", perm=[1, 0]), (3, 4), 1),
    "times a matrix": (one("MatMul", numbers((4, 2))), (3, 4), 0),
    "a matrix times samples in columns": (one("MatMul", numbers((2, 3)), first=False), (3, 4), MIXED),
    "a matrix times each sample": (one("MatMul", numbers((2, 4)), first=False), (3, 4, 5), 0),
    "one matrix a sample": (one("MatMul", numbers((3, 4, 2))), (3, 5, 4), MIXED),
    "times itself": (times_itself(), (3, 4), MIXED),
    "a gemm": (one("Gemm", numbers((4, 2)), numbers((1, 2))), (3, 4), 0),
    "a gemm that sums over samples": (one("Gemm", numbers((3, 2)), transA=1), (3, 4), MIXED),
    "a gemm with samples in columns": (one("Gemm", numbers((2, 4)), first=False, transB=1), (3, 4), 1),
    "a gemm with an addend a sample": (one("Gemm", numbers((4, 2)), numbers((3, 1))), (3, 4), MIXED),
    "a convolution": (one("Conv", numbers((2, 4, 3))), (3, 4, 5), 0),
    "a convolution along samples": (convolved_along_samples(), (3, 3, 2), MIXED),
    "batch normalisation": (normalised(0), (3, 3, 2), 0),
    "batch normalisation in training": (normalised(1), (3, 3, 2), MIXED),
    "places of the largest in the batch": (pooled(), (3, 2, 4), MIXED),
    "times the number of samples": (scaled_by(0), (3, 4), MIXED),
    "times the number of columns": (scaled_by(1), (3, 4), 0),
    "joined with itself along samples": (([node("Concat", ["x", "x"], "y", axis=0)], {}), (3, 4), MIXED),
    "joined with itself along columns": (([node("Concat", ["x", "x"], "y", axis=1)], {}), (3, 4), 0),
    "summed up along samples": (one("CumSum", np.array(0)), (3, 4), MIXED),
    "the first sample": (one("Slice", np.array([0]), np.array([1]), np.array([0])), (3, 4), MIXED),
    "padded with a sample": (one("Pad", np.array([1, 0, 0, 0])), (3, 4), MIXED),
    "an operator that is not known": (one("Einsum", equation="ij->ij"), (3, 4), MIXED),
}


@pytest.mark.parametrize("case", KNOWN)
def test_the_sample_axis_of(case: str) -> None:
    (nodes, constants), shape, expected = KNOWN[case]
    model = network(nodes, {"x": ("N", *shape[1:])}, constants)
    for found in check_claims(model, numbers(shape, 3)):
        assert found["y"] == expected
    batches = batching(read_source(model).graph)
    assert (batches.free, batches.size) == (expected == 0, None)


def test_pads_of_some_axes_are_not_taken_for_those_of_all() -> None:
    """In the order given, the second number is a row of zeros before the first sample."""
    nodes, constants = one("Pad", np.array([0, 1, 0, 0]), np.float32(0.0), np.array([1, 0]))
    model = network(nodes, {"x": ("N", 4)}, constants, opset=18)
    for found in check_claims(model, numbers((3, 4))):
        assert found["y"] == MIXED


def test_a_fixed_batch_is_kept_together() -> None:
    model = network([node("Relu", ["x"], "y")], {"x": (5, 4)})
    batches = batching(read_source(model).graph)
    assert (batches.free, batches.size) == (False, 5)
    x = numbers((10, 4))
    assert np.array_equal(xbarc.compile(model).write().run(x)["y"], np.maximum(x, 0))


@pytest.mark.parametrize("case", KNOWN)
def test_a_chip_gives_each_sample_what_the_whole_batch_gives(case: str) -> None:
    """Samples that do not mix are run in batches of any size, others together: the result is the network's."""
    (nodes, constants), shape, expected = KNOWN[case]
    model = network(nodes, {"x": ("N", *shape[1:])}, constants)
    x = numbers(shape, 3)
    chip = xbarc.compile(model, hardware="exact", calibration=x).write()
    assert same(chip.run(x)["y"], run(model, {"x": x})[0])
    if expected == 0:
        parts = [chip.run(x[number : number + 1])["y"] for number in range(len(x))]
        assert same(np.concatenate(parts), chip.run(x)["y"])
