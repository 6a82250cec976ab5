"""Host operators: a region of ONNX operators, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
import onnxruntime as ort

from xbarc.errors import ModelError, runtime_words
from xbarc.runtime.few_bits import FEW_BITS, to_array, to_value

#: How far onnxruntime may rewrite host operators; fused operators may round differently.
Optimization = Literal["disabled", "basic", "extended", "all"]

_LEVELS: Final = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class HostModel:
    """A model that onnxruntime executes.

    Args:
        model: its bytes or its file.
        threads: for each operator.
        optimization: how far onnxruntime may rewrite it.
        constants: inputs that are the same at every run; used where they lie, not copied.
        initializers: of tensors that the model says to be elsewhere.

    Raises:
        ModelError: onnxruntime refuses it or fails while it runs; the message is onnxruntime's.
    """

    def __init__(
        self,
        model: bytes | str,
        *,
        threads: int = 1,
        optimization: Optimization = "basic",
        constants: Mapping[str, np.ndarray] | None = None,
        initializers: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._constants = dict(constants or {})
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = _LEVELS[optimization]
        options.log_severity_level = 4  # what goes wrong is raised; nothing else writes to the terminal
        # Threads that spin while they wait take the processors from the layers that come next, and from the loading of
        # the next model: with one between any two layers, that takes longer than the layers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # onnxruntime takes the memory of these values, not a reference to them: they must outlive the loading.
        given = {
            name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
            for name, array in (initializers or {}).items()
        }
        options.add_external_initializers(list(given), list(given.values()))
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"onnxruntime cannot load host operators: {runtime_words(error)}") from error
        borders = (*self._session.get_inputs(), *self._session.get_outputs())
        self._few_bits = any(border.type in FEW_BITS for border in borders)

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> list[np.ndarray]:
        """The named outputs."""
        fed = {**self._constants, **feeds}
        try:
            if self._few_bits:
                values = {name: to_value(value) for name, value in fed.items() if value is not None}
                return [to_array(value) for value in self._session.run_with_ort_values(list(fetch), values)]
            results: list[np.ndarray] = self._session.run(list(fetch), fed)
        except Exception as error:
            raise ModelError(f"onnxruntime fails on host operators: {runtime_words(error)}") from error
        return results
