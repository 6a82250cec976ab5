"""Products of input codes and levels in integers: as fast as the processor's instructions for bytes, and exact.

A matrix of integers is parted into signed digits of seven bits, whose products with codes of eight bits onnxruntime
takes (``MatMulInteger``); no instruction set saturates on digits so small. The digits of all matrices that the same
codes are applied to are one product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from xbarc.runtime import code_kernels

#: A digit is from -64 to 63: two products of that with codes up to 255 fit the 16 bits in which older processors add.
_BASE: Final = 128
_HALF: Final = _BASE // 2
#: Matrices of more digits than this go to BLAS.
MOST_DIGITS: Final = 3
_OPSET: Final = 13


class CodeProduct:
    """Matrices of integers, ready to be multiplied with codes of eight bits.

    Args:
        matrices: ``(rows, columns)`` integers each, all of one shape, of at most :data:`MOST_DIGITS` digits.

    Attributes:
        digits: of each matrix.
        columns: of the result: matrix by matrix, column by column, the digits of one side by side from the least
            significant one on.
    """

    def __init__(self, matrices: Sequence[np.ndarray]) -> None:
        self.digits = max(map(digits_of, matrices))
        rows, columns = matrices[0].shape
        held = np.empty((rows, len(matrices), columns, self.digits), dtype=np.int8)
        for number, matrix in enumerate(matrices):
            code_kernels.part_into_digits(matrix, held[:, number])
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


def digits_of(matrix: np.ndarray) -> int:
    """How many signed digits the numbers of a matrix of integers take."""
    low, high = int(matrix.min(initial=0)), int(matrix.max(initial=0))
    digits, ones = 1, 1
    while not (-_HALF * ones <= low and high <= (_HALF - 1) * ones):
        digits, ones = digits + 1, ones * _BASE + 1
    return digits


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
