"""Products with a matrix that is stored in blocks of few bits: ``MatMulNBits``, ``MatMulBnb4``."""

from __future__ import annotations

from typing import Final

import numpy as np

from xbarc.ir.graph import Value
from xbarc.ir.operators import HostOp
from xbarc.passes.products.builder import Builder
from xbarc.passes.products.rule import Lowering, Refusal, Rule, bad, constant, matrix_words, present

_FP4_MAGNITUDES: Final = np.array(
    [0.0, 0.0052083335, 0.6666667, 1.0, 0.33333334, 0.5, 0.16666667, 0.25], dtype=np.float32
)
#: What the codes of a type of four bits stand for.
_BNB4: Final[dict[int, np.ndarray]] = {
    0: np.concatenate([_FP4_MAGNITUDES, -_FP4_MAGNITUDES]),
    # Quantiles of a normal distribution.
    1: np.array(
        [
            *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
            *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
            *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
            *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
        ],
        dtype=np.float32,
    ),
}


def matmul_nbits(operator: HostOp) -> Lowering | Refusal:
    """A product with codes of 2, 4 or 8 bits: along the rows, blocks have a scale and a zero point each."""
    codes, scales = constant(operator, 1), constant(operator, 2)
    zeros, places, bias = (constant(operator, index) for index in (3, 4, 5))
    if codes is None or scales is None:
        return Refusal("its matrix is not constant")
    for index, array, what in ((3, zeros, "zero points are"), (4, places, "g_idx is"), (5, bias, "bias is")):
        if present(operator, index) and array is None:
            return Refusal(f"its {what} not constant")
    bits, rows, columns, size = (int(operator.attribute(name, 4)) for name in ("bits", "K", "N", "block_size"))
    if bits not in (2, 4, 8):
        return Refusal(f"its codes have {bits} bits")
    if operator.attribute("weight_prepacked", 0):
        return Refusal("its matrix is laid out for one processor")
    if codes.size == 0:
        return Refusal(f"its matrix has shape {list(codes.shape)}")
    if places is not None and (bits != 4 or zeros is not None):
        return Refusal("onnxruntime takes g_idx for codes of 4 bits without zero points alone")
    blocks = -(-rows // size)
    if codes.size * 8 != columns * blocks * size * bits or scales.size != columns * blocks:
        raise bad(operator, f"codes {list(codes.shape)} and scales {list(scales.shape)} are not {rows} x {columns}")
    block = np.arange(rows) // size if places is None else places.reshape(-1)[:rows]
    numbers = _unpacked(codes.reshape(columns, -1), bits)[:, :rows].astype(np.float32)
    numbers -= _zero_points(zeros, bits, columns, blocks)[:, block]
    numbers *= scales.reshape(columns, blocks).astype(np.float32)[:, block]
    return _product(numbers.T, bias)


def matmul_bnb4(operator: HostOp) -> Lowering | Refusal:
    """A product with codes of 4 bits that stand for 16 numbers, times the largest magnitude of their block."""
    codes, largest = constant(operator, 1), constant(operator, 2)
    if codes is None or largest is None:
        return Refusal("its matrix is not constant")
    if not operator.attribute("transB", 1):
        return Refusal("its matrix is transposed")
    rows, columns, size, kind = (int(operator.attribute(name, 0)) for name in ("K", "N", "block_size", "quant_type"))
    count = rows * columns
    if kind not in _BNB4 or codes.size != -(-count // 2) or size < 1 or largest.size != -(-count // size):
        raise bad(operator, f"codes {list(codes.shape)} and scales {list(largest.shape)} are not {rows} x {columns}")
    flat = codes.reshape(-1)
    numbers = _BNB4[kind][np.stack([flat >> 4, flat & 15], axis=1).reshape(-1)[:count]]
    numbers = numbers * np.repeat(largest.reshape(-1).astype(np.float32), size)[:count]
    return _product(numbers.reshape(columns, rows).T, None)


def _product(matrix: np.ndarray, bias: np.ndarray | None) -> Lowering:
    weight = matrix[None]

    def build(builder: Builder) -> list[Value | None]:
        return [builder.product(builder.operand(0), weight, bias=bias)]

    return Lowering(matrix_words(weight), build)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """Codes of a few bits, the lowest of a byte first, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return codes.reshape(*packed.shape[:-1], -1)


def _zero_points(zeros: np.ndarray | None, bits: int, columns: int, blocks: int) -> np.ndarray:
    """One a column and block: given as numbers, as codes of a few bits, or the middle of the range."""
    if zeros is None:
        return np.full((columns, blocks), 2.0 ** (bits - 1), dtype=np.float32)
    if zeros.dtype == np.uint8:
        zeros = _unpacked(zeros.reshape(columns, -1), bits)[:, :blocks]
    return zeros.reshape(columns, blocks).astype(np.float32)


RULES: dict[str, Rule] = {"com.microsoft.MatMulBnb4": matmul_bnb4, "com.microsoft.MatMulNBits": matmul_nbits}
