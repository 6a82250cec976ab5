"""Every reason for which a rule leaves an operator digital, or refuses it: one case for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from xbarc.errors import ModelError
from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import HostOp
from xbarc.ir.types import TensorType, float32, of_array
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.catalogue import recognise
from xbarc.passes.products.rule import Lowering, Refusal

Operand = np.ndarray | tuple[int | str | None, ...] | Value | None


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


def codes(*shape: int) -> np.ndarray:
    return ones(*shape, dtype=np.uint8)


def value(*shape: int | str | None, elem: int = TensorProto.FLOAT) -> Value:
    return Value("x", TensorType(elem, shape))


#: Of which not even the rank is known.
VAGUE = Value("x", float32(None))
UNTYPED = Value("x")
BYTES = value("N", 4, elem=TensorProto.UINT8)
SCALE, ZERO = np.array(0.5, np.float32), np.array(3, np.uint8)


def operator(kind: str, *operands: Operand, elem: int = TensorProto.FLOAT, **attributes: Any) -> HostOp:
    """An operator called ``n``. A tuple stands for a computed float32 array of that shape, an array for a constant."""
    domain, _, op_type = kind.rpartition(".")
    values = []
    for operand in operands:
        if isinstance(operand, np.ndarray):
            values.append(Value("c", of_array(operand), operand))
        else:
            values.append(value(*operand) if isinstance(operand, tuple) else operand)
    node = helper.make_node(op_type, [], [], name="n", domain=domain, **attributes)
    return HostOp(name="n", operands=values, results=[Value("y", TensorType(elem, None))], node=node)


def microsoft(op_type: str, *operands: Operand, **attributes: Any) -> HostOp:
    return operator(f"com.microsoft.{op_type}", *operands, **attributes)


def attention(*operands: Operand, **attributes: Any) -> HostOp:
    return microsoft("Attention", (2, 5, 4), ones(4, 6), *operands, **{"num_heads": 1, **attributes})


def qgemm(*scales: Operand, weight: Operand = codes(4, 3)) -> HostOp:  # noqa: B008 - a constant
    return microsoft("QGemm", BYTES, SCALE, ZERO, weight, SCALE, ZERO, None, *scales)


def nbits(*more: Operand, shape: tuple[int, ...] = (3, 1, 8), **attributes: Any) -> HostOp:
    given = {"K": 16, "N": 3, "block_size": 16, "bits": 4, **attributes}
    return microsoft("MatMulNBits", ("N", 16), codes(*shape), ones(3), *more, **given)


def classifier(features: int | None = 4, **attributes: Any) -> HostOp:
    shape = ("N", features) if features else ("N",)
    given = {"classlabels_ints": [0, 1], "coefficients": [1.0] * 8, "intercepts": [0.0, 0.0], **attributes}
    return operator("ai.onnx.ml.LinearClassifier", shape, **given)


def regressor(**attributes: Any) -> HostOp:
    return operator("ai.onnx.ml.LinearRegressor", ("N", 4), **{"coefficients": [1.0] * 4, **attributes})


def quantized_lstm(weight: np.ndarray, scale: Operand) -> HostOp:
    rest = [None] * 5
    operands = [(5, 2, 4), weight, codes(1, 3, 12), *rest, scale, codes(1), ones(1), codes(1)]
    return microsoft("DynamicQuantizeLSTM", *operands, hidden_size=3)


SCAN_BODY = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "body", [], [])
IMAGE, KERNEL = ("N", 3, 8, 8), ones(6, 3, 2, 2)
STEPS, W, R = (5, 2, 4), ones(1, 12, 4), ones(1, 12, 3)

DIGITAL: Mapping[str, HostOp] = {
    # any operator
    "no matrix product": operator("Relu", (2, 3)),
    "products inside SequenceMap are not recognised": operator("SequenceMap", (2, 3), body=SCAN_BODY),
    "its element type is int32": operator("MatMul", (2, 3), ones(3, 4), elem=TensorProto.INT32),
    # Gemm, MatMul, Einsum
    "neither matrix is constant": operator("Gemm", (2, 3), (3, 4)),
    "its matrix has shape [0, 4]": operator("Gemm", (2, 0), ones(0, 4)),
    "its constant has shape [3, 0]": operator("MatMul", (2, 3), ones(3, 0)),
    "the rank of its input is not known": operator("MatMul", VAGUE, ones(2, 3, 4)),
    "its input has size 5 where its constant has size 3": operator("MatMul", (2, 5), ones(3, 4)),
    "the size of its input along axis 0 is not known: it may be 1 or 2": operator("MatMul", ("N", 5, 3), ones(2, 3, 4)),
    "it sums over no axis that both operands have": operator("Einsum", (2, 3), ones(4), equation="ij,k->ijk"),
    "more than one of its operands is not constant": operator("Einsum", (2, 3), (3, 4), equation="ij,jk->ik"),
    "it lacks an operand": operator("Einsum", None, ones(3, 4), equation="ij,jk->ik"),
    "the equation 'ij,jk->i!' is not understood for operands of ranks [2, 2]": operator(
        "Einsum", (2, 3), ones(3, 4), equation="ij,jk->i!"
    ),
    "the equation 'ii,ik->ik' takes a diagonal of its input": operator(
        "Einsum", (3, 3), ones(3, 4), equation="ii,ik->ik"
    ),
    "its constants, multiplied out, are larger than apart": operator(
        "Einsum", (9,), ones(9, 9), ones(9, 9), equation="i,ij,kl->jkl"
    ),
    # Conv, ConvTranspose
    "its kernel is not constant": operator("Conv", IMAGE, (6, 3, 2, 2)),
    "its bias is not constant": operator("Conv", IMAGE, KERNEL, (6,)),
    "its kernel has shape [6, 3]": operator("Conv", IMAGE, ones(6, 3)),
    "its windows are interpolated between pixels, at computed places": operator("DeformConv", IMAGE, KERNEL, IMAGE),
    "it states the sizes of its output, and those of its input are not known": operator(
        "ConvTranspose", ("N", 6, "H", "W"), KERNEL, output_shape=[9, 9]
    ),
    "auto_pad has no settled meaning with output_padding or strides beyond the kernel": operator(
        "ConvTranspose", ("N", 6, 8, 8), KERNEL, auto_pad="SAME_UPPER", strides=[3, 3]
    ),
    "nothing is left of its output along spatial axis 0": operator(
        "ConvTranspose", ("N", 6, 8, 8), KERNEL, pads=[5, 0, 5, 0]
    ),
    "its strides exceed its kernel so far that nearly all of its cells would be empty": operator(
        "ConvTranspose", ("N", 6, 8, 8), KERNEL, strides=[2**20, 2**20]
    ),
    # recurrent operators
    "its matrices are not constant": operator("LSTM", STEPS, (1, 12, 4), R),
    "its peepholes are not constant": operator("LSTM", STEPS, W, R, None, None, None, None, (1, 9)),
    "its matrices have shapes [1, 0, 12] and [1, 3, 12]": operator("LSTM", STEPS, ones(1, 12, 0), R),
    "its activation Affine lacks a parameter": operator(
        "RNN", STEPS, ones(1, 3, 4), ones(1, 3, 3), activations=["Affine"]
    ),
    # linear models
    "it has no row of coefficients for each class": classifier(classlabels_ints=[0]),
    "its post_transform is PROBIT": classifier(post_transform="PROBIT"),
    "its input is not known to be a matrix": classifier(features=None),
    # quantised operators
    "the scale of its weights is not constant": operator(
        "QLinearConv", BYTES, SCALE, ZERO, codes(6, 3, 2, 2), (), ZERO
    ),
    "the zero point of its weights is not constant": operator("MatMulInteger", BYTES, codes(4, 3), ZERO, value()),
    "the type of its input is not known": operator("MatMulInteger", UNTYPED, codes(4, 3)),
    "its input is of type float": operator("MatMulInteger", ("N", 4), codes(4, 3)),
    "its second matrix is not constant": qgemm(weight=value(4, 3, elem=TensorProto.UINT8)),
    "it has a scale or a zero point for its result, but not both": qgemm(SCALE),
    "float32 does not hold its sums of products of 16 bits": microsoft("MatMulInteger16", ("N", 4), ones(4, 3)),
    "its matrix is not constant": microsoft("MatMulNBits", ("N", 16), (3, 1, 8), ones(3), K=16, N=3, block_size=16),
    "its scale is not constant": microsoft("QAttention", BYTES, codes(4, 6), ones(6), SCALE, ()),
    "its zero points are not constant": nbits((3,)),
    "its g_idx is not constant": nbits(None, (16,)),
    "its codes have 3 bits": nbits(bits=3),
    "its matrix is laid out for one processor": nbits(weight_prepacked=1),
    "its matrix has shape [0, 1, 8]": nbits(shape=(0, 1, 8)),
    "onnxruntime takes g_idx for codes of 4 bits without zero points alone": nbits(codes(3), np.zeros(16, np.int32)),
    "its matrix is transposed": microsoft("MatMulBnb4", ("N", 4), codes(6), ones(1), K=4, N=3, block_size=16, transB=0),
    # fused operators
    "its batch axes cannot be transposed": microsoft("FusedMatMul", (2, 3), ones(3, 4), transBatchA=1),
    "its activation 'Cosh' is not known": microsoft("FusedConv", IMAGE, KERNEL, activation="Cosh"),
    "its activation 'Clip' lacks a parameter": microsoft("FusedConv", IMAGE, KERNEL, activation="Clip"),
    # attention
    "it turns its positions (do_rotary), which onnxruntime does not do on a CPU": attention(do_rotary=1),
    "its past and present share a buffer": attention(past_present_share_buffer=1),
    "its mask has a start and an end for each sample": attention(None, (4,)),
    "its mask has 4 axes": attention(None, (2, 1, 9, 9)),
    "the shape of its mask is not known": attention(None, VAGUE),
}

#: Reasons that several rules have in words of their own.
ALSO_DIGITAL: list[tuple[str, HostOp]] = [
    ("the rank of its input is not known", microsoft("FusedMatMul", VAGUE, ones(3, 4), transA=1)),
    ("its batch axes cannot be transposed", microsoft("FusedMatMul", (2, 3), ones(3, 4), transBatchB=1)),
    ("its matrix has shape [4, 0]", microsoft("Attention", (2, 5, 4), ones(4, 0), num_heads=1)),
    ("its constant has shape []", operator("MatMul", (2, 3), ones())),
    ("its kernel has shape [6, 3]", operator("ConvTranspose", ("N", 6, 8, 8), ones(6, 3))),
    ("its bias is not constant", attention((6,))),
    ("its matrices are not constant", microsoft("MultiHeadAttention", (2, 5, 4))),
]

WRONG: Mapping[str, HostOp] = {
    "an attribute that should be text is not": operator("Einsum", (2, 3), ones(3, 4), equation=b"\xff\xfe"),
    "6 output channels cannot be parted into 4 groups": operator("Conv", IMAGE, KERNEL, group=4),
    "auto_pad is 'SAME'": operator("Conv", IMAGE, KERNEL, auto_pad="SAME"),
    "kernel_shape is [3, 3], but its kernel is [2, 2]": operator("Conv", IMAGE, KERNEL, kernel_shape=[3, 3]),
    "strides are [1], expected 2 numbers of at least 1": operator("Conv", IMAGE, KERNEL, strides=[1]),
    "dilations are [0, 1], expected 2 numbers of at least 1": operator("Conv", IMAGE, KERNEL, dilations=[0, 1]),
    "pads are [0, 0, 0, -1], expected 4 numbers of at least 0": operator("Conv", IMAGE, KERNEL, pads=[0, 0, 0, -1]),
    "6 input channels cannot be parted into 4 groups": operator("ConvTranspose", ("N", 6, 8, 8), KERNEL, group=4),
    "output_padding is [-1, 0], expected 2 numbers of at least 0": operator(
        "ConvTranspose", ("N", 6, 8, 8), KERNEL, output_padding=[-1, 0]
    ),
    "output_shape is [9], expected 2 numbers": operator("ConvTranspose", ("N", 6, 8, 8), KERNEL, output_shape=[9]),
    "its input has 1 spatial axes, its kernel 2": operator("ConvTranspose", ("N", 6, 8), KERNEL),
    "direction is 'backward'": operator("LSTM", STEPS, W, R, direction="backward"),
    "clip is -1.0": operator("LSTM", STEPS, W, R, clip=-1.0),
    "W has shape [12, 4], expected three axes": operator("LSTM", STEPS, ones(12, 4), R),
    "R has shape [1, 12, 2], expected [1, 12, 3]": operator("LSTM", STEPS, W, ones(1, 12, 2), hidden_size=3),
    "4 activations are given, expected 3": operator("LSTM", STEPS, W, R, activations=["Tanh"] * 4),
    "'Cosh' is no activation of ONNX; those are Affine, Elu": operator("LSTM", STEPS, W, R, activations=["Cosh"] * 3),
    "W has shape [4, 12], expected three axes": quantized_lstm(codes(4, 12), ones(1)),
    "the scales or zero points of W have shape [7]": quantized_lstm(codes(1, 4, 12), ones(7)),
    "9 coefficients cannot be parted into 2 rows": classifier(coefficients=[1.0] * 9),
    "it has 3 intercepts, expected 1": regressor(intercepts=[0.0] * 3),
    "its input has 4 features, its coefficients 5": regressor(coefficients=[1.0] * 5),
    "codes [2, 1, 8] and scales [3] are not 16 x 3": nbits(shape=(2, 1, 8)),
    "codes [5] and scales [1] are not 4 x 3": microsoft(
        "MatMulBnb4", ("N", 4), codes(5), ones(1), K=4, N=3, block_size=16
    ),
    "5 heads of widths [2, 2, 2] do not fit weights [4, 6]": attention(num_heads=5),
}

#: Found when the products are written.
WRONG_NUMBERS: Mapping[str, HostOp] = {
    "its bias has shape [5], expected [6]": operator("Conv", IMAGE, KERNEL, ones(5)),
    "1 of the 12 weights are not finite (the first is nan)": operator(
        "MatMul", (2, 3), np.array([[np.nan, *[1.0] * 11]], np.float32).reshape(3, 4)
    ),
    "4 of the 4 bias are not finite (the first is inf)": operator(
        "Gemm", (2, 3), ones(3, 4), np.full(4, np.inf, np.float32)
    ),
}


@pytest.mark.parametrize(("reason", "digital"), [*DIGITAL.items(), *ALSO_DIGITAL])
def test_an_operator_stays_digital_for_a_stated_reason(reason: str, digital: HostOp) -> None:
    found = recognise(digital)
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert found.is_product == (reason != "no matrix product")


@pytest.mark.parametrize("message", WRONG)
def test_an_operator_without_a_meaning_is_refused_by_name(message: str) -> None:
    wrong = WRONG[message]
    with pytest.raises(ModelError) as caught:
        recognise(wrong)
    assert caught.value.what.startswith(message)
    assert caught.value.where == f"node 'n' ({wrong.kind})"
    assert caught.value.fix == "export the model again"


@pytest.mark.parametrize("message", WRONG_NUMBERS)
def test_numbers_that_cannot_go_on_tiles_are_refused_by_name(message: str) -> None:
    wrong = WRONG_NUMBERS[message]
    lowering = recognise(wrong)
    assert isinstance(lowering, Lowering)
    with pytest.raises(ModelError) as caught:
        lowering.build(Builder(Graph(name="g", opsets={"": 17}), wrong, lowering.reason))
    assert caught.value.what == message
    assert caught.value.where == f"node 'n' ({wrong.kind})"
