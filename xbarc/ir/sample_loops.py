"""The sample axis of values that flow through ``If``, ``Loop`` and ``Scan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from xbarc.ir.graph import Graph, Value
from xbarc.ir.operators import Control

#: Axis of samples; ``None``: the same for any batch; ``count``: depends on how many samples there are, not on what they
#: hold; ``mixed``: depends on several samples at once.
SampleAxis = int | None | Literal["count", "mixed"]
COUNT: Final = "count"
MIXED: Final = "mixed"

#: Finds the axes of everything in a body, whose inputs' axes are known.
Follow = Callable[[Graph], None]


def control_axes(operator: Control, axes: dict[Value, SampleAxis], follow: Follow) -> None:
    """Set the axes of an operator's results and of every value in its bodies.

    What decides how often, or which, body runs must be the same for any batch; otherwise everything is mixed.
    """
    results: list[SampleAxis] | None
    match operator.kind:
        case "If":
            results = _if_axes(operator, axes, follow)
        case "Loop":
            results = _loop_axes(operator, axes, follow)
        case _:
            results = _scan_axes(operator, axes, follow)
    if results is None:
        for body in operator.bodies.values():
            axes.update(dict.fromkeys(body.inputs, MIXED))
            follow(body)
        results = [MIXED] * len(operator.results)
    axes.update(zip(operator.results, results, strict=True))


def _if_axes(operator: Control, axes: dict[Value, SampleAxis], follow: Follow) -> list[SampleAxis] | None:
    if _of(operator.operands[0], axes) is not None:
        return None
    found = []
    for body in operator.bodies.values():
        _enter(operator, body, [], axes)
        follow(body)
        found.append([_of(value, axes) for value in body.outputs])
    return [first if first == other else MIXED for first, other in zip(*found, strict=True)]


def _loop_axes(operator: Control, axes: dict[Value, SampleAxis], follow: Follow) -> list[SampleAxis] | None:
    count, condition, *initial = operator.explicit
    if any(value is not None and _of(value, axes) is not None for value in (count, condition)):
        return None
    body = operator.bodies["body"]
    states = [_of(value, axes) for value in initial]

    def step(carried: list[SampleAxis]) -> list[SampleAxis] | None:
        _enter(operator, body, [None, None, *carried], axes)
        follow(body)
        proceeds, *made = [_of(value, axes) for value in body.outputs]
        return None if proceeds is not None else made

    made = _settled(states, initial, step)
    return None if made is None else [*made[: len(states)], *(_stacked(axis, 0) for axis in made[len(states) :])]


def _scan_axes(operator: Control, axes: dict[Value, SampleAxis], follow: Follow) -> list[SampleAxis] | None:
    explicit = operator.explicit
    sequences = int(operator.attribute("num_scan_inputs"))
    initial, scanned = explicit[: len(explicit) - sequences], explicit[len(explicit) - sequences :]
    along = operator.attribute("scan_input_axes") or [0] * sequences
    entries: list[SampleAxis] = []
    for value, scan_axis in zip(scanned, along, strict=True):
        axis = _of(value, axes)
        if axis in (COUNT, MIXED):
            return None  # its length may depend on the batch
        if isinstance(axis, int):
            rank = len(value.shape or ()) if value is not None else 0
            if scan_axis < 0 and not rank:
                return None
            scan_axis = scan_axis + rank if scan_axis < 0 else scan_axis
            if scan_axis == axis:
                return None
            axis -= int(scan_axis < axis)
        entries.append(axis)
    body = operator.bodies["body"]
    states = [_of(value, axes) for value in initial]

    def step(carried: list[SampleAxis]) -> list[SampleAxis]:
        _enter(operator, body, [*carried, *entries], axes)
        follow(body)
        return [_of(value, axes) for value in body.outputs]

    made = _settled(states, initial, step)
    if made is None:
        return None
    stacks = made[len(states) :]
    after = operator.attribute("scan_output_axes") or [0] * len(stacks)
    if any(place < 0 for place in after) and any(isinstance(axis, int) for axis in stacks):
        return None
    return [*made[: len(states)], *(_stacked(axis, place) for axis, place in zip(stacks, after, strict=True))]


def _settled(
    states: list[SampleAxis],
    initial: list[Value | None],
    step: Callable[[list[SampleAxis]], list[SampleAxis] | None],
) -> list[SampleAxis] | None:
    """What a body makes when its states have the axes that it leaves them with; ``None`` where they never agree."""
    carried = list(states)
    for _ in range(len(states) + 2):
        made = step(carried)
        if made is None:
            return None
        joined = [
            _joined(before, after, value)
            for before, after, value in zip(carried, made[: len(carried)], initial, strict=True)
        ]
        if joined == carried:
            return made
        carried = joined
    return None


def _joined(before: SampleAxis, after: SampleAxis, initial: Value | None) -> SampleAxis:
    if before == after:
        return before
    if before is None and isinstance(after, int) and initial is not None and initial.shape is not None:
        # A state that starts the same for any batch and then holds samples: it must have been one for all of them.
        rank = len(initial.shape)
        return after if after < rank and initial.shape[after] == 1 else MIXED
    return MIXED


def _enter(operator: Control, body: Graph, given: list[SampleAxis], axes: dict[Value, SampleAxis]) -> None:
    outer = [_of(value, axes) for value in operator.captures]
    axes.update(zip(body.inputs, [*given, *outer], strict=True))


def _stacked(axis: SampleAxis, place: int) -> SampleAxis:
    return axis + int(place <= axis) if isinstance(axis, int) else axis


def _of(value: Value | None, axes: Mapping[Value, SampleAxis]) -> SampleAxis:
    return None if value is None else axes.get(value)
