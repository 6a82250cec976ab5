"""From a graph, or a body within one, to the routine that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarc.api.host_models import host_model
from xbarc.ir.graph import Graph, Value
from xbarc.ir.idle_relus import idle_relus, without
from xbarc.ir.layer import Layer
from xbarc.ir.operators import Control, HostOp
from xbarc.ir.regions import HostRegion, schedule
from xbarc.ir.types import Dim, TensorType
from xbarc.ir.work import host_macs
from xbarc.runtime.control import Empty, IfStep, LoopStep, ScanStep
from xbarc.runtime.host import Optimization
from xbarc.runtime.layer_plan import LayerNoise, layer_plan
from xbarc.runtime.steps import HostStep, LayerStep, Routine, Step

Names = Mapping[Value, str]


@dataclass(frozen=True, slots=True)
class RoutineOptions:
    """How a graph and all its bodies run.

    Attributes:
        tiles: whether products are on tiles, or still run in floating point.
        convert_outputs: without it, ADCs pass currents as they are.
        noise: drawn at every read, by layer.
        threads: for host operators.
        optimization: how far onnxruntime may rewrite host operators.
    """

    tiles: bool
    convert_outputs: bool
    noise: Mapping[str, LayerNoise]
    threads: int
    optimization: Optimization


def build_routine(
    graph: Graph,
    wanted: Sequence[Value],
    *,
    names: Names,
    watch: frozenset[Value],
    options: RoutineOptions,
    captured: int = 0,
) -> Routine:
    """The routine of a graph.

    Args:
        graph: a whole graph or a body.
        wanted: what it returns.
        names: of all values.
        watch: values that must not be hidden within a host region.
        options: the same for all bodies.
        captured: how many of the last inputs are a body's captured values: they have their names from outside.
    """
    steps: list[Step] = []
    constants: dict[str, np.ndarray] = {}

    def keep(value: Value | None) -> str | None:
        if value is not None and value.constant is not None:
            constants[names[value]] = value.constant
        return None if value is None else names[value]

    kept = {*wanted, *watch}
    idle = idle_relus(graph, kept)
    for part in schedule(graph, keep=kept):
        if isinstance(part, HostRegion):
            region = without(part, idle)
            if region.operators:
                steps.append(_host_step(graph, region, names, options))
        elif isinstance(part, Layer):
            source = idle.get(part.input, part.input)
            keep(source)
            plan = layer_plan(part, convert_outputs=options.convert_outputs, noise=options.noise.get(part.name))
            steps.append(LayerStep(plan, names[source], names[part.output]))
        else:
            bodies = {
                key: build_routine(
                    body, body.outputs, names=names, watch=watch, options=options, captured=part.captured
                )
                for key, body in part.bodies.items()
            }
            read = [keep(value) for value in part.operands]
            steps.append(_control_step(part, read, bodies, names))
    for value in wanted:
        keep(value)
    return Routine(
        steps,
        inputs=[names[value] for value in graph.inputs[: len(graph.inputs) - captured]],
        outputs=[names[value] for value in wanted],
        constants=constants,
    )


def _host_step(graph: Graph, region: HostRegion, names: Names, options: RoutineOptions) -> HostStep:
    # onnxruntime parts a product among its threads by the size of the batch, and so would its rounding.
    products = any(not isinstance(op, HostOp) or host_macs(op) != 0 for op in region.operators)
    alone = products and options.tiles
    host, _ = host_model(
        region.operators,
        region.inputs,
        region.outputs,
        names=names,
        opsets=graph.opsets,
        feed=not options.tiles,  # later the bits count, and onnxruntime runs them in the artefact
        threads=1 if alone else options.threads,
        optimization=options.optimization,
    )
    return HostStep(
        " ... ".join(dict.fromkeys((region.operators[0].name, region.operators[-1].name))),
        host,
        tuple(names[value] for value in region.inputs),
        tuple(names[value] for value in region.outputs),
    )


def _control_step(operator: Control, read: list[str | None], bodies: Mapping[str, Routine], names: Names) -> Step:
    explicit, captured = read[: len(read) - operator.captured], read[len(read) - operator.captured :]
    around = tuple(name for name in captured if name is not None)
    outputs = tuple(names[value] for value in operator.results)
    if operator.kind == "If":
        branches = (bodies["then_branch"], bodies["else_branch"])
        return IfStep(explicit[0] or "", around, branches, outputs)
    if operator.kind == "Loop":
        states = tuple(name for name in explicit[2:] if name is not None)
        stacks = operator.results[len(states) :]
        return LoopStep(
            count=explicit[0],
            condition=explicit[1],
            states=states,
            captured=around,
            body=bodies["body"],
            outputs=outputs,
            empty=tuple(_empty(value, 0) for value in stacks),
        )
    given = tuple(name for name in explicit if name is not None)
    sequences = int(operator.attribute("num_scan_inputs"))
    count = len(given) - sequences
    stacks = operator.results[count:]
    out_axes = _numbers(operator, "scan_output_axes", len(stacks))
    return ScanStep(
        states=given[:count],
        sequences=given[count:],
        axes=_numbers(operator, "scan_input_axes", sequences),
        reverse=tuple(map(bool, _numbers(operator, "scan_input_directions", sequences))),
        captured=around,
        body=bodies["body"],
        outputs=outputs,
        out_axes=out_axes,
        out_reverse=tuple(map(bool, _numbers(operator, "scan_output_directions", len(stacks)))),
        empty=tuple(_empty(value, axis) for value, axis in zip(stacks, out_axes, strict=True)),
        shapes=_shapes(operator, read),
    )


def _numbers(operator: Control, attribute: str, count: int) -> tuple[int, ...]:
    return tuple(int(number) for number in operator.attribute(attribute) or [0] * count)


def _empty(value: Value, axis: int) -> Empty:
    """What a loop that never runs leaves: no entries along its axis."""
    if not isinstance(value.type, TensorType) or value.type.shape is None:
        return Empty(np.dtype(np.float32), (0,), 0)
    return Empty(value.type.dtype, value.type.shape, axis)


def _shapes(operator: Control, read: list[str | None]) -> dict[str, tuple[Dim, ...]]:
    """The shapes of what an operator reads, by name."""
    pairs = zip(read, operator.operands, strict=True)
    return {name: value.shape for name, value in pairs if name is not None and value is not None and value.shape}
