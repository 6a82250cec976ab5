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


class Network:
    """A model under construction: nodes that read the last value, weights drawn as they are asked for.

    Args:
        path: where it goes.
        shape: of its input ``x``, after the batch.
        external: whether weights go to a file beside it, at once.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], *, external: bool = False) -> None:
        self.path = path
        self.shape = shape
        self.value = "x"
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.weight_bytes = 0
        self._rng = np.random.default_rng(0)
        self._data = path.with_name(f"{path.name}.data") if external else None

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

    def step(self, kind: str, *operands: str, **attributes: object) -> None:
        """Append a node that reads the last value, and others after it."""
        result = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.value, *operands], [result], **attributes))
        self.value = result

    def save(self) -> int:
        """Write the model; return the bytes of its weights."""
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])
        made = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "large", [given], [made], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        self.path.write_bytes(model.SerializeToString())
        return self.weight_bytes


def vgg(path: Path, widths: Sequence[int]) -> int:
    """The layers of a VGG network: 138 (VGG-16) or 144 (VGG-19) million weights. Returns their bytes."""
    network = Network(path, (3, 224, 224))
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
    return network.save()


def resnet50(path: Path) -> int:
    """The layers of ResNet-50, residual connections and normalisations included. Returns the bytes of its weights.

    A stage of smaller pictures begins with a 1 x 1 convolution of stride 2, as published.
    """
    network = Network(path, (3, 224, 224))
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
    return network.save()


def _normalised_convolution(network: Network, width: int, channels: int, *, kernel: int, stride: int = 1) -> None:
    """A convolution that keeps the size of its pictures but for the stride, and its normalisation."""
    weight = network.weight(width, channels, kernel, kernel, fan_in=channels * kernel**2)
    network.step("Conv", weight, strides=[stride, stride], pads=[kernel // 2] * 4)
    moments = (np.full(width, number, dtype=np.float32) for number in (1.0, 0.0, 0.0, 2.0))
    network.step("BatchNormalization", *(network.constant(array) for array in moments))
