"""The verifier: what must hold of a graph at each stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np

from xbarc.errors import InternalError
from xbarc.ir.cell_currents import NonlinearCurrents
from xbarc.ir.graph import Graph, Operator, Value
from xbarc.ir.layer import Layer, layers
from xbarc.ir.operators import Accumulate, Adc, Control, Dac, HostOp, MatVec, Rescale, TileRead
from xbarc.ir.pieces import are_complete
from xbarc.ir.printer import print_graph
from xbarc.ir.scopes import bodies, scopes
from xbarc.ir.segments import follow_each_other
from xbarc.ir.stages import Stage

_TILE_STEPS: Final = (Dac, TileRead, Adc, Accumulate, Rescale)

#: Which operators may stand in a graph at each stage.
LEGAL: Final[dict[Stage, tuple[type[Operator], ...]]] = {
    Stage.HOST: (HostOp, Control),
    Stage.CHOSEN: (HostOp, Control),
    Stage.LOWERED: (HostOp, Control, MatVec),
    Stage.CALIBRATED: (HostOp, Control, MatVec),
    Stage.ENCODED: (HostOp, Control, MatVec),
    Stage.SPLIT: (HostOp, Control, MatVec),
    Stage.TILES: (HostOp, Control, *_TILE_STEPS),
    Stage.RANGED: (HostOp, Control, *_TILE_STEPS),
    Stage.PLACED: (HostOp, Control, *_TILE_STEPS),
}

#: What else holds of a matrix product from a stage on: the stage, what is missing if not, the test.
_MATVEC_RULES: Final[tuple[tuple[Stage, str, Callable[[MatVec], bool]], ...]] = (
    (Stage.LOWERED, "weights (groups, rows, columns)", lambda op: op.weight.ndim == 3),
    (Stage.LOWERED, "one bias a column", lambda op: op.bias is None or op.bias.shape == (op.columns,)),
    (Stage.CALIBRATED, "an input range", lambda op: op.input_range is not None),
    (
        Stage.ENCODED,
        "an encoding",
        lambda op: op.encoding is not None and op.encoding.levels.shape[2:] == op.weight.shape,
    ),
    (Stage.SPLIT, "a partition", lambda op: op.partition is not None),
)

#: The same for layers at tile level.
_LAYER_RULES: Final[tuple[tuple[Stage, str, Callable[[Layer], bool]], ...]] = (
    (Stage.TILES, "levels shaped by its partition", lambda layer: _levels_fit(layer)),
    (Stage.TILES, "one scale a column", lambda layer: len(layer.rescale.unit_scale) == _columns(layer)),
    (
        Stage.TILES,
        "one weight a slice",
        lambda layer: len(layer.accumulate.slice_weights) == layer.read.levels.shape[0],
    ),
    (Stage.TILES, "one side that subtracts", lambda layer: layer.read.subtraction == layer.accumulate.subtraction),
    (Stage.TILES, "a positive DAC step", lambda layer: _positive(layer.dac.scale)),
    (
        Stage.TILES,
        "one bias a column",
        lambda layer: layer.rescale.bias is None or _a_column(layer, layer.rescale.bias),
    ),
    (
        Stage.TILES,
        "nonlinear currents for all of its cells and codes",
        lambda layer: layer.read.nonlinear is None or _nonlinear_fits(layer, layer.read.nonlinear),
    ),
    (Stage.RANGED, "an ADC range", lambda layer: layer.adc.range is not None and _positive(layer.adc.range.lsb)),
    (
        Stage.RANGED,
        "one output scale a column",
        lambda layer: layer.rescale.scale is not None and _a_column(layer, layer.rescale.scale),
    ),
    (Stage.PLACED, "pieces for all of its cells", lambda layer: _placed(layer)),
)


def verify(graph: Graph) -> None:
    """Check the graph against its stage.

    Raises:
        InternalError: says which operator breaks which rule, with the graph as text attached as a note.
    """
    try:
        for scope in scopes(graph):
            _verify_links(scope)
            _verify_operators(scope, graph.stage)
            _verify_bodies(scope)
        if graph.stage >= Stage.TILES:
            for layer in layers(graph):
                for stage, what, holds in _LAYER_RULES:
                    if graph.stage >= stage and not holds(layer):
                        raise InternalError(f"layer {layer.name!r} at stage {graph.stage.name} must have {what}")
            if not follow_each_other(graph):
                raise InternalError("reload segments must follow each other, and hold what must not come apart")
    except InternalError as error:
        error.add_note(print_graph(graph, mark_unordered=True))
        raise


def _verify_operators(graph: Graph, reached: Stage) -> None:
    for operator in graph.operators():
        if not isinstance(operator, LEGAL[reached]):
            raise InternalError(
                f"{operator.mnemonic} {operator.name!r} may not stand in a graph at stage {reached.name}"
            )
        if isinstance(operator, HostOp) and reached == Stage.CHOSEN and operator.decision is None:
            raise InternalError(f"host operator {operator.name!r} has no decision")
        if isinstance(operator, MatVec):
            for stage, what, holds in _MATVEC_RULES:
                if reached >= stage and not holds(operator):
                    raise InternalError(f"matvec {operator.name!r} at stage {reached.name} must have {what}")


def _verify_bodies(graph: Graph) -> None:
    """Bodies give what their operator makes, and end with what is captured."""
    for operator in graph.operators():
        for body in bodies(operator):
            if isinstance(operator, Control) and len(body.inputs) < operator.captured:
                raise InternalError(f"a body of {operator.name!r} lacks inputs for what it captures")


def _verify_links(graph: Graph) -> None:
    """Every value that is read exists, and knows that it is read."""
    inputs = {id(value) for value in graph.inputs}
    for operator in graph.operators():
        for value, reads in Counter(operator.operands).items():
            if value is None:
                continue
            _verify_exists(graph, value, inputs, f"operator {operator.name!r}")
            if value.users.get(operator) != reads:
                raise InternalError(f"value {value.hint!r} does not know that operator {operator.name!r} reads it")
        for value in operator.results:
            if value.producer is not operator:
                raise InternalError(f"value {value.hint!r} does not know its producer {operator.name!r}")
    if len(graph.outputs) != len(graph.output_names):
        raise InternalError("every output must have a name")
    for value in graph.outputs:
        _verify_exists(graph, value, inputs, "the graph's outputs")


def _verify_exists(graph: Graph, value: Value, inputs: set[int], reader: str) -> None:
    if id(value) in inputs or value.constant is not None:
        return
    if value.producer is None or value.producer not in graph:
        raise InternalError(f"{reader} reads {value.hint!r}, which nothing in the graph makes")


def _positive(number: float) -> bool:
    return 0.0 < number < float("inf")


def _a_column(layer: Layer, numbers: np.ndarray) -> bool:
    return numbers.shape == (_columns(layer),) and bool(np.isfinite(numbers).all())


def _levels_fit(layer: Layer) -> bool:
    levels, partition = layer.read.levels, layer.read.partition
    if min(partition.rows, partition.columns, partition.groups, partition.block_rows, partition.block_columns) < 1:
        return False
    if partition.positions != 1 and (partition.groups != 1 or partition.positions != layer.read.windows.kernel_size):
        return False
    return levels.ndim == 5 and levels.shape[2:] == (partition.stacked, partition.block_rows, partition.stack_columns)


def _nonlinear_fits(layer: Layer, nonlinear: NonlinearCurrents) -> bool:
    terms, codes = len(nonlinear.cells), layer.applied
    if codes is None or nonlinear.low != codes.low or nonlinear.curves.shape != (terms, codes.high - codes.low + 1):
        return False
    return nonlinear.cells.shape[1:] == layer.read.levels.shape


def _columns(layer: Layer) -> int:
    return layer.read.partition.groups * layer.read.partition.columns


def _placed(layer: Layer) -> bool:
    read = layer.read
    slices, polarities = read.levels.shape[:2]
    return read.pieces is not None and are_complete(
        read.pieces, read.partition, copies=read.copies, slices=slices, polarities=polarities
    )
