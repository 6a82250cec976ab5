"""PyTorch networks, each by both of PyTorch's exporters where both can write it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch_networks as networks
from torch import Tensor, nn

SEED = 2025
OPSET = 17  # of the TorchScript-based exporter; the other one writes what it prefers

Axes = dict[int, str]


@dataclass(frozen=True)
class Inputs:
    """What a network is traced with.

    Attributes:
        names: of the inputs.
        axes: the free axes of each.
        make: makes the inputs.
    """

    names: Sequence[str]
    axes: Sequence[Axes]
    make: Callable[[], tuple[Tensor, ...]]


BATCH: Axes = {0: "batch"}
BATCH_FIRST: Axes = {0: "batch", 1: "time"}
TIME_FIRST: Axes = {0: "time", 1: "batch"}


def frames(width: int, axes: Axes = TIME_FIRST) -> Inputs:
    """Sequences of vectors, along the two axes that ``axes`` names."""
    return Inputs(["frames"], [axes], lambda: (torch.randn(4, 2, width),))


def image(channels: int, height: int, width: int, axes: Axes = BATCH) -> Inputs:
    return Inputs(["image"], [axes], lambda: (torch.randn(2, channels, height, width),))


def text() -> Inputs:
    """Token ids, and which of them count, and which part of the text they belong to."""
    names = ["input_ids", "attention_mask", "token_type_ids"]
    return Inputs(names, [BATCH_FIRST] * 3, lambda: tuple(torch.randint(2, (2, 7)) for _ in names))


def features() -> Inputs:
    return Inputs(["features"], [BATCH], lambda: (torch.randn(2, 8),))


def with_state() -> Inputs:
    return Inputs(["frames", "state"], [TIME_FIRST, {1: "batch"}], lambda: (torch.randn(4, 2, 6), torch.randn(1, 2, 9)))


@dataclass(frozen=True)
class Network:
    """A network and what it is called.

    Attributes:
        make: makes it, with random parameters.
        inputs: what it is traced with.
        outputs: their names.
        script: whether it is scripted before the TorchScript-based exporter gets it.
    """

    make: Callable[[], nn.Module]
    inputs: Inputs
    outputs: Sequence[str] = ("logits",)
    script: bool = False


BOTH = {
    "lstm": Network(networks.SequenceClassifier, frames(12, BATCH_FIRST)),
    "gru": Network(networks.Tagger, frames(8)),
    "vit": Network(networks.VisionTransformer, image(3, 16, 16)),
    "bert": Network(networks.TextEncoder, text(), ["tokens", "pooled"]),
    "unet": Network(networks.UNet, image(1, 16, 24, {0: "batch", 2: "height", 3: "width"}), ["mask"]),
    "mobilenet": Network(networks.MobileNet, image(3, 24, 24)),
}
TORCHSCRIPT = BOTH | {
    "rnn": Network(networks.Recurrent, with_state(), ["steps", "last"]),
    "branch": Network(networks.ScriptedBranch, features(), script=True),
    "loop": Network(networks.ScriptedLoop, frames(6), ["last"], script=True),
    "cnn": Network(networks.ConvNet, image(1, 8, 8)),
    "mlp": Network(networks.Perceptron, frames(64, BATCH_FIRST)),
}
DYNAMO = BOTH | {
    # It counts the steps of this one while it traces, whatever it is told,
    "gru": Network(networks.Tagger, frames(8, {1: "batch"})),
    # and writes this one step by step, every step with the same matrices.
    "rnn": Network(
        networks.Recurrent,
        Inputs(["frames", "state"], [{1: "batch"}] * 2, with_state().make),
        ["steps", "last"],
    ),
    "branch": Network(networks.CondBranch, features()),
    "scan": Network(networks.ScanLoop, frames(6), ["last", "steps"]),
}


def write(folder: Path) -> None:
    """Write every network into an existing folder."""
    for name, network in TORCHSCRIPT.items():
        export(network, folder / f"{name}_torchscript.onnx", dynamo=False)
    export(BOTH["lstm"], folder / "lstm_torchscript_opset9.onnx", dynamo=False, opset=9)
    for name, network in DYNAMO.items():
        export(network, folder / f"{name}_dynamo.onnx", dynamo=True)


def export(network: Network, file: Path, *, dynamo: bool, opset: int = OPSET) -> None:
    """Write one network by one exporter, seeded."""
    torch.manual_seed(SEED)
    module: nn.Module = network.make().eval()
    unsettle(module)
    traced_with, inputs = network.inputs.make(), network.inputs
    names = {"input_names": list(inputs.names), "output_names": list(network.outputs)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is said to be going away
        if dynamo:
            torch.onnx.export(
                module,
                traced_with,
                file,
                dynamo=True,
                dynamic_shapes=tuple(inputs.axes),
                external_data=False,
                verbose=False,
                **names,
            )
        else:
            torch.onnx.export(
                torch.jit.script(module) if network.script else module,
                traced_with,
                file,
                dynamo=False,
                opset_version=opset,
                dynamic_axes=dict(zip(inputs.names, inputs.axes, strict=True)),
                **names,
            )


def unsettle(module: nn.Module) -> None:
    """Give normalisations random figures, in place: fresh ones are zeros and ones, which exporters take out."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 1.5)
