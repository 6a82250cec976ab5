"""Host operators of a graph as models that are ready to run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from xbarc.errors import ModelError
from xbarc.ir.graph import Operator, Value
from xbarc.onnx_io.emit import RegionModel, region_model
from xbarc.runtime.host import HostModel, Optimization

#: Starting threads takes onnxruntime longer than making so many numbers a sample. Programs of many layers have as many
#: small models in between.
_WORTH_THREADS: Final = 2**14


def host_model(
    operators: Iterable[Operator],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    *,
    names: Mapping[Value, str],
    opsets: Mapping[str, int],
    feed: bool,
    threads: int,
    optimization: Optimization,
) -> tuple[HostModel, list[str]]:
    """A model of some operators, and what its outputs are called.

    Args:
        operators: in order; matrix products run in floating point.
        inputs, outputs: what the model reads and makes.
        names: of the values.
        opsets: that the operators are written for.
        feed: whether large constants are used where they lie, not as initializers, of which onnxruntime makes copies
            as it likes them best. Results may differ in their last bits.
        threads: for each operator, where there is enough to do for several.
        optimization: how far onnxruntime may rewrite it.

    Raises:
        ModelError: onnxruntime refuses the model; names the operator.
    """
    steps = list(operators)
    elements = sum(_elements_a_sample(value) for operator in steps for value in operator.results)

    def opened(region: RegionModel) -> tuple[HostModel, list[str]]:
        model = HostModel(
            region.proto.SerializeToString(),
            threads=threads if elements >= _WORTH_THREADS else 1,
            optimization=optimization,
            constants=region.feeds,
            initializers=region.lent,
        )
        return model, [output.name for output in region.proto.graph.output]

    def load(part: Sequence[Operator], read: Sequence[Value], made: Sequence[Value]) -> tuple[HostModel, list[str]]:
        region = region_model(part, read, made, names, opsets, feed=feed)
        try:
            return opened(region)
        except ModelError:
            if not region.feeds:
                raise
        # Some operators insist on initializers.
        return opened(region_model(part, read, made, names, opsets, feed=False))

    try:
        return load(steps, inputs, outputs)
    except ModelError:
        for operator in steps:
            read = dict.fromkeys(value for value in operator.operands if value is not None and value.constant is None)
            try:
                load([operator], list(read), operator.results)
            except ModelError as error:
                raise ModelError(error.what, where=f"node {operator.name!r}") from error
        raise


def _elements_a_sample(value: Value) -> int:
    """Unknown axes count as one; what is no tensor of known rank, as much as there may be."""
    return (
        _WORTH_THREADS if value.shape is None else math.prod(size for size in value.shape[1:] if isinstance(size, int))
    )
