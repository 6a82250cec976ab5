"""Symbols for sizes that a model leaves open, given numbers."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from xbarc.errors import UsageError


def give_sizes(model: onnx.ModelProto, sizes: Mapping[str, int], *, where: str) -> None:
    """Put numbers in the place of symbols wherever a model declares types.

    Args:
        model: changed in place.
        sizes: by symbol.
        where: for messages.

    Raises:
        UsageError: a symbol that no input has.
    """
    graph = model.graph
    symbols = {dim.dim_param for entry in graph.input for dim in entry.type.tensor_type.shape.dim if dim.dim_param}
    for name in sizes:
        if name not in symbols:
            known = ", ".join(sorted(symbols)) or "none"
            raise UsageError(f"no input has a size called {name!r}", where=where, fix=f"open sizes are: {known}")
    for entry in (*graph.input, *graph.output, *graph.value_info):
        for dim in entry.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
