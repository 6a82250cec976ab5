"""Keras networks, converted by tf2onnx."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
import tf2onnx
from keras import layers

SEED = 2025
OPSET = 17


def write(folder: Path) -> None:
    """Write a network of images, channels last, and one of sequences, into an existing folder."""
    keras.utils.set_random_seed(SEED)
    images = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(6.0, name="relu"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.LeakyReLU(name="leaky"),
            layers.SeparableConv2D(12, 3, padding="valid", name="separable"),
            layers.Conv2DTranspose(6, 3, strides=2, padding="same", name="up"),
            layers.ZeroPadding2D(1, name="pad"),
            layers.Conv2D(10, 3, name="last"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(10, activation="softmax", name="dense"),
        ],
        name="images",
    )
    convert(images, tf.TensorSpec((None, 16, 16, 3), tf.float32, name="image"), folder / "cnn_keras.onnx")
    sequences = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(30, 8, name="words"),
            layers.Bidirectional(layers.LSTM(10, return_sequences=True, name="lstm"), name="both"),
            layers.GRU(9, name="gru"),
            layers.Dense(3, name="dense"),
        ],
        name="sequences",
    )
    convert(sequences, tf.TensorSpec((None, None), tf.int32, name="words"), folder / "rnn_keras.onnx")


def convert(model: keras.Model, signature: tf.TensorSpec, file: Path) -> None:
    # Not by ``from_keras``, which does not find the outputs of a model of Keras 3.
    tf2onnx.convert.from_function(
        tf.function(lambda values: model(values)), input_signature=(signature,), opset=OPSET, output_path=str(file)
    )
