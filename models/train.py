"""Trains the bundled networks, exports them to ONNX and writes everything in this folder that is not source.

Run ``python models/train.py`` from the root of the repository, with the extra ``train`` installed. Seeds and the order
of every sum are fixed: the same machine and library versions give the same files, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from networks import NETWORKS, count_macs, count_parameters
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent
SEED = 2024
TEST_SAMPLES = 450
CALIBRATION_SAMPLES = 256
EPOCHS = 60
BATCH = 64
PEAK_LEARNING_RATE = 5e-3
OPSET = 17

Samples = tuple[np.ndarray, np.ndarray]
"""Images, float32 of shape (samples, 1, 8, 8) within 0..1, and their labels, int64 of shape (samples,)."""


def split_digits() -> tuple[Samples, Samples, Samples]:
    """Draw the training, test and calibration samples, stratified by label; calibration is part of training."""
    digits = load_digits()
    images = (digits.images[:, np.newaxis] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_SAMPLES, stratify=labels, random_state=SEED
    )
    calibration_images, _, calibration_labels, _ = train_test_split(
        train_images, train_labels, train_size=CALIBRATION_SAMPLES, stratify=train_labels, random_state=SEED
    )
    return (train_images, train_labels), (test_images, test_labels), (calibration_images, calibration_labels)


def shift(images: Tensor) -> Tensor:
    """Move about half of the images by -1, 0 or 1 pixels along both axes, with zeros where nothing was."""
    places = nn.functional.pad(images, (1, 1, 1, 1)).unfold(2, 8, 1).unfold(3, 8, 1)
    moved = torch.rand(len(images)) < 0.5
    down, right = torch.where(moved, torch.randint(3, (2, len(images))), 1)
    return places[torch.arange(len(images)), :, down, right]


def train(network: nn.Module, samples: Samples) -> None:
    """Fit the network in place and leave it in inference mode."""
    images, labels = torch.from_numpy(samples[0]), torch.from_numpy(samples[1])
    batches_per_epoch = len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=batches_per_epoch
    )
    network.train()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images))[: batches_per_epoch * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(network(shift(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()


def export(network: nn.Module, file: Path) -> None:
    """Write with the batch axis free, batch normalisation kept as it is, and one node a module, named after it."""
    with warnings.catch_warnings():
        # The older exporter on purpose: it writes each module as one node, where its successor writes helper nodes
        # around them or, cleaning those up, folds batch normalisation into the convolutions.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, 8, 8),),
            file,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
        )
    model = onnx.load(file)
    model.graph.name = file.stem
    names = {"logits": "logits"}
    for node in model.graph.node:
        node.name = node.name.split("/")[1]
        for i, value in enumerate(node.input):
            node.input[i] = names.get(value, value)
        names.setdefault(node.output[0], node.name)
        node.output[0] = names[node.output[0]]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def count_correct(file: Path, samples: Samples) -> int:
    """Samples that onnxruntime classifies as labelled."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": samples[0]})
    return int((logits.argmax(axis=1) == samples[1]).sum())


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_all(folder: Path) -> None:
    """Write the data, the models and the manifest into an existing folder."""
    training, test, calibration = split_digits()
    manifest: dict[str, Any] = {
        "made_with": {name: version(name) for name in ("torch", "scikit-learn", "numpy", "onnx", "onnxruntime")},
        "data": {},
        "models": {},
    }
    for name, (images, labels) in {"digits_test.npz": test, "digits_calibration.npz": calibration}.items():
        np.savez_compressed(folder / name, input=images, labels=labels)
        manifest["data"][name] = {"samples": len(labels), "sha256": sha256(folder / name)}

    for name, make in NETWORKS.items():
        torch.manual_seed(SEED)
        network = make()
        train(network, training)
        file = folder / f"{name}.onnx"
        export(network, file)
        correct = count_correct(file, test)
        manifest["models"][file.name] = {
            "accuracy": correct / TEST_SAMPLES,
            "correct": correct,
            "parameters": count_parameters(network),
            "macs_per_sample": count_macs(network),
            "sha256": sha256(file),
        }
        print(f"{file.name}: {correct} of {TEST_SAMPLES} test samples right")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # Written aside and then renamed, so that a run that is stopped leaves the files of the last one.
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".train-") as aside:
        write_all(Path(aside))
        for file in Path(aside).iterdir():
            file.replace(FOLDER / file.name)


if __name__ == "__main__":
    main()
