"""What onnxruntime's own tools make of exported models: quantised ones, and ones with fused operators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import optimizer

EXTENDED = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


class Images(CalibrationDataReader):  # type: ignore[misc]
    """One batch of random images."""

    def __init__(self) -> None:
        images = np.random.default_rng(0).standard_normal((64, 1, 8, 8)).astype(np.float32)
        self.batches: Iterator[dict[str, np.ndarray]] = iter([{"image": images}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def write(folder: Path) -> None:
    """Write the models that are made from those of PyTorch, which stand in the same folder already."""
    quantize(folder)
    # Not with all optimisations where there are convolutions: those are laid out for the machine at hand.
    for name, level in (("bert_torchscript", EXTENDED), ("bert_dynamo", ALL), ("unet_torchscript", EXTENDED)):
        optimize(folder / f"{name}.onnx", folder / f"{name}_{'all' if level == ALL else 'extended'}.onnx", level)
    optimize(folder / "mobilenet_dynamo.onnx", folder / "mobilenet_dynamo_extended.onnx", EXTENDED)
    optimize(folder / "cnn_qdq.onnx", folder / "cnn_qdq_extended.onnx", EXTENDED)
    optimize(folder / "mlp_dynamic.onnx", folder / "mlp_dynamic_extended.onnx", EXTENDED)
    fused = optimizer.optimize_model(
        str(folder / "bert_torchscript.onnx"), model_type="bert", num_heads=4, hidden_size=32, opt_level=0
    )
    fused.save_model_to_file(str(folder / "bert_torchscript_attention.onnx"))


def quantize(folder: Path) -> None:
    """Every format: with operators around each product, with integer products, at run time, and four-bit weights."""
    prepared = folder / "prepared.onnx"
    quant_pre_process(folder / "cnn_torchscript.onnx", prepared)
    quantize_static(
        prepared,
        folder / "cnn_qdq.onnx",
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    quantize_static(
        prepared,
        folder / "cnn_qoperator.onnx",
        Images(),
        quant_format=QuantFormat.QOperator,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
    )
    prepared.unlink()
    quantize_dynamic(folder / "mlp_torchscript.onnx", folder / "mlp_dynamic.onnx", per_channel=True)
    quantize_dynamic(folder / "lstm_torchscript.onnx", folder / "lstm_dynamic.onnx")
    for symmetric in (True, False):
        few_bits = MatMulNBitsQuantizer(
            onnx.load(folder / "mlp_torchscript.onnx"), block_size=16, is_symmetric=symmetric, accuracy_level=0
        )
        few_bits.process()
        few_bits.model.save_model_to_file(str(folder / f"mlp_4bit{'' if symmetric else '_asymmetric'}.onnx"), False)


def optimize(source: Path, target: Path, level: ort.GraphOptimizationLevel) -> None:
    """Write a model as onnxruntime executes it at a level of optimisation."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
