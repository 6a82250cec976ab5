"""The models of ``tests/exported``: what to feed them, and which of their nodes belong on tiles, with how many weights.

Numbers of weights are written down from the networks, not from the files: however an exporter or optimiser packs,
quantises or fuses a matrix, all of it has to arrive.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

FOLDER = Path(__file__).resolve().parent / "exported"

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Example:
    """One exported model.

    Attributes:
        name: its file without the ending.
        shapes: inputs to feed, one mapping by name for each time; the first is what ranges are calibrated with.
        layers: weights by node: the nodes whose static matrices go on tiles.
        digital: the nodes that multiply matrices and stay on the host.
        tolerance: how far from onnxruntime exact hardware may be, relative to the range of each output.
        below: what integer inputs stay below; 2 where not given.
    """

    name: str
    shapes: Sequence[Shapes]
    layers: Mapping[str, int]
    digital: Sequence[str] = ()
    tolerance: float = 1e-5
    below: Mapping[str, int] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.onnx"

    def feeds(self, shapes: Shapes) -> dict[str, np.ndarray]:
        """Inputs of these shapes: standard-normal numbers and uniform integers, seeded."""
        rng = np.random.default_rng(len(self.name))
        arrays = {}
        for value in onnx.load(self.path).graph.input:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            shape = tuple(shapes[value.name])
            whole = rng.integers(0, self.below.get(value.name, 2), shape)
            arrays[value.name] = (whole if dtype.kind == "i" else rng.standard_normal(shape)).astype(dtype)
        return arrays

    def __str__(self) -> str:
        return self.name


def expand(pattern: str) -> list[str]:
    """The names that ``a{1,2}b`` stands for, the last choice running fastest."""
    parts = re.split(r"\{(.*?)\}", pattern)
    choices = [part.split(",") if odd else [part] for part, odd in zip(parts, itertools.cycle((0, 1)), strict=False)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def named(patterns: str, weights: Sequence[int]) -> dict[str, int]:
    """Weights by node, of names separated by blanks that may hold choices."""
    names = [name for pattern in patterns.split() for name in expand(pattern)]
    return dict(zip(names, weights, strict=True))


def numbered(prefix: str, numbers: str) -> str:
    """Names that end in numbers."""
    return " ".join(f"{prefix}{number}" for number in numbers.split())


LSTM = [4 * 24 * (12 + 24), 24 * 5]
GRU = [2 * 3 * 10 * (8 + 10), 2 * 3 * 10 * (20 + 10), 20 * 6]
VIT = [3 * 16 * 24, *[24 * 72, 24 * 24, 24 * 48, 48 * 24] * 2, 24 * 10]
BERT = [*[32 * 32] * 4, 32 * 64, 64 * 32] * 2 + [32 * 32]
UNET_DOWN = [9 * 1 * 6, 9 * 6 * 6, 9 * 6 * 12, 9 * 12 * 12, 9 * 12 * 16, 9 * 16 * 16]
# A kernel of 3 at stride 2 makes the four outputs between two inputs from four inputs: a matrix with some zeros.
UNET_UP = [4 * 16 * 12, 9 * 24 * 12, 9 * 12 * 12, 16 * 12 * 6, 9 * 12 * 6, 9 * 6 * 6, 6 * 2]
UNET = UNET_DOWN + UNET_UP
MOBILENET = [
    *[3 * 9 * 8],
    *[8 * 24, 24 * 9, 24 * 8],
    *[8 * 24, 24 * 9, 24 * 4, 4 * 24, 24 * 12],
    *[12 * 36, 36 * 9, 36 * 4, 4 * 36, 36 * 12],
    *[12 * 24, 24 * 10],
]
CNN = [9 * 8, 9 * 8 * 12, 48 * 10]
MLP = [64 * 48, 48 * 32, 32 * 10]

UNET_NAMES = """/{enter/enter,down1/down1,down2/down2}.{0,3}/Conv /up2/ConvTranspose /join2/join2.{0,3}/Conv
    /up1/ConvTranspose /join1/join1.{0,3}/Conv /leave/Conv"""
UNET_NODES = numbered("node_", "Conv_151 Conv_153 Conv_155 Conv_157 Conv_159 Conv_161 convolution Conv_163 Conv_165 "
                      "convolution_1 Conv_167 Conv_169 conv2d_10")  # fmt: skip
MOBILENET_NAMES = """/stem/stem.0/Conv /blocks/blocks.0/{expand/expand,depthwise/depthwise,project/project}.0/Conv
    /blocks/blocks.{1,2}/{expand/expand.0,depthwise/depthwise.0,excite/squeeze,excite/excite,project/project.0}/Conv
    /classifier/classifier.{0,3}/Gemm"""
MOBILENET_NODES = numbered("node_", "Conv_160 Conv_162 Conv_164 Conv_166 Conv_168 Conv_170 conv2d_6 conv2d_7 Conv_172 "
                           "Conv_174 Conv_176 conv2d_11 conv2d_12 Conv_178 linear linear_1")  # fmt: skip
VIT_NAMES = """/patches/Conv /blocks/blocks.{0,1}/{attention/qkv,attention/output,dense/dense.0,dense/dense.2}/MatMul
    /head/Gemm"""
VIT_NODES = "node_conv2d node_MatMul_{12,69,71,73,75,129,131,133} node_linear_8"
BERT_BLOCKS = "/layers.{0,1}/{attention/query,attention/key,attention/value,attention/output,up,down}/MatMul"
VIT_SCORES = "/blocks/blocks.{0,1}/attention/MatMul{,_1}"
BERT_SCORES = "/layers.{0,1}/attention/MatMul{,_1}"
BERT_NODES = numbered("node_MatMul_", "44 52 60 74 76 78 80 88 96 109 111 113")
CNN_NAMES = "/conv{1,2}/Conv /fc/Gemm"
MLP_NAMES = "/fc{1,2,3}/MatMul"

FRAMES = [{"frames": (3, 6, 12)}, {"frames": (1, 6, 12)}, {"frames": (2, 9, 12)}]
TIME_FIRST = [{"frames": (6, 3, 8)}, {"frames": (6, 1, 8)}, {"frames": (4, 2, 8)}]
STEPS = [{"frames": (6, 3, 6)}, {"frames": (6, 1, 6)}, {"frames": (4, 2, 6)}]
FEATURES = [{"features": (6, 8)}, {"features": (1, 8)}, {"features": (3, 8)}]
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TEXT = [dict.fromkeys(TEXT_INPUTS, shape) for shape in ((4, 7), (1, 7), (2, 24))]
SQUARES = [{"image": (4, 1, 16, 16)}, {"image": (1, 1, 16, 16)}, {"image": (2, 1, 8, 20)}]
PHOTOS = [{"image": (4, 3, 16, 16)}, {"image": (1, 3, 16, 16)}]
LARGE_PHOTOS = [{"image": (4, 3, 24, 24)}, {"image": (1, 3, 24, 24)}]
DIGITS = [{"image": (8, 1, 8, 8)}, {"image": (1, 1, 8, 8)}]
VECTORS = [{"frames": (4, 3, 64)}, {"frames": (1, 3, 64)}, {"frames": (2, 5, 64)}]
PIXELS = [{"X": (8, 64)}, {"X": (1, 64)}]
WORDS = {"input_ids": 50, "words": 30}


def examples() -> Iterator[Example]:
    """All of them."""
    yield Example("lstm_torchscript", FRAMES, named("/lstm/LSTM /classifier/Gemm", LSTM))
    yield Example("lstm_torchscript_opset9", FRAMES, named("/lstm/LSTM /classifier/Gemm", LSTM))
    yield Example("lstm_dynamo", FRAMES, named("node_lstm__2 node_linear", LSTM))
    # Its operator rounds what goes into each product to 8 bits, which exact hardware does not.
    quantized = named("/lstm/LSTM_quant /classifier/Gemm_MatMul_quant", LSTM)
    yield Example("lstm_dynamic", FRAMES, quantized, tolerance=0.02)
    yield Example("gru_torchscript", TIME_FIRST, named("/gru/GRU /gru/GRU_1 /classifier/MatMul", GRU))
    steps = [{"frames": (4, batch, 8)} for batch in (3, 1)]
    yield Example("gru_dynamo", steps, named("node_GRU_81 node_GRU_164 node_MatMul_176", GRU))

    states = [{**shapes, "state": (1, shapes["frames"][1], 9)} for shapes in STEPS]
    yield Example("rnn_torchscript", states, {"/rnn/RNN": 9 * (6 + 9)})
    unrolled = [{"frames": (4, batch, 6), "state": (1, batch, 9)} for batch in (3, 1)]
    yield Example("rnn_dynamo", unrolled, named(numbered("node_MatMul_", "6 24 26 28 30"), [6 * 9, *[9 * 9] * 4]))

    yield Example("vit_torchscript", PHOTOS, named(VIT_NAMES, VIT), expand(VIT_SCORES))
    scores = expand("node_MatMul_{61,121}") + expand("node_scaled_dot_product_attention{,_1}")
    yield Example("vit_dynamo", PHOTOS, named(VIT_NODES, VIT), scores)

    blocks, nodes = named(BERT_BLOCKS, BERT[:-1]), named(BERT_NODES, BERT[:-1])
    scores, pooler = expand(BERT_SCORES), BERT[-1]
    yield Example("bert_torchscript", TEXT, blocks | {"/pooler/Gemm": pooler}, scores, below=WORDS)
    scores = expand("/layers.{0,1}/attention/MatMul{/MatMulScaleFusion/,_1}")
    yield Example("bert_torchscript_extended", TEXT, blocks | {"fused /pooler/Gemm": pooler}, scores, below=WORDS)
    scores = expand("node_matmul{,_1,_2,_3}")
    yield Example("bert_dynamo", TEXT, nodes | {"node_linear_12": pooler}, scores, below=WORDS)
    scores = expand("node_matmul{/MatMulScaleFusion/,_1,_2/MatMulScaleFusion/,_3}")
    yield Example("bert_dynamo_all", TEXT, nodes | {"fused node_linear_12": pooler}, scores, below=WORDS)
    fused = named("Attention_{0,1}", [3 * 32 * 32] * 2) | {"/pooler/Gemm": pooler}
    others = named("/layers.{0,1}/{attention/output,up,down}/MatMul", BERT[3:6] * 2)
    yield Example("bert_torchscript_attention", TEXT, fused | others, below=WORDS)

    yield Example("unet_torchscript", SQUARES, named(UNET_NAMES, UNET))
    yield Example("unet_torchscript_extended", SQUARES, named(UNET_NAMES, UNET))
    yield Example("unet_dynamo", SQUARES, named(UNET_NODES, UNET))
    yield Example("mobilenet_torchscript", LARGE_PHOTOS, named(MOBILENET_NAMES, MOBILENET))
    yield Example("mobilenet_dynamo", LARGE_PHOTOS, named(MOBILENET_NODES, MOBILENET))
    yield Example("mobilenet_dynamo_extended", LARGE_PHOTOS, named(MOBILENET_NODES, MOBILENET))

    branch = [8 * 12, 12 * 4, 12 * 4]
    yield Example("branch_torchscript", FEATURES, named("/{enter,positive,negative}/Gemm", branch))
    yield Example("branch_dynamo", FEATURES, named("node_linear{,_2,_3}", branch))
    cell = [6 * 7, 7 * 7]
    yield Example("loop_torchscript", STEPS, named("/input/Gemm /state/MatMul", cell))
    yield Example("scan_dynamo", STEPS, named("node_linear{,_1}", cell))

    yield Example("cnn_torchscript", DIGITS, named(CNN_NAMES, CNN))
    yield Example("cnn_qdq", DIGITS, named(CNN_NAMES, CNN))
    yield Example("cnn_qdq_extended", DIGITS, named(CNN_NAMES, CNN))
    yield Example("cnn_qoperator", DIGITS, named("/conv{1,2}/Conv_quant /fc/Gemm_quant", CNN))
    yield Example("mlp_torchscript", VECTORS, named(MLP_NAMES, MLP))
    yield Example("mlp_dynamic", VECTORS, named("/fc{1,2,3}/MatMul_quant", MLP))
    yield Example("mlp_dynamic_extended", VECTORS, named("/fc{1,2,3}/MatMul_quant", MLP))
    yield Example("mlp_4bit", VECTORS, named("/fc{1,2,3}/MatMul_Q4", MLP))
    yield Example("mlp_4bit_asymmetric", VECTORS, named("/fc{1,2,3}/MatMul_Q4", MLP))

    yield Example("perceptron_sklearn", PIXELS, named("MatMul MatMul1 MatMul2", [64 * 24, 24 * 16, 16 * 10]))
    yield Example("pipeline_sklearn", PIXELS, named("MatMul MatMul1", [64 * 24, 24 * 10]))
    yield Example("logistic_sklearn", PIXELS, {"LinearClassifier": 64 * 10})

    keras = """images_1/{norm_1/batchnorm/mul_1,depthwise_1/depthwise,separable_1/separable_conv2d/depthwise}
        images_1/{separable_1/separable_conv2d,up_1/conv_transpose,last_1/convolution,dense_1/MatMul}"""
    channels_last = [{"image": (4, 16, 16, 3)}, {"image": (1, 16, 16, 3)}]
    weights = [3 * 9 * 8, 9 * 8, 9 * 8, 8 * 12, 12 * 16 * 6, 6 * 9 * 10, 10 * 10]
    yield Example("cnn_keras", channels_last, named(keras, weights))
    # The converter hands the GRU its matrices from one round of a loop to the next.
    lstm = {"LSTM__186": 2 * 4 * 10 * (8 + 10), "sequences_1/dense_1/MatMul": 9 * 3}
    gru = named("sequences_1/gru_1/while/gru_cell_1/MatMul{,_1}", [20 * 27, 9 * 27])
    words = [{"words": (3, 6)}, {"words": (1, 6)}, {"words": (2, 4)}]
    yield Example("rnn_keras", words, lstm | gru, below=WORDS)


EXAMPLES = list(examples())
