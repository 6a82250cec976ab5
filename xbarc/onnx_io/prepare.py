"""Prepare a model for import: checked, functions inlined, opset 13 or newer, shapes inferred."""

from __future__ import annotations

import onnx
import onnx.inliner
import onnx.version_converter

from xbarc.errors import ModelError

#: Older models are converted to this opset.
OLDEST_OPSET = 13
#: The oldest opset that layer functions can be written for, where the converter fails.
OLDEST_FUNCTION_OPSET = 11


def prepare(model: onnx.ModelProto, *, where: str) -> onnx.ModelProto:
    """A model that :func:`xbarc.onnx_io.import_graph.import_graph` takes; the argument may be changed.

    Raises:
        ModelError: the checker refuses the model, or its opset is too old to be converted.
    """
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the model is not valid ONNX: {_first_line(error)}", where=where, fix="export it again") from None
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    model = _modernise(model, where)
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"shapes do not fit together: {_first_line(error)}", where=where) from None


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses (0 where it uses none)."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _modernise(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    opset = opset_of(model)
    if opset == 0:
        model.opset_import.append(onnx.helper.make_opsetid("", OLDEST_OPSET))
        return model
    if opset >= OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        if opset >= OLDEST_FUNCTION_OPSET:
            return model
        raise ModelError(
            f"opset {opset} cannot be converted to {OLDEST_OPSET}: {_first_line(error)}",
            where=where,
            fix="export the model again with opset 13 or newer",
        ) from None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
