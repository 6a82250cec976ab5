"""Classifiers of scikit-learn, trained on its digits and converted by skl2onnx."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SAMPLES = 400
WORDS = np.array("zero one two three four five six seven eight nine".split())


def write(folder: Path) -> None:
    """Write a perceptron as it comes, a pipeline with plain outputs, and a linear classifier of words."""
    pixels, digits = load_digits(return_X_y=True)
    pixels, digits = pixels[:SAMPLES].astype(np.float32), digits[:SAMPLES]
    perceptron = MLPClassifier((24, 16), random_state=0, max_iter=60)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((24,), random_state=0, max_iter=60))
    linear = LogisticRegression(max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        perceptron.fit(pixels, digits)
        pipeline.fit(pixels, digits)
        linear.fit(pixels, WORDS[digits])
    for name, model, options in (
        ("perceptron", perceptron, {}),
        ("pipeline", pipeline, {"zipmap": False}),
        ("logistic", linear, {"zipmap": False}),
    ):
        converted = to_onnx(model, pixels[:1], name=name, options=options)
        (folder / f"{name}_sklearn.onnx").write_bytes(converted.SerializeToString())
