"""Networks with random weights, made node by node: the shapes of published ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Widths of the convolutions of VGG-16 and VGG-19 (Simonyan and Zisserman, 2015, configurations D and E); 0 is a pool.
VGG16 = (64, 64, 0, 128, 128, 0, *(256,) * 3, 0, *(512,) * 3, 0, *(512,) * 3, 0)
VGG19 = (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0)
#: Width and number of the bottleneck blocks of each stage of ResNet-50 (He et al., 2016).
RESNET50 = ((64, 3), (128, 4), (256, 6), (512, 3))
#: Widths of the stages of ResNet-18, of two blocks each.
RESNET18 = (64, 128, 256, 512)


class Network:
    """A model under construction: nodes that read the last value, weights drawn as they are asked for.

    Args:
        shape: of its input ``x``, after the batch.
        data: a file that weights go to, at once; ``None``: they stay in the model.
    """

    def __init__(self, shape: tuple[int, ...], *, data: Path | None = None) -> None:
        self.shape = shape
        self.value = "x"
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.weight_bytes = 0
        self._rng = np.random.default_rng(0)
        self._data = data

    def weight(self, *shape: int, fan_in: int) -> str:
        """A constant of uniformly random numbers."""
        return self.constant((self._rng.random(shape, dtype=np.float32) - 0.5) * np.float32(2 * np.sqrt(6 / fan_in)))

    def constant(self, array: np.ndarray) -> str:
        """A constant of float32 numbers."""
        name = f"weight{len(self.tensors)}"
        if self._data is None:
            self.tensors.append(numpy_helper.from_array(array, name))
        else:
            tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": self._data.name, "offset": self.weight_bytes, "length": array.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            with self._data.open("ab") as file:
                array.tofile(file)
            self.tensors.append(tensor)
        self.weight_bytes += array.nbytes
        return name

    def integers(self, *numbers: int) -> str:
        """A constant of a few integers."""
        name = f"weight{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.array(numbers, dtype=np.int64), name))
        return name

    def step(self, kind: str, *operands: str, **attributes: object) -> None:
        """Append a node that reads the last value, and others after it."""
        result = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.value, *operands], [result], **attributes))
        self.value = result

    def model(self) -> onnx.ModelProto:
        """What was made, with the last value as its output."""
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])
        made = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "random", [given], [made], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def save(self, path: Path) -> int:
        """Write the model; return the bytes of its weights."""
        path.write_bytes(self.model().SerializeToString())
        return self.weight_bytes


def vgg(path: Path, widths: Sequence[int]) -> int:
    """The layers of a VGG network: 138 (VGG-16) or 144 (VGG-19) million weights. Returns their bytes."""
    network = Network((3, 224, 224))
    channels = 3
    for width in widths:
        if width == 0:
            network.step("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            continue
        network.step("Conv", network.weight(width, channels, 3, 3, fan_in=9 * channels), pads=[1, 1, 1, 1])
        network.step("Relu")
        channels = width
    network.step("Flatten")
    rows = 7 * 7 * channels
    for columns in (4096, 4096, 1000):
        network.step("Gemm", network.weight(columns, rows, fan_in=rows), transB=1)
        network.step("Relu")
        rows = columns
    return network.save(path)


def resnet50() -> Network:
    """The layers of ResNet-50, residual connections and normalisations included.

    A stage of smaller pictures begins with a 1 x 1 convolution of stride 2, as published.
    """
    network = Network((3, 224, 224))
    _normalised_convolution(network, 64, 3, kernel=7, stride=2)
    network.step("Relu")
    network.step("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, blocks in RESNET50:
        for block in range(blocks):
            stride = 2 if block == 0 and width > 64 else 1
            start = network.value
            _normalised_convolution(network, width, channels, kernel=1, stride=stride)
            network.step("Relu")
            _normalised_convolution(network, width, width, kernel=3)
            network.step("Relu")
            _normalised_convolution(network, 4 * width, width, kernel=1)
            branch, network.value = network.value, start
            if block == 0:
                _normalised_convolution(network, 4 * width, channels, kernel=1, stride=stride)
            network.step("Add", branch)
            network.step("Relu")
            channels = 4 * width
    network.step("GlobalAveragePool")
    network.step("Flatten")
    network.step("Gemm", network.weight(1000, channels, fan_in=channels), transB=1)
    return network


def resnet18() -> onnx.ModelProto:
    """The layers of ResNet-18 (He et al., 2016), residual connections and normalisations included."""
    network = Network((3, 224, 224))
    _normalised_convolution(network, 64, 3, kernel=7, stride=2)
    network.step("Relu")
    network.step("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width in RESNET18:
        for block in range(2):
            stride = 2 if block == 0 and width > 64 else 1
            start = network.value
            _normalised_convolution(network, width, channels, kernel=3, stride=stride)
            network.step("Relu")
            _normalised_convolution(network, width, width, kernel=3)
            branch, network.value = network.value, start
            if stride == 2:
                _normalised_convolution(network, width, channels, kernel=1, stride=2)
            network.step("Add", branch)
            network.step("Relu")
            channels = width
    network.step("GlobalAveragePool")
    network.step("Flatten")
    network.step("Gemm", network.weight(1000, channels, fan_in=channels), transB=1)
    return network.model()


def dense(rows: int, columns: int, *, layers: int = 1) -> onnx.ModelProto:
    """Layers of one size, with rectifiers in between."""
    network = Network((rows,))
    for number in range(layers):
        if number:
            network.step("Relu")
        network.step("MatMul", network.weight(rows, columns, fan_in=rows))
    return network.model()


def transformer_block(width: int = 512, heads: int = 8, *, length: int = 128) -> onnx.ModelProto:
    """An encoder block (Vaswani et al., 2017): attention, then two layers with four times the width in between."""
    network = Network((length, width))
    start = network.value

    def product(rows: int, columns: int) -> None:
        network.step("MatMul", network.weight(rows, columns, fan_in=rows))

    def part(axes: list[int]) -> str:
        network.value = start
        product(width, width)
        network.step("Reshape", network.integers(0, length, heads, width // heads))
        network.step("Transpose", perm=axes)
        return network.value

    def normalise(other: str) -> None:
        network.step("Add", other)
        network.step(
            "LayerNormalization",
            network.constant(np.ones(width, np.float32)),
            network.constant(np.zeros(width, np.float32)),
        )

    queries, keys, values = part([0, 2, 1, 3]), part([0, 2, 3, 1]), part([0, 2, 1, 3])
    network.value = queries
    network.step("MatMul", keys)
    network.step("Div", network.constant(np.array(np.sqrt(width / heads), np.float32)))
    network.step("Softmax", axis=-1)
    network.step("MatMul", values)
    network.step("Transpose", perm=[0, 2, 1, 3])
    network.step("Reshape", network.integers(0, length, width))
    product(width, width)
    normalise(start)
    between = network.value
    product(width, 4 * width)
    network.step("Relu")
    product(4 * width, width)
    normalise(between)
    return network.model()


def lstm(inputs: int = 256, hidden: int = 256, *, length: int = 32) -> onnx.ModelProto:
    """A recurrent layer; the output is that of its last step."""
    network = Network((length, inputs))
    network.step("Transpose", perm=[1, 0, 2])
    network.step(
        "LSTM",
        network.weight(1, 4 * hidden, inputs, fan_in=inputs),
        network.weight(1, 4 * hidden, hidden, fan_in=hidden),
        hidden_size=hidden,
    )
    network.step("Gather", network.integers(length - 1), axis=0)
    return network.model()


def _normalised_convolution(network: Network, width: int, channels: int, *, kernel: int, stride: int = 1) -> None:
    """A convolution that keeps the size of its pictures but for the stride, and its normalisation."""
    weight = network.weight(width, channels, kernel, kernel, fan_in=channels * kernel**2)
    network.step("Conv", weight, strides=[stride, stride], pads=[kernel // 2] * 4)
    moments = (np.full(width, number, dtype=np.float32) for number in (1.0, 0.0, 0.0, 2.0))
    network.step("BatchNormalization", *(network.constant(array) for array in moments))
