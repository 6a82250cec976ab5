"""Networks for the published trends: the bundled ones, those beside the checkout, and one of 1152 rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

import xbarc

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
#: Rows of the tile that the publications have, and so of the widest network.
ROWS = 1152
#: Share of a layer's inputs that count as its largest, as for the DACs of the default hardware, in per cent.
LARGEST_PERCENT = 99.99


@dataclass(frozen=True)
class Network:
    """A trained network with its data.

    Attributes:
        name: for people.
        model: in floating point.
        calibration: inputs, ``(samples, ...)``.
        images, labels: of the test set.
        rows: of its largest matrix.
    """

    name: str
    model: onnx.ModelProto
    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    rows: int

    @property
    def input(self) -> str:
        """What its input is called."""
        return self.model.graph.input[0].name

    def first(self, images: int) -> Network:
        """The same with the first images of its test set."""
        return replace(self, images=self.images[:images], labels=self.labels[:images])

    def compiled(self, *overrides: str) -> xbarc.Program:
        """For the default hardware, changed by ``key.path=value``."""
        return xbarc.compile(self.model, calibration={self.input: self.calibration}, overrides=overrides)

    def right(self, outputs: np.ndarray) -> float:
        """Share of the images whose largest output is that of their label."""
        return float((outputs.argmax(axis=-1) == self.labels).mean())

    def float_accuracy(self) -> float:
        """The network's own, by onnxruntime."""
        session = ort.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        return self.right(session.run(None, {self.input: self.images})[0])

    def with_noisy_inputs(self, share: float) -> Network:
        """The same with normal noise on what every product with a matrix reads, anew for every sample and place.

        Its deviation is a share of the largest input that the product has over the calibration sample. The noise is
        drawn by onnxruntime, by seeds that are counted from 1: a session draws the same noise, run by run.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        largest = self._largest_inputs()
        for node, _ in matrices(model.graph):
            node.input[0] = f"{node.input[0]}_noisy"
        nodes = list(model.graph.node)
        for seed, (source, size) in enumerate(largest.items(), start=1):
            first = next(number for number, node in enumerate(nodes) if f"{source}_noisy" in node.input)
            nodes[first:first] = _noise(source, share * size, seed=float(seed))
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        return replace(self, model=model)

    def _largest_inputs(self) -> dict[str, float]:
        watched = onnx.ModelProto()
        watched.CopyFrom(self.model)
        names = list(dict.fromkeys(node.input[0] for node, _ in matrices(watched.graph)))
        del watched.graph.output[:]
        watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(names, {self.input: self.calibration})
        return {name: float(np.percentile(np.abs(x), LARGEST_PERCENT)) for name, x in zip(names, found, strict=True)}


def _noise(source: str, deviation: float, *, seed: float) -> list[onnx.NodeProto]:
    drawn, noisy = f"{source}_noise", f"{source}_noisy"
    return [
        helper.make_node("RandomNormalLike", [source], [drawn], name=drawn, mean=0.0, scale=deviation, seed=seed),
        helper.make_node("Add", [source, drawn], [noisy], name=noisy),
    ]


def normal_product(size: int = 256) -> Network:
    """One product of normal inputs with normal weights, to compare errors on: labels mean nothing."""
    draws = np.random.default_rng(0)
    x, w = (draws.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    return Network("normal product", _chain([w]), x, x, np.zeros(size, dtype=np.int64), size)


def wide_digits(units: int = ROWS) -> Network:
    """The bundled digits, by one layer of random weights with ReLU and a readout fitted to the calibration sample.

    The readout has as many rows as there are units, and is the ridge regression of the labels, with a hundredth of the
    mean square of the units.
    """
    mlp = bundled("digits_mlp", "digits MLP")
    with np.load(ROOT / "models/digits_calibration.npz") as data:
        x, labels = data["input"].reshape(-1, 64).astype(np.float64), data["labels"]
    hidden = np.random.default_rng(0).normal(size=(64, units)) / 8
    hidden -= hidden.mean(axis=0)
    h = np.maximum(x @ hidden, 0.0)
    square = h.T @ h
    ridge = square + 0.01 * np.trace(square) / units * np.eye(units)
    readout = np.linalg.solve(ridge, h.T @ (np.eye(10)[labels] - 0.1))
    return Network(
        f"digits, {units} wide",
        _chain([hidden.astype(np.float32), readout.astype(np.float32)]),
        mlp.calibration.reshape(-1, 64),
        mlp.images.reshape(-1, 64),
        mlp.labels,
        units,
    )


def _chain(weights: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Products one after the other, with ReLU between."""
    nodes: list[onnx.NodeProto] = []
    constants, value = [], "x"
    for number, weight in enumerate(weights):
        if nodes:
            nodes.append(helper.make_node("Relu", [value], [f"r{number}"], name=f"r{number}"))
            value = f"r{number}"
        constants.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{number}"], [f"y{number}"], name=f"y{number}"))
        value = f"y{number}"
    shapes = {"x": constants[0].dims[0], value: constants[-1].dims[1]}
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size]) for name, size in shapes.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bundled(file: str, name: str) -> Network:
    """One of ``models/``."""
    folder = ROOT / "models"
    return _read(name, folder / f"{file}.onnx", folder / "digits_calibration.npz", folder / "digits_test.npz")


def beside(file: str, data: str, name: str) -> Iterator[Network]:
    """One of ``../shared``, or none where its files are not there, which is said."""
    paths = SHARED / f"models/{file}.onnx", SHARED / f"data/{data}_calibration.npz", SHARED / f"data/{data}_test.npz"
    missing = [path for path in paths if not path.is_file()]
    if missing:
        print(f"skipped {name}: {missing[0]} is not there", file=sys.stderr)
    else:
        yield _read(name, *paths)


def _read(name: str, model: Path, calibration: Path, test: Path) -> Network:
    read = onnx.load(model)
    with np.load(calibration) as known, np.load(test) as asked:
        rows = max(len(matrix) for _, matrix in matrices(read.graph))
        return Network(name, read, known["input"], asked["input"], asked["labels"], rows)


def matrices(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, np.ndarray]]:
    """Every product with a constant, and that as a matrix ``(rows, columns)``."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in constants:
            array = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
            transposed = any(field.name == "transB" and field.i for field in node.attribute)
            yield node, array.reshape(len(array), -1).T if node.op_type == "Conv" or transposed else array
