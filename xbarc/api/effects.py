"""Which effects a chip has, and which of them are to count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from xbarc.api.reading import Reading
from xbarc.api.writing import Written, conductances
from xbarc.errors import UsageError
from xbarc.hardware.schema import Hardware
from xbarc.ir.effects import EFFECTS, Effect, Effects
from xbarc.ir.graph import Graph
from xbarc.ir.layer import Layer, layers
from xbarc.runtime.cells import cell_targets
from xbarc.runtime.nonlinear import sees_voltages


def chosen_effects(graph: Graph, kinds: Iterable[str], names: Iterable[str] | None) -> Effects:
    """Effects by their names, in layers by theirs, all where ``names`` is ``None``.

    Raises:
        UsageError: no such effect, or layer on tiles.
    """
    wanted, known = set(_each(kinds)), {layer.name for layer in layers(graph)}
    chosen = None if names is None else frozenset(_each(names))
    if unknown := sorted(wanted - set(EFFECTS)):
        raise UsageError(f"there is no effect {unknown[0]!r}", fix=f"the effects are {', '.join(EFFECTS)}")
    if strange := sorted((chosen or frozenset()) - known):
        raise UsageError(f"no layer on tiles is called {strange[0]!r}", fix="xbarc report lists the layers on tiles")
    return Effects(frozenset(effect for effect in EFFECTS if effect in wanted), chosen)


def _each(names: Iterable[str]) -> Iterable[str]:
    """Names, where one alone is not taken letter by letter."""
    return [names] if isinstance(names, str) else names


def effects_of(graph: Graph, hardware: Hardware, written: Written | None, reading: Reading) -> tuple[Effect, ...]:
    """What parts a chip from its program, of what a reading lets count.

    By what its cells hold and its converters do, whether or not that shows in any output.

    Args:
        written: ``None``: the ideal device, which has nothing but the codes of its converters.
    """
    there: set[Effect] = set()
    for layer in layers(graph):
        if reading.effects.within(layer.name):
            there.update(_of_layer(layer, hardware, written, reading))
    return tuple(effect for effect in EFFECTS if effect in there and effect in reading.effects.kinds)


def _of_layer(layer: Layer, hardware: Hardware, written: Written | None, reading: Reading) -> Iterator[Effect]:
    converted = layer.adc.codes is not None and layer.adc.range is not None
    if layer.dac.codes is not None:
        yield "input-codes"
    if converted:
        yield "output-codes"
    if written is None:
        return
    if layer.dac.codes is not None and hardware.dac.has_errors:
        yield "dac-errors"
    if converted and hardware.adc.has_errors:
        yield "adc-errors"
    if converted and hardware.adc.conversion_noise_lsb:
        yield "adc-noise"
    if hardware.tile.has_wires:
        yield "ir-drop"
    if written.device.v_max is not None and sees_voltages(layer):
        yield "cell-currents"
    yield from _of_cells(layer, hardware, written, reading.time_s)


def _of_cells(layer: Layer, hardware: Hardware, written: Written, time_s: float) -> Iterator[Effect]:
    span, device, cells = conductances(hardware), written.device, written.cells[layer.read.matrix]
    targets = cell_targets(layer, span)
    if np.any(cells.programmed != targets):
        yield "programming"
    left, loop = cells.programmed, written.programming
    if loop is not None and loop.relaxes:
        left = loop.relaxed(left, time_s, g_min=span.g_min, g_max=span.g_max)
    drifted = device.drift(left, cells.nu, t_s=time_s)
    relaxation = device.relaxation(targets, t_s=time_s, g_max=span.g_max)
    if np.any(drifted != cells.programmed) or any(map(np.any, relaxation or ())):
        yield "drift"
    if np.any(device.read_sigma(cells.programmed, drifted, t_s=time_s, g_max=span.g_max)):
        yield "read-noise"
    if cells.held is not None:
        yield "faults"
