"""Products of input codes and levels in integers: as fast as the processor's instructions for bytes, and exact.

A matrix of integers is parted into signed digits, whose products with codes of eight bits onnxruntime takes
(``MatMulInteger``): digits of seven bits, on which no instruction set saturates, or of eight, where this processor's
does not. The digits of all matrices that the same codes are applied to are one product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from xbarc.runtime import code_kernels

#: From -64 to 63: two products of that with codes up to 255 fit the 16 bits in which older processors add.
SAFE_BITS: Final = 7
#: Matrices of more digits of seven bits than this go to BLAS.
MOST_DIGITS: Final = 3
_OPSET: Final = 13


class CodeProduct:
    """Matrices of integers, ready to be multiplied with codes of eight bits.

    Args:
        matrices: ``(rows, columns)`` integers each, all of one shape, of at most :data:`MOST_DIGITS` digits.
        bits: of a digit; ``None``: as many as this processor takes (:func:`digit_bits`).

    Attributes:
        digits: of each matrix.
        bits: of a digit.
        columns: of the result: matrix by matrix, column by column, the digits of one side by side from the least
            significant one on.
    """

    def __init__(self, matrices: Sequence[np.ndarray], *, bits: int | None = None) -> None:
        self.bits = bits or digit_bits()
        self.digits = max(digits_of(matrix, self.bits) for matrix in matrices)
        rows, columns = matrices[0].shape
        held = np.empty((rows, len(matrices), columns, self.digits), dtype=np.int8)
        for number, matrix in enumerate(matrices):
            code_kernels.part_into_digits(matrix, self.bits, held[:, number])
        self.columns = len(matrices) * columns * self.digits
        self._session = _session(held.reshape(rows, self.columns))

    def bind(self, codes: np.ndarray, sums: np.ndarray) -> Callable[[], None]:
        """A function that computes ``sums = codes @ digits`` of what is then in the codes.

        Args:
            codes: ``(windows, rows)`` uint8, contiguous.
            sums: ``(windows, columns)`` int32, contiguous.
        """
        binding = self._session.io_binding()
        binding.bind_input("codes", "cpu", 0, np.uint8, codes.shape, codes.ctypes.data)
        binding.bind_output("sums", "cpu", 0, np.int32, sums.shape, sums.ctypes.data)
        return partial(self._multiply, binding, codes, sums)

    def _multiply(self, binding: ort.IOBinding, *_: np.ndarray) -> None:
        """Multiply what is bound; the arrays are given along because a binding knows but where they lie."""
        self._session.run_with_iobinding(binding)


class Buffers:
    """Memory that blocks use one after the other: of fresh memory, the first touch of every page costs."""

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
        """An array of what is held under a name, with anything in it."""
        size = math.prod(shape)
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size, dtype)
        return self._held[name][:size].reshape(shape)


class BoundProduct:
    """A product with its buffers, and one number a column.

    Args:
        name: of its buffer.
        product: to take.
        numbers: of each matrix ``(columns,)``.
        codes: ``(windows, rows)`` uint8, contiguous.
        lines: windows that lie side by side, where there is one matrix alone.
        buffers: to work in.

    Attributes:
        columns: of a matrix.
        each: the numbers, repeated for the windows of a line.
        multiply: takes the product of what is then in the codes.
    """

    def __init__(
        self,
        name: str,
        product: CodeProduct,
        numbers: Sequence[np.ndarray],
        codes: np.ndarray,
        lines: int,
        buffers: Buffers,
    ) -> None:
        self._lines = lines if len(numbers) == 1 else 1
        self._reads, self.columns = len(numbers), len(numbers[0])
        self._sums = buffers.take(name, (len(codes), product.columns), np.int32)
        self.each = tuple(np.concatenate([number] * self._lines) for number in numbers)
        self.multiply = product.bind(codes, self._sums)

    def of(self, read: int, windows: slice) -> np.ndarray:
        """The sums of some windows in a read, ``(lines, digits of columns)``."""
        some = self._sums[windows]
        found: np.ndarray = some.reshape(len(some) // self._lines, self._reads, -1)[:, read]
        return found


def digits_of(matrix: np.ndarray, bits: int = SAFE_BITS) -> int:
    """How many signed digits of so many bits the numbers of a matrix of integers take."""
    low, high, half = int(matrix.min(initial=0)), int(matrix.max(initial=0)), 2 ** (bits - 1)
    digits, ones = 1, 1
    while not (-half * ones <= low and high <= (half - 1) * ones):
        digits, ones = digits + 1, (ones << bits) + 1
    return digits


@cache
def digit_bits() -> int:
    """Bits of a digit on this processor: eight where products of codes with whole bytes come out right, else seven.

    Processors without instructions for sums of four products add pairs of them in 16 bits, which saturate. Tried are
    products of one window and of many, of rows that fill vectors and that do not, where every pair would.
    """
    for windows, rows, columns in ((1, 64, 16), (1, 67, 19), (37, 64, 16), (37, 131, 67)):
        codes = np.full((windows, rows), 255, dtype=np.uint8)
        digits = np.where(np.arange(columns) % 2 == 0, 127, -128) * np.ones((rows, 1), dtype=np.int64)
        sums = _session(digits.astype(np.int8)).run(None, {"codes": codes})[0]
        if not np.array_equal(sums, codes.astype(np.int64) @ digits):
            return SAFE_BITS
    return 8


def _session(weights: np.ndarray) -> ort.InferenceSession:
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["codes", "weights"], ["sums"])],
        "product",
        [helper.make_tensor_value_info("codes", TensorProto.UINT8, ["windows", rows])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["windows", columns])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
