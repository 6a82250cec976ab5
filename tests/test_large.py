"""A network of VGG-16's size: 138 million weights in 16 layers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import xbarc
from xbarc.ir.partition import logical_tiles

WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")
DENSE = (4096, 4096, 1000)


def vgg16() -> onnx.ModelProto:
    """The layers of VGG-16 (Simonyan and Zisserman, 2015, configuration D) with uniformly random weights."""
    rng = np.random.default_rng(0)
    nodes, constants = [], []

    def constant(name: str, shape: tuple[int, ...], fan_in: int) -> str:
        reach = np.float32(np.sqrt(6 / fan_in))
        constants.append(numpy_helper.from_array((rng.random(shape, dtype=np.float32) - 0.5) * 2 * reach, name))
        return name

    value, channels = "input", 3
    for number, width in enumerate(WIDTHS):
        if width == "pool":
            nodes.append(helper.make_node("MaxPool", [value], [f"pool{number}"], kernel_shape=[2, 2], strides=[2, 2]))
            value = f"pool{number}"
            continue
        weight = constant(f"conv{number}.weight", (int(width), channels, 3, 3), 9 * channels)
        name = f"conv{number}"
        nodes.append(helper.make_node("Conv", [value, weight], [name], name=name, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [name], [f"relu{number}"]))
        value, channels = f"relu{number}", int(width)
    nodes.append(helper.make_node("Flatten", [value], ["flat"]))
    value, rows = "flat", 512 * 7 * 7
    for number, columns in enumerate(DENSE):
        weight = constant(f"fc{number}.weight", (columns, rows), rows)
        nodes.append(helper.make_node("Gemm", [value, weight], [f"fc{number}"], name=f"fc{number}", transB=1))
        value, rows = f"fc{number}", columns
        if number < 2:
            nodes.append(helper.make_node("Relu", [value], [f"{value}.relu"]))
            value = f"{value}.relu"
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])
    scores = helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", 1000])
    graph = helper.make_graph(nodes, "vgg16", [image], [scores], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.long
def test_vgg16_compiles_loads_in_onnxruntime_and_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = rng.random((2, 3, 224, 224), dtype=np.float32)
    program = xbarc.compile(vgg16(), calibration=images[:1])
    path = program.save(tmp_path / "vgg16.xbar.onnx")
    onnx.checker.check_model(path, full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input": images})[0]
    del session
    actual = xbarc.load(path).write().run(images)["fc2"]
    np.testing.assert_array_equal(actual, expected)

    channels = [3, *(width for width in WIDTHS if width != "pool")]
    shapes = [(9 * int(before), int(after)) for before, after in itertools.pairwise(channels)]
    shapes += [(512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]
    wanted = sum(
        logical_tiles(groups=1, rows=rows, columns=columns, tile_rows=256, tile_columns=256) for rows, columns in shapes
    )
    assert program.report().totals.logical_tiles == wanted
