"""The standard interface of ONNX backends: a model is compiled for the preset hardware ``exact``, written on the ideal
device and run.

>>> import xbarc.backend
>>> prepared = xbarc.backend.prepare(model)
>>> outputs = prepared.run([x])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.backend.base import Backend, BackendRep

from xbarc.api.compiler import compile_model
from xbarc.api.program import Program
from xbarc.api.source import ModelLike
from xbarc.errors import DataError, UsageError


class XbarcBackendRep(BackendRep):
    """A compiled model, ready to run.

    Attributes:
        program: what the model was compiled to.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._chip = program.write()

    def run(self, inputs: Any, **_options: Any) -> list[Any]:  # type: ignore[override]  # a list, as onnxruntime's
        """The outputs of one call, in order: arrays, lists for sequences, ``None`` for an empty optional.

        Args:
            inputs: a list or tuple with one entry an input, a mapping by name, or the only input by itself. Entries are
                what :meth:`xbarc.api.chip.Chip.run_batch` takes.

        Raises:
            DataError: they do not fit the model.
        """
        return list(self._chip.run_batch(self._by_name(inputs)).values())

    def _by_name(self, inputs: Any) -> Mapping[str, Any]:
        if isinstance(inputs, Mapping):
            return inputs
        given = inputs if isinstance(inputs, list | tuple) else [inputs]
        names = [spec.name for spec in self.program.inputs]
        if len(given) != len(names):
            raise DataError(
                f"{len(given)} inputs for a model of {len(names)}",
                where=f"the model reads {', '.join(map(repr, names)) or 'nothing'}",
                fix="give one entry an input, in this order, or a mapping by name",
            )
        return dict(zip(names, given, strict=True))


class XbarcBackend(Backend):
    """Compiles for hardware that rounds nothing: what it computes is the model itself, its products cut into tiles."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **_options: Any) -> bool:
        """Whether a model may be prepared for a device. What is in it shows when it is prepared."""
        return cls.supports_device(device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run on a device: on the ``CPU``, whichever its number."""
        return device.split(":")[0] == "CPU"

    @classmethod
    def prepare(cls, model: ModelLike, device: str = "CPU", **_options: Any) -> XbarcBackendRep:
        """Compile a model.

        Args:
            model: an ONNX model or file.
            device: ``CPU``.

        Raises:
            ModelError: it cannot be compiled.
            UsageError: there is no such device.
        """
        if not cls.supports_device(device):
            raise UsageError(f"there is no device {device!r}", fix="use CPU")
        return XbarcBackendRep(compile_model(model, hardware="exact"))

    @classmethod
    def run_model(  # type: ignore[override]
        cls, model: ModelLike, inputs: Any, device: str = "CPU", **options: Any
    ) -> list[Any]:
        """Compile a model and run it once; see :meth:`prepare` and :meth:`XbarcBackendRep.run`."""
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(  # type: ignore[override]
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **options: Any,
    ) -> list[Any]:
        """Run a single operator.

        Args:
            node: the operator.
            inputs: one entry for each input that it names.
            device: ``CPU``.
            outputs_info: element type and shape of each output that it names, where they cannot be inferred.
            options: ``opset_version``: of the operator's domain, by default that of its last change.

        Raises:
            DataError: inputs whose type cannot be told.
            ModelError: the operator cannot be compiled.
        """
        given = inputs if isinstance(inputs, list | tuple) else [inputs]
        names = list(dict.fromkeys(name for name in node.input if name))
        types = [_type_of(value, name) for name, value in zip(names, given, strict=False)]
        return cls.run_model(
            _model_of(node, dict(zip(names, types, strict=False)), outputs_info, options), given, device
        )


def _model_of(
    node: onnx.NodeProto,
    inputs: Mapping[str, onnx.TypeProto],
    outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None,
    options: Mapping[str, Any],
) -> onnx.ModelProto:
    """A model of a single operator."""
    results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    for entry, (dtype, shape) in zip(results, outputs_info or (), strict=False):
        entry.type.CopyFrom(helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape))
    graph = helper.make_graph(
        [node], "node", [helper.make_value_info(name, type_proto) for name, type_proto in inputs.items()], results
    )
    opset = helper.make_opsetid(node.domain, options.get("opset_version") or _opset(node))
    model = helper.make_model(graph, opset_imports=[opset])
    model.ir_version = helper.find_min_ir_version_for([opset], ignore_unknown=True)
    return onnx.shape_inference.infer_shapes(model)


def _opset(node: onnx.NodeProto) -> int:
    try:
        return int(onnx.defs.get_schema(node.op_type, domain=node.domain).since_version)
    except onnx.defs.SchemaError:
        return 1  # of a domain that only the runtime knows


def _type_of(value: Any, name: str) -> onnx.TypeProto:
    if isinstance(value, list | tuple) and value:
        return helper.make_sequence_type_proto(_type_of(value[0], name))
    if not isinstance(value, np.ndarray | np.generic):
        raise DataError(
            f"the input '{name}' is {type(value).__name__}, and its type cannot be told from that",
            fix="give an array, or run a model that declares its inputs",
        )
    dtype = np.dtype(object) if value.dtype.kind in "US" else value.dtype
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), value.shape)


is_compatible = XbarcBackend.is_compatible
prepare = XbarcBackend.prepare
run_model = XbarcBackend.run_model
run_node = XbarcBackend.run_node
supports_device = XbarcBackend.supports_device
