"""The bundled networks are what their manifest says, and have the structure the compiler's examples count on."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

MODELS = Path(__file__).resolve().parents[1] / "models"
MANIFEST: dict[str, Any] = json.loads((MODELS / "manifest.json").read_text(encoding="utf-8"))
LEAST_ACCURACY = {"digits_mlp.onnx": 0.975, "digits_cnn.onnx": 0.98, "digits_dscnn.onnx": 0.98}

every_model = pytest.mark.parametrize("name", sorted(LEAST_ACCURACY))


def load(name: str) -> onnx.ModelProto:
    return onnx.load(MODELS / name)


def run(name: str, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(MODELS / name, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": images})
    return np.asarray(logits)


def read_data(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(MODELS / name) as data:
        return data["input"], data["labels"]


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """The value of an attribute that the node must have."""
    (found,) = [onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return found


def test_manifest_names_every_file() -> None:
    files = {file.name for file in MODELS.iterdir() if file.suffix in {".onnx", ".npz"}}
    assert files == MANIFEST["models"].keys() | MANIFEST["data"].keys()
    assert MANIFEST["models"].keys() == LEAST_ACCURACY.keys()


@pytest.mark.parametrize("name", sorted(MANIFEST["models"] | MANIFEST["data"]))
def test_file_is_the_one_of_the_manifest(name: str) -> None:
    entry = (MANIFEST["models"] | MANIFEST["data"])[name]
    assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == entry["sha256"]


@every_model
def test_accuracy_is_the_one_of_the_manifest(name: str) -> None:
    images, labels = read_data("digits_test.npz")
    correct = int((run(name, images).argmax(axis=1) == labels).sum())
    entry = MANIFEST["models"][name]
    assert correct == entry["correct"]
    assert correct / len(labels) == entry["accuracy"] >= LEAST_ACCURACY[name]


@every_model
def test_checker_accepts(name: str) -> None:
    model = load(name)
    onnx.checker.check_model(model, full_check=True)
    (opset,) = model.opset_import
    assert opset.domain == ""
    assert 17 <= opset.version <= 21


@every_model
def test_batch_axis_is_free(name: str) -> None:
    graph = load(name).graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["input", "logits"]
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)] == ["N", "N"]
    images, _ = read_data("digits_test.npz")
    together = run(name, images[:7])
    assert together.shape == (7, 10)
    alone = np.concatenate([run(name, image[np.newaxis]) for image in images[:7]])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-4)


@every_model
def test_parameters_and_macs_follow_from_the_graph(name: str) -> None:
    """Counted from initializers and inferred shapes, where the manifest counts PyTorch's modules."""
    model = onnx.shape_inference.infer_shapes(load(name), strict_mode=True, data_prop=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    statistics = {i for node in model.graph.node if node.op_type == "BatchNormalization" for i in node.input[3:]}
    macs = sum(
        math.prod(shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm"}
    )
    parameters = sum(math.prod(dims) for key, dims in weights.items() if key not in statistics)
    assert parameters == MANIFEST["models"][name]["parameters"]
    assert macs == MANIFEST["models"][name]["macs_per_sample"]


@every_model
def test_names_are_tidy_and_nothing_of_the_export_is_left(name: str) -> None:
    model = load(name)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert all(each.isidentifier() for each in names)
    assert not model.metadata_props
    assert not model.functions
    parts = (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output)
    assert not any(part.doc_string for part in parts)
    assert (MODELS / name).stat().st_size < 300_000


@pytest.mark.parametrize(("name", "count"), [("digits_cnn.onnx", 2), ("digits_dscnn.onnx", 5)])
def test_batch_normalisation_is_not_folded(name: str, count: int) -> None:
    model = load(name)
    producers = {node.output[0]: node.op_type for node in model.graph.node}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) == count
    for node in norms:
        assert len(node.output) == 1
        assert attribute(node, "training_mode") == 0
        assert producers[node.input[0]] == "Conv"


def test_dscnn_has_depthwise_and_pointwise_convolutions() -> None:
    graph = load("digits_dscnn.onnx").graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    convolutions = {
        node.name: (attribute(node, "group"), weights[node.input[1]]) for node in graph.node if node.op_type == "Conv"
    }
    assert convolutions == {
        "conv1": (1, (32, 1, 3, 3)),
        "depthwise2": (32, (32, 1, 3, 3)),
        "pointwise2": (1, (64, 32, 1, 1)),
        "depthwise3": (64, (64, 1, 3, 3)),
        "pointwise3": (1, (64, 64, 1, 1)),
    }
    assert "GlobalAveragePool" in {node.op_type for node in graph.node}


def test_mlp_has_a_bias_in_every_dense_layer() -> None:
    nodes = load("digits_mlp.onnx").graph.node
    assert [node.op_type for node in nodes] == ["Flatten", "Gemm", "Relu", "Gemm", "Relu", "Gemm"]
    assert all(len(node.input) == 3 for node in nodes if node.op_type == "Gemm")


@pytest.mark.parametrize(("name", "least"), [("digits_test.npz", 450), ("digits_calibration.npz", 256)])
def test_data_has_the_stated_form(name: str, least: int) -> None:
    images, labels = read_data(name)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert images.shape == (len(labels), 1, 8, 8)
    assert len(labels) == MANIFEST["data"][name]["samples"] >= least
    assert images.min() == 0
    assert images.max() == 1
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10
    assert counts.min() >= 0.8 * len(labels) / 10


def test_calibration_and_test_share_no_image() -> None:
    test = {image.tobytes() for image in read_data("digits_test.npz")[0]}
    calibration = {image.tobytes() for image in read_data("digits_calibration.npz")[0]}
    assert test.isdisjoint(calibration)
