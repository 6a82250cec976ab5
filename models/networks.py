"""The bundled networks: what they are made of, and what that costs.

All of them take handwritten digits, float32 of shape (N, 1, 8, 8) within 0..1, and return logits of shape (N, 10).
Every layer is one named module, because the names of the modules become the names of the ONNX nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn


def mlp() -> nn.Sequential:
    """A multi-layer perceptron 64-128-64-10, every layer with a bias."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            flatten=nn.Flatten(),
            fc1=nn.Linear(64, 128),
            relu1=nn.ReLU(),
            fc2=nn.Linear(128, 64),
            relu2=nn.ReLU(),
            fc3=nn.Linear(64, 10),
        )
    )


def cnn() -> nn.Sequential:
    """Two rounds of 3x3 convolution, batch normalisation, ReLU and 2x2 pooling, then one dense layer."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(1, 16, kernel_size=3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(16),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, kernel_size=3, padding=1, bias=False),
            bn2=nn.BatchNorm2d(32),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(32 * 2 * 2, 10),
        )
    )


def dscnn() -> nn.Sequential:
    """A depthwise-separable CNN: an ordinary convolution, two depthwise and pointwise pairs, global average pooling."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(1, 32, kernel_size=3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(32),
            relu1=nn.ReLU(),
            depthwise2=nn.Conv2d(32, 32, kernel_size=3, padding=1, groups=32, bias=False),
            depthwise2_bn=nn.BatchNorm2d(32),
            depthwise2_relu=nn.ReLU(),
            pointwise2=nn.Conv2d(32, 64, kernel_size=1, bias=False),
            pointwise2_bn=nn.BatchNorm2d(64),
            pointwise2_relu=nn.ReLU(),
            depthwise3=nn.Conv2d(64, 64, kernel_size=3, stride=2, padding=1, groups=64, bias=False),
            depthwise3_bn=nn.BatchNorm2d(64),
            depthwise3_relu=nn.ReLU(),
            pointwise3=nn.Conv2d(64, 64, kernel_size=1, bias=False),
            pointwise3_bn=nn.BatchNorm2d(64),
            pointwise3_relu=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(64, 10),
        )
    )


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {"digits_mlp": mlp, "digits_cnn": cnn, "digits_dscnn": dscnn}


def count_parameters(network: nn.Module) -> int:
    """Trained numbers: weights, biases, scales and shifts; running means and variances are statistics, not counted."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Sequential) -> int:
    """Multiply-accumulates of convolutions and dense layers for one sample, products with padding included."""
    macs = 0
    value: Tensor = torch.zeros(1, 1, 8, 8)
    with torch.no_grad():
        for layer in network:
            value = layer(value)
            if isinstance(layer, nn.Conv2d | nn.Linear):
                macs += value.numel() * layer.weight[0].numel()
    return macs
